"""Runs made by hand: fills netted one by one at the average cost."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from quantlab.backtest.results.run import NO_FLOOR, Curve, Days, Fills, PricePath, Run, Scale, words
from quantlab.kernel.arith import book, muldiv

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
START = 1_767_225_600 * SECOND  # 2026-01-01, a Thursday
# One tick times one step is a whole cent.
CENT = Scale("XYZ", Decimal("0.01"), Decimal("0.1"), 1_000_000, 1)
ODD = Scale("ODD", Decimal("0.001"), Decimal(1), 700_001, 3)


def netted(held: int, cost: int, side: int, steps: int, ticks: int) -> tuple[int, ...]:
    """Net a fill: (held, cost, gain, closed, opened); a close takes its floored share of cost."""
    closed = min(abs(held), steps) if held * side < 0 else 0
    taken = cost * closed // abs(held) if closed else 0
    opened = steps - closed
    gain = -side * closed * ticks - taken
    return held + side * steps, cost - taken + side * opened * ticks, gain, closed, opened


def fills_of(
    orders: Sequence[tuple[int, ...]], scales: Sequence[Scale] = (CENT,), initial: int = 1_000_000
) -> Fills:
    """Net (seconds, symbol, signed steps, ticks, fee, slippage) as the engine does."""
    rows, held, balance, carry = [], {}, initial, 0
    for number, order in enumerate(orders, 1):
        seconds, symbol, signed, ticks, fee, slippage = (*order, 0, 0)[:6]
        side, steps = (1, signed) if signed > 0 else (-1, -signed)
        size, cost, gain, closed, opened = netted(*held.get(symbol, (0, 0)), side, steps, ticks)
        held[symbol] = (size, cost)
        profit = 0
        if closed:
            scale = scales[symbol]
            profit, carry = book(muldiv(gain, scale.unit_num, scale.unit_den), carry)
        balance += profit - fee
        rows.append((
            START + int(seconds * SECOND), number, number, symbol, side, steps, ticks, slippage,
            profit, fee, balance, size, opened, closed, cost, 0, 0,
        ))  # fmt: skip
    columns = np.array(rows, np.int64).reshape(-1, 17)
    return Fills(*columns.T)


def run_of(
    orders: Sequence[tuple[int, ...]] = (),
    *,
    scales: Sequence[Scale] = (CENT,),
    initial: int = 1_000_000,
    curve: Sequence[int] = (),
    closes: Sequence[int] = (),
    seconds: int = 1000,
    open_minor: int = 0,
    **more: object,
) -> Run:
    """Make a run; the curve is spread evenly over it, a close ends each day from START on."""
    fills = fills_of(orders, scales, initial)
    balance = int(fills.balance[-1]) if len(fills) else initial
    starts = words([START + n * DAY for n in range(len(closes))])
    times = words([START + n * seconds * SECOND // max(len(curve), 1) for n in range(len(curve))])
    facts = {
        "currency": "USD",
        "currency_digits": 2,
        "initial_minor": initial,
        "balance_minor": balance,
        "equity_minor": closes[-1] if closes else balance + open_minor,
        "first_ns": START,
        "last_ns": START + seconds * SECOND,
        "scales": tuple(scales),
        "fills": fills,
        "curve": Curve(times, words(curve), words([NO_FLOOR] * len(curve))),
        "days": Days(starts, starts + DAY, words(closes), words(closes), words([1] * len(closes))),
    }
    return Run(**(facts | more))


def path_of(quotes: Sequence[tuple[int, int, int]]) -> PricePath:
    """Make a path of (seq, bid, ask)."""
    seq, bid, ask = (words(column) for column in zip(*quotes, strict=True))
    return PricePath(seq, START + seq * SECOND, bid, bid, ask, ask)
