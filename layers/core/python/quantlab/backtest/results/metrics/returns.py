"""Metrics of daily returns: trading days with quotes, from close to close of the equity."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from quantlab.backtest.results.metrics import statistics
from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import COMMON, Metric, Unit, Value, percent, ratio

GROUP: Final = "Daily returns"
TAIL: Final = 0.05
TAIL_DAYS: Final = 20
NO_DAYS: Final = "no trading day, or one began without equity"
FLAT: Final = "under two days, all of one return, or one began without equity"
FEW: Final = "under 20 days, or one began without equity"


def sharpe(returns: Sequence[float]) -> float | None:
    """Return the mean over the standard deviation, a period, at no risk-free rate."""
    return ratio(statistics.mean(returns), statistics.spread(returns))


def downside(returns: Sequence[float]) -> float:
    """Return the root of the mean squared return below zero, over all returns."""
    return math.sqrt(math.fsum(min(one, 0.0) ** 2 for one in returns) / len(returns))


def value_at_risk(returns: Sequence[float]) -> float | None:
    """Return the loss at the 5 % worst: of n returns the ceil(n / 20)-th worst, negated."""
    if len(returns) < TAIL_DAYS:
        return None
    return -sorted(returns)[-(-len(returns) // TAIL_DAYS) - 1]


def expected_shortfall(returns: Sequence[float]) -> float | None:
    """Return the mean loss of the worst 5 %, the last of them counted in part."""
    if len(returns) < TAIL_DAYS:
        return None
    worst = sorted(returns)
    whole, rest = divmod(len(returns), TAIL_DAYS)
    parts = [*worst[:whole], worst[whole] * rest / TAIL_DAYS]
    return -math.fsum(parts) / (len(returns) / TAIL_DAYS)


def probabilistic_sharpe(returns: Sequence[float]) -> float | None:
    """Return the probability that the true Sharpe ratio of a sample is above zero."""
    rate = sharpe(returns)
    skew, kurt = statistics.skewness(returns), statistics.kurtosis(returns)
    if rate is None or skew is None or kurt is None:
        return None
    return sharpe_probability(rate, len(returns), skew, kurt)


def sharpe_probability(rate: float, count: int, skew: float, kurtosis: float) -> float | None:
    """Return the probability that the true Sharpe ratio is above zero: Bailey and Lopez de Prado.

    rate is the Sharpe ratio a period of count periods; kurtosis is 3 for a normal distribution.
    None where the variance of the estimate is zero or less.
    """
    variance = 1 - skew * rate + (kurtosis - 1) / 4 * rate * rate
    if variance <= 0:
        return None
    return statistics.normal_cdf(rate * math.sqrt(count - 1) / math.sqrt(variance))


def tail_ratio(returns: Sequence[float]) -> float | None:
    """Return the 95 % quantile over the 5 % one, both without their signs."""
    if len(returns) < TAIL_DAYS:
        return None
    best, worst = (abs(statistics.quantile(returns, share)) for share in (1 - TAIL, TAIL))
    return ratio(best, worst)


def omega(returns: Sequence[float]) -> float | None:
    """Return the sum of gains over the sum of losses, without its sign."""
    lost = -math.fsum(one for one in returns if one < 0)
    return ratio(math.fsum(one for one in returns if one > 0), lost)


def _excess_kurtosis(returns: Sequence[float]) -> float | None:
    found = statistics.kurtosis(returns)
    return None if found is None else found - 3


def _on(compute: Callable[[Sequence[float]], float | None]) -> Callable[[Figures], Value]:
    """Compute of the returns where there are some."""
    return lambda figures: compute(figures.returns) if figures.returns else None


def _percent_on(compute: Callable[[Sequence[float]], float | None]) -> Callable[[Figures], Value]:
    return lambda figures: percent(compute(figures.returns) if figures.returns else None)


def _annualised(compute: Callable[[Sequence[float]], float | None]) -> Callable[[Figures], Value]:
    def scaled(figures: Figures) -> Value:
        found = compute(figures.returns) if figures.returns else None
        return None if found is None else found * math.sqrt(figures.run.days_per_year)

    return scaled


def _volatility(figures: Figures) -> Value:
    value = _annualised(statistics.deviation)(figures)
    return None if value is None else 100 * value


def _profitable(returns: Sequence[float]) -> float:
    return sum(one > 0 for one in returns) / len(returns)


METRICS: Final = (
    Metric(
        "tradingDays", "Trading days", GROUP, Unit.COUNT,
        "Days of the account's calendar with quotes.", COMMON, "never",
        lambda f: len(f.run.days),
    ),
    Metric(
        "bestDay", "Best day", GROUP, Unit.PERCENT,
        "Highest daily return.", COMMON, NO_DAYS, _percent_on(max),
    ),
    Metric(
        "worstDay", "Worst day", GROUP, Unit.PERCENT,
        "Lowest daily return.", COMMON, NO_DAYS, _percent_on(min),
    ),
    Metric(
        "profitableDays", "Profitable days", GROUP, Unit.PERCENT,
        "Days with a return above zero / trading days.", COMMON, NO_DAYS,
        _percent_on(_profitable),
    ),
    Metric(
        "volatility", "Volatility", GROUP, Unit.PERCENT,
        "Standard deviation of daily returns (n - 1) x sqrt(days a year).", COMMON,
        "under two days, or one began without equity", _volatility,
    ),
    Metric(
        "sharpe", "Sharpe ratio", GROUP, Unit.RATIO,
        "mean / standard deviation (n - 1) of daily returns x sqrt(days a year), at a risk-free"
        " rate of zero.",
        "Sharpe 1994, The Sharpe Ratio", FLAT, _annualised(sharpe),
    ),
    Metric(
        "sortino", "Sortino ratio", GROUP, Unit.RATIO,
        "mean / sqrt(mean(min(r, 0)^2)) of daily returns x sqrt(days a year), target zero.",
        "Sortino and Price 1994, Performance Measurement in a Downside Risk Framework",
        "no day lost, no trading day, or one began without equity",
        _annualised(lambda r: ratio(statistics.mean(r), downside(r))),
    ),
    Metric(
        "psr", "Probabilistic Sharpe ratio", GROUP, Unit.PERCENT,
        "Phi(SR x sqrt(n - 1) / sqrt(1 - skew x SR + (kurtosis - 1) / 4 x SR^2)), SR a day: the"
        " probability that the true Sharpe ratio is above zero.",
        "Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier",
        f"{FLAT}, or the root is of zero or less", _percent_on(probabilistic_sharpe),
    ),
    Metric(
        "omega", "Omega ratio", GROUP, Unit.RATIO,
        "Sum of daily returns above zero / |sum of those below|.",
        "Keating and Shadwick 2002, A Universal Performance Measure",
        "no day lost, no trading day, or one began without equity", _on(omega),
    ),
    Metric(
        "var95", "Value at risk 95 %", GROUP, Unit.PERCENT,
        "Loss at the historical 5 % worst: of n daily returns the ceil(n / 20)-th worst, negated.",
        "Jorion 2006, Value at Risk (historical simulation)", FEW, _percent_on(value_at_risk),
    ),
    Metric(
        "cvar95", "Conditional value at risk 95 %", GROUP, Unit.PERCENT,
        "Mean loss of the n / 20 worst daily returns, the last counted in part.",
        "Acerbi and Tasche 2002, On the Coherence of Expected Shortfall", FEW,
        _percent_on(expected_shortfall),
    ),
    Metric(
        "skew", "Skewness", GROUP, Unit.RATIO,
        "m3 / m2^1.5 of daily returns, central moments divided by n.", COMMON, FLAT,
        _on(statistics.skewness),
    ),
    Metric(
        "kurtosis", "Excess kurtosis", GROUP, Unit.RATIO,
        "m4 / m2^2 - 3 of daily returns, central moments divided by n.", COMMON, FLAT,
        _on(_excess_kurtosis),
    ),
    Metric(
        "tailRatio", "Tail ratio", GROUP, Unit.RATIO,
        "|95 % quantile| / |5 % quantile| of daily returns, linear between order statistics.",
        "Hyndman and Fan 1996, type 7 quantiles; the ratio as in empyrical",
        f"{FEW}, or the 5 % quantile is zero", _on(tail_ratio),
    ),
    Metric(
        "autocorrelation", "Autocorrelation", GROUP, Unit.RATIO,
        "Correlation of daily returns with those of the day before, about the mean of all.",
        "Box and Jenkins 1970, Time Series Analysis",
        "under three days, all of one return, or one began without equity",
        _on(statistics.autocorrelation),
    ),
)  # fmt: skip
