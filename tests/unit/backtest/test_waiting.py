"""What a quote has no size or no rate for waits for the next one, live and in a backtest alike."""

from itertools import islice

import pytest
from tests.properties.test_backtest import model
from tests.support import backtest_cases as cases
from tests.support.backtest_cases import Asked, History
from tests.support.engine_cases import NOW, profile
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.trading_terms import STANDARD, TradingTerms, read_trading_terms
from quantlab.market.quote import Quote

WIDE = made_rule("daily_loss", anchor="balance", loss=percent("90"), comparator="lt")
FLAT = made_rule(
    "flat_by", "soft", action="flatten", timeZone="UTC",
    windows=[{"days": ["wed"], "at": "13:00", "until": "14:00"}],
)  # fmt: skip
MARGIN = read_trading_terms({"margin": {"leverage": {"*": "10"}, "stopOutPercent": "100"}})
HOUR_NS = 3600 * SECOND_NS


def tick(seq: int, after_ns: int, bid: int, shown: int) -> Quote:
    return Quote(
        "EURUSD", bid, bid + 2, NOW + after_ns, seq, bid_size_steps=shown, ask_size_steps=900
    )


@pytest.mark.parametrize(
    ("rules", "trading", "fall"),
    [((WIDE, FLAT), STANDARD, 0), ((WIDE,), MARGIN, 8_000)],
)
def test_what_must_be_closed_takes_each_quote_once(
    rules: tuple[dict[str, object], ...], trading: TradingTerms, fall: int
) -> None:
    """A quote of 300 steps closes 300, and only the next one more: nobody asks in between."""
    later = HOUR_NS + 60 * SECOND_NS
    ticks = [
        tick(1, 0, 108_000, 900),
        tick(2, later, 108_000 - fall, 300),
        tick(3, later + SECOND_NS, 108_000 - fall, 300),
        tick(4, later + 2 * SECOND_NS, 108_000 - fall, 300),
    ]
    history = History(
        profile(*rules), ticks, [Asked(0, "place", "EURUSD", 1, 850)], ("EURUSD",),
        {"*": model()}, trading,
    )  # fmt: skip
    run, fills = cases.live(history)
    closed = [(fill.quote_seq, fill.size_steps) for fill, _, _ in islice(fills, 1, None)]
    assert closed[:3] == [(2, 300), (3, 300), (4, 250)][: len(closed)]
    assert len(closed) >= 2
    block = cases.plain(history)
    assert cases.fills_of(block, history) == cases.live_fills(fills)
    assert cases.state_of(block, history) == cases.live_state(run)


def test_an_order_changed_beside_an_old_quote_waits_for_the_next_one() -> None:
    """Another symbol's quote comes hours later: what is changed then does not fill at the old."""
    other = Quote("GBPUSD", 126_500, 126_502, NOW + 9 * HOUR_NS, 2)
    late = tick(3, 9 * HOUR_NS + SECOND_NS, 108_000, 900)
    ticks = [tick(1, 0, 108_000, 900), other, late]
    asked = [
        Asked(0, "place", "EURUSD", -1, 100, kind="limit", limit=108_050),
        Asked(1, "modify", "EURUSD", 1, 0, limit=107_990, order=1),
    ]
    history = History(
        profile(WIDE), ticks, asked, ("EURUSD", "GBPUSD"), {"*": model()}, STANDARD
    )  # fmt: skip
    _, fills = cases.live(history)
    assert [fill.quote_seq for fill, _, _ in fills] == [3]
    assert cases.fills_of(cases.plain(history), history) == cases.live_fills(fills)
