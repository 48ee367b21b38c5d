"""A picture of equity against a floor, step by step, as a small SVG."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH: Final = 640
HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 30, 34


class Point(NamedTuple):
    """One step: what the account was worth and where the floor stood, in minor units."""

    label: str
    equity_minor: int
    floor_minor: int
    broken: bool


def picture(title: str, points: Sequence[Point], digits: int) -> str:
    """Draw equity as a line, the floor as a stair below it, and a cross where it was broken."""
    values = [v for point in points for v in (point.equity_minor, point.floor_minor)]
    low, high = min(values), max(values)
    margin = max((high - low) // 20, 1)
    low, high = low - margin, high + margin

    def x(index: int) -> int:
        return _LEFT + index * (WIDTH - _LEFT - _RIGHT) // max(len(points) - 1, 1)

    def y(value: int) -> int:
        return HEIGHT - _BOTTOM - (value - low) * (HEIGHT - _TOP - _BOTTOM) // (high - low)

    equity = " ".join(f"{x(i)},{y(p.equity_minor)}" for i, p in enumerate(points))
    stair = f"M{x(0)},{y(points[0].floor_minor)}"
    for index, point in enumerate(points[1:], 1):
        stair += f" H{x(index)} V{y(point.floor_minor)}"
    crosses = "".join(
        f'<path d="M{x(i) - 5},{y(p.equity_minor) - 5} l10,10 m0,-10 l-10,10" class="x"/>'
        for i, p in enumerate(points)
        if p.broken
    )
    marks = "".join(
        f'<text x="{_LEFT - 8}" y="{y(value) + 4}" text-anchor="end">'
        f"{_amount(value, digits)}</text>"
        f'<path d="M{_LEFT},{y(value)} H{WIDTH - _RIGHT}" class="g"/>'
        for value in _apart(sorted({p.floor_minor for p in points} | {points[0].equity_minor}), y)
    )
    first, last = escape(points[0].label), escape(points[-1].label)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title><style>text{{font:11px sans-serif;fill:#444}}"
        ".e{fill:none;stroke:#1565c0;stroke-width:2}.f{fill:none;stroke:#c62828;stroke-width:2}"
        ".g{stroke:#ddd}.x{stroke:#c62828;stroke-width:2}</style>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{marks}'
        f'<text x="{_LEFT}" y="16" style="fill:#1565c0">equity</text>'
        f'<text x="{_LEFT + 60}" y="16" style="fill:#c62828">floor</text>'
        f'<path d="{stair}" class="f"/><polyline points="{equity}" class="e"/>{crosses}'
        f'<text x="{_LEFT}" y="{HEIGHT - 10}">{first}</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{last}</text></svg>\n'
    )


def _apart(values: list[int], y: Callable[[int], int]) -> list[int]:
    """Leave out amounts whose labels would lie on one another."""
    kept: list[int] = []
    for value in values:
        if not kept or abs(y(kept[-1]) - y(value)) >= 12:
            kept.append(value)
    return kept


def _amount(value: int, digits: int) -> str:
    return f"{value // 10**digits:,}"
