"""Fill price and size, triggers and trails, at their boundaries and one tick off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.engine.pricing import (
    UNLIMITED,
    fill_at,
    market_limit,
    stop_reached,
    touch_reached,
    trail_peak,
    trail_trigger,
)

BUY, SELL = 1, -1


@pytest.mark.parametrize(
    ("side", "limit", "slippage", "wanted", "available", "expected"),
    [
        (BUY, market_limit(BUY), 0, 10, UNLIMITED, (10, 102)),
        (SELL, market_limit(SELL), 0, 10, UNLIMITED, (10, 100)),
        (BUY, market_limit(BUY), 3, 10, UNLIMITED, (10, 105)),
        (SELL, market_limit(SELL), 3, 10, UNLIMITED, (10, 97)),
        (BUY, 101, 0, 10, UNLIMITED, (0, 0)),
        (BUY, 102, 0, 10, UNLIMITED, (10, 102)),
        (BUY, 103, 0, 10, UNLIMITED, (10, 102)),
        (BUY, 103, 5, 10, UNLIMITED, (10, 103)),
        (SELL, 101, 0, 10, UNLIMITED, (0, 0)),
        (SELL, 100, 5, 10, UNLIMITED, (10, 100)),
        (SELL, 98, 1, 10, UNLIMITED, (10, 99)),
        (BUY, 102, 0, 10, 4, (4, 102)),
        (BUY, 102, 0, 10, 0, (0, 0)),
        (BUY, 102, 0, 0, 5, (0, 0)),
    ],
)
def test_fill(
    side: int, limit: int, slippage: int, wanted: int, available: int, expected: tuple[int, int]
) -> None:
    assert fill_at(side, limit, 100, 102, slippage, wanted, available) == expected


@given(
    st.sampled_from((BUY, SELL)),
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(0, 20),
    st.integers(0, 10),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_never_worse_than_the_limit_never_more_than_there_is(
    side: int, limit: int, bid: int, spread: int, slippage: int, wanted: int, available: int
) -> None:
    steps, price = fill_at(side, limit, bid, bid + spread, slippage, wanted, available)
    assert 0 <= steps <= min(wanted, available)
    touch = bid + spread if side > 0 else bid
    if steps:
        assert side * (price - limit) <= 0
        assert side * (price - touch) >= 0
    else:
        assert side * (touch - limit) > 0 or not wanted or not available


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
