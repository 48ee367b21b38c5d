"""The charts of a run: equity and floors, drawdown, prices with fills, profits by day."""

from collections.abc import Callable
from html import escape
from typing import Final

import numpy as np

from quantlab.backtest.results.metrics.figures import Figures, whole_curve
from quantlab.backtest.results.monthly import monthly
from quantlab.backtest.results.report import chart
from quantlab.backtest.results.run import (
    DAY_NS,
    NO_FLOOR,
    Curve,
    Doubles,
    Flags,
    PricePath,
    Run,
    Words,
    day_date,
)
from quantlab.kernel.decimals import format_minor

DAYS_MOST: Final = 500
# A floor further off than this many heights of the equity curve would press the curve flat.
FLOOR_WITHIN: Final = 2
SYMBOLS_MOST: Final = 6


def key(name: str, text: str) -> str:
    """Name a colour of a chart."""
    return f'<span class="key"><i class="k-{name}"></i>{text}</span>'


def equity_picture(run: Run) -> str:
    """Draw the equity, and the floor of the rules where it is near enough."""
    curve = whole_curve(run)
    low, high = int(curve.equity.min()), int(curve.equity.max())
    reach = low - FLOOR_WITHIN * max(high - low, 1)
    known = curve.floor[curve.floor > NO_FLOOR]
    shown = bool(len(known)) and int(known.max()) >= reach
    lows = max(int(known.min()), reach) if shown else low
    framed = chart.frame(run.first_ns, run.last_ns, (lows, high, run.initial_minor), 300)
    points = framed.points(curve.ts_ns, curve.equity)
    y = framed.y(run.initial_minor)
    inside = chart.area(points, framed.height - chart.BOTTOM)
    inside += f'<path class="base" d="M{chart.LEFT},{y}H{chart.WIDTH - chart.RIGHT}"/>'
    keys = key("equity", "Equity")
    if shown:
        inside += chart.stair(_parts(framed, curve, curve.floor, curve.floor >= reach), "floor")
        keys += key("floor", "Floor of the rules: below it one is broken")
    elif len(known):
        nearest = format_minor(int((curve.equity - curve.floor).min()), run.currency_digits)
        keys += f'<span class="key">Nearest floor of the rules: {nearest} below the equity</span>'
    inside += chart.line(points, "curve")
    return keys + chart.chart("Equity over time", framed, _money(run), inside)


def drawdown_picture(run: Run) -> str:
    """Draw how far the equity is below its peak, and how far below it the floor is."""
    curve = whole_curve(run)
    peak = np.maximum(np.maximum.accumulate(curve.equity), 1)
    fall = 100 * (curve.equity - peak) / peak
    known = curve.floor > NO_FLOOR
    floor = np.where(known, 100 * (curve.floor.astype(np.float64) - peak) / peak, 0.0)
    lowest = min(float(fall.min()), float(floor.min()), -0.01)
    framed = chart.Frame(run.first_ns, run.last_ns, lowest * 1.08, 0.0, 200)
    points = framed.points(curve.ts_ns, fall)
    inside = chart.area(points, framed.y(0)) + chart.line(points, "fall")
    inside += chart.stair(_parts(framed, curve, floor, known), "floor")
    keys = key("fall", "Below the peak of the equity")
    if known.any():
        keys += key("floor", "Floor of the rules")
    return keys + chart.chart("Drawdown over time", framed, "{:.4g} %".format, inside)


def _parts(
    framed: chart.Frame, curve: Curve, values: Words | Doubles, shown: Flags
) -> list[list[tuple[float, float]]]:
    """Return the stretches of a stair whose values are shown."""
    edges = np.flatnonzero(np.diff(shown.astype(np.int64), prepend=0, append=0))
    return [
        framed.points(curve.ts_ns[begin:end], values[begin:end])
        for begin, end in edges.reshape(-1, 2).tolist()
    ]


def price_pictures(run: Run) -> str:
    """Draw the prices and fills of the symbols that traded."""
    traded = np.unique(run.fills.symbol).tolist()
    left_out = len(traded) - SYMBOLS_MOST
    drawn = "".join(_price_picture(run, index) for index in traded[:SYMBOLS_MOST])
    if left_out > 0:
        drawn += f'<p class="note">{left_out} more symbols traded.</p>'
    return drawn or '<p class="note">Nothing was filled.</p>'


def _price_picture(run: Run, index: int) -> str:
    scale, path = run.scales[index], run.paths.get(index)
    fills = run.fills
    own = fills.symbol == index
    prices = [int(fills.ticks[own].min()), int(fills.ticks[own].max())]
    if path is not None:
        prices += [int(path.low_bid.min()), int(path.high_bid.max())]
    framed = chart.frame(run.first_ns, run.last_ns, prices, 300)
    inside = "" if path is None else _path_line(framed, path)
    shown = 0
    for side in (1, -1):
        rows = np.flatnonzero(own & (fills.side == side))
        rows = rows[chart.extremes(fills.ts_ns[rows], fills.ticks[rows])]
        pairs = zip(fills.ts_ns[rows].tolist(), fills.ticks[rows].tolist(), strict=True)
        inside += chart.marks([(framed.x(ts), framed.y(ticks)) for ts, ticks in pairs], side)
        shown += len(rows)
    total = int(own.sum())
    note = f"{total} fills" if shown == total else f"{shown} of {total} fills: the outermost"
    keys = key("price", "Bid") if path is not None else ""
    keys += key("buy", "Buy") + key("sell", "Sell") + f'<span class="key">{note}</span>'
    digits = max(-int(scale.tick.as_tuple().exponent), 0)
    symbol = escape(scale.symbol)
    return f"<h3>{symbol}</h3>{keys}" + chart.chart(
        f"Price of {scale.symbol} and fills",
        framed,
        lambda ticks: f"{ticks * float(scale.tick):.{digits}f}",
        inside,
    )


def _path_line(framed: chart.Frame, path: PricePath) -> str:
    lows, highs = path.low_bid, path.high_bid
    if lows is highs:
        return chart.line(framed.points(path.ts_ns, lows), "price")
    ts_ns = np.repeat(path.ts_ns, 2)
    return chart.line(framed.points(ts_ns, np.column_stack((lows, highs)).ravel()), "price")


def daily_picture(figures: Figures) -> str:
    """Draw the profit of each trading day; of each month where days are too many."""
    run = figures.run
    if len(run.days) > DAYS_MOST:
        return _monthly_picture(run)
    starts = run.days.start_ns.tolist()
    closes = figures.closes
    spans = [
        (start, start + DAY_NS, after - before, str(day_date(start)))
        for start, before, after in zip(starts, closes, closes[1:], strict=False)
    ]
    return _bars(run, "Profit by day", spans)


def _monthly_picture(run: Run) -> str:
    spans = []
    for one in monthly(run):
        name = f"{one.year:04}-{one.month:02}"
        first = np.datetime64(name, "M")
        edges = [
            int(month.astype("datetime64[ns]").astype(np.int64)) for month in (first, first + 1)
        ]
        spans.append((edges[0], edges[1], one.profit_minor, name))
    return _bars(run, "Profit by month", spans)


def _bars(run: Run, title: str, spans: list[tuple[int, int, int, str]]) -> str:
    if not spans:
        return '<p class="note">No trading day.</p>'
    profits = [profit for _, _, profit, _ in spans]
    framed = chart.frame(spans[0][0], spans[-1][1], (*profits, 0), 200)
    titled = [
        (start, end, profit, f"{name}: {format_minor(profit, run.currency_digits)}")
        for start, end, profit, name in spans
    ]
    return chart.chart(title, framed, _money(run), chart.bars(framed, titled))


def _money(run: Run) -> Callable[[float], str]:
    """Write minor units for an axis: no more decimals than the currency has."""

    def write(minor: float) -> str:
        units = minor / 10**run.currency_digits
        return f"{units:,.0f}" if units == round(units) else f"{units:,.{run.currency_digits}f}"

    return write
