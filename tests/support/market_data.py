"""Real ticks when their folder is there, seeded ticks of the same shape when it is not."""

import atexit
import datetime as dt
import gzip
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QUANTLAB_DATA") or ROOT.parent / "shared" / "data")
REQUIRED = os.environ.get("QUANTLAB_REQUIRE_DATA") == "1"
WEEKEND_CLOSE_HOUR = 21
MONDAY_HOUR = 6


@dataclass(frozen=True, slots=True)
class Shape:
    """What a synthetic file has in common with the real one."""

    start: dt.datetime
    days: int
    rows: int
    decimals: int
    price_ticks: int
    spread_ticks: tuple[int, int]
    weekend: bool


SHAPES = {
    "eurusd_oanda_20140501_20140509_quotes.csv.gz": Shape(
        dt.datetime(2014, 5, 1, 4, tzinfo=dt.UTC), 9, 120_000, 5, 138_676, (8, 24), weekend=True
    ),
    "xauusd_oanda_20140501_20140502_quotes.csv.gz": Shape(
        dt.datetime(2014, 5, 1, 4, tzinfo=dt.UTC),
        2,
        120_000,
        3,
        1_291_677,
        (300, 500),
        weekend=True,
    ),
    "btcusdt_binance_quotes.parquet": Shape(
        dt.datetime(2021, 1, 8, tzinfo=dt.UTC), 1, 451, 2, 3_936_000, (1, 300), weekend=False
    ),
}


def vectors_file(name: str) -> Path | None:
    """Return a file of protocol vectors; None in a clone without them, unless they are required."""
    path = DATA / "vectors" / name
    if path.exists():
        return path
    if REQUIRED:
        raise AssertionError(f"QUANTLAB_REQUIRE_DATA=1, but {path} does not exist")
    return None


def ticks_file(name: str) -> Path:
    """Return the path of a file of quote ticks, real if possible."""
    real = DATA / "ticks" / name
    if real.is_file():
        return real
    if REQUIRED:
        raise AssertionError(f"QUANTLAB_REQUIRE_DATA=1, but {real} does not exist")
    return _synthetic(name)


@cache
def after_weekend_file(name: str) -> Path:
    """Return a csv file's ticks from the morning of its first Monday on: days without a gap.

    It has the same name, which says what symbol it is of.
    """
    path = _folder() / "after-weekend" / name
    path.parent.mkdir(exist_ok=True)
    with (
        gzip.open(ticks_file(name), "rt", encoding="ascii") as lines,
        gzip.open(path, "wt", encoding="ascii", compresslevel=1) as kept,
    ):
        kept.write(next(lines))
        kept.writelines(dropwhile(lambda line: not _is_monday_morning(line), lines))
    return path


@cache
def spread_file(name: str, count: int) -> Path:
    """Return a csv file with that many of another's ticks, spread evenly, at their own times.

    It has the same name, which says what symbol it is of.
    """
    path = _folder() / f"spread-{count}" / name
    path.parent.mkdir(exist_ok=True)
    with (
        gzip.open(ticks_file(name), "rt", encoding="ascii") as lines,
        gzip.open(path, "wt", encoding="ascii", compresslevel=1) as kept,
    ):
        heading, *rows = lines
        kept.write(heading)
        kept.writelines(rows[:: max(1, len(rows) // count)][:count])
    return path


def _is_monday_morning(line: str) -> bool:
    moment = dt.datetime.fromtimestamp(int(line.partition(",")[0]) / 1000, dt.UTC)
    return moment.weekday() == 0 and moment.hour >= MONDAY_HOUR


@cache
def _synthetic(name: str) -> Path:
    path = _folder() / name
    rows = _rows(name, SHAPES[name])
    if name.endswith(".parquet"):
        _write_parquet(path, list(rows), SHAPES[name].decimals)
    else:
        _write_csv(path, rows, SHAPES[name].decimals)
    print(f"market data: no {DATA}, using synthetic ticks of the same shape in {path}")
    return path


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="quantlab-ticks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _rows(name: str, shape: Shape) -> Iterator[tuple[int, int, int]]:
    """Walk the price in ticks: (time in ms, bid, ask), with the market's weekend left out."""
    rng = random.Random(name)
    start_ms = int(shape.start.timestamp()) * 1000
    mean_ms = shape.days * 86_400_000 / shape.rows
    at, bid = start_ms, shape.price_ticks
    for _ in range(shape.rows):
        at += 1 + int(rng.expovariate(1 / mean_ms))
        at = _after_weekend(at) if shape.weekend else at
        bid += rng.choice((-2, -1, -1, 0, 0, 1, 1, 2))
        yield at, bid, bid + rng.randint(*shape.spread_ticks)


def _after_weekend(at_ms: int) -> int:
    moment = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
    friday = moment.weekday() == 4 and moment.hour >= WEEKEND_CLOSE_HOUR
    sunday = moment.weekday() == 6 and moment.hour < WEEKEND_CLOSE_HOUR
    if not (friday or sunday or moment.weekday() == 5):
        return at_ms
    opening = moment.replace(hour=WEEKEND_CLOSE_HOUR, minute=0, second=0, microsecond=0)
    return int((opening + dt.timedelta(days=6 - moment.weekday())).timestamp()) * 1000


def _decimal(ticks: int, decimals: int) -> str:
    whole, rest = divmod(ticks, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}"


def _write_csv(path: Path, rows: Iterator[tuple[int, int, int]], decimals: int) -> None:
    with gzip.open(path, "wt", encoding="ascii", compresslevel=1) as file:
        file.write("ts_ms,bid,ask\n")
        file.writelines(
            f"{at},{_decimal(bid, decimals)},{_decimal(ask, decimals)}\n" for at, bid, ask in rows
        )


def _write_parquet(path: Path, rows: list[tuple[int, int, int]], decimals: int) -> None:
    table = pa.table(
        {
            "timestamp": pa.array([at for at, _, _ in rows], pa.timestamp("ms", "UTC")),
            "symbol": ["BTC/USDT"] * len(rows),
            "ask_size": [1.0] * len(rows),
            "ask": [float(_decimal(ask, decimals)) for _, _, ask in rows],
            "bid_size": [1.0] * len(rows),
            "bid": [float(_decimal(bid, decimals)) for _, bid, _ in rows],
        }
    )
    pq.write_table(table, path)
