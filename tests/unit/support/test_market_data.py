"""The stand-in for market data: same shape, same every time, refused where the real is required."""

import gzip
import itertools
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.support import market_data

EURUSD = "eurusd_oanda_20140501_20140509_quotes.csv.gz"


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(market_data, "DATA", tmp_path / "absent")
    monkeypatch.setattr(market_data, "REQUIRED", False)
    monkeypatch.setattr(market_data, "_folder", lambda: tmp_path)
    market_data._synthetic.cache_clear()


def test_synthetic_ticks_have_the_shape_of_the_real(
    no_data: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = market_data.ticks_file(EURUSD)
    assert "using synthetic ticks" in capsys.readouterr().out
    with gzip.open(path, "rt") as file:
        assert file.readline() == "ts_ms,bid,ask\n"
        rows = [line.strip().split(",") for line in file]
    assert len(rows) == market_data.SHAPES[EURUSD].rows
    times = [int(row[0]) for row in rows]
    assert times == sorted(times)
    assert all(len(bid.split(".")[1]) == 5 and float(bid) < float(ask) for _, bid, ask in rows)
    saturday_ms = 1_399_075_200_000
    assert not [at for at in times if saturday_ms <= at < saturday_ms + 86_400_000]
    assert max(later - at for at, later in itertools.pairwise(times)) > 47 * 3_600_000


def test_synthetic_ticks_are_the_same_every_time(no_data: None) -> None:
    first = market_data._rows(EURUSD, market_data.SHAPES[EURUSD])
    second = market_data._rows(EURUSD, market_data.SHAPES[EURUSD])
    assert [next(first) for _ in range(500)] == [next(second) for _ in range(500)]


def test_synthetic_parquet_can_be_read(no_data: None) -> None:
    table = pq.read_table(market_data.ticks_file("btcusdt_binance_quotes.parquet"))
    assert table.num_rows == 451
    assert table.column_names == ["timestamp", "symbol", "ask_size", "ask", "bid_size", "bid"]
    assert table["symbol"][0].as_py() == "BTC/USDT"


def test_missing_data_fails_where_it_is_required(
    no_data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "REQUIRED", True)
    with pytest.raises(AssertionError, match="QUANTLAB_REQUIRE_DATA=1"):
        market_data.ticks_file(EURUSD)
