"""Indicators and mathematics against plain formulas over seeded bars."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from tests.support.qls_bars import compiled, series

from quantlab.qls.library import LIBRARY, function_of, is_public

N = 7
Window = Sequence[float]


def _bars(count: int = 120) -> dict[str, list[float]]:
    rng = random.Random("bars")
    bars: dict[str, list[float]] = {key: [] for key in ("open", "high", "low", "close", "volume")}
    price = 100.0
    for _ in range(count):
        start, price = price, price + rng.gauss(0, 1)
        bars["open"].append(start)
        bars["close"].append(price)
        bars["high"].append(max(start, price) + rng.random())
        bars["low"].append(min(start, price) - rng.random())
        bars["volume"].append(float(rng.randint(1, 1000)))
    return bars


BARS = _bars()


def _line(w: Window) -> tuple[float, float]:
    slope, newest = statistics.linear_regression(range(len(w)), w)
    return slope, newest


WINDOWS: dict[str, Callable[[Window], float]] = {
    "sum(close, 7)": lambda w: float(sum(map(Fraction, w))),
    "sma(close, 7)": statistics.fmean,
    "wma(close, 7)": lambda w: sum(x * (i + 1) for i, x in enumerate(w)) / 28,
    "stdev(close, 7)": statistics.pstdev,
    "stdev_sample(close, 7)": statistics.stdev,
    "variance(close, 7)": statistics.pvariance,
    "highest(close, 7)": max,
    "lowest(close, 7)": min,
    "highestbars(close, 7)": lambda w: float(w.index(max(w)) - 6),
    "lowestbars(close, 7)": lambda w: float(w.index(min(w)) - 6),
    "range(close, 7)": lambda w: max(w) - min(w),
    "median(close, 7)": statistics.median,
    "percentile_linear(close, 7, 25)": lambda w: statistics.quantiles(w, method="inclusive")[0],
    "percentile_nearest(close, 7, 30)": lambda w: sorted(w)[2],
    "linreg_slope(close, 7)": lambda w: _line(w)[0],
    "linreg_intercept(close, 7)": lambda w: _line(w)[1],
    "linreg(close, 7)": lambda w: _line(w)[1] + 6 * _line(w)[0],
    "zscore(close, 7)": lambda w: (w[-1] - statistics.fmean(w)) / statistics.pstdev(w),
    "mom(close, 6)": lambda w: w[-1] - w[0],
    "roc(close, 6)": lambda w: 100 * (w[-1] - w[0]) / w[0],
    "percentrank(close, 6)": lambda w: 100 * sum(x <= w[-1] for x in w[:-1]) / 6,
}


@pytest.mark.parametrize("expression", WINDOWS)
def test_a_window_gives_what_its_formula_says(expression: str) -> None:
    ours = series(expression, BARS)
    closes = BARS["close"]
    for row, (value,) in enumerate(ours):
        if row < N - 1:
            assert math.isnan(value)
        else:
            expected = WINDOWS[expression](closes[row - N + 1 : row + 1])
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_correlation_and_covariance() -> None:
    ours = series("correlation(close, volume, 7)", BARS)
    for row in range(N - 1, len(ours)):
        closes, volumes = (BARS[key][row - N + 1 : row + 1] for key in ("close", "volume"))
        assert ours[row][0] == pytest.approx(statistics.correlation(closes, volumes), abs=1e-9)


def test_na_in_a_window_is_na_until_it_has_left() -> None:
    closes = [*BARS["close"][:20], float("nan"), *BARS["close"][20:40]]
    for expression in ("sma(close, 5)", "highest(close, 5)", "stdev(close, 5)", "wma(close, 5)"):
        ours = [value for (value,) in series(expression, {"close": closes})]
        assert [row for row, value in enumerate(ours) if math.isnan(value)] == [
            0, 1, 2, 3, 20, 21, 22, 23, 24,
        ]  # fmt: skip


def test_a_sum_keeps_no_rounding_error_of_values_long_gone() -> None:
    closes = [1.0, 1e16, 1.0] + [0.1] * 100
    (value,) = series("sum(close, 10)", {"close": closes})[-1]
    assert value == pytest.approx(1.0, rel=1e-14)


MATHS: dict[str, tuple[Callable[[float], float], list[float]]] = {
    "exp(close)": (math.exp, [-700.0, -20.5, -1.0, -1e-9, 0.0, 0.3, 1.0, 2.5, 88.8, 700.0]),
    "ln(close)": (math.log, [5e-324, 1e-300, 1e-5, 0.5, 0.999999, 1.0, 1.5, 2.0, 1e10, 1.7e308]),
    "log10(close)": (math.log10, [1e-10, 0.1, 1.0, 2.0, 1000.0, 1e100]),
    "sin(close)": (math.sin, [-1000.0, -3.0, -0.5, 1e-8, 0.7, 1.5707963, 3.1415926, 77777.7]),
    "cos(close)": (math.cos, [-1000.0, -3.0, -0.5, 1e-8, 0.7, 3.1415926, 77777.7]),
    "tan(close)": (math.tan, [-1.2, 0.1, 1.0, 4.0]),
    "atan(close)": (math.atan, [-1e9, -1.0, -0.3, 0.0, 1e-7, 0.9, 1.0, 1.1, 50.0]),
    "asin(close)": (math.asin, [-1.0, -0.5, 0.0, 0.9, 1.0]),
    "acos(close)": (math.acos, [-1.0, -0.5, 0.0, 0.9]),
    "sinh(close)": (math.sinh, [-5.0, -1.0, 1.0, 5.0]),
    "cosh(close)": (math.cosh, [-5.0, 0.0, 5.0]),
    "tanh(close)": (math.tanh, [-20.0, -1.0, 0.5, 20.0]),
    "pow(close, 2.5)": (lambda x: x**2.5, [0.1, 1.0, 3.0, 1e5]),
    "pow(close, -3)": (lambda x: x**-3, [-2.0, 0.5, 7.0]),
    "sqrt(close)": (math.sqrt, [0.0, 2.0, 1e-300, 1e300]),
}


@pytest.mark.parametrize("expression", MATHS)
def test_mathematics_is_close_to_the_exact_value(expression: str) -> None:
    function, values = MATHS[expression]
    ours = [value for (value,) in series(expression, {"close": values})]
    assert ours == pytest.approx([function(value) for value in values], rel=2e-14, abs=1e-15)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("exp(1000.0)", math.inf), ("exp(-1000.0)", 0.0), ("ln(0.0)", -math.inf),
        ("ln(-1.0)", math.nan), ("sqrt(-1.0)", math.nan), ("1.0 / 0.0", math.nan),
        ("0.0 / 0.0", math.nan), ("asin(2.0)", math.nan), ("sin(1e300)", math.nan),
        ("7 % -2 + 0.0", -1.0), ("-7 % 2 + 0.0", 1.0), ("idiv(-7, 2) + 0.0", -4.0),
        ("round(2.5)", 3.0), ("round(-2.5)", -3.0), ("ceil(-0.5)", 0.0), ("trunc(-1.5)", -1.0),
        ("round(0.49999999999999994)", 0.0), ("round(-0.49999999999999994)", 0.0),
        ("round(4503599627370497.0)", 4503599627370497.0), ("round(na)", math.nan),
        ("min(1.0, na)", math.nan), ("nz(na, 3.0)", 3.0), ("float(int(-2.7))", -2.0),
    ],
)  # fmt: skip
def test_edges(expression: str, value: float) -> None:
    ((ours,),) = series(expression, {"close": [1.0]})
    assert ours == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("name", ["rising", "falling"])
def test_rising_is_above_all_values_before_as_in_pine(name: str) -> None:
    closes = BARS["close"]
    ours = series(f"{name}(close, 3) ? 1.0 : 0.0", BARS)
    found = [row for row, (value,) in enumerate(ours) if value == 1]
    wanted = [
        row
        for row in range(3, len(closes))
        if all((closes[row] > old) == (name == "rising") for old in closes[row - 3 : row])
    ]
    assert found == wanted


@pytest.mark.parametrize(
    ("call", "outputs"), [("kc(close, 7, 2)", 3), ("supertrend(3, 7)", 2), ("atr(7)", 1)]
)
def test_a_warm_up_is_as_long_as_it_is_said_to_be(call: str, outputs: int) -> None:
    entry = LIBRARY[call.partition("(")[0]]
    assert entry.warm_up == "n - 1"
    ours = [values[0] for values in series(call, BARS, outputs)]
    assert [math.isnan(value) for value in ours[: N + 1]] == [True] * (N - 1) + [False] * 2


@pytest.mark.parametrize("name", [name for name in LIBRARY if is_public(name)])
def test_every_function_of_the_library_compiles_and_says_what_it_is(name: str) -> None:
    entry = LIBRARY[name]
    assert entry.doc.endswith(".")
    assert entry.warm_up
    arguments = {"float": "close", "length": "5", "bool": "close > open", "int": "1"}
    given = ", ".join(arguments[param.kind] for param in function_of(name).params)
    call = f"{name}({given})" if given else name
    compiled(f"on bar(1m)\n    {_target(name)} = {call}\n")


def _target(name: str) -> str:
    returned = function_of(name).body[-1].value  # type: ignore[union-attr]
    items = getattr(returned, "items", ())
    if name in {"kc", "bb"}:
        return "[_0, _1, _2]".replace("_", "_v")
    return "[" + ", ".join(f"_v{n}" for n in range(len(items))) + "]" if items else "_v"


def test_there_are_at_least_sixty_indicators() -> None:
    assert len([name for name in LIBRARY if is_public(name)]) >= 60
