"""Files of quotes become records: in ticks and steps, by time, and only what a gate believes."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from quantlab.market.catalog import parse_catalog
from quantlab_adapters.backtest_data.known import SETTLED_NS, known_digest
from quantlab_adapters.backtest_data.records import Source, load
from quantlab_adapters.backtest_data.sources import MS_NS, UnreadableQuotes

CATALOG = parse_catalog(json.loads(Path("agent/configs/instruments.json").read_text()))


def written(folder: Path, name: str, text: str) -> Source:
    path = folder / name
    with gzip.open(path, "wt") as file:
        file.write(text)
    return Source(path)


def test_quotes_of_a_csv_become_ticks_and_steps(tmp_path: Path) -> None:
    source = written(
        tmp_path, "a.csv.gz",
        "ts_ms,bid,ask,bid_size,ask_size\n1000,1.10000,1.10002,250000,0\n1001,1.10001,1.10003,1,2\n",
    )  # fmt: skip
    found = load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")
    assert found.words.tolist() == [
        [1_000_000_000, 110_000, 110_002, 250, 0, 0],
        [1_001_000_000, 110_001, 110_003, 0, 0, 0],
    ]
    assert found.refused == 0


def test_what_no_gate_believes_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        "1000,1.10000,1.10002", "1001,1.10005,1.10002", "1002,0,1.1", "1003,1.1,1.1",
        "999,1.10000,1.10002", "1004,1.10000,1.20002", "1005,1.10001,1.10002",
    ]  # fmt: skip
    source = written(tmp_path, "a.csv.gz", "ts_ms,bid,ask\n" + "\n".join(rows) + "\n")
    found = load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, 0].tolist() == [1_000_000_000, 1_005_000_000]
    assert found.refused == 5
    again = load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")
    assert (again.refused, again.digest) == (5, found.digest)


def test_symbols_are_merged_by_time_and_at_one_instant_by_name(tmp_path: Path) -> None:
    pounds = written(tmp_path, "p.csv.gz", "ts_ms,bid,ask\n1,1.2,1.20001\n3,1.2,1.20001\n")
    euros = written(tmp_path, "e.csv.gz", "ts_ms,bid,ask\n1,1.1,1.10001\n2,1.1,1.10001\n")
    found = load({"GBPUSD": pounds, "EURUSD": euros}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, [0, 5]].tolist() == [
        [1_000_000, 0], [1_000_000, 1], [2_000_000, 0], [3_000_000, 1],
    ]  # fmt: skip


def test_columns_of_a_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    np.save(folder / "ts.npy", np.array([10, 20], np.int64))
    np.save(folder / "bid.npy", np.array([1.1, 1.1]))
    np.save(folder / "ask.npy", np.array([1.10001, 1.10002]))
    found = load({"EURUSD": Source(folder)}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, :3].tolist() == [[10, 110_000, 110_001], [20, 110_000, 110_002]]


def test_a_bar_is_walked_to_its_nearer_extreme_first(tmp_path: Path) -> None:
    source = written(
        tmp_path, "b.csv.gz",
        "time,open,high,low,close\n"
        "2024-01-01T00:00:00+00:00,1.10000,1.10010,1.09970,1.10005\n"
        "2024-01-01T01:00:00+00:00,1.10000,1.10030,1.09990,1.10005\n",
    )  # fmt: skip
    found = load({"EURUSD": Source(source.path, True)}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, 1].tolist() == [
        110_000, 110_010, 109_970, 110_005, 110_000, 109_990, 110_030, 110_005,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ts_ms,price\n1,2\n", "expected a column bid"),
        ("moment,bid,ask\n1,1.1,1.2\n", "expected a column of ts_ms"),
        ("ts_ms,bid,ask\n1,1.100004,1.10002\n", "in row 1"),
    ],
)
def test_what_holds_no_quotes_is_named(tmp_path: Path, text: str, said: str) -> None:
    source = written(tmp_path, "a.csv.gz", text)
    with pytest.raises(UnreadableQuotes, match=said):
        load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")


TIMES = np.arange(1, 5, dtype=np.int64) * 10**9
BIDS = np.array([1.1, 1.1, 1.10001, 1.1])


def folder_of(folder: Path, **columns: Any) -> Source:
    held: dict[str, Any] = {"ts": TIMES, "bid": BIDS, "ask": BIDS + 0.00001, **columns}
    for name, column in held.items():
        if isinstance(column, bytes):
            (folder / f"{name}.npy").write_bytes(column)
        elif column is not None:
            np.save(folder / f"{name}.npy", column)
    return Source(folder)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ask": BIDS[:3]}, "expected 4 values in ask, one for each instant, was 3"),
        ({"bid": BIDS.reshape(2, 2)}, "expected 4 values in bid, .* was 2 by 2"),
        ({"bid": BIDS.astype(object)}, "bid.npy: expected a whole .npy column"),
        ({"bid": b""}, "bid.npy: expected a whole .npy column"),
        ({"bid": np.array(["a", "b", "c", "d"])}, "expected numbers in bid"),
        ({"bid": None}, "expected a column bid"),
        ({"ts": TIMES * 1.0}, "expected instants in ts, was float64"),
        ({"ts": TIMES - 2 * 10**9}, "expected instants from 1970 .* was -1000000000 in row 1"),
        ({"ts": None, "ts_ms": TIMES * 10**7}, "expected instants from 1970 to 2262 in ts_ms"),
        ({"ask": BIDS}, "expected at least one quote that a gate would believe, was none of 4"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnreadableQuotes, match=said):
        load({"EURUSD": folder_of(tmp_path, **columns)}, CATALOG.instruments, tmp_path / "kept")


def test_columns_cut_off_are_named(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    whole = (tmp_path / "bid.npy").read_bytes()
    (tmp_path / "bid.npy").write_bytes(whole[:-5])
    with pytest.raises(UnreadableQuotes, match=r"expected a whole \.npy column"):
        load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")


@pytest.mark.parametrize("kind", ["csv.gz", "parquet"])
def test_a_file_cut_off_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.table({"ts_ms": [1], "bid": [1.1], "ask": [1.10001]}), file)
    else:
        written(tmp_path, file.name, "ts_ms,bid,ask\n" + "1,1.1,1.10001\n" * 1000)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UnreadableQuotes, match="expected a whole table of quotes"):
        load({"EURUSD": Source(file)}, CATALOG.instruments, tmp_path / "kept")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ts_ms,bid,ask,bid\n1,1.1,1.2,1.1\n", "expected each column once, was bid more than once"),
        ("ts_ms,bid,ask\n1,abc,1.2\n", "expected numbers in bid"),
        ("ts_ms,bid,ask\n", "was none of 0"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UnreadableQuotes, match=said):
        load(
            {"EURUSD": written(tmp_path, "a.csv.gz", text)}, CATALOG.instruments, tmp_path / "kept"
        )


def test_an_instant_too_far_or_missing_is_named(tmp_path: Path) -> None:
    for held, said in ((10**11, "from 1970 to 2262"), (None, "was nothing in row 2")):
        times = pa.array([1, held], pa.timestamp("s"))
        file = tmp_path / "a.parquet"
        parquet.write_table(
            pa.table({"time": times, "bid": [1.1, 1.1], "ask": [1.10001, 1.10001]}), file
        )
        with pytest.raises(UnreadableQuotes, match=said):
            load({"EURUSD": Source(file)}, CATALOG.instruments, tmp_path / "kept")


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_none_are_left_out_and_sizes_that_are_none_are_unknown(
    tmp_path: Path,
) -> None:
    bid, ask = BIDS.copy(), BIDS + 0.00001
    bid[0], ask[1] = np.nan, np.inf
    sizes = np.array([1.0, 1.0, np.nan, np.inf])
    source = folder_of(tmp_path, bid=bid, ask=ask, bid_size=sizes)
    found = load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, 0].tolist() == [3 * 10**9, 4 * 10**9]
    assert found.words[:, 3].tolist() == [0, 2**40]
    assert found.refused == 2


def test_times_in_another_column_are_seen_anew(tmp_path: Path) -> None:
    source = folder_of(tmp_path, ts=None, ts_ms=TIMES // MS_NS)
    load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")
    folder_of(tmp_path, ts=None, ts_ms=TIMES // MS_NS + 1)
    found = load({"EURUSD": source}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[0, 0] == 10**9 + MS_NS


def test_a_bar_of_quotes_is_walked_on_both_sides(tmp_path: Path) -> None:
    source = written(
        tmp_path, "b.csv.gz",
        "time_utc,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n"
        "2024-01-01 00:00:00,1.1,1.10010,1.0997,1.10005,1.10002,1.10014,1.09975,1.10006\n"
        "2024-01-01 01:00:00,1.1,1.10030,1.0999,1.10005,1.10002,1.10034,1.09995,1.10006\n",
    )  # fmt: skip
    found = load({"EURUSD": Source(source.path, True)}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:4, 1:3].tolist() == [
        [110_000, 110_002], [110_010, 110_014], [109_970, 109_975], [110_005, 110_006],
    ]  # fmt: skip
    assert found.words[4:, 1].tolist() == [110_000, 109_990, 110_030, 110_005]


def test_bars_that_contradict_themselves_are_left_out(tmp_path: Path) -> None:
    good = "1.1,1.2,1.0,1.15"
    rows = [good, ",1.2,1.0,1.15", "1.1,1.0,1.2,1.15", "0,0,0,0", "1.3,1.2,1.0,1.15", good]
    text = "".join(f"2024-01-0{1 + day},{row}\n" for day, row in enumerate(rows))
    source = written(tmp_path, "b.csv.gz", "date,Open,High,Low,Close\n" + text)
    found = load({"EURUSD": Source(source.path, True)}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, 1].tolist() == [110_000, 120_000, 100_000, 115_000] * 2
    assert found.refused == 16


def test_bars_are_read_from_a_folder_of_columns(tmp_path: Path) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close"), BIDS)
    source = folder_of(tmp_path, bid=None, ask=None, **prices)
    found = load({"EURUSD": Source(source.path, True)}, CATALOG.instruments, tmp_path / "kept")
    assert found.words[:, 1].tolist() == [110_000] * 8 + [110_001] * 4 + [110_000] * 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableQuotes, match="expected a file of quotes"):
        load({"EURUSD": Source(tmp_path / "no")}, CATALOG.instruments, tmp_path / "kept")


def settle(folder: Path) -> None:
    """Let time pass: make every note of a digest as young as one that may be believed."""
    for note in folder.glob("*.digest"):
        later = note.stat().st_mtime_ns + 2 * SETTLED_NS
        os.utime(note, ns=(later, later))


def not_read() -> str:
    raise AssertionError("the file was read again")


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    assert known_digest(tmp_path, "as said", [file], lambda: "first") == "first"
    settle(tmp_path)
    assert known_digest(tmp_path, "as said", [file], not_read) == "first"
    assert known_digest(tmp_path, "otherwise", [file], lambda: "second") == "second"


def test_a_file_just_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    assert known_digest(tmp_path, "", [file], lambda: "first") == "first"
    assert known_digest(tmp_path, "", [file], lambda: "again") == "again"


def test_other_content_of_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    text = "ts_ms,bid,ask\n1000,1.10000,1.10002\n"
    source = Source(tmp_path / "a.csv")
    source.path.write_text(text)
    kept = tmp_path / "kept"
    first = load({"EURUSD": source}, CATALOG.instruments, kept)
    settle(kept)
    stood = source.path.stat()
    source.path.write_text(text.replace("1.10000", "1.10001"))
    os.utime(source.path, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    other = load({"EURUSD": source}, CATALOG.instruments, kept)
    assert other.words[0, 1] == first.words[0, 1] + 1
    assert other.digest != first.digest
