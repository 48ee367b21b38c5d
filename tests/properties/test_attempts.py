"""Attempts pass where a live account would be promoted, on the histories of backtests."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.test_backtest import MODELS, command, histories
from tests.support import backtest_cases as cases
from tests.support import live_cases
from tests.support.engine_cases import profile
from tests.support.histories import Asked, History
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.backtest import layout as at
from quantlab.backtest.block import Span
from quantlab.backtest.kernels.reading import COMMAND_WORDS
from quantlab.backtest.kernels.run import run as take_quotes
from quantlab.backtest.plain import PlainBlock
from quantlab.engine.batch import BatchRun
from quantlab.engine.payouts import is_flat
from quantlab.rules.phase_goals import goals
from quantlab_server.backtests.attempts import PASSED, attempt, day_places

HISTORIES = int(os.environ.get("QUANTLAB_BACKTEST_HISTORIES", "15"))
SMALL = made_rule("profit_target", "gate", target={"amount": "20.00"}, flatRequired=True)
PROFILES = (
    profile(
        SMALL,
        made_rule("max_drawdown", mode="static", loss=percent("0.1"), comparator="lt"),
    ),
    profile(
        SMALL,
        made_rule("daily_loss", "soft", anchor="equity", loss=percent("0.05"), comparator="lt"),
        made_rule("min_trading_days", "gate", days=2, counting="opened", openDayCounts=True),
    ),
    profile(
        SMALL,
        made_rule(
            "consistency", "gate", maxSharePercent="80", comparator="gt", openDayCounts=False,
            total="net",
        ),
    ),
    profile(
        SMALL,
        made_rule(
            "consistency", "gate", measure="best_trade", maxSharePercent="70", comparator="gt",
            openDayCounts=True,
        ),
    ),
)  # fmt: skip


@st.composite
def trading(draw: st.DrawFn) -> History:
    """Return a history that is often flat: positions are closed as often as they are opened."""
    history = draw(histories(hedging=draw(st.booleans())))
    asked: list[Asked] = []
    for after, tick in enumerate(history.ticks):
        choice = draw(st.sampled_from(("", "open", "open", "close", "flatten", "any")))
        if choice == "any":
            asked.append(draw(command(after, tick, 0)))
        elif choice == "open":
            side, steps = draw(st.sampled_from((1, -1))), draw(st.integers(20, 200))
            asked.append(Asked(after, "place", tick.symbol, side, steps))
        elif choice:
            asked.append(Asked(after, choice, tick.symbol))
    return replace(
        history,
        profile=draw(st.sampled_from(PROFILES)),
        asked=asked,
        models={"*": draw(st.sampled_from(MODELS[1:4]))},
    )


class PlainRun:
    """The kernels as plain Python, where an attempt expects a run."""

    def __init__(self, history: History) -> None:
        self.account = history.account()
        self.plain = PlainBlock(cases.block_of(history), cases.Script(history))
        self.words = cases.quote_words(history)
        self.quotes = np.array(self.words, np.int64).reshape(-1, at.QUOTE_WORDS)
        self.span = Span(history.ticks[0].ts_ns, history.ticks[-1].ts_ns)
        self.out = [0] * (at.OUT_FIRST + 64 * COMMAND_WORDS)
        self.taken = 0

    @property
    def block(self) -> Any:
        return np.array(self.plain, np.int64)

    @property
    def is_over(self) -> bool:
        return self.plain[at.END] != at.RUNNING

    def take(self, end: int) -> None:
        if not self.is_over:
            self.taken = take_quotes(self.plain, self.out, [], self.words, self.taken, end)

    def fills(self, begin: int = 0) -> Any:
        return self._rows(at.FILLS_AT, at.FILLS, at.FILL_WORDS)[begin:]

    def orders(self, begin: int = 0) -> Any:
        return self._rows(at.ENDS_AT, at.ENDS, at.END_WORDS)[begin:]

    def _rows(self, first: int, count: int, words: int) -> Any:
        begin = self.plain[first]
        rows = self.plain[begin : begin + self.plain[count] * words]
        return np.array(rows, np.int64).reshape(-1, words)


def promoted(history: History) -> int | None:
    """Return the balance at which a live account would be promoted, None where it never is."""
    found: list[int] = []
    run = BatchRun.run

    def looked_at(self: BatchRun, given_: Any) -> Iterator[Any]:
        for outcome in run(self, given_):
            account = self.account
            if not found and account.status == "active" and is_flat(account):
                asked = goals(history.profile, account)
                if all(goal.met for goal in asked):
                    found.append(account.balance_minor)
            yield outcome

    with mock.patch.object(BatchRun, "run", looked_at):
        live_cases.live(history)
    return found[0] if found else None


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(
    max_examples=HISTORIES,
    derandomize="QUANTLAB_BACKTEST_HISTORIES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(trading())
def test_an_attempt_passes_where_a_live_account_is_promoted(history: History) -> None:
    run: Any = PlainRun(history)
    ends = [*day_places(run.account, run.quotes)[1:], len(run.quotes)]
    found = attempt(run, ends, None)
    passed = found.balance_minor if found.outcome == PASSED else None
    assert passed == promoted(history)
