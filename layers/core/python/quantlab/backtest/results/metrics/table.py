"""All metrics, in the order they are shown, and what they are for a run."""

import math
from typing import Final

from quantlab.backtest.results.metrics import (
    drawdown,
    exposure,
    profit,
    returns,
    sides,
    trading,
)
from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import Metric, Unit, Value
from quantlab.kernel.decimals import format_minor

METRICS: Final[tuple[Metric, ...]] = (
    *profit.METRICS,
    *trading.METRICS,
    *sides.METRICS,
    *drawdown.METRICS,
    *returns.METRICS,
    *exposure.METRICS,
)
DIGITS: Final = 10


def metrics_of(figures: Figures) -> dict[str, Value]:
    """Return every metric by its key; None where it is undefined."""
    return {metric.key: metric.of(figures) for metric in METRICS}


def as_json(metric: Metric, value: Value, currency_digits: int) -> str | int | float | None:
    """Write a value for JSON: money as a decimal string, others as numbers of 10 digits."""
    if value is None:
        return None
    if metric.unit is Unit.MONEY:
        return format_minor(round(value), currency_digits)
    if metric.unit is Unit.COUNT:
        return int(value)
    number = float(f"{float(value):.{DIGITS}g}")
    return number if math.isfinite(number) else None


def definitions_table() -> str:
    """Return the metrics as a Markdown table for each group: what docs/backtest-metrics.md has."""
    parts: list[str] = []
    for group in dict.fromkeys(metric.group for metric in METRICS):
        parts.append(
            f"## {group}\n\n| key | metric | unit | definition | null when | source |\n"
            "|---|---|---|---|---|---|"
        )
        parts += [_row(metric) for metric in METRICS if metric.group == group]
        parts.append("")
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    cells = (
        f"`{metric.key}`", metric.name, metric.unit.value, metric.definition, metric.undefined,
        metric.source,
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
