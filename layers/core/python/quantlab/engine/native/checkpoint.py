"""A checkpoint over many accounts at once: what each is worth, and which need their writer.

Accounts that agree in everything but amounts form a group. Whoever is broken, beyond the arrays,
past a day's end or above a mark nobody has stored is handed to the account's one writer, who has
the last word.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.engine.context import Market
from quantlab.engine.native.compile import Kernels
from quantlab.engine.native.expressed import BY_COMMANDS, FLOORS
from quantlab.engine.native.kernels import BEYOND, DAY_OVER, Array
from quantlab.engine.native.tables import Rates
from quantlab.engine.rejections import Rejection
from quantlab.kernel.arith import LIMIT
from quantlab.ledger.state import Account
from quantlab.rules.breaks import must_be_flat
from quantlab.rules.floors import BASES, RULE_COLUMNS, rule_row
from quantlab.rules.scalars import BASIS_EQUITY
from quantlab.rules.terms import EquityRule, FlatBy, Profile, WeekendHolding
from quantlab.rules.verdicts import equity_rules_in_force

BALANCE, CARRY, MARK, RESET, START_BALANCE, START_EQUITY, REALISED = range(7)


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts that differ in amounts only; `like` is one of them, its amounts of no meaning.

    ids are two rows, the unsigned halves of 128 bits, with a column an account; money has the
    columns named above, seqs is the last event of each.
    """

    like: Account
    profile: Profile
    ids: Any
    money: Array
    seqs: Array


@dataclass(frozen=True, slots=True)
class Held:
    """The positions of one symbol: whose, how large, at what cost."""

    symbol: str
    ids: Any
    sizes: Array
    costs: Array


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
        self._symbol = {one.symbol: row for row, one in enumerate(self._instruments)}
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

    def judge(self, groups: Sequence[Group], held: Iterable[Held]) -> Judged:
        """Judge the accounts of some groups with their positions; strangers' are left out."""
        ids = np.concatenate([group.ids for group in groups], axis=1)
        money = np.concatenate([group.money for group in groups])
        seqs = np.concatenate([group.seqs for group in groups])
        sizes = [len(group.seqs) for group in groups]
        group_of = np.repeat(np.arange(len(groups)), sizes)
        if not _in_order(ids):
            order = np.lexsort((ids[1], ids[0]))
            ids, money = np.take(ids, order, axis=1), np.take(money, order, axis=0)
            seqs, group_of = seqs[order], group_of[order]
        count = len(seqs)
        states, opens = np.zeros(count, np.int64), np.zeros(count, np.int64)
        currencies = {group.like.currency: 0 for group in groups}
        currencies = {currency: row for row, currency in enumerate(currencies)}
        currency_of = np.array([currencies[group.like.currency] for group in groups])[group_of]
        holding = np.zeros(count, np.bool_)
        rate_of = self._rate_rows(currencies)
        for one in held:
            self._value(one, ids, currency_of, rate_of, opens, states, holding)
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

    def _value(
        self, one: Held, ids: Any, currency_of: Array, rate_of: Array, opens: Array,
        states: Array, holding: Any,
    ) -> None:  # fmt: skip
        accounts = np.empty(len(one.sizes), np.int64)
        missing = self._kernels.locate(*ids, *one.ids, accounts)
        sizes, costs = one.sizes, one.costs
        if missing:
            known = accounts >= 0
            accounts, sizes, costs = accounts[known], sizes[known], costs[known]
        holding[accounts] = True
        symbols = np.full(len(accounts), self._symbol[one.symbol])
        self._kernels.value_positions(
            accounts, symbols, sizes, costs, currency_of, self._quotes, rate_of, self._rates.table,
            opens, states,
        )  # fmt: skip

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
