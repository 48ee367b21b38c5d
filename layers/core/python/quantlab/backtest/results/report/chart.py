"""Charts over time as inline SVG, coloured by the classes of the page."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import Final

import numpy as np

from quantlab.backtest.results.run import DAY_NS, Doubles, Words
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass

WIDTH: Final = 1120
LEFT, RIGHT, TOP, BOTTOM = 92, 12, 10, 24
BUCKETS: Final = 1000
X_LABELS: Final = 6
Y_LABELS: Final = 5


def outline(ts_ns: Words, values: Words | Doubles) -> Words:
    """Return the rows that draw a long series: first, last, least and highest of each bucket."""
    if len(values) <= 4 * BUCKETS:
        return np.arange(len(values))
    span = int(ts_ns[-1]) - int(ts_ns[0]) + 1
    bucket = (ts_ns - ts_ns[0]) // (-(-span // BUCKETS))
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    order = np.lexsort((values, bucket))
    ends = np.append(starts[1:], len(values)) - 1
    rows: Words = np.unique(np.concatenate((starts, ends, order[starts], order[ends])))
    return rows


def extremes(ts_ns: Words, values: Words | Doubles) -> Words:
    """Return the rows of the least and the highest of each bucket of time, for single marks."""
    if len(values) == 0:
        return np.arange(0)
    span = int(ts_ns[-1]) - int(ts_ns[0]) + 1
    bucket = (ts_ns - ts_ns[0]) // (-(-span // (BUCKETS // 4)))
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    order = np.lexsort((values, bucket))
    rows: Words = np.unique(
        np.concatenate((order[starts], order[np.append(starts[1:], len(values)) - 1]))
    )
    return rows


def nice_steps(low: float, high: float, count: int = Y_LABELS) -> list[float]:
    """Return about count round values within [low, high]: multiples of 1, 2 or 5 times 10^n."""
    raw = (high - low) / count
    if raw <= 0:
        return [low]
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(n * step) for n in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where values stand in a chart: time from first_ns to last_ns, values from low to high."""

    first_ns: int
    last_ns: int
    low: float
    high: float
    height: int

    def x(self, ts_ns: int) -> float:
        """Return where an instant stands."""
        share = (ts_ns - self.first_ns) / max(self.last_ns - self.first_ns, 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Return where a value stands; one beyond the frame stands at its edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)

    def points(self, ts_ns: Words, values: Words | Doubles) -> list[tuple[float, float]]:
        """Return where the outline of a series stands."""
        rows = outline(ts_ns, values)
        pairs = zip(ts_ns[rows].tolist(), values[rows].tolist(), strict=True)
        return [(self.x(ts), self.y(value)) for ts, value in pairs]


def frame(first_ns: int, last_ns: int, values: Sequence[float], height: int) -> Frame:
    """Return a frame that holds values, with a margin."""
    low, high = min(values), max(values)
    margin = max((high - low) * 0.05, abs(high) * 1e-6, 1e-9)
    return Frame(first_ns, last_ns, low - margin, high + margin, height)


def line(points: Sequence[tuple[float, float]], name: str) -> str:
    """Draw a line from point to point."""
    return f'<polyline class="{name}" points="{_joined(points)}"/>'


def area(points: Sequence[tuple[float, float]], base: float) -> str:
    """Fill what is between a line and a height."""
    if not points:
        return ""
    ends = [(points[0][0], base), *points, (points[-1][0], base)]
    return f'<polygon class="area" points="{_joined(ends)}"/>'


def stair(parts: Sequence[Sequence[tuple[float, float]]], name: str) -> str:
    """Draw a value that holds until the next point; each part stands by itself."""
    path = ""
    for part in parts:
        path += f"M{part[0][0]},{part[0][1]}"
        path += "".join(
            f"H{x}" if y == before else f"H{x}V{y}" for (_, before), (x, y) in pairwise(part)
        )
    return f'<path class="{name}" d="{path}"/>' if path else ""


def marks(points: Sequence[tuple[float, float]], side: int) -> str:
    """Draw triangles: up below a purchase, down above a sale."""
    name = "buy" if side > 0 else "sell"
    return "".join(
        f'<path class="{name}" d="M{x},{y + side}l-4,{7 * side}h8z"/>' for x, y in points
    )


def bars(framed: Frame, spans: Sequence[tuple[int, int, float, str]]) -> str:
    """Draw bars of (from, to, value, title) from zero."""
    base, drawn = framed.y(0), []
    for start, end, value, title in spans:
        left, right, top = framed.x(start), framed.x(end), framed.y(value)
        name = "gain" if value >= 0 else "loss"
        drawn.append(
            f'<rect class="{name}" x="{left + (right - left) * 0.1:.1f}" y="{min(top, base):.1f}"'
            f' width="{max((right - left) * 0.8, 0.6):.1f}" height="{abs(top - base):.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )
    return "".join(drawn)


def chart(title: str, framed: Frame, write: Callable[[float], str], inside: str) -> str:
    """Draw a frame with its axes around what is inside."""
    grid = []
    for value in nice_steps(framed.low, framed.high):
        y = framed.y(value)
        grid.append(
            f'<path class="grid" d="M{LEFT},{y}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(write(value))}</text>'
        )
    return (
        f'<div class="wide"><svg viewBox="0 0 {WIDTH} {framed.height}" role="img">'
        f"<title>{escape(title)}</title>{''.join(grid)}{_times(framed)}{inside}</svg></div>"
    )


def _times(framed: Frame) -> str:
    span = framed.last_ns - framed.first_ns
    labels = []
    for number in range(X_LABELS):
        ts_ns = framed.first_ns + span * number // (X_LABELS - 1)
        anchor = {0: "start", X_LABELS - 1: "end"}.get(number, "middle")
        labels.append(
            f'<text x="{framed.x(ts_ns)}" y="{framed.height - 6}" text-anchor="{anchor}">'
            f"{time_label(ts_ns, span)}</text>"
        )
    return "".join(labels)


def time_label(ts_ns: int, span_ns: int) -> str:
    """Write an instant as finely as a span asks for."""
    text = format_rfc3339(ts_ns)
    if span_ns >= 10 * DAY_NS:
        return text[:10]
    return f"{text[5:10]} {text[11:16]}" if span_ns >= DAY_NS // 24 else text[11:19]


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
