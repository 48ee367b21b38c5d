"""What a strategy showed: a chart for each plot, and its markers at their prices."""

from html import escape
from typing import Final

import numpy as np

from quantlab.backtest.outputs import Marker, Plot
from quantlab.backtest.results.report import chart
from quantlab.backtest.results.run import Run

PLOTS_MOST: Final = 12
MARKERS_MOST: Final = 500


def plot_pictures(run: Run) -> str:
    """Draw the plots, the first twelve, and the last 500 markers."""
    plots = run.outputs.plots
    drawn = "".join(_plot_picture(run, one) for one in plots[:PLOTS_MOST])
    if len(plots) > PLOTS_MOST:
        drawn += f'<p class="note">{len(plots) - PLOTS_MOST} more plots.</p>'
    drawn += _marker_picture(run)
    return drawn or '<p class="note">It draws nothing.</p>'


def _plot_picture(run: Run, plot: Plot) -> str:
    known = np.isfinite(plot.values)
    name = escape(plot.name)
    if not known.any():
        return f'<h3>{name}</h3><p class="note">No value but na.</p>'
    framed = _framed(run, plot.values[known].tolist())
    edges = np.flatnonzero(np.diff(known.astype(np.int64), prepend=0, append=0))
    inside = "".join(
        chart.line(framed.points(plot.ts_ns[begin:end], plot.values[begin:end]), "curve")
        for begin, end in edges.reshape(-1, 2).tolist()
    )
    note = ""
    if len(plot.values) < plot.points:
        note = f'<p class="note">{len(plot.values):,} of {plot.points:,} points.</p>'
    return f"<h3>{name}</h3>{chart.chart(plot.name, framed, '{:.6g}'.format, inside)}{note}"


def _marker_picture(run: Run) -> str:
    outputs = run.outputs
    markers = [one for one in outputs.markers if np.isfinite(one.price)]
    if not markers:
        return ""
    framed = _framed(run, [one.price for one in markers])
    shown = markers[-MARKERS_MOST:]
    path = run.paths.get(0)
    inside = ""
    if path is not None:
        tick = float(run.scales[0].tick)
        inside = chart.line(
            framed.points(path.ts_ns, path.low_bid.astype(np.float64) * tick), "price"
        )
    inside += "".join(_mark(framed, one) for one in shown)
    left_out = len(markers) - len(shown) + outputs.left_out.get("marker", 0)
    note = f'<p class="note">{left_out:,} earlier markers are left out.</p>' if left_out else ""
    return f"<h3>Markers</h3>{chart.chart('Markers', framed, '{:.6g}'.format, inside)}{note}"


def _mark(framed: chart.Frame, one: Marker) -> str:
    x, y = framed.x(one.ns), framed.y(one.price)
    title = escape(f"{one.name} {one.price:.6g}")
    return f'<circle class="mark" cx="{x}" cy="{y}" r="3"><title>{title}</title></circle>'


def _framed(run: Run, values: list[float]) -> chart.Frame:
    return chart.frame(run.first_ns, run.last_ns, values, 200)
