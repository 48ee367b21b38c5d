"""Laws of the gate, the bars and the conversion."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from quantlab.kernel.arith import muldiv
from quantlab.market.bars import MINUTE_NS, Bar, add_quote, bar_start
from quantlab.market.catalog import parse_catalog
from quantlab.market.conversion import conversion_pair, conversion_rate
from quantlab.market.gate import GateState, Verdict, judge, resume
from quantlab.market.instrument import GateLimits
from quantlab.market.quote import Quote

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[2] / "agent/configs/instruments.json").read_text())
)

limits = st.builds(
    GateLimits,
    max_age_ns=st.just(1),
    max_spread_ticks=st.integers(1, 50),
    max_jump_ticks=st.integers(1, 100),
    confirmations=st.integers(1, 5),
)
quotes = st.lists(
    st.builds(
        Quote,
        symbol=st.just("EURUSD"),
        bid_ticks=st.integers(-5, 500),
        ask_ticks=st.integers(-5, 500),
        ts_ns=st.integers(0, 50),
        seq=st.just(0),
    ),
    max_size=60,
)


def accepted(state: GateState, items: list[Quote], gate: GateLimits) -> list[Quote]:
    kept: list[Quote] = []
    for item in items:
        state, verdict = judge(state, item, gate)
        kept += [item] if verdict is Verdict.ACCEPTED else []
    return kept


@given(quotes, limits)
def test_what_is_accepted_is_positive_uncrossed_narrow_and_in_order(
    items: list[Quote], gate: GateLimits
) -> None:
    kept = accepted(GateState(), items, gate)
    for quote in kept:
        assert 0 < quote.bid_ticks <= quote.ask_ticks
        assert quote.ask_ticks - quote.bid_ticks <= gate.max_spread_ticks
    assert [q.ts_ns for q in kept] == sorted(q.ts_ns for q in kept)


@given(limits, st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_level_that_stays_is_accepted_with_its_last_confirmation(
    gate: GateLimits, before: int, after: int
) -> None:
    state = resume(Quote("EURUSD", before, before, 1, 1))
    far = abs(after - before) > gate.max_jump_ticks
    items = [Quote("EURUSD", after, after, 2 + n, 0) for n in range(gate.confirmations + 1)]
    kept = accepted(state, items, gate)
    assert len(kept) == (1 if far else gate.confirmations + 1)


@given(limits, st.integers(2, 5000), st.data())
def test_a_run_of_spikes_shorter_than_the_confirmations_is_never_accepted(
    gate: GateLimits, level: int, data: st.DataObject
) -> None:
    run = data.draw(st.integers(1, gate.confirmations))
    spike = level + gate.max_jump_ticks + data.draw(st.integers(1, 10_000))
    calm = Quote("EURUSD", level, level, 2, 0)
    rounds = range(0, 4 * (run + 1), run + 1)
    spikes = [[replace(calm, bid_ticks=spike, ask_ticks=spike, ts_ns=2 + at + n)
               for n in range(run)] for at in rounds]  # fmt: skip
    calms = [replace(calm, ts_ns=2 + at + run) for at in rounds]
    items = [quote for far, near in zip(spikes, calms, strict=True) for quote in (*far, near)]
    assert accepted(resume(calm), items, gate) == calms


@given(
    st.lists(
        st.tuples(st.integers(0, 4 * MINUTE_NS), st.integers(1, 10_000), st.integers(0, 9)),
        min_size=1,
    )
)
def test_bars_say_what_a_table_of_their_quotes_says(rows: list[tuple[int, int, int]]) -> None:
    ordered = [
        Quote("ES", bid, bid + spread, ts_ns, seq)
        for seq, (ts_ns, bid, spread) in enumerate(sorted(rows), 1)
    ]
    bars: list[Bar] = []
    current: Bar | None = None
    for quote in ordered:
        current, closed = add_quote(current, quote)
        bars += [closed] if closed else []
    assert current is not None
    bars.append(current)
    assert [bar.start_ns for bar in bars] == sorted({bar_start(q.ts_ns) for q in ordered})
    for bar in bars:
        held = [q for q in ordered if bar_start(q.ts_ns) == bar.start_ns]
        bids = [q.bid_ticks for q in held]
        assert (bar.open_ticks, bar.close_ticks) == (bids[0], bids[-1])
        assert (bar.high_ticks, bar.low_ticks) == (max(bids), min(bids))
        assert (bar.tick_count, bar.last_seq) == (len(held), held[-1].seq)
        assert (bar.close_ask_ticks, bar.last_ts_ns) == (held[-1].ask_ticks, held[-1].ts_ns)


PAIRS = [("EUR", "USD"), ("USD", "EUR"), ("GBP", "USD"), ("JPY", "USD"), ("USD", "JPY")]


@given(
    st.sampled_from(PAIRS),
    st.integers(1, 1_000_000),
    st.integers(0, 500),
    st.integers(-(10**15), 10**15),
)
def test_conversion_is_the_exact_fraction_and_never_favours_the_trader(
    pair: tuple[str, str], bid: int, spread: int, amount: int
) -> None:
    conversion = conversion_pair(CATALOG, *pair)
    assert conversion is not None
    assert conversion.instrument is not None
    quote = Quote(conversion.instrument.symbol, bid, bid + spread, 1, 1)
    num, den = conversion_rate(conversion, quote, amount)
    tick = Fraction(conversion.instrument.tick)
    scale = Fraction(10 ** CATALOG.currency_digits[pair[1]], 10 ** CATALOG.currency_digits[pair[0]])
    given_base = conversion.instrument.base_currency == pair[0]
    sides = [tick * p if given_base else 1 / (tick * p) for p in (bid, bid + spread)]
    rate = min(sides) if amount >= 0 else max(sides)
    assert Fraction(num, den) == rate * scale
    assert abs(muldiv(amount, num, den) - amount * rate * scale) <= Fraction(1, 2)
