"""Holders in another currency than what they hold is quoted in, while prices and rates move."""

from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.properties.test_native_watch import COMPILED, seen
from tests.support import rule_cases
from tests.support.watch_cases import CATALOG, NOW, position

from quantlab.engine import commands
from quantlab.engine.context import Market, equity_of, symbols_of
from quantlab.engine.native.kernels import ALWAYS, NEVER
from quantlab.engine.native.tables import Book, Rates
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.watch import Watch
from quantlab.engine.watched import RETRY_NS
from quantlab.ledger.fills import open_gain_micro
from quantlab.ledger.scalars import in_currency
from quantlab.ledger.state import Position
from quantlab.market.conversion import conversion_pair, conversion_rate
from quantlab.market.quote import Quote

PRICES = {"EURUSD": 110_000, "GBPUSD": 130_000, "XAUUSD": 2_000_000}
FLOOR_MINOR = 9_000_000

moves = st.lists(
    st.tuples(st.sampled_from(sorted(PRICES)), st.integers(-6000, 6000), st.integers(0, 40)),
    min_size=1,
    max_size=8,
)
sizes = st.builds(
    lambda size, side: side * size,
    st.integers(1, 400) | st.integers(10**4, 10**6),
    st.sampled_from([-1, 1]),
)
held = st.builds(
    lambda symbol, size: position(size, symbol=symbol, entry=PRICES[symbol]),
    st.sampled_from(sorted(PRICES)),
    st.integers(-400, 400).filter(bool),
)


def quotes_of(walk: list[tuple[str, int, int]]) -> list[Quote]:
    """One quote of each symbol, then the walk; what waits is asked again at each of them."""
    steps = [*((symbol, 0, 8) for symbol in sorted(PRICES)), *walk]
    return [
        Quote(symbol, price, price + spread, NOW + seq * 2 * RETRY_NS, seq)
        for seq, (symbol, move, spread) in enumerate(steps, 1)
        for price in (PRICES[symbol] + move,)
    ]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(sizes, st.integers(-6000, 6000), st.sampled_from(["USD", "EUR", "GBP"])),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(sorted(PRICES)),
    moves,
)
def test_a_pass_values_each_position_as_the_ledger_does(
    drawn: list[tuple[int, int, str]], symbol: str, walk: list[tuple[str, int, int]]
) -> None:
    instrument, book, rates = CATALOG.instruments[symbol], Book(), Rates(CATALOG)
    known = [
        (position(size, symbol=symbol, entry=PRICES[symbol] + off), currency)
        for size, off, currency in drawn
    ]
    for row, (one, currency) in enumerate(known):
        slot = book.add(row, rates.row("USD", currency))
        book.set_position(slot, one, instrument)
    opens, hits, reasons = (np.zeros(len(known), np.int64) for _ in range(3))
    floors, peaks = (np.full(len(known), level, np.int64) for level in (ALWAYS, NEVER))
    quotes: dict[str, Quote] = {}
    for quote in quotes_of(walk):
        quotes[quote.symbol] = quote
        rates.take(quote)
        if len(quotes) < len(PRICES):
            continue
        COMPILED.revalue(
            book.count, book.holder, book.sizes, book.costs, book.values, book.lows, book.highs,
            book.limits, book.rate_of, rates.table, quotes[symbol].bid_ticks,
            quotes[symbol].ask_ticks, instrument.unit_num, instrument.unit_den, True, opens,
            floors, peaks, hits, reasons,
        )  # fmt: skip
        for row, (one, currency) in enumerate(known):
            gain = open_gain_micro(one, instrument, quotes[symbol])
            pair = conversion_pair(CATALOG, "USD", currency)
            assert pair is not None
            through = quotes.get(pair.symbol or "")
            gains, losses = (conversion_rate(pair, through, sign) for sign in (1, -1))
            assert opens[row] == book.values[row] == in_currency(gain, *gains, *losses)


@settings(max_examples=300)
@given(
    st.lists(held, min_size=1, max_size=3),
    st.sampled_from(["EUR", "GBP"]),
    moves,
    st.integers(0, 3),
    st.integers(-1, 1),
    st.sampled_from(["lt", "le"]),
)
@example([position(-37, symbol="XAUUSD")], "GBP", [("GBPUSD", 5001, 9)], 0, 0, "lt")
@example([position(-37, symbol="XAUUSD")], "GBP", [("GBPUSD", 5001, 9)], 0, -1, "lt")
def test_one_minor_unit_is_the_whole_difference_at_a_floor(
    positions: list[Position],
    currency: str,
    walk: list[tuple[str, int, int]],
    last: int,
    above_minor: int,
    comparator: str,
) -> None:
    """The balance is such that the last tick ends at the floor, or a minor unit off it."""
    loss = rule_cases.percent("10")
    profile = rule_cases.profile(
        rule_cases.rule("max_drawdown", mode="static", loss=loss, comparator=comparator)
    )
    account = replace(
        rule_cases.account(profile, NOW),
        currency=currency,
        positions={one.symbol: one for one in positions},
        balance_minor=0,
    )
    heard = sorted(symbols_of(account, CATALOG))
    quotes = quotes_of([*walk, (heard[last % len(heard)], *walk[-1][1:])])
    market = Market(CATALOG, {one.symbol: one for one in quotes}, quotes[-1].ts_ns)
    open_minor = equity_of(account, market)
    assert isinstance(open_minor, int)
    account = replace(account, balance_minor=FLOOR_MINOR + above_minor - open_minor)
    plain, fast = Watch(CATALOG), ArrayWatch(CATALOG, COMPILED)
    for watch in (plain, fast):
        watch.set_quotes(quotes[: len(PRICES)])
        watch.put(account, profile, NOW, NOW)
    for quote in quotes[len(PRICES) :]:
        expected = plain.on_quote(quote, quote.ts_ns, quote.ts_ns)
        demands = fast.on_quote(quote, quote.ts_ns, quote.ts_ns)
        assert seen(demands) == seen(expected)
    broken = [one for one in demands if one.name == commands.CHECK_RULES]
    assert bool(broken) == (above_minor < (comparator == "le"))
