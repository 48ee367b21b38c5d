"""Round trips against cases worked out by hand, and against a fill-by-fill account of them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.finished_runs import CENT, ODD, SECOND, START, fills_of, path_of, run_of

from quantlab.backtest.results.money import in_minor, muldiv_columns
from quantlab.backtest.results.run import Fills, NoResult, words
from quantlab.backtest.results.trades import UNKNOWN, round_trips
from quantlab.kernel.arith import MICRO, muldiv


def rows(run):
    columns = round_trips(run).columns()
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]


def test_no_fills_are_no_trades() -> None:
    assert rows(run_of()) == []


def test_a_round_trip() -> None:
    [trade] = rows(run_of([(1, 0, 10, 100, 3, 2), (5, 0, -10, 107, 4, 1)]))
    assert trade["side"] == 1
    assert trade["entry_ns"] == START + SECOND
    assert trade["exit_ns"] == START + 5 * SECOND
    assert (trade["size"], trade["most"], trade["closed"]) == (10, 10, 10)
    assert (trade["gross"], trade["fee"], trade["profit"]) == (70, 7, 63)
    assert trade["slippage"] == 30
    assert (trade["mae"], trade["mfe"], trade["quotes"]) == (UNKNOWN,) * 3


def test_scaling_in_and_out_is_one_trade_at_the_average_cost() -> None:
    [trade] = rows(
        run_of(
            [(1, 0, 10, 100), (2, 0, 20, 130), (3, 0, -15, 140), (4, 0, 5, 90), (5, 0, -20, 110)]
        )
    )
    assert (trade["size"], trade["most"], trade["closed"], trade["fills"]) == (35, 30, 35, 5)
    assert trade["entry_notional"] == 1000 + 2600 + 450
    assert trade["exit_notional"] == 2100 + 2200
    assert trade["profit"] == 4300 - 4050


def test_a_reversal_ends_one_trade_and_begins_the_next() -> None:
    first, second = rows(run_of([(1, 0, 10, 100, 5), (2, 0, -25, 110, 9), (4, 0, 15, 104, 6)]))
    assert (first["side"], first["profit"], first["fee"]) == (1, 100 - 8, 5 + 3)
    assert (second["side"], second["size"], second["fee"]) == (-1, 15, 6 + 6)
    assert second["gross"] == 15 * 6
    assert first["exit_ns"] == second["entry_ns"] == START + 2 * SECOND


def test_an_open_trade_comes_last_with_what_it_has_booked() -> None:
    trades = rows(
        run_of(
            [(1, 0, 10, 100), (2, 1, -3, 50), (3, 0, -4, 105), (4, 1, 3, 40)], scales=(CENT, CENT)
        )
    )
    assert [(one["symbol"], one["exit_ns"] == UNKNOWN) for one in trades] == [(1, False), (0, True)]
    assert (trades[1]["profit"], trades[1]["size"], trades[1]["closed"]) == (20, 10, 4)


def test_excursions_take_the_closing_side_from_entry_to_exit() -> None:
    path = path_of([(1, 98, 100), (2, 95, 96), (3, 120, 121), (4, 107, 108), (5, 10, 11)])
    orders = [(1, 0, 10, 100), (4, 0, -10, 107)]
    fills = fills_of(orders)
    fills = Fills(**(fills.columns() | {"seq": words([1, 4])}))
    [trade] = rows(run_of(orders, fills=fills, paths={0: path}))
    assert (trade["mae"], trade["mfe"], trade["quotes"]) == (-50, 200, 4)


def test_excursions_of_a_short_that_scales_out_count_what_is_booked() -> None:
    # Short 10 at 100; ask 90: +100; 5 bought at 90 books 50; ask 130: 50 - 150; out at 101.
    path = path_of([(1, 100, 101), (2, 89, 90), (3, 128, 130), (4, 100, 101)])
    orders = [(1, 0, -10, 100), (2, 0, 5, 90), (4, 0, 5, 101)]
    fills = Fills(**(fills_of(orders).columns() | {"seq": words([1, 2, 4])}))
    [trade] = rows(run_of(orders, fills=fills, paths={0: path}))
    assert (trade["mae"], trade["mfe"], trade["profit"]) == (-100, 100, 45)


def test_a_trade_without_its_quotes_has_no_excursions() -> None:
    run = run_of([(1, 0, 1, 9), (2, 0, -1, 9)], scales=(CENT, ODD), paths={1: path_of([(1, 1, 2)])})
    assert rows(run)[0]["mae"] == UNKNOWN


def test_columns_of_two_lengths_are_refused() -> None:
    path = path_of([(1, 1, 2)])
    with pytest.raises(NoResult, match="expected columns of one length"):
        type(path)(path.seq, path.ts_ns, path.low_bid, path.high_bid, path.low_ask, words([]))


def test_a_notional_beyond_64_bits_stays_exact() -> None:
    steps, ticks = 1 << 30, 1 << 31
    orders = [(1, 0, steps, ticks), (2, 0, -steps + 1, ticks)] * 8 + [(3, 0, -8, ticks)]
    [trade] = rows(run_of(orders, scales=(ODD,)))
    assert trade["entry_notional"] == 8 * steps * ticks > 1 << 63


order_lists = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(-6, 6).filter(bool),
        st.integers(50, 150),
        st.integers(0, 9),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(order_lists)
def test_trades_sum_to_what_the_account_booked(orders) -> None:
    run = run_of([(n, *order) for n, order in enumerate(orders)], scales=(CENT, ODD))
    trades = round_trips(run)
    assert int(trades.profit.sum()) == run.balance_minor - run.initial_minor
    assert int(trades.fee.sum()) == int(run.fills.fee.sum())
    assert int((trades.size - trades.closed).sum()) == sum(
        abs(int(run.fills.position[run.fills.symbol == s][-1]))
        for s in set(run.fills.symbol.tolist())
    )
    ends = trades.exit_ns[trades.is_closed]
    assert (np.diff(ends) >= 0).all()


def slow_trades(run):
    """Walk the fills one by one: (symbol, side, entry, exit, profit before fees, fills)."""
    open_, done = {}, []
    position = {}
    for ts, symbol, side, steps, closed, profit in zip(
        *(
            getattr(run.fills, c).tolist()
            for c in ("ts_ns", "symbol", "side", "steps", "closed", "profit")
        ),
        strict=True,
    ):
        held = position.get(symbol, 0)
        if held * side < 0:
            trade = open_[symbol]
            trade[4] += profit
            trade[5] += 1
            if closed == abs(held):
                trade[3] = ts
                done.append(open_.pop(symbol))
        if steps > closed:
            trade = open_.setdefault(symbol, [symbol, side, ts, UNKNOWN, 0, 0])
            trade[5] += 1
        position[symbol] = held + side * steps
    return done + sorted(open_.values(), key=lambda trade: trade[2])


@given(order_lists)
def test_trades_are_those_of_a_walk_over_the_fills(orders) -> None:
    run = run_of([(n, *order) for n, order in enumerate(orders)], scales=(CENT, ODD))
    names = ("symbol", "side", "entry_ns", "exit_ns", "gross", "fills")
    assert [[one[name] for name in names] for one in rows(run)] == slow_trades(run)


@given(order_lists, st.data())
def test_excursions_are_those_of_a_walk_over_the_quotes(orders, data) -> None:
    """CENT values are whole minor units, so a walk needs no rounding."""
    orders = [(n, 0, *order[1:3]) for n, order in enumerate(orders)]
    quotes = [
        (n, *sorted(data.draw(st.tuples(*[st.integers(50, 150)] * 2))))
        for n in range(1, len(orders) + 4)
    ]
    run = run_of(orders, paths={0: path_of(quotes)})
    found = [(one["mae"], one["mfe"], one["quotes"]) for one in rows(run)]
    assert found == slow_excursions(run, quotes)


def slow_excursions(run, quotes):
    ended, going = [], None
    fills = dict(zip(run.fills.seq.tolist(), range(len(run.fills)), strict=True))
    size = cost = 0
    for seq, bid, ask in quotes:
        if going is not None:
            going[2] += 1
            see(going, size, cost, bid, ask)
        if seq not in fills:
            continue
        row = fills[seq]
        column = {name: int(values[row]) for name, values in run.fills.columns().items()}
        size, cost = column["position"], column["cost"]
        if column["closed"]:
            going[3] += column["profit"]
            if column["opened"] or size == 0:
                see(going, 0, 0, bid, ask)
                ended.append(going)
                going = None
        if column["opened"] and going is None:
            going = [0, 0, 1, 0]
        if going is not None:
            see(going, size, cost, bid, ask)
    return [tuple(one[:3]) for one in (*ended, *([going] if going else []))]


def see(trade, size, cost, bid, ask) -> None:
    result = trade[3] + size * (bid if size > 0 else ask) - cost
    trade[0], trade[1] = min(trade[0], result), max(trade[1], result)


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
)
def test_columns_are_converted_as_single_amounts_are(values, num, den) -> None:
    assert muldiv_columns(words(values), num, den).tolist() == [
        round(Fraction(value * num, den)) for value in values
    ]
    assert in_minor(words(values), num, den).tolist() == [
        muldiv(muldiv(value, num, den), 1, MICRO) for value in values
    ]
