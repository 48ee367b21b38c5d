"""The phases of an account type in a row: passing one opens the next, with an account of its own.

As live, the account of the next phase is opened at the moment its forerunner passes; account and
strategy begin fresh on the first quote behind that moment. A phase is attempted from one place of
the data with one result, however many attempts come there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.rules.phase_goals import has_goals
from quantlab.tenancy.programs import PayoutTerms
from quantlab_server.backtests.accounts import Configured
from quantlab_server.backtests.attempts import (
    OUT_OF_DATA,
    PASSED,
    Attempt,
    Payout,
    attempt,
    day_places,
)
from quantlab_server.backtests.given import Bench, Runner


@dataclass(frozen=True, slots=True)
class Phase:
    """An account type to be passed; name and stage are those of its program, "" without one."""

    type_id: str
    name: str
    stage: str
    account: BacktestAccount
    payouts: PayoutTerms | None

    @property
    def is_passable(self) -> bool:
        """Say whether anything passes it: goals, or else a first payout."""
        return has_goals(self.account.profile) or self.payouts is not None


@dataclass(frozen=True, slots=True)
class Course:
    """The phases that an attempt went through, and the whole of it from its first day on.

    whole has the outcome and the cause of the phase it ended in, all days, and the trader's part of
    the first payout of each phase together, after the days to the first of them.
    """

    phases: tuple[Attempt, ...]
    whole: Attempt


def phase_of(configured: Configured) -> Phase:
    """Return the phase that an account type is."""
    kind = configured.kind
    phase = None if kind is None else kind.phase
    return Phase(
        type_id="" if kind is None else kind.type_id,
        name="" if phase is None else phase.name,
        stage="" if phase is None else phase.stage,
        account=configured.account,
        payouts=None if phase is None else phase.payouts,
    )


class Courses:
    """Attempts at phases in a row over the quotes of a bench."""

    def __init__(self, bench: Bench, phases: Sequence[Phase], inputs: Mapping[str, Any]) -> None:
        self._quotes, self._inputs = bench.records.words, inputs
        self._instants = self._quotes[:, at.Q_NS]
        self._tried = [_Tried(bench.runner(one.account), one, self._quotes) for one in phases]

    def all(self, progress: Callable[[int, int], None]) -> list[Course]:
        """Attempt the phases from every day of the data on, as the first phase counts days."""
        places = self._tried[0].places
        found = []
        for number, place in enumerate(places):
            found.append(self._from(place))
            progress(number + 1, len(places))
        return found

    def _from(self, place: int) -> Course:
        steps: list[Attempt] = []
        begins = [place]
        for tried in self._tried:
            start_ns = steps[-1].next_ns if steps else 0
            steps.append(tried.at(begins[-1], self._inputs, start_ns))
            begins.append(int(np.searchsorted(self._instants, steps[-1].next_ns)))
            if steps[-1].outcome != PASSED:
                break
        return Course(tuple(steps), self._whole(steps, begins))

    def _whole(self, steps: Sequence[Attempt], begins: Sequence[int]) -> Attempt:
        first, last = steps[0], steps[-1]
        before = [self._days(begins[0], begin) for begin in begins]
        paid = [
            Payout(one.payout.trader_minor, done + one.payout.days)
            for one, done in zip(steps, before, strict=False)
            if one.payout is not None
        ]
        total = sum(one.trader_minor for one in paid)
        return Attempt(
            start_ns=first.start_ns,
            end_ns=last.end_ns,
            outcome=last.outcome,
            cause=last.cause,
            days=max(done + one.days for one, done in zip(steps, before, strict=False)),
            balance_minor=last.balance_minor,
            payout=Payout(total, paid[0].days) if paid else None,
            next_ns=last.next_ns,
        )

    def _days(self, begin: int, place: int) -> int:
        """Return how many days of the first phase are over between two places of the data."""
        places = self._tried[0].places
        until = int(np.searchsorted(places, place, side="right"))
        return max(until - int(np.searchsorted(places, begin, side="right")), 0)


class _Tried:
    """One phase, attempted from each place of the data at most once."""

    def __init__(self, made: Runner, phase: Phase, quotes: Any) -> None:
        self._made, self._phase, self._quotes = made, phase, quotes
        self.places = day_places(phase.account, quotes)
        self._known: dict[int, Attempt] = {}

    def at(self, place: int, inputs: Mapping[str, Any], start_ns: int) -> Attempt:
        """Return the attempt from a place; start_ns is when it is opened where no quote is left."""
        if place not in self._known:
            if place == len(self._quotes):
                return self._never_begun(start_ns)
            self._known[place] = self._attempted(place, inputs)
        return self._known[place]

    def _attempted(self, place: int, inputs: Mapping[str, Any]) -> Attempt:
        run = self._made(self._quotes[place:], inputs)
        later = self.places[int(np.searchsorted(self.places, place, side="right")) :]
        ends = [end - place for end in (*later, len(self._quotes))]
        return attempt(run, ends, self._phase.payouts)

    def _never_begun(self, start_ns: int) -> Attempt:
        initial = self._phase.account.initial_minor
        return Attempt(start_ns, start_ns, OUT_OF_DATA, "", 0, initial, None, start_ns)
