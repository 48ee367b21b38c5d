"""The shard of account_watch in arrays: one compiled pass over a symbol's holders for each quote.

A pass finds whom the interpreter must look at; it decides nothing. An account that the arrays do
not fully express, such as one beyond 64 bits, is looked at on every quote.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from quantlab.engine.context import Market
from quantlab.engine.native.chosen import Kernels
from quantlab.engine.native.expressed import BY_CLOCK, BY_COMMANDS, FLOORS
from quantlab.engine.native.kernels import ALWAYS, NEVER, Array
from quantlab.engine.native.tables import Book, Rates, Terms, column, grown
from quantlab.engine.watch_protection import stop_name
from quantlab.engine.watched import RETRY_NS, Watched
from quantlab.kernel.arith import LIMIT
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.scalars import POSITIONS_MAX, closing_ticks
from quantlab.ledger.state import Account, Position
from quantlab.market.catalog import Catalog
from quantlab.market.quote import Quote
from quantlab.rules.floors import BASES, breach_below_minor, rule_row
from quantlab.rules.scalars import AMOUNT_MINOR_LIMIT, BASIS_EQUITY
from quantlab.rules.terms import MaxDrawdown, Profile
from quantlab.rules.verdicts import equity_rules_in_force, judge_equity

# What the arrays express. An account, position or profile with anything else, such as working
# orders, is never left to them. Of the tally, which moves with commands only, floors take up costs
# and payouts as the account enters; the rest is counted for orders and for the agenda.
ACCOUNT_FIELDS: Final = {
    *("account_id", "tenant_id", "status", "status_reason", "currency", "currency_digits"),
    *("account_type", "config_version", "initial_balance_minor", "balance_minor", "carry_micro"),
    *("high_water_minor", "event_seq", "day", "closed_days", "raised", "positions", "tally"),
}
POSITION_FIELDS: Final = {
    *("symbol", "size_steps", "cost", "stop_loss_ticks", "take_profit_ticks", "opened_at_ns"),
    "opened_seq",
}
RULES: Final = (*FLOORS, *BY_COMMANDS, *BY_CLOCK)
UNEXPRESSED: Final = (
    tuple(sorted(set(Account.__dataclass_fields__) - ACCOUNT_FIELDS)),
    tuple(sorted(set(Position.__dataclass_fields__) - POSITION_FIELDS)),
)
_FIRST: Final = 1024


class Holders:
    """Accounts by row, their positions by symbol, and the latest quotes."""

    def __init__(self, catalog: Catalog, kernels: Kernels) -> None:
        self._kernels = kernels
        self._instruments = tuple(catalog.instruments.values())
        self._symbol = {one.symbol: row for row, one in enumerate(self._instruments)}
        self._books = [Book() for _ in self._instruments]
        self._quotes: list[Quote | None] = [None] * len(self._instruments)
        # (ts_ns, max_age_ns, suspended, closed): without a quote a symbol counts as suspended.
        ages = [one.gate.max_age_ns for one in self._instruments]
        self._market = np.array([(0, age, 1, 0) for age in ages], np.int64)
        self._hours_of = -1
        self._rates = Rates(catalog)
        self._terms = Terms()
        self._row: dict[str, int] = {}
        self._ids: list[str] = []
        self._free: list[int] = []
        self._hits = np.zeros(_FIRST, np.int64)
        self._reasons = np.zeros(_FIRST, np.int64)
        self._next_due_ns = LIMIT
        self._plain: set[str] = set()
        self._make_rows(_FIRST)

    def _make_rows(self, count: int) -> None:
        self._money = np.zeros((count, 7), np.int64)
        self._marks = np.zeros((count, 2), np.int64)
        self._stored = np.full(count, NEVER, np.int64)
        # Walked beside the columns of a book.
        walked = len(Book.COLUMNS)
        self._opens = column(count, walked)
        self._floors = column(count, walked + 1, fill=ALWAYS)
        self._peaks = column(count, walked + 2, fill=NEVER)
        self._resets = np.full(count, NEVER, np.int64)
        self._asked = np.full(count, NEVER, np.int64)
        self._symbols_of = np.zeros((count, POSITIONS_MAX + 1), np.int64)

    def enter(self, watched: Watched, now_ns: int) -> None:
        """Take an account in, at its latest quotes."""
        account = watched.account
        row = self._new_row(account.account_id)
        symbols = [self._symbol[symbol] for symbol in sorted(watched.heard)]
        express = self._expresses(watched, symbols)
        if not express:
            self._plain.add(account.account_id)
        self._marks[row] = (account.high_water_minor if express else 0, watched.mark_seq)
        self._stored[row] = watched.stored_mark_minor if express else NEVER
        self._resets[row] = self._asked[row] = account.day.next_reset_ns
        self._next_due_ns = min(self._next_due_ns, account.day.next_reset_ns)
        self._opens[row] = 0
        self._symbols_of[row, 0] = len(symbols) if express else 0
        if express:
            self._symbols_of[row, 1 : len(symbols) + 1] = symbols
        rate = 0
        for symbol in symbols:
            instrument = self._instruments[symbol]
            position = account.positions.get(instrument.symbol)
            held = express and position is not None
            if held:
                rate = self._rates.row(instrument.quote_currency, account.currency)
            slot = self._books[symbol].add(row, rate if held else 0)
            if held and position is not None:
                self._books[symbol].set_position(slot, position, instrument)
                self._value(symbol, slot, row)
            elif not express:
                self._books[symbol].lows[slot] = NEVER
        self._set_levels(watched, row, now_ns, express=express)
        self.touch(watched)

    def holds(self, account_id: str) -> bool:
        """Say whether an account was taken in."""
        return account_id in self._row

    def drop(self, account_id: str) -> None:
        """Forget an account."""
        row = self._row.pop(account_id)
        self._plain.discard(account_id)
        for book in self._books:
            book.remove(row)
        self._floors[row], self._peaks[row] = ALWAYS, NEVER
        self._stored[row] = self._resets[row] = self._asked[row] = NEVER
        self._free.append(row)

    def touch(self, watched: Watched) -> None:
        """Hold stops that were reached: they stay so until their positions are gone."""
        row = self._row[watched.account.account_id]
        for position in watched.account.positions.values():
            if stop_name(position) in watched.touched:
                book = self._books[self._symbol[position.symbol]]
                book.lows[book.slot(row)] = NEVER

    def look_always(self, account_id: str) -> None:
        """Hand an account to the interpreter on every quote it hears, until it changes."""
        self._floors[self._row[account_id]] = NEVER

    def note(self, quote: Quote) -> None:
        """Take a quote over without looking for anybody."""
        self._take(quote)
        self._move(quote.symbol, touching=False)

    def keep_hours(self, market: Market) -> None:
        """Note which markets are closed; hours change at whole seconds."""
        second = market.feed_now_ns // SECOND_NS if market.keeps_hours else -1
        if second != self._hours_of:
            self._hours_of = second
            self._market[:, 3] = [
                market.keeps_hours and not market.catalog.is_open(one, market.feed_now_ns)
                for one in self._instruments
            ]

    def silence(self) -> None:
        """Suspend every quote."""
        self._market[:, 2] = 1

    def on_quote(self, quote: Quote, feed_now_ns: int, now_ns: int) -> list[str]:
        """Take a quote over; return the accounts that the interpreter must judge on it."""
        self._take(quote)
        rows = self._settled(self._move(quote.symbol, touching=True), quote, feed_now_ns, now_ns)
        rows += self._due(self._symbol[quote.symbol], now_ns)
        return [self._ids[row] for row in dict.fromkeys(rows)]

    def all_concerned(self, feed_now_ns: int, now_ns: int) -> list[str]:
        """Return every account that the interpreter must judge at the latest quotes."""
        rows: list[int] = []
        for symbol, quote in enumerate(self._quotes):
            if quote is not None:
                found = self._move(quote.symbol, touching=True)
                rows += self._settled(found, quote, feed_now_ns, now_ns)
            rows += self._due(symbol, now_ns)
        return [self._ids[row] for row in dict.fromkeys(rows)]

    def mark(self, account_id: str) -> tuple[int, int]:
        """Return an account's high-water mark and the number of the quote that made it."""
        mark_minor, seq = self._marks[self._row[account_id]].tolist()
        return mark_minor, seq

    def set_mark(self, watched: Watched) -> None:
        """Take over a mark that the interpreter has raised."""
        row = self._row[watched.account.account_id]
        if watched.account.high_water_minor > self._marks[row, 0] and self._symbols_of[row, 0]:
            self._marks[row] = (watched.account.high_water_minor, watched.mark_seq)
            self._set_near(row)

    def unstored(self) -> list[str]:
        """Return the accounts with a mark that their writer may not know."""
        rows = np.flatnonzero(self._marks[:, 0] > self._stored)
        return [*(self._ids[row] for row in rows.tolist()), *self._plain]

    def _new_row(self, account_id: str) -> int:
        if self._free:
            row = self._free.pop()
            self._ids[row] = account_id
        else:
            row = len(self._ids)
            self._ids.append(account_id)
            if row == len(self._opens):
                self._grow(2 * row)
        self._row[account_id] = row
        return row

    def _grow(self, count: int) -> None:
        old = {name: getattr(self, name) for name in _ROWS}
        self._make_rows(count)
        for name, array in old.items():
            getattr(self, name)[: len(array)] = array

    def _expresses(self, watched: Watched, symbols: list[int]) -> bool:
        """Say whether the arrays hold all of an account that its judging depends on."""
        account, profile = watched.account, watched.profile
        amounts = (account.balance_minor, account.initial_balance_minor, account.high_water_minor)
        return (
            len(symbols) <= POSITIONS_MAX
            and not watched.halted
            and all(isinstance(rule, RULES) for rule in profile.rules)
            and all(abs(amount) <= AMOUNT_MINOR_LIMIT for amount in amounts)
            and all(abs(rule.loss_micro) < LIMIT for rule in profile.drawdowns)
            and all(
                (rule.payout_floor_minor or 0) < AMOUNT_MINOR_LIMIT for rule in profile.drawdowns
            )
            and all(_fits(one) for one in account.positions.values())
            and all(
                self._rates.known(self._instruments[symbol].quote_currency, account.currency)
                for symbol in symbols
                if self._instruments[symbol].symbol in account.positions
            )
            and not any(getattr(account, name) for name in UNEXPRESSED[0])
            and not any(
                getattr(position, name)
                for name in UNEXPRESSED[1]
                for position in account.positions.values()
            )
        )

    def _value(self, symbol: int, slot: int, row: int) -> None:
        """Value one new position at the latest quote, as the pass would."""
        quote = self._quotes[symbol]
        if quote is None:
            return
        book, instrument = self._books[symbol], self._instruments[symbol]
        price = closing_ticks(int(book.sizes[slot]), quote.bid_ticks, quote.ask_ticks)
        value = self._rates.value(book, slot, price, instrument)
        if value is None:
            self._floors[row] = NEVER
            return
        book.values[slot] = value
        self._opens[row] += value

    def _set_levels(self, watched: Watched, row: int, now_ns: int, *, express: bool) -> None:
        account, profile = watched.account, watched.profile
        below, rows = _floors_of(profile, account)
        if not express or (abs(below) > AMOUNT_MINOR_LIMIT and below != ALWAYS):
            self._floors[row] = NEVER
            return
        first, last = self._terms.rows(rows)
        basis = BASES[profile.high_water_basis]
        self._money[row] = (
            account.balance_minor, account.carry_micro, account.initial_balance_minor, basis,
            below, first, last,
        )  # fmt: skip
        broken_anyway = now_ns < account.day.next_reset_ns and judge_equity(
            profile, account, AMOUNT_MINOR_LIMIT, now_ns
        )
        if account.status != "active" or broken_anyway:
            self._floors[row] = NEVER
        self._set_near(row)

    def _set_near(self, row: int) -> None:
        """Work out from the mark which opens come near a floor or a peak."""
        balance, carry, initial, basis, below, first, last = self._money[row].tolist()
        mark_minor = int(self._marks[row, 0])
        below = self._kernels.trailing_below(
            below, initial, balance, mark_minor, self._terms.table, first, last
        )
        if self._floors[row] != NEVER:
            self._floors[row], self._peaks[row] = self._kernels.levels(
                balance, carry, mark_minor, basis, below
            )

    def _move(self, symbol: str, *, touching: bool) -> list[tuple[Array, Array]]:
        """Revalue all that a symbol's quote changes before anybody is looked at."""
        own = self._symbol[symbol]
        found = [
            self._revalue(row, touching=False)
            for currency in self._rates.dependents(symbol)
            for row in self._quoted_in(currency)
            if row != own
        ]
        found.append(self._revalue(own, touching=touching))
        return found

    def _take(self, quote: Quote) -> None:
        symbol = self._symbol[quote.symbol]
        self._quotes[symbol] = quote
        self._market[symbol, 0] = quote.ts_ns
        self._market[symbol, 2] = quote.suspended
        self._rates.take(quote)

    def _revalue(self, symbol: int, *, touching: bool) -> tuple[Array, Array]:
        book, quote = self._books[symbol], self._quotes[symbol]
        if quote is None or not book.count:
            return self._hits[:0], self._reasons[:0]
        while book.count > len(self._hits):
            self._hits, self._reasons = grown(self._hits), grown(self._reasons)
        instrument = self._instruments[symbol]
        found = self._kernels.revalue(
            book.count, book.holder, book.sizes, book.costs, book.values, book.lows, book.highs,
            book.limits, book.rate_of, self._rates.table, quote.bid_ticks, quote.ask_ticks,
            instrument.unit_num, instrument.unit_den, touching, self._opens, self._floors,
            self._peaks, self._hits, self._reasons,
        )  # fmt: skip
        return self._hits[:found].copy(), self._reasons[:found].copy()

    def _settled(
        self, found: list[tuple[Array, Array]], quote: Quote, feed_now_ns: int, now_ns: int
    ) -> list[int]:
        rows: list[int] = []
        for hits, reasons in found:
            if len(hits):
                left = self._kernels.settle(
                    len(hits), hits, reasons, self._symbol[quote.symbol], quote.seq, feed_now_ns,
                    now_ns, self._money, self._marks, self._opens, self._floors, self._peaks,
                    self._resets, self._symbols_of, self._terms.table, self._market,
                )  # fmt: skip
                rows += hits[:left].tolist()
        return rows

    def _quoted_in(self, currency: str) -> Iterable[int]:
        return (
            symbol
            for symbol, one in enumerate(self._instruments)
            if one.quote_currency == currency and self._books[symbol].count
        )

    def _due(self, symbol: int, now_ns: int) -> list[int]:
        """Return holders whose day is over, each once in RETRY_NS."""
        if now_ns < self._next_due_ns:
            return []
        held: Any = self._books[symbol].holder[: self._books[symbol].count]
        due = held[self._asked[held] <= now_ns]
        self._asked[due] = now_ns + RETRY_NS
        self._next_due_ns = int(self._asked.min())
        rows: list[int] = due.tolist()
        return rows


_ROWS: Final = (
    "_money", "_marks", "_stored", "_opens", "_floors", "_peaks", "_resets", "_asked",
    "_symbols_of",
)  # fmt: skip


def _fits(position: Position) -> bool:
    return abs(position.size_steps) < LIMIT and abs(position.cost) < LIMIT


def _floors_of(profile: Profile, account: Account) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Return the highest equity under which a fixed floor breaks, and the rules that trail."""
    below, rows = ALWAYS, []
    for rule in equity_rules_in_force(profile, account):
        row = rule_row(rule, account)
        if isinstance(rule, MaxDrawdown) and row[1] == BASIS_EQUITY:
            rows.append(row)
        else:
            below = max(below, breach_below_minor(profile, rule, account))
    return below, tuple(rows)
