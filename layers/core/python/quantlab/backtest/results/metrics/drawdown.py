"""Metrics of falls from a peak of the equity."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from quantlab.backtest.results.metrics.figures import Figures, falls_of, whole_curve
from quantlab.backtest.results.metrics.metric import (
    COMMON,
    NEVER,
    Metric,
    Unit,
    Value,
    percent,
    ratio,
)
from quantlab.backtest.results.metrics.profit import cagr
from quantlab.backtest.results.run import DAY_NS, Curve

GROUP: Final = "Drawdown"
CALMAR_NS: Final = 1096 * DAY_NS
NO_FALL: Final = "the equity never fell, or the growth rate is null"


def ulcer(closes: Sequence[int]) -> float:
    """Return the root of the mean squared fall from the peak so far, in percent, 100 at most."""
    peak, squares = closes[0], []
    for close in closes:
        peak = max(peak, close)
        squares.append((100 * min((peak - close) / peak, 1.0)) ** 2)
    return math.sqrt(math.fsum(squares) / len(squares))


def _deepest(figures: Figures) -> int:
    """Return the deepest fall in money: on any quote where the run kept it."""
    return max(figures.falls.depth, figures.run.max_drawdown_minor or 0)


def _deepest_share(figures: Figures) -> float:
    return figures.falls.share


def _average(figures: Figures) -> Value:
    episodes = figures.falls.episodes
    return percent(math.fsum(episodes) / len(episodes)) if episodes else 0.0


def _recovery(figures: Figures) -> Value:
    deepest = _deepest(figures)
    return Fraction(figures.net_profit, deepest) if deepest else None


def _mar(figures: Figures) -> Value:
    run = figures.run
    growth = cagr(run.initial_minor, run.equity_minor, figures.elapsed_ns)
    return ratio(growth, _deepest_share(figures))


def _calmar(figures: Figures) -> Value:
    """Take the last 36 months of the curve; a shorter run as a whole."""
    curve = whole_curve(figures.run)
    recent = curve.ts_ns >= figures.run.last_ns - CALMAR_NS
    part = Curve(curve.ts_ns[recent], curve.equity[recent], curve.floor[recent])
    elapsed = int(part.ts_ns[-1] - part.ts_ns[0])
    growth = cagr(int(part.equity[0]), int(part.equity[-1]), elapsed)
    return ratio(growth, falls_of(part).share)


METRICS: Final = (
    Metric(
        "maxDrawdown", "Maximum drawdown", GROUP, Unit.MONEY,
        "Deepest fall of the equity from its peak so far, on any quote.",
        "Magdon-Ismail and Atiya 2004, Maximum Drawdown", NEVER, _deepest,
    ),
    Metric(
        "maxDrawdownPercent", "Maximum drawdown, percent", GROUP, Unit.PERCENT,
        "Deepest fall of the sampled equity from its peak so far / that peak.",
        "Magdon-Ismail and Atiya 2004, Maximum Drawdown", NEVER,
        lambda f: percent(_deepest_share(f)),
    ),
    Metric(
        "maxDrawdownDuration", "Longest drawdown", GROUP, Unit.SECONDS,
        "Longest time from a peak of the sampled equity until it is reached again, or the end.",
        COMMON, NEVER, lambda f: Fraction(f.falls.longest_ns, 1_000_000_000),
    ),
    Metric(
        "averageDrawdown", "Average drawdown", GROUP, Unit.PERCENT,
        "Mean over falls from a peak of the sampled equity until the next of how deep they went.",
        COMMON, NEVER, _average,
    ),
    Metric(
        "ulcerIndex", "Ulcer index", GROUP, Unit.PERCENT,
        "sqrt(mean(fall from the peak so far, in percent)^2) over the initial balance and the"
        " daily closes.",
        "Martin and McCann 1989, The Investor's Guide to Fidelity Funds", NEVER,
        lambda f: ulcer(f.closes),
    ),
    Metric(
        "recoveryFactor", "Recovery factor", GROUP, Unit.RATIO,
        "Net profit / maximum drawdown, in money.", COMMON, "the equity never fell", _recovery,
    ),
    Metric(
        "calmar", "Calmar ratio", GROUP, Unit.RATIO,
        "Compound annual growth / maximum drawdown, percent, of the last 36 months (1,096 days), or"
        " of the run where it is shorter.",
        "Young 1991, Calmar Ratio: A Smoother Tool", NO_FALL, _calmar,
    ),
    Metric(
        "mar", "MAR ratio", GROUP, Unit.RATIO,
        "Compound annual growth / maximum drawdown, percent, of the whole run.",
        "Managed Account Reports", NO_FALL, _mar,
    ),
)  # fmt: skip
