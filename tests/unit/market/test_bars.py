"""One-minute bars."""

import pytest

from quantlab.kernel.check import InvariantBroken
from quantlab.market.bars import MINUTE_NS, Bar, add_quote, bar_start
from quantlab.market.quote import Quote


def test_a_bar_holds_its_minute_and_the_next_quote_closes_it() -> None:
    open_bar: Bar | None = None
    closed: list[Bar] = []
    base = 7 * MINUTE_NS
    prices = [(base, 10), (base + 1, 14), (base + 2, 8), (base + MINUTE_NS - 1, 9)]
    prices.append((base + 3 * MINUTE_NS, 20))
    for seq, (ts_ns, bid) in enumerate(prices, 1):
        open_bar, done = add_quote(open_bar, Quote("ES", bid, bid + seq, ts_ns, seq))
        closed += [done] if done else []
    assert closed == [Bar("ES", base, 10, 14, 8, 9, 13, 4, base + MINUTE_NS - 1, 4)]
    start = base + 3 * MINUTE_NS
    assert open_bar == Bar("ES", start, 20, 20, 20, 20, 25, 1, start, 5)


def test_bar_start_is_the_minute_the_instant_lies_in() -> None:
    assert bar_start(MINUTE_NS - 1) == 0
    assert bar_start(MINUTE_NS) == MINUTE_NS


def test_a_quote_before_its_bar_or_of_another_symbol_is_our_bug() -> None:
    bar, _ = add_quote(None, Quote("ES", 10, 11, 5 * MINUTE_NS, 1))
    with pytest.raises(InvariantBroken):
        add_quote(bar, Quote("ES", 10, 11, 5 * MINUTE_NS - 1, 2))
    with pytest.raises(InvariantBroken):
        add_quote(bar, Quote("NQ", 10, 11, 5 * MINUTE_NS, 2))
