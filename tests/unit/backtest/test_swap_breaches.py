"""A swap that takes the day it ends past a floor breaks the rule, live and in a backtest alike."""

from typing import Any

import pytest
from tests.properties.test_backtest import model
from tests.support import backtest_cases as cases
from tests.support import live_cases
from tests.support.engine_cases import NOW, profile
from tests.support.histories import Asked, History
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.quote import Quote

HOUR_NS = 3600 * SECOND_NS
# NOW is noon in the day that ends 11 hours later.
JUST_BEFORE_RESET = 11 * HOUR_NS - SECOND_NS
AFTER_RESET = 12 * HOUR_NS
LOCKING = made_rule("daily_loss", "soft", anchor="equity", loss=percent("1"), comparator="lt")
ENDING = made_rule("daily_loss", anchor="equity", loss=percent("1"), comparator="lt")
REFUSING = LOCKING | {"onViolation": "reject_orders"}
DRAWDOWN = made_rule("max_drawdown", mode="static", loss=percent("1"), comparator="lt")
LOTS = 850


def tick(seq: int, after_ns: int, bid: int = 108_000) -> Quote:
    return Quote("EURUSD", bid, bid, NOW + after_ns, seq, bid_size_steps=900, ask_size_steps=900)


def history(rules: tuple[Any, ...], points: str, *ticks: Quote, hedging: bool = False) -> History:
    trading = read_trading_terms(
        {
            "swaps": {"*": {"unit": "points", "long": points, "short": "0"}},
            **({"positioning": "hedging"} if hedging else {}),
        }
    )
    asked = [Asked(0, "place", "EURUSD", 1, LOTS), Asked(len(ticks) - 1, "place", "EURUSD", 1, 10)]
    return History(profile(*rules), ticks, asked, ("EURUSD",), {"*": model()}, trading)


def decided(case: History) -> tuple[live_cases.Live, list[int]]:
    """Return the live account and what its fills were made at, held against the backtest."""
    run, fills = live_cases.live(case)
    block = cases.plain(case)
    assert cases.fills_of(block, case) == live_cases.live_fills(fills)
    assert cases.state_of(block, case) == live_cases.live_state(run)
    assert cases.broken(block, case) == live_cases.live_broken(run, case)
    return run, [fill.quote_seq for fill, _, _ in fills]


@pytest.mark.parametrize("hedging", [False, True])
@pytest.mark.parametrize(
    ("rules", "status", "filled"),
    [
        ((LOCKING,), "active", [1, 3, 4]),
        ((ENDING,), "disabled", [1, 3]),
        ((DRAWDOWN,), "disabled", [1, 3]),
        ((LOCKING, DRAWDOWN), "disabled", [1, 3]),
        ((REFUSING,), "active", [1, 4]),
    ],
)
def test_the_ended_day_is_judged_with_its_swap(
    rules: tuple[Any, ...], status: str, filled: list[int], *, hedging: bool
) -> None:
    """8.5 lots at -130 points are -1,105: more than 1 % of 100,000."""
    ticks = tick(1, 0), tick(2, JUST_BEFORE_RESET), tick(3, AFTER_RESET)
    case = history(rules, "-130", *ticks, tick(4, AFTER_RESET + SECOND_NS), hedging=hedging)
    run, fills = decided(case)
    assert len(run.broken) == len(rules)
    assert (run.account.status, fills) == (status, filled)


def test_a_swap_within_the_floor_breaks_nothing() -> None:
    ticks = tick(1, 0), tick(2, JUST_BEFORE_RESET), tick(3, AFTER_RESET)
    run, fills = decided(history((LOCKING,), "-117", *ticks, tick(4, AFTER_RESET + SECOND_NS)))
    assert (run.broken, fills) == ([], [1, 4])


def test_an_equity_unknown_at_the_reset_breaks_nothing() -> None:
    """The last quote was an hour old when the day ended."""
    ticks = tick(1, 0), tick(2, 10 * HOUR_NS), tick(3, AFTER_RESET)
    run, fills = decided(history((LOCKING,), "-130", *ticks, tick(4, AFTER_RESET + SECOND_NS)))
    assert (run.broken, fills) == ([], [1, 4])


def test_nights_after_the_ended_day_are_not_held_against_it() -> None:
    """Two nights are charged at once; the day had the first only, and no later one has a floor."""
    ticks = tick(1, 0), tick(2, JUST_BEFORE_RESET), tick(3, AFTER_RESET + 24 * HOUR_NS)
    last = tick(4, AFTER_RESET + 24 * HOUR_NS + SECOND_NS)
    run, fills = decided(history((LOCKING,), "-117", *ticks, last))
    assert (run.broken, fills) == ([], [1, 4])
    run, fills = decided(history((LOCKING,), "-130", *ticks, last))
    assert (len(run.broken), fills) == (1, [1, 3, 4])
