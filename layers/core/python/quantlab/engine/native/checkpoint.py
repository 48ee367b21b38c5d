"""A checkpoint over many accounts at once: what each is worth, and which need their writer.

Accounts that agree in everything but amounts form a group. Whoever is broken, beyond the arrays,
past a day's end or above a mark nobody has stored is handed to the account's one writer, who has
the last word.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from quantlab.engine.context import Market
from quantlab.engine.native.chosen import Kernels
from quantlab.engine.native.expressed import BY_COMMANDS, FLOORS
from quantlab.engine.native.kernels import BEYOND, DAY_OVER, UNKNOWN, Array
from quantlab.engine.native.tables import Rates
from quantlab.engine.rejections import Rejection
from quantlab.kernel.arith import LIMIT
from quantlab.kernel.check import check
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.market.instrument import symbol_key
from quantlab.rules.breaks import must_be_flat
from quantlab.rules.floors import BASES, RULE_COLUMNS, rule_row
from quantlab.rules.scalars import BASIS_EQUITY
from quantlab.rules.terms import EquityRule, FlatBy, Profile, WeekendHolding
from quantlab.rules.verdicts import equity_rules_in_force

BALANCE, CARRY, MARK, RESET, START_BALANCE, START_EQUITY, REALISED = range(7)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What accounts have and hold, in any order of them.

    ids are two rows, the unsigned halves of 128 bits, with a column an account; money has the
    columns named above, seqs is the last event of each and counts how many positions it holds.
    Those follow each other in the order of accounts: the symbol's key, the size, the cost.
    """

    ids: Any
    money: Array
    seqs: Array
    counts: Array
    keys: Array
    sizes: Array
    costs: Array


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts that differ in amounts only; `like` is one of them, its amounts of no meaning."""

    like: Account
    profile: Profile
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Judged:
    """One row an account, in order of identifier; `asks` says who needs the writer.

    states are the kernels' JUDGED, UNKNOWN, BEYOND or DAY_OVER; amounts count where JUDGED. broken
    has a bit for each equity rule, daily losses first; below is the equity any under which breaks
    the nearest.
    """

    ids: Any
    seqs: Array
    states: Array
    equities: Array
    marks: Array
    below: Array
    broken: Array
    asks: Any


class Checkpoint:
    """The market of one moment, against which page after page of accounts is judged."""

    def __init__(self, kernels: Kernels, market: Market, now_ns: int) -> None:
        self._kernels = kernels
        self._now_ns = now_ns
        self._instruments = tuple(market.catalog.instruments.values())
        keys = np.array(
            [int.from_bytes(symbol_key(one.symbol), signed=True) for one in self._instruments],
            np.int64,
        )
        self._row_of_key = np.argsort(keys)
        self._keys = keys[self._row_of_key]
        check(len(np.unique(keys)) == len(keys), "expected symbols with keys of their own")
        self._rates = Rates(market.catalog)
        rows = []
        for one in self._instruments:
            quote = market.usable(one)
            if isinstance(quote, Rejection):
                rows.append((0, 0, 0, one.unit_num, one.unit_den))
            else:
                rows.append((quote.bid_ticks, quote.ask_ticks, 1, one.unit_num, one.unit_den))
                self._rates.take(quote)
        self._quotes = np.array(rows, np.int64)

    def judge(self, groups: Sequence[Group]) -> Judged:
        """Judge the accounts of some groups with what they hold."""
        joined, group_of, holders = _in_one(groups)
        ids, money, seqs = joined.ids, joined.money, joined.seqs
        sizes, costs = joined.sizes, joined.costs
        count = len(seqs)
        states, opens = np.zeros(count, np.int64), np.zeros(count, np.int64)
        currencies = {group.like.currency: 0 for group in groups}
        currencies = {currency: row for row, currency in enumerate(currencies)}
        currency_of = np.array([currencies[group.like.currency] for group in groups])[group_of]
        holding = np.zeros(count, np.bool_)
        rate_of = self._rate_rows(currencies)
        holding[holders] = True
        symbols, strange = self._symbols_of(joined.keys)
        if strange.any():
            states[holders[strange]] = UNKNOWN
            holders, symbols = holders[~strange], symbols[~strange]
            sizes, costs = sizes[~strange], costs[~strange]
        self._kernels.value_positions(
            holders, symbols, sizes, costs, currency_of, self._quotes, rate_of, self._rates.table,
            opens, states,
        )  # fmt: skip
        rows, terms = self._tables(groups, group_of, states)
        equities, marks, broken, below = (np.zeros(count, np.int64) for _ in range(4))
        self._kernels.judge(
            money,
            group_of,
            rows,
            terms,
            self._now_ns,
            opens,
            states,
            equities,
            marks,
            broken,
            below,
        )
        peaks = (rows[group_of, 1] == BASIS_EQUITY) & (marks > money[:, MARK]) & (states == 0)
        waits = holding & ((states == BEYOND) | (states == DAY_OVER))
        asks = (broken != 0) | peaks | waits
        return Judged(ids, seqs, states, equities, marks, below, broken, asks)

    def _symbols_of(self, keys: Array) -> tuple[Array, Any]:
        """Return the row of each key's symbol, and which keys the catalogue does not know."""
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._row_of_key[found], self._keys[found] != keys

    def _rate_rows(self, currencies: Iterable[str]) -> Array:
        rows = [
            [self._rates.row(one.quote_currency, currency) for currency in currencies]
            for one in self._instruments
        ]
        return np.array(rows, np.int64)

    def _tables(
        self, groups: Sequence[Group], group_of: Array, states: Array
    ) -> tuple[Array, Array]:
        """Write the groups' rules as rows; a group that rows do not express is beyond."""
        rows: list[tuple[int, ...]] = []
        terms: list[tuple[int, ...]] = []
        for number, group in enumerate(groups):
            profile, first = group.profile, len(terms)
            in_force = equity_rules_in_force(profile, group.like)
            floors: tuple[EquityRule, ...] = (*profile.daily_losses, *profile.drawdowns)
            terms += [(*rule_row(rule, group.like), int(rule in in_force)) for rule in floors]
            basis = BASES[profile.high_water_basis]
            rows.append((group.like.initial_balance_minor, basis, first, len(terms)))
            if not _expresses(profile, self._now_ns):
                states[group_of == number] = BEYOND
        shape = (len(terms), RULE_COLUMNS + 1)
        return np.array(rows, np.int64), np.array(terms, np.int64).reshape(shape)


def _in_one(groups: Sequence[Group]) -> tuple[Amounts, Array, Array]:
    """Put groups together by identifier; each account's group, and each position's account.

    The positions stay in the order in which they came.
    """
    every = [group.amounts for group in groups]
    ids = np.concatenate([one.ids for one in every], axis=1)
    money, seqs, counts, keys, sizes, costs = (
        np.concatenate([getattr(one, name) for one in every])
        for name in ("money", "seqs", "counts", "keys", "sizes", "costs")
    )
    group_of = np.repeat(np.arange(len(groups)), [len(one.seqs) for one in every])
    places = np.arange(len(seqs))
    holders = np.repeat(places, counts)
    if not _in_order(ids):
        order = np.lexsort((ids[1], ids[0]))
        places[order] = np.arange(len(seqs))
        ids, money = np.take(ids, order, axis=1), np.take(money, order, axis=0)
        seqs, counts, group_of = seqs[order], counts[order], group_of[order]
        holders = places[holders]
    return Amounts(ids, money, seqs, counts, keys, sizes, costs), group_of, holders


def _in_order(ids: Any) -> bool:
    """Say whether identifiers are sorted, as an index gives them."""
    high = ids[0]
    return bool(np.all(high[1:] > high[:-1]))


def _expresses(profile: Profile, now_ns: int) -> bool:
    """Say whether the rows hold all that may break a rule now.

    Nobody's tally is loaded: what a floor owes to it, and how long nothing was done, they do not.
    """
    return (
        all(
            isinstance(rule, (*FLOORS, *BY_COMMANDS))
            or (isinstance(rule, (FlatBy, WeekendHolding)) and not must_be_flat(rule, now_ns))
            for rule in profile.rules
        )
        and all(rule.costs_count for rule in profile.daily_losses)
        and all(rule.payout_floor_minor is None for rule in profile.drawdowns)
        and all(abs(rule.loss_micro) < LIMIT for rule in profile.daily_losses)
        and all(abs(rule.loss_micro) < LIMIT for rule in profile.drawdowns)
    )
