"""Metrics of closed trades: how often, how much, for how long."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from quantlab.backtest.results.metrics import statistics
from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import (
    COMMON,
    NEVER,
    Metric,
    Unit,
    Value,
    percent,
    ratio,
)
from quantlab.backtest.results.trades import UNKNOWN

GROUP: Final = "Trades"
NO_TRADE: Final = "no trade closed"
NO_WIN: Final = "no trade won"
NO_LOSS: Final = "no trade lost"
NO_PATH: Final = "no trade closed, or the quotes of its symbol were not kept"


def average(values: Sequence[int]) -> Fraction | None:
    """Return the exact mean; None of nothing."""
    return Fraction(sum(values), len(values)) if values else None


def streak(profits: Sequence[int], sign: int) -> int:
    """Return the longest run of profits of a sign; a zero ends it."""
    longest = current = 0
    for profit in profits:
        if profit * sign > 0:
            current += 1
        elif current:
            longest, current = max(longest, current), 0
    return max(longest, current)


def _win_rate(figures: Figures) -> Fraction | None:
    if not figures.profits:
        return None
    return Fraction(len(figures.wins), len(figures.profits))


def _payoff(figures: Figures) -> Fraction | None:
    win, loss = average(figures.wins), average(figures.losses)
    return None if win is None or loss is None else win / -loss


def _kelly(figures: Figures) -> Value:
    rate, payoff = _win_rate(figures), _payoff(figures)
    return None if rate is None or payoff is None else percent(rate - (1 - rate) / payoff)


def _sqn(figures: Figures) -> Value:
    mean, spread = statistics.mean(figures.profits), statistics.spread(figures.profits)
    quality = ratio(mean, spread)
    return None if quality is None else math.sqrt(len(figures.profits)) * quality


def _held_seconds(figures: Figures) -> Value:
    held = (figures.closed.exit_ns - figures.closed.entry_ns).tolist()
    mean = average(held)
    return None if mean is None else mean / 1_000_000_000


def _of(column: str) -> Callable[[Figures], Value]:
    """Average a column over closed trades; None where one of them does not know it."""

    def compute(figures: Figures) -> Value:
        values = getattr(figures.closed, column).tolist()
        return None if UNKNOWN in values else average(values)

    return compute


METRICS: Final = (
    Metric(
        "trades", "Trades", GROUP, Unit.COUNT,
        "Closed round trips: from a symbol's position being flat to flat again, or reversed.",
        COMMON, NEVER, lambda f: len(f.profits),
    ),
    Metric(
        "openTrades", "Open trades", GROUP, Unit.COUNT,
        "Round trips that had not ended with the run; no other metric of trades counts them.",
        COMMON, NEVER, lambda f: len(f.trades) - len(f.closed),
    ),
    Metric(
        "winRate", "Win rate", GROUP, Unit.PERCENT,
        "Trades with a profit above zero after costs / trades.",
        COMMON, NO_TRADE, lambda f: percent(_win_rate(f)),
    ),
    Metric(
        "averageWin", "Average win", GROUP, Unit.MONEY,
        "Gross profit / winning trades.", COMMON, NO_WIN, lambda f: average(f.wins),
    ),
    Metric(
        "averageLoss", "Average loss", GROUP, Unit.MONEY,
        "Gross loss / losing trades.", COMMON, NO_LOSS, lambda f: average(f.losses),
    ),
    Metric(
        "payoffRatio", "Payoff ratio", GROUP, Unit.RATIO,
        "Average win / |average loss|.", COMMON, "no trade won or none lost", _payoff,
    ),
    Metric(
        "expectancy", "Expectancy", GROUP, Unit.MONEY,
        "Average profit of a trade after costs.",
        "Tharp 1998, Trade Your Way to Financial Freedom", NO_TRADE, lambda f: average(f.profits),
    ),
    Metric(
        "largestWin", "Largest win", GROUP, Unit.MONEY,
        "Highest profit of a trade.", COMMON, NO_WIN, lambda f: max(f.wins, default=None),
    ),
    Metric(
        "largestLoss", "Largest loss", GROUP, Unit.MONEY,
        "Lowest profit of a trade.", COMMON, NO_LOSS, lambda f: min(f.losses, default=None),
    ),
    Metric(
        "longestWinStreak", "Longest winning streak", GROUP, Unit.COUNT,
        "Most winning trades in a row, by the time they ended.",
        COMMON, NEVER, lambda f: streak(f.profits, 1),
    ),
    Metric(
        "longestLossStreak", "Longest losing streak", GROUP, Unit.COUNT,
        "Most losing trades in a row, by the time they ended.",
        COMMON, NEVER, lambda f: streak(f.profits, -1),
    ),
    Metric(
        "averageHolding", "Average holding time", GROUP, Unit.SECONDS,
        "Mean time from a trade's first fill to its last.", COMMON, NO_TRADE, _held_seconds,
    ),
    Metric(
        "averageMae", "Average MAE", GROUP, Unit.MONEY,
        "Mean maximum adverse excursion: the worst open result of a trade before fees, 0 at best.",
        "Sweeney 1996, Maximum Adverse Excursion", NO_PATH, _of("mae"),
    ),
    Metric(
        "averageMfe", "Average MFE", GROUP, Unit.MONEY,
        "Mean maximum favourable excursion: the best open result of a trade before fees, 0 at"
        " worst.",
        "Sweeney 1996, Maximum Adverse Excursion", NO_PATH, _of("mfe"),
    ),
    Metric(
        "sqn", "System quality number", GROUP, Unit.RATIO,
        "sqrt(trades) x mean(profit) / standard deviation(profit), n - 1.",
        "Tharp 2008, Definitive Guide to Position Sizing (with profits for R multiples)",
        "under two trades, or all of one profit", _sqn,
    ),
    Metric(
        "kelly", "Kelly fraction", GROUP, Unit.PERCENT,
        "win rate - (1 - win rate) / payoff ratio; below zero: do not bet.",
        "Kelly 1956, A New Interpretation of Information Rate", "no trade won or none lost", _kelly,
    ),
)  # fmt: skip
