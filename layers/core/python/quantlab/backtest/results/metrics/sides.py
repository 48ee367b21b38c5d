"""The metrics that are split by long and short trades."""

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import COMMON, NEVER, Metric, Unit, Value, percent

GROUP: Final = "Long and short"


def _profits(figures: Figures, side: int) -> list[int]:
    profits: list[int] = figures.closed.profit[figures.closed.side == side].tolist()
    return profits


def _win_rate(profits: list[int]) -> Value:
    if not profits:
        return None
    return percent(Fraction(sum(one > 0 for one in profits), len(profits)))


def _factor(profits: list[int]) -> Value:
    lost = -sum(one for one in profits if one < 0)
    return Fraction(sum(one for one in profits if one > 0), lost) if lost else None


def _on(side: int, compute: Callable[[list[int]], Value]) -> Callable[[Figures], Value]:
    return lambda figures: compute(_profits(figures, side))


def _of_side(side: int, word: str) -> tuple[Metric, ...]:
    trades, name = f"{word} trades", word.capitalize()
    return (
        Metric(
            f"{word}Trades", f"{name} trades", GROUP, Unit.COUNT,
            f"Closed {trades}.", COMMON, NEVER, _on(side, len),
        ),
        Metric(
            f"{word}NetProfit", f"{name} net profit", GROUP, Unit.MONEY,
            f"Sum of the profits of closed {trades}, after costs.", COMMON, NEVER, _on(side, sum),
        ),
        Metric(
            f"{word}WinRate", f"{name} win rate", GROUP, Unit.PERCENT,
            f"Winning {trades} / {trades}.", COMMON, f"no {word} trade closed",
            _on(side, _win_rate),
        ),
        Metric(
            f"{word}ProfitFactor", f"{name} profit factor", GROUP, Unit.RATIO,
            f"Profit of winning {trades} / |loss of losing {trades}|.", COMMON,
            f"no {word} trade lost", _on(side, _factor),
        ),
    )  # fmt: skip


METRICS: Final = (*_of_side(1, "long"), *_of_side(-1, "short"))
