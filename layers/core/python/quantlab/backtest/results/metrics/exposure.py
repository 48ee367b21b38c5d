"""Metrics of how long and how much the run was in the market."""

from fractions import Fraction
from typing import Final

import numpy as np

from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import COMMON, Metric, Unit, Value
from quantlab.backtest.results.money import in_minor
from quantlab.backtest.results.run import Words

GROUP: Final = "Exposure"
NO_TIME: Final = "the run has one instant only"


def _held(figures: Figures) -> tuple[Words, Words, Words]:
    """Return after each fill: for how long it is the last, positions held, their cost in money."""
    run = figures.run
    fills = run.fills
    held, cost = np.zeros(len(fills), np.int64), np.zeros(len(fills), np.int64)
    for index, scale in enumerate(run.scales):
        rows = np.flatnonzero(fills.symbol == index)
        if len(rows) == 0:
            continue
        place = np.searchsorted(rows, np.arange(len(fills)), side="right") - 1
        known = place >= 0
        rate = run.rates_of(rows)
        minor = in_minor(np.abs(fills.cost[rows]), scale.unit_num, scale.unit_den, rate)
        held += np.where(known, fills.position[rows][place] != 0, False)
        cost += np.where(known, minor[place], 0)
    return np.diff(np.append(fills.ts_ns, run.last_ns)), held, cost


def _in_market(figures: Figures) -> Value:
    if figures.elapsed_ns == 0:
        return None
    spans, held, _ = _held(figures)
    return Fraction(100 * int(spans[held > 0].sum()), figures.elapsed_ns)


def _average(figures: Figures) -> Value:
    if figures.elapsed_ns == 0:
        return None
    spans, _, cost = _held(figures)
    total = sum(a * b for a, b in zip(spans.tolist(), cost.tolist(), strict=True))
    return Fraction(100 * total, figures.elapsed_ns * figures.run.initial_minor)


def _most(figures: Figures) -> Value:
    _, _, cost = _held(figures)
    return Fraction(100 * int(cost.max(initial=0)), figures.run.initial_minor)


METRICS: Final = (
    Metric(
        "timeInMarket", "Time in market", GROUP, Unit.PERCENT,
        "Time with a position in any symbol / time from the first quote to the last.",
        COMMON, NO_TIME, _in_market,
    ),
    Metric(
        "averageExposure", "Average exposure", GROUP, Unit.PERCENT,
        "Mean over time of the positions' cost, long and short added, / initial balance.",
        COMMON, NO_TIME, _average,
    ),
    Metric(
        "maxExposure", "Maximum exposure", GROUP, Unit.PERCENT,
        "Highest cost of the positions after a fill, long and short added, / initial balance.",
        COMMON, "never", _most,
    ),
)  # fmt: skip
