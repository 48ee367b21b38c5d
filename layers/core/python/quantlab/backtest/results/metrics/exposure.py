"""Metrics of how long and how much the run was in the market."""

from fractions import Fraction
from typing import Final

from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import COMMON, Metric, Unit, Value

GROUP: Final = "Exposure"
NO_TIME: Final = "the run has one instant only"


def _in_market(figures: Figures) -> Value:
    if figures.elapsed_ns == 0:
        return None
    spans, held, _ = figures.held
    return Fraction(100 * int(spans[held > 0].sum()), figures.elapsed_ns)


def _average(figures: Figures) -> Value:
    if figures.elapsed_ns == 0:
        return None
    spans, _, cost = figures.held
    total = sum(map(int.__mul__, spans.tolist(), cost.tolist()))
    return Fraction(100 * total, figures.elapsed_ns * figures.run.initial_minor)


def _most(figures: Figures) -> Value:
    _, _, cost = figures.held
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
