"""What a strategy shows in a backtest, each within a named limit: plots, markers, alerts, a log.

The last lines, alerts and markers are kept, and the points of a plot thinned evenly: how many there
were is kept of all.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Final, NamedTuple

import numpy as np

from quantlab.backtest.native.keeping import NS, SITE, VALUES
from quantlab.kernel.records import dataclass
from quantlab.qls.ir import Program
from quantlab.qls.limits import LINES_PER_RUN_MAX, PLOT_POINTS_MAX
from quantlab.qls.lines import line_of
from quantlab.qls.native import abi

PLOT: Final = "plot"
MARKER: Final = "marker"


class Line(NamedTuple):
    """A line of the log, or an alert, at the instant of its event."""

    ns: int
    kind: str
    text: str


class Marker(NamedTuple):
    """A mark at a price, at the instant of its event; the price may be na, a NaN."""

    ns: int
    name: str
    price: float


@dataclass(frozen=True, slots=True)
class Plot:
    """A line on the chart: int64 instants, doubles with NaN for na; points is how many were given.

    Of more than PLOT_POINTS_MAX each second is kept, or each fourth, and so on.
    """

    name: str
    ts_ns: Any
    values: Any
    points: int


@dataclass(frozen=True, slots=True)
class Outputs:
    """All a strategy showed, by time; left_out counts by kind what is beyond its limit.

    Under "unread" are those that came too thick to be read: more than 64 a quote for long.
    """

    lines: tuple[Line, ...] = ()
    markers: tuple[Marker, ...] = ()
    plots: tuple[Plot, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


NO_OUTPUTS: Final = Outputs()


class OutputLog:
    """Takes rows of the log of a run, and gives what is kept of them."""

    def __init__(self, program: Program) -> None:
        self._sites, self._strings = abi.output_sites(program), program.strings
        self._numbers = {
            kind: [n for n, one in enumerate(self._sites) if one.kind == kind]
            for kind in dict.fromkeys(one.kind for one in self._sites)
        }
        self._tails = {kind: _Tail() for kind in self._numbers if kind != PLOT}
        self._plots: dict[str, _Thinned] = {}
        self._plot_sites: dict[str, list[int]] = {}
        for number in self._numbers.get(PLOT, ()):
            name = self._strings[self._sites[number].text]
            self._plots.setdefault(name, _Thinned())
            self._plot_sites.setdefault(name, []).append(number)
        self._unread = 0

    def take(self, rows: Any, lost: int) -> None:
        """Take rows, in the order of time; lost were left out before."""
        self._unread += lost
        for kind, tail in self._tails.items():
            tail.add(_of_sites(rows, self._numbers[kind]))
        for name, plot in self._plots.items():
            plot.add(_of_sites(rows, self._plot_sites[name]))

    def outputs(self) -> Outputs:
        """Return what is kept."""
        lines = [
            Line(row[NS], kind, line_of(self._text(row), self._values(row)))
            for kind, tail in self._tails.items()
            if kind != MARKER
            for row in tail.rows()
        ]
        markers = self._tails[MARKER].rows() if MARKER in self._tails else ()
        left_out = {kind: tail.left_out for kind, tail in self._tails.items() if tail.left_out}
        if self._unread:
            left_out["unread"] = self._unread
        return Outputs(
            lines=tuple(sorted(lines, key=lambda one: one.ns)),
            markers=tuple(
                Marker(row[NS], self._text(row), float(self._values(row)[0])) for row in markers
            ),
            plots=tuple(plot.plot(name) for name, plot in self._plots.items()),
            left_out=left_out,
        )

    def _text(self, row: Sequence[int]) -> str:
        return self._strings[self._sites[row[SITE]].text]

    def _values(self, row: Sequence[int]) -> list[float | bool]:
        types = self._sites[row[SITE]].types
        words = np.array(row[VALUES : VALUES + len(types)], np.int64)
        doubles = words.view(np.float64).tolist()
        made = {"f": doubles, "i": words.tolist(), "b": [word != 0 for word in words.tolist()]}
        return [made[type_][place] for place, type_ in enumerate(types)]


def _of_sites(rows: Any, numbers: Sequence[int]) -> Any:
    return rows[np.isin(rows[:, SITE], numbers)]


class _Tail:
    """The last rows of a kind."""

    def __init__(self) -> None:
        self._parts: list[Any] = []
        self._held = 0
        self.left_out = 0

    def add(self, rows: Any) -> None:
        if len(rows) == 0:
            return
        self._parts.append(rows)
        self._held += len(rows)
        if self._held > 2 * LINES_PER_RUN_MAX:
            self._trim()

    def _trim(self) -> None:
        over = self._held - LINES_PER_RUN_MAX
        if over > 0:
            self._parts = [np.concatenate(self._parts)[over:]]
            self._held -= over
            self.left_out += over

    def rows(self) -> list[list[int]]:
        self._trim()
        return [row for part in self._parts for row in part.tolist()]


class _Thinned:
    """Points by their numbers: all, then each second, each fourth, whatever parts they come in."""

    def __init__(self) -> None:
        self._ts_ns, self._values = np.empty(0, np.int64), np.empty(0, np.float64)
        self._every, self._seen = 1, 0

    def add(self, rows: Any) -> None:
        if len(rows) == 0:
            return
        first, self._seen = -self._seen % self._every, self._seen + len(rows)
        rows = rows[first :: self._every]
        self._ts_ns = np.concatenate((self._ts_ns, rows[:, NS]))
        doubles = np.ascontiguousarray(rows[:, VALUES]).view(np.float64)
        self._values = np.concatenate((self._values, doubles))
        while len(self._ts_ns) > PLOT_POINTS_MAX:
            self._ts_ns, self._values = self._ts_ns[::2], self._values[::2]
            self._every *= 2

    def plot(self, name: str) -> Plot:
        return Plot(name, self._ts_ns, self._values, self._seen)
