"""The short way of a plain market order ends where the long way and live trading do."""

import os
from collections import Counter
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.test_backtest import MODELS, PROFILES, ticks
from tests.support import backtest_cases as cases
from tests.support import live_cases
from tests.support.histories import Asked, History

from quantlab.backtest import layout as at
from quantlab.backtest.kernels import desk, outright

HISTORIES = int(os.environ.get("QUANTLAB_BACKTEST_HISTORIES", "15"))
TAKEN: Counter[int] = Counter()


@st.composite
def plain_orders(draw: st.DrawFn) -> History:
    """Return a history of one symbol with market orders and whole closes, one at a time."""
    made = draw(ticks(("EURUSD",), draw(st.integers(10, 40))))
    asked: list[Asked] = []
    for after, tick in enumerate(made):
        choice = draw(st.sampled_from(("", "open", "open", "close")))
        if choice == "open":
            side, steps = draw(st.sampled_from((1, -1))), draw(st.sampled_from((20, 700, 3000)))
            asked.append(Asked(after, "place", tick.symbol, side, steps))
        elif choice:
            asked.append(Asked(after, "close", tick.symbol))
    models = {"*": draw(st.sampled_from(MODELS))}
    return History(draw(st.sampled_from(PROFILES)), made, asked, ("EURUSD",), models)


def counted(m: Any, out: Any) -> int:
    """Go the short way where it is one, and count that."""
    found = outright.outright(m, out)
    TAKEN[found] += 1
    return found


def left(history: History) -> tuple[Any, dict[str, Any]]:
    """Run a history; return its block, and all that is known of it but scratch."""
    m = cases.plain(history)
    logs = ((at.FILLS_AT, at.FILLS, at.FILL_WORDS), (at.ENDS_AT, at.ENDS, at.END_WORDS))
    first = m[at.SYMBOLS_AT]
    return m, {
        "account": [m[word] for word in range(at.ACCOUNT_WORDS) if word != at.SCRATCH],
        "symbol": [m[first + word] for word in range(at.SYMBOL_WORDS) if word != at.VALUE],
        "rows": [m[m[begin] : m[begin] + m[count] * words] for begin, count, words in logs],
    }


@settings(
    max_examples=HISTORIES,
    derandomize="QUANTLAB_BACKTEST_HISTORIES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(plain_orders())
def agree(history: History) -> None:
    with mock.patch.object(desk, "outright", counted):
        block, short = left(history)
    with mock.patch.object(desk, "outright", return_value=outright.NOT_TAKEN):
        assert short == left(history)[1]
    run, fills = live_cases.live(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.ended(cases.state_of(block, history)) == cases.ended(live_cases.live_state(run))


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_the_short_way_ends_where_the_long_way_does() -> None:
    agree()
    assert TAKEN[outright.DONE] > HISTORIES
    assert TAKEN[outright.BROKEN] > 0
    assert TAKEN[outright.NOT_TAKEN] > 0
