"""Files of quotes become records: in ticks and steps, by time, and only what a gate believes."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from quantlab.market.catalog import parse_catalog
from quantlab_adapters.backtest_data.known import SETTLED_NS, known_digest
from quantlab_adapters.backtest_data.records import Source, load
from quantlab_adapters.backtest_data.sources import UnreadableQuotes

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
