"""Dirt in a feed changes nothing: the same fills, floors and breaches as without it."""

from functools import cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dirty_feed import Trading, dirtied
from tests.support.market_data import ticks_file
from tests.support.watch_cases import CATALOG

from quantlab.market.quote import Quote
from quantlab_adapters.feeds.replay import ReplayStream

START = 1_700_000_000_000_000_000
FILES = {
    "EURUSD": ("eurusd_oanda_20140501_20140509_quotes.csv.gz", "60"),
    "XAUUSD": ("xauusd_oanda_20140501_20140502_quotes.csv.gz", "8"),
    "BTCUSD": ("btcusdt_binance_quotes.parquet", "5"),
}
EXPECTED = {
    "crossed", "spread_too_wide", "one_sided", "not_positive", "out_of_order", "duplicate",
    "locked", "off_market",
}  # fmt: skip


@cache
def ticks(symbol: str, count: int) -> tuple[Quote, ...]:
    stream = ReplayStream(ticks_file(FILES[symbol][0]), CATALOG.find)
    return tuple(islice(stream.quotes(START, {}), count))


@cache
def clean_run(symbol: str, count: int) -> Trading:
    return Trading(symbol, FILES[symbol][1]).run(ticks(symbol, count))


@pytest.mark.data
@settings(max_examples=12)
@given(
    symbol=st.sampled_from(sorted(FILES)),
    seed=st.integers(0, 1 << 32),
    rate=st.sampled_from((0.02, 0.2, 0.9)),
)
def test_no_dirt_changes_what_happens_to_an_account(symbol: str, seed: int, rate: float) -> None:
    clean = clean_run(symbol, 3_000)
    dirty = Trading(symbol, FILES[symbol][1]).run(tuple(dirtied(ticks(symbol, 3_000), seed, rate)))
    assert dirty.events == clean.events
    assert dirty.accepted == clean.accepted


@pytest.mark.data
def test_a_long_dirty_recording_gives_the_fills_and_breaches_of_the_clean_one() -> None:
    clean = clean_run("EURUSD", 25_000)
    assert clean.fills > 100
    assert clean.violations > 3
    dirty = Trading("EURUSD", FILES["EURUSD"][1])
    dirty.run(tuple(dirtied(ticks("EURUSD", 25_000), 7, 0.3)))
    assert set(dirty.refusals) >= EXPECTED
    assert sum(dirty.refusals.values()) > 9_000
    assert (dirty.fills, dirty.violations) == (clean.fills, clean.violations)
    assert dirty.events == clean.events
