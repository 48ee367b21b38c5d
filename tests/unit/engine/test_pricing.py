"""Triggers and trails, at their boundaries and one tick off."""

import pytest

from quantlab.engine.pricing import (
    stop_reached,
    touch_reached,
    trail_peak,
    trail_trigger,
)

BUY, SELL = 1, -1


@pytest.mark.parametrize(
    ("side", "trigger", "stop", "touch"),
    [
        (BUY, 101, True, False),
        (BUY, 102, True, True),
        (BUY, 103, False, True),
        (SELL, 101, True, False),
        (SELL, 100, True, True),
        (SELL, 99, False, True),
    ],
)
def test_triggers_look_at_the_side_they_will_trade_at(
    side: int, trigger: int, *, stop: bool, touch: bool
) -> None:
    assert stop_reached(side, trigger, 100, 102) is stop
    assert touch_reached(side, trigger, 100, 102) is touch


def test_trails_follow_the_best_price_and_never_come_back() -> None:
    assert [trail_peak(SELL, 100, bid, bid + 2) for bid in (99, 100, 105)] == [100, 100, 105]
    assert [trail_peak(BUY, 100, ask - 2, ask) for ask in (101, 100, 95)] == [100, 100, 95]
    assert trail_trigger(SELL, 100_000, 50, 0) == 99_950
    assert trail_trigger(BUY, 100_000, 50, 0) == 100_050
    assert trail_trigger(SELL, 100_999, 0, 5_000) == 100_999 - 504
    assert trail_trigger(BUY, 10, 0, 1) == 11
