"""Metrics against cases worked out by hand, other formulas, and what must always hold."""

import itertools
import math
import statistics as python_statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.finished_runs import CENT, DAY, ODD, SECOND, path_of, run_of

from quantlab.backtest.results.metrics import returns as of_returns
from quantlab.backtest.results.metrics.drawdown import ulcer
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.metric import Unit
from quantlab.backtest.results.metrics.profit import cagr
from quantlab.backtest.results.metrics.statistics import quantile
from quantlab.backtest.results.metrics.table import METRICS, as_json, metrics_of

YEAR = 365 * 86_400 + 21_600


def values(*args, **more):
    return metrics_of(figures(run_of(*args, **more)))


def near(value):
    return pytest.approx(value, rel=1e-12, abs=1e-15)


# Profits of 60, -35, 0, -20 and 100 minor units after fees of 1 a fill.
TRADES = (
    (0, 0, 1, 1000, 1, 2), (100, 0, -1, 1062, 1, 3),
    (200, 0, -1, 1000, 1), (300, 0, 1, 1033, 1),
    (300, 0, 2, 1000, 1), (500, 0, -2, 1001, 1),
    (600, 0, -1, 1000, 1), (700, 0, 1, 1018, 1),
    (800, 0, 2, 1000, 1), (1000, 0, -2, 1051, 1),
)  # fmt: skip


def test_a_run_without_trades_has_no_ratios_but_all_counts() -> None:
    found = values()
    zero = {key for key, value in found.items() if value == 0}
    null = {key for key, value in found.items() if value is None}
    assert {
        "netProfit",
        "trades",
        "maxDrawdown",
        "timeInMarket",
        "ulcerIndex",
        "totalReturn",
    } <= zero
    assert {
        "profitFactor",
        "winRate",
        "sharpe",
        "cagr",
        "kelly",
        "averageMae",
        "recoveryFactor",
    } <= null
    assert zero | null == set(found)


def test_profits_of_trades() -> None:
    found = values(TRADES)
    assert found["netProfit"] == 105
    assert (found["grossProfit"], found["grossLoss"]) == (160, -55)
    assert found["profitFactor"] == Fraction(160, 55)
    assert (found["trades"], found["winRate"]) == (5, 40)
    assert (found["averageWin"], found["averageLoss"]) == (80, Fraction(-55, 2))
    assert found["payoffRatio"] == Fraction(160, 55)
    assert found["expectancy"] == 21
    assert (found["largestWin"], found["largestLoss"]) == (100, -35)
    assert (found["longestWinStreak"], found["longestLossStreak"]) == (1, 1)
    assert found["averageHolding"] == Fraction(100 + 100 + 200 + 100 + 200, 5)
    assert (found["commission"], found["slippage"], found["swap"]) == (10, 5, 0)
    assert found["totalReturn"] == Fraction(105 * 100, 1_000_000)
    assert found["kelly"] == 100 * (Fraction(2, 5) - Fraction(3, 5) / Fraction(160, 55))
    profits = [60, -35, 0, -20, 100]
    assert found["sqn"] == near(
        math.sqrt(5) * python_statistics.mean(profits) / python_statistics.stdev(profits)
    )


def test_profits_by_side() -> None:
    found = values(TRADES)
    assert (found["longTrades"], found["shortTrades"]) == (3, 2)
    assert (found["longNetProfit"], found["shortNetProfit"]) == (160, -55)
    assert (found["longWinRate"], found["shortWinRate"]) == (Fraction(200, 3), 0)
    assert (found["longProfitFactor"], found["shortProfitFactor"]) == (None, 0)


def test_exposure() -> None:
    found = values(TRADES)
    assert found["timeInMarket"] == 70
    assert found["averageExposure"] == Fraction(100 * (1000 * 300 + 2000 * 400), 1000 * 1_000_000)
    assert found["maxExposure"] == Fraction(100 * 2000, 1_000_000)


def test_exposure_adds_symbols_that_overlap() -> None:
    orders = [(0, 0, 10, 100), (200, 1, -10, 50), (500, 0, -10, 100)]
    found = values(orders, scales=(CENT, CENT), open_minor=7)
    assert found["timeInMarket"] == 100
    assert found["averageExposure"] == Fraction(100 * (1000 * 500 + 500 * 800), 1000 * 1_000_000)
    assert found["maxExposure"] == Fraction(100 * 1500, 1_000_000)
    assert (found["openTrades"], found["openProfit"]) == (1, 7)


def test_average_excursions() -> None:
    orders = [(1, 0, 10, 100), (2, 0, -10, 104), (3, 0, -5, 100), (4, 0, 5, 102)]
    path = path_of([(1, 99, 100), (2, 104, 105), (3, 100, 101), (4, 101, 102)])
    found = values(orders, paths={0: path})
    assert (found["averageMae"], found["averageMfe"]) == (
        Fraction(-10 - 10, 2),
        Fraction(40 + 0, 2),
    )


def test_drawdowns() -> None:
    found = values(
        curve=[1000, 1100, 990, 1100, 1200, 900, 960], seconds=700, initial=1000, open_minor=100
    )
    assert found["maxDrawdown"] == 300
    assert found["maxDrawdownPercent"] == 25
    assert found["averageDrawdown"] == near(100 * (0.1 + 0.25) / 2)
    assert found["maxDrawdownDuration"] == 300
    assert found["recoveryFactor"] == 0


def test_the_deepest_fall_on_any_quote_counts() -> None:
    found = values(TRADES, curve=[1_000_000, 999_990], max_drawdown_minor=84)
    assert (found["maxDrawdown"], found["recoveryFactor"]) == (84, Fraction(105, 84))


def test_growth() -> None:
    assert cagr(100, 121, 2 * YEAR * SECOND) == near(0.1)
    assert cagr(100, 90, YEAR * SECOND) == near(-0.1)
    assert cagr(100, 121, DAY - 1) is None
    assert cagr(100, 0, DAY) is None
    assert cagr(1, 10**18, DAY) is None
    found = values(curve=[1000, 1200, 900], initial=1000, open_minor=210, seconds=2 * YEAR)
    assert found["cagr"] == near(10)
    assert found["mar"] == found["calmar"] == near(0.1 / 0.25)


def test_calmar_looks_back_36_months_and_mar_at_all() -> None:
    curve = [1000, 500, 1000, 1000, 900, 1000, 1100, 1150]
    found = values(curve=curve, initial=1000, open_minor=210, seconds=8 * YEAR)
    assert found["mar"] == near((1.21 ** (1 / 8) - 1) / 0.5)
    # The samples are a year apart: those of the last three years are 1000, 1100, 1150 and 1210.
    assert found["calmar"] is None


CLOSES = [1_010_000, 1_030_000, 990_000, 1_000_000, 1_050_000, 1_040_000, 1_040_000]


def test_daily_returns() -> None:
    found = values(closes=CLOSES, seconds=7 * 86_400)
    whole = [1_000_000, *CLOSES]
    exact = [Fraction(b, a) - 1 for a, b in itertools.pairwise(whole)]
    mean, n = sum(exact) / 7, 7
    second, third, fourth = (sum((one - mean) ** k for one in exact) / n for k in (2, 3, 4))
    deviation = math.sqrt(second * n / (n - 1))
    assert found["tradingDays"] == 7
    assert (found["bestDay"], found["worstDay"]) == (near(5), near(-float(Fraction(400, 103))))
    assert found["profitableDays"] == near(400 / 7)
    assert found["volatility"] == near(100 * deviation * math.sqrt(252))
    assert found["sharpe"] == near(float(mean) / deviation * math.sqrt(252))
    below = math.sqrt(sum(min(one, 0) ** 2 for one in exact) / n)
    assert found["sortino"] == near(float(mean) / below * math.sqrt(252))
    assert found["skew"] == near(float(third) / float(second) ** 1.5)
    assert found["kurtosis"] == near(float(fourth / second**2) - 3)
    assert found["omega"] == near(
        float(sum(one for one in exact if one > 0) / -sum(one for one in exact if one < 0))
    )
    lagged = sum((a - mean) * (b - mean) for a, b in itertools.pairwise(exact))
    assert found["autocorrelation"] == near(float(lagged / (second * n)))
    assert (found["var95"], found["cvar95"], found["tailRatio"]) == (None, None, None)


def test_probabilistic_sharpe_of_the_paper() -> None:
    """Bailey and Lopez de Prado 2012: 24 months, monthly SR 0.458, skew -2.448, kurtosis 10.164."""
    psr = of_returns.sharpe_probability
    assert psr(0.458, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)
    assert psr(0.458, 24, 0, 3) == pytest.approx(0.982, abs=5e-4)


@given(st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=60))
def test_probabilistic_sharpe_is_its_formula(sample) -> None:
    found = of_returns.probabilistic_sharpe(sample)
    if found is None:
        return
    n, mean = len(sample), python_statistics.fmean(sample)
    m2, m3, m4 = (math.fsum((x - mean) ** k for x in sample) / n for k in (2, 3, 4))
    rate = mean / python_statistics.stdev(sample)
    variance = 1 - m3 / m2**1.5 * rate + (m4 / m2**2 - 1) / 4 * rate**2
    if variance > 1e-9:
        score = rate * math.sqrt(n - 1) / math.sqrt(variance)
        assert found == pytest.approx(python_statistics.NormalDist().cdf(score), abs=1e-6)


def test_value_at_risk_and_expected_shortfall() -> None:
    sample = [n / 1000 for n in range(-50, 0)]
    # 2.5 days are the worst 5 %: the third worst, and -50, -49 and half of -48.
    assert of_returns.value_at_risk(sample) == near(0.048)
    assert of_returns.expected_shortfall(sample) == near((0.050 + 0.049 + 0.024) / 2.5)
    assert of_returns.value_at_risk(sample[:19]) is None


def test_tail_ratio_and_quantiles() -> None:
    sample = [0.03, *[0.0] * 19, -0.06]
    assert quantile(sample, 0.05) == 0
    assert of_returns.tail_ratio(sample) is None
    sample = [n / 100 for n in range(-20, 41)]
    assert of_returns.tail_ratio(sample) == near(0.37 / 0.17)
    assert quantile(sample, 0.25) == near(
        python_statistics.quantiles(sample, n=4, method="inclusive")[0]
    )


def test_ulcer_index() -> None:
    assert ulcer([100, 90, 100, 80]) == near(math.sqrt((100 + 400) / 4))


def test_days_without_equity_have_no_returns() -> None:
    found = values(closes=[500_000, -1, 700_000])
    assert found["sharpe"] is None
    assert found["bestDay"] is None
    assert found["ulcerIndex"] > 0


def test_days_of_one_return_have_no_sharpe_and_no_infinity() -> None:
    found = values(closes=[1_000_000] * 30)
    assert found["volatility"] == 0
    assert [found[key] for key in ("sharpe", "sortino", "skew", "psr", "autocorrelation")] == [
        None
    ] * 5


orders = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(-9, 9).filter(bool),
        st.integers(1, 2000),
        st.integers(0, 30),
        st.integers(0, 3),
    ),
    max_size=30,
)
amounts = st.one_of(
    st.integers(-500, 3_000_000), st.integers(900_000, 1_100_000), st.just(1_000_000)
)


@settings(max_examples=300)
@given(
    orders, st.lists(amounts, max_size=30), st.lists(amounts, max_size=30), st.integers(0, 10**8)
)
def test_whatever_the_run_metrics_are_numbers_or_null(placed, curve, closes, seconds) -> None:
    run = run_of(
        [(0, *order) for order in placed],
        scales=(CENT, ODD),
        curve=curve,
        closes=closes,
        seconds=seconds,
    )
    found = metrics_of(figures(run))
    for metric in METRICS:
        value = as_json(metric, found[metric.key], 2)
        if isinstance(value, float):
            assert math.isfinite(value), metric.key
        if metric.undefined == "never":
            assert value is not None, metric.key
        if metric.unit is Unit.MONEY and value is not None:
            assert isinstance(value, str)
    check_what_always_holds(run, found)


def check_what_always_holds(run, found) -> None:
    still_open = figures(run).trades.profit.sum() - figures(run).closed.profit.sum()
    assert found["netProfit"] == found["grossProfit"] + found["grossLoss"] + still_open
    assert (
        found["longNetProfit"] + found["shortNetProfit"]
        == found["grossProfit"] + found["grossLoss"]
    )
    assert found["longTrades"] + found["shortTrades"] == found["trades"]
    assert found["maxDrawdown"] >= 0
    assert 0 <= found["ulcerIndex"] <= 100
    assert found["averageDrawdown"] <= found["maxDrawdownPercent"] * (1 + 1e-12)
    if found["var95"] is not None:
        assert found["cvar95"] >= found["var95"] - 1e-12
        assert found["var95"] <= -found["worstDay"] + 1e-12
    if found["psr"] is not None and found["sharpe"] > 1e-9:
        assert found["psr"] >= 50
    if found["timeInMarket"] is not None:
        assert 0 <= found["timeInMarket"] <= 100


def test_metrics_have_distinct_keys_and_all_is_said_of_them() -> None:
    keys = [metric.key for metric in METRICS]
    assert len(set(keys)) == len(keys) >= 50
    for metric in METRICS:
        assert metric.definition.endswith("."), metric.key
        assert metric.name, metric.key
        assert metric.source, metric.key
        assert metric.undefined, metric.key


def test_numbers_of_json_have_ten_digits_and_money_is_text() -> None:
    metric = {one.key: one for one in METRICS}
    assert as_json(metric["sharpe"], 1 / 3, 2) == 0.3333333333
    assert as_json(metric["expectancy"], Fraction(-5, 2), 2) == "-0.02"
    assert as_json(metric["trades"], 3, 2) == 3
    assert as_json(metric["kelly"], None, 2) is None
