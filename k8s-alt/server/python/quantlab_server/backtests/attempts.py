"""Attempts at an account type: a strategy through the engine until it passes, fails, or data ends.

Live, an account is looked at after every command and at every end of a day: it passes where all
goals of its profile are met, its status is active and nothing of it is in the market. Here the
same is asked of the rules room at every fill and every end of an order that left nothing in the
market, and at every reset. Of a rule broken and goals met on one quote, the rule counts. Where a
profile has no goals, the first payout passes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.block import equity_rules, reset_instants
from quantlab.backtest.conditions import judged_rules
from quantlab.backtest.kernels.worth import equity_now
from quantlab.backtest.results.finished import STATUSES
from quantlab.backtest.results.goals import position_key
from quantlab.backtest.running import Run
from quantlab.backtest.span import Span
from quantlab.engine.payouts import offer
from quantlab.ledger.fills import Netted
from quantlab.ledger.state import Account
from quantlab.ledger.tally import count_fill
from quantlab.qls.native import abi
from quantlab.rules import terms
from quantlab.rules.day import open_day, roll_day
from quantlab.rules.phase_goals import goals, has_goals
from quantlab.tenancy.programs import PayoutTerms
from quantlab_server.backtests.bounds import least_profit_minor
from quantlab_server.backtests.in_market import Working, flat_after

PASSED: Final = "passed"
FAILED: Final = "failed"
OUT_OF_DATA: Final = "out_of_data"
STOPPED: Final = "strategy_stopped"


@dataclass(frozen=True, slots=True)
class Payout:
    """The first payout an account could have: the trader's part of it, and after how many days."""

    trader_minor: int
    days: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended, and after how many days of the data, the first one counted.

    cause is the identifier of the rule that ended it, or the trap that stopped the strategy.
    next_ns is the first instant whose quotes an account opened then would see.
    """

    start_ns: int
    end_ns: int
    outcome: str
    cause: str
    days: int
    balance_minor: int
    payout: Payout | None
    next_ns: int


def day_places(account: BacktestAccount, quotes: Any) -> list[int]:
    """Return the place of the first quote of each trading day that has some."""
    instants = quotes[:, at.Q_NS]
    resets = reset_instants(account.profile, Span(int(instants[0]), int(instants[-1])))
    places = np.unique(np.searchsorted(instants, resets))
    return [int(place) for place in places if place < len(quotes)]


def attempt(run: Run, day_ends: Sequence[int], payouts: PayoutTerms | None) -> Attempt:
    """Run an attempt. day_ends are the places behind each day's quotes, the data's end the last."""
    watched = _Watched(run, payouts)
    for number, end in enumerate(day_ends, 1):
        run.take(end)
        watched.end_ns = int(run.quotes[run.taken - 1, at.Q_NS])
        ended = watched.see_day(number, is_last=number == len(day_ends))
        if ended is not None:
            return watched.ended(*ended, number)
    return watched.ended(OUT_OF_DATA, "", len(day_ends))


class _Watched:
    """A run with its account as the rules room takes it, day by day."""

    def __init__(self, run: Run, payouts: PayoutTerms | None) -> None:
        self.run, self.payouts = run, payouts
        self.owner, self.profile = run.account, run.account.profile
        self.asks = has_goals(self.profile)
        initial = self.owner.initial_minor
        day = open_day(self.profile, initial, initial, run.span.first_ns)
        self.account: Account = self.owner.opening(day)
        self.end_ns = run.span.first_ns
        self.at_reset = False
        self.payout: Payout | None = None
        self._counts_trades = any(isinstance(one, terms.Consistency) for one in self.profile.rules)
        self._least_minor = initial + least_profit_minor(self.profile)
        self._fills = self._orders = self._rolls = 0
        self._held = 0

    def ended(self, outcome: str, cause: str, days: int) -> Attempt:
        """Return how the attempt ended."""
        return Attempt(
            start_ns=self.run.span.first_ns,
            end_ns=self.end_ns,
            outcome=outcome,
            cause=cause,
            days=days,
            balance_minor=self.account.balance_minor,
            payout=self.payout,
            next_ns=self.end_ns + (not self.at_reset),
        )

    def see_day(self, number: int, *, is_last: bool) -> tuple[str, str] | None:
        """Look at what a day has brought; return an outcome and its cause where it is the end."""
        m = self.run.block
        fills, ended = self.run.fills(self._fills), self.run.orders(self._orders)
        self._fills, self._orders = self._fills + len(fills), self._orders + len(ended)
        working = Working(self.run, ended)
        self._begin_day()
        if self._passes_within(fills, working):
            return PASSED, ""
        self._settle(fills)
        if self.run.is_over:
            return self._end()
        if is_last:
            return None
        reset_ns = self.account.day.next_reset_ns
        if m[at.HELD] == 0 and working.at(reset_ns) == 0:
            rolled = self._rolled(reset_ns)
            self._see_payout(rolled, number)
            paid = self.payout is not None and not self.asks
            if paid or self._is_passed(rolled):
                self.account, self.end_ns, self.at_reset = rolled, reset_ns, True
                return PASSED, ""
        return None

    def _begin_day(self) -> None:
        """Close the day before with what the engine has logged of it, and begin the present one."""
        m = self.run.block
        if m[at.ROLLS] == self._rolls:
            return
        self._rolls = int(m[at.ROLLS])
        begin = m[at.ROLLS_AT] + (self._rolls - 1) * at.ROLL_WORDS
        row = m[begin : begin + at.ROLL_WORDS].tolist()
        balance = row[at.D_BALANCE]
        day = replace(self.account.day, realised_minor=row[at.D_REALISED])
        ended = replace(self.account, balance_minor=balance, day=day)
        now_ns = int(m[at.DAY_START])
        self.account = roll_day(ended, self.profile, balance, row[at.D_EQUITY], now_ns)

    def _rolled(self, now_ns: int) -> Account:
        equity = int(equity_now(self.run.block))
        return roll_day(self.account, self.profile, self.account.balance_minor, equity, now_ns)

    def _settle(self, fills: Any) -> None:
        """Take over what the engine's books say at the end of a day's quotes."""
        m = self.run.block
        account = self._counted(self.account, fills)
        self.account = replace(
            account,
            status=STATUSES[m[at.STATUS]],
            balance_minor=int(m[at.BALANCE]),
            high_water_minor=int(m[at.MARK]),
            day=replace(account.day, realised_minor=int(m[at.REALISED]), traded=bool(m[at.TRADED])),
        )
        self._held = int(m[at.HELD])

    def _end(self) -> tuple[str, str]:
        m = self.run.block
        if m[at.END] == at.BREACHED:
            return FAILED, _broken(m, self.owner)[0]
        return STOPPED, "endless_events" if m[at.END] == at.ENDLESS else abi.TRAPS[m[at.TRAP]]

    def _passes_within(self, fills: Any, working: Working) -> bool:
        """Say whether the account passes at a moment of the day; it is left as it is then."""
        if not self.asks:
            return False
        account, counted = self.account, 0
        for moment_ns, count in self._moments(fills, working):
            account = self._after(account, fills, counted, count)
            counted = count
            if self._is_passed(account):
                self.account, self.end_ns = account, moment_ns
                return True
        return False

    def _moments(self, fills: Any, working: Working) -> Iterator[tuple[int, int]]:
        """Yield when nothing is in the market any more, and how many of the day's fills by then."""
        flat = flat_after(fills, self._held)
        until_ns, last_flat = self._no_longer_judged(flat, fills)
        rows = np.flatnonzero(flat[1:])
        own = working.beside(fills[rows, at.F_NS], fills[rows, at.F_ORDER]) == 0
        found = [(int(fills[row, at.F_NS]), int(row) + 1) for row in rows[own]]
        ended = working.ends_from(self.account.day.started_ns)
        counts = np.searchsorted(fills[:, at.F_NS], ended, side="right")
        free = flat[counts] & (working.count(ended) == 0)
        found += zip(ended[free].tolist(), counts[free].tolist(), strict=True)
        balances = np.concatenate(([self.account.balance_minor], fills[:, at.F_BALANCE]))
        seen = -1
        for moment_ns, count in sorted(found):
            if moment_ns >= until_ns or count >= last_flat:
                return
            if count != seen and balances[count] >= self._least_minor:
                yield moment_ns, count
            seen = count

    def _no_longer_judged(self, flat: Any, fills: Any) -> tuple[int, int]:
        """Return from which instant, and from how many fills on, the account is not active."""
        m = self.run.block
        until_ns, count = at.NEVER_HIGH, len(fills) + 1
        if m[at.BREACH] >= 0:
            until_ns = _broken(m, self.owner)[1]
        if m[at.STATUS] == at.LOCKED and m[at.HELD] == 0:
            # A lock closes all, or came with what closed last.
            count = max([0, *(np.flatnonzero(flat[1:]) + 1).tolist()])
        return until_ns, count

    def _after(self, account: Account, fills: Any, begin: int, count: int) -> Account:
        """Return the account after so many fills of the day, with nothing in the market."""
        if count == 0:
            return account
        account = self._counted(account, fills[begin:count])
        balance = int(fills[count - 1, at.F_BALANCE])
        realised = balance - self.account.balance_minor + self.account.day.realised_minor
        traded = account.day.traded or bool((fills[begin:count, at.F_OPENED] > 0).any())
        day = replace(account.day, realised_minor=realised, traded=traded)
        return replace(account, balance_minor=balance, day=day)

    def _counted(self, account: Account, fills: Any) -> Account:
        """Count fills as live trading does, where a rule asks for it."""
        if not self._counts_trades:
            return account
        tally = account.tally
        for row in fills.tolist():
            netted = Netted(
                row[at.F_POSITION], row[at.F_COST], 0, row[at.F_CLOSED], row[at.F_OPENED]
            )
            instrument = self.owner.instruments[row[at.F_SYMBOL]]
            key, profit = position_key(row, instrument.symbol), row[at.F_PROFIT]
            tally = count_fill(tally, instrument, key, netted, profit, row[at.F_FEE])
        return replace(account, tally=tally)

    def _is_passed(self, account: Account) -> bool:
        asked = goals(self.profile, account) if account.status == "active" else ()
        return bool(asked) and all(goal.met for goal in asked)

    def _see_payout(self, account: Account, number: int) -> None:
        """Note the first payout: all there is, as soon as its gates are open at a reset."""
        if self.payouts is None or self.payout is not None:
            return
        found = offer(account, self.profile, self.payouts, None, None)
        if found.open:
            self.payout = Payout(found.trader_minor, number)


def _broken(m: Any, owner: BacktestAccount) -> tuple[str, int]:
    """Return the rule that has disabled an account, and when it was broken first."""
    number = int(m[at.BREACH])
    others = number - int(m[at.RULES])
    if others >= 0:
        words = m[at.TERMS_AT] + others * at.TERM_WORDS
        return judged_rules(owner)[others].rule_id, int(m[words + at.TERM_BROKEN_AT])
    words = m[at.RULES_AT] + number * at.RULE_WORDS
    return equity_rules(owner.profile)[number].rule_id, int(m[words + at.RULE_BROKEN_AT])
