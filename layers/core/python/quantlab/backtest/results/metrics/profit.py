"""Metrics of money: what the run made, and what it paid."""

from fractions import Fraction
from typing import Final

from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import COMMON, NEVER, Metric, Unit, Value, percent
from quantlab.backtest.results.run import DAY_NS

YEAR_NS: Final = 365.25 * DAY_NS
GROUP: Final = "Profit"


def cagr(start: int, end: int, elapsed_ns: int) -> float | None:
    """Return the yearly growth that leads from start to end, as a fraction; None under a day."""
    if elapsed_ns < DAY_NS or start <= 0 or end <= 0:
        return None
    try:
        return float((end / start) ** (YEAR_NS / elapsed_ns)) - 1
    except OverflowError:
        return None


def _net_profit(figures: Figures) -> Value:
    return figures.net_profit


def _open_profit(figures: Figures) -> Value:
    return figures.run.equity_minor - figures.run.balance_minor


def _gross_profit(figures: Figures) -> Value:
    return sum(figures.wins)


def _gross_loss(figures: Figures) -> Value:
    return sum(figures.losses)


def _profit_factor(figures: Figures) -> Value:
    return Fraction(sum(figures.wins), -sum(figures.losses)) if figures.losses else None


def _total_return(figures: Figures) -> Value:
    run = figures.run
    return Fraction(100 * (run.equity_minor - run.initial_minor), run.initial_minor)


def _cagr(figures: Figures) -> Value:
    run = figures.run
    return percent(cagr(run.initial_minor, run.equity_minor, figures.elapsed_ns))


def _commission(figures: Figures) -> Value:
    return int(figures.run.fills.fee.sum())


def _swap(figures: Figures) -> Value:
    return figures.run.swap_minor


def _slippage(figures: Figures) -> Value:
    return int(figures.trades.slippage.sum())


METRICS: Final = (
    Metric(
        "netProfit", "Net profit", GROUP, Unit.MONEY,
        "Balance at the end less the initial balance: what was booked, after all costs.",
        COMMON, NEVER, _net_profit,
    ),
    Metric(
        "openProfit", "Open profit", GROUP, Unit.MONEY,
        "Equity less balance at the end: what positions still open are worth.",
        COMMON, NEVER, _open_profit,
    ),
    Metric(
        "grossProfit", "Gross profit", GROUP, Unit.MONEY,
        "Sum of the profits of winning trades, each after its costs.",
        COMMON, NEVER, _gross_profit,
    ),
    Metric(
        "grossLoss", "Gross loss", GROUP, Unit.MONEY,
        "Sum of the profits of losing trades, each after its costs; zero or below.",
        COMMON, NEVER, _gross_loss,
    ),
    Metric(
        "profitFactor", "Profit factor", GROUP, Unit.RATIO,
        "Gross profit / |gross loss|.",
        COMMON, "no trade lost", _profit_factor,
    ),
    Metric(
        "totalReturn", "Total return", GROUP, Unit.PERCENT,
        "Equity at the end / initial balance - 1.",
        COMMON, NEVER, _total_return,
    ),
    Metric(
        "cagr", "Compound annual growth rate", GROUP, Unit.PERCENT,
        "(equity at the end / initial balance)^(365.25 days / elapsed) - 1.",
        COMMON, "the run spans under a day, or ends without equity", _cagr,
    ),
    Metric(
        "commission", "Commission paid", GROUP, Unit.MONEY,
        "Sum of the fees of all fills.",
        COMMON, NEVER, _commission,
    ),
    Metric(
        "swap", "Swap", GROUP, Unit.MONEY,
        "Sum of what was booked for holding positions overnight; below zero when paid.",
        COMMON, NEVER, _swap,
    ),
    Metric(
        "slippage", "Slippage paid", GROUP, Unit.MONEY,
        "Sum over fills of the ticks between the quote and the fill, in money; part of the profit"
        " already.",
        "Perold 1988, implementation shortfall (its execution part)", NEVER, _slippage,
    ),
)  # fmt: skip
