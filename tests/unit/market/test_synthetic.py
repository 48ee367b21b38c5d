"""The synthetic market is a function of its seed and passes its own gate."""

import hashlib
import json
from itertools import islice
from pathlib import Path

import pytest

from quantlab.market.catalog import parse_catalog
from quantlab.market.gate import GateState, Verdict, judge
from quantlab.market.quote import Quote
from quantlab.market.synthetic import SplitMix64, walk

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[3] / "agent/configs/instruments.json").read_text())
)

GOLDEN = "e6799e393698ef156995a45e0014c5c46705bf0eef5dbd09a5f9020536718bfb"


def take(symbol: str, seed: int, count: int, resume: int | None = None) -> list[Quote]:
    return list(islice(walk(symbol, CATALOG.synthetic[symbol], seed, 1_000, resume), count))


def test_the_generator_is_splitmix64() -> None:
    # Published first outputs for the seed 1234567.
    rng = SplitMix64(1234567)
    outputs = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [rng.below(1 << 64) for _ in outputs] == outputs


def test_the_same_seed_gives_the_same_ticks_and_another_gives_others() -> None:
    first, again, other = (take("EURUSD", seed, 500) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert [q.bid_ticks for q in first] != [q.bid_ticks for q in take("GBPUSD", 7, 500)]


def test_the_walk_is_the_same_on_every_machine() -> None:
    text = ";".join(f"{q.bid_ticks},{q.ask_ticks},{q.ts_ns}" for q in take("XAUUSD", 1, 2000))
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


def test_displayed_sizes_are_seeded_and_spread_about_their_mean() -> None:
    quotes = take("ES", 1, 2_000)
    mean = CATALOG.synthetic["ES"].size_steps
    assert quotes == take("ES", 1, 2_000)
    shown = [size for q in quotes for size in (q.bid_size_steps, q.ask_size_steps)]
    assert min(shown) >= mean // 4
    assert max(shown) <= mean * 7 // 4
    assert abs(sum(shown) // len(shown) - mean) < mean // 20
    assert {q.ask_size_steps for q in take("EURUSD", 1, 100)} == {0}


@pytest.mark.parametrize("symbol", sorted(CATALOG.instruments))
def test_every_symbol_is_lively_and_believed(symbol: str) -> None:
    quotes = take(symbol, 3, 5_000)
    state, seen = GateState(), []
    for quote in quotes:
        state, verdict = judge(state, quote, CATALOG.instruments[symbol].gate)
        seen.append(verdict)
    assert seen[2:] == [Verdict.ACCEPTED] * (len(quotes) - 2)
    per_second = len(quotes) / ((quotes[-1].ts_ns - quotes[0].ts_ns) / 1e9)
    assert 4 <= per_second <= 10.5
    assert len({quote.bid_ticks for quote in quotes}) > 10
    assert all(quote.ask_ticks > quote.bid_ticks for quote in quotes)


def test_a_walk_goes_on_from_a_price_and_is_drawn_home() -> None:
    home = CATALOG.synthetic["EURUSD"].start_ticks
    quotes = take("EURUSD", 3, 60_000, resume=home * 2)
    assert abs(quotes[0].bid_ticks - home * 2) < 50
    assert quotes[-1].bid_ticks < home * 3 // 2
