"""Log files are rotated, lines carry names, a lost reader loses nothing."""

import io
import os
from pathlib import Path

import pytest

from quantlab_server import logs
from quantlab_server.logs import Console, Output, rotate


def carry(output: Output, name: str, text: bytes) -> None:
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    output.carry(name, os.fdopen(read, "rb")).join(5)


def test_lines_reach_the_file_and_the_console(tmp_path: Path) -> None:
    stream = io.StringIO()
    carry(Output(tmp_path, Console(stream)), "worker:feed", b"one\ntwo \xff\n")
    assert (tmp_path / "worker.feed.log").read_bytes() == b"one\ntwo \xff\n"
    assert stream.getvalue() == (
        f"{'worker:feed':<22}| one\n{'worker:feed':<22}| two \N{REPLACEMENT CHARACTER}\n"
    )


def test_a_new_run_begins_a_new_file_a_restart_does_not(tmp_path: Path) -> None:
    first = Output(tmp_path)
    carry(first, "server", b"first\n")
    carry(first, "server", b"restarted\n")
    carry(Output(tmp_path), "server", b"second\n")
    assert (tmp_path / "server.log").read_bytes() == b"second\n"
    assert (tmp_path / "server.log.1").read_bytes() == b"first\nrestarted\n"


def test_only_the_last_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    for number in range(logs.FILES_KEPT + 4):
        path.write_text(str(number))
        rotate(path)
    kept = sorted(tmp_path.iterdir())
    assert [file.name for file in kept] == [
        f"server.log.{number}" for number in range(1, logs.FILES_KEPT + 1)
    ]
    assert kept[0].read_text() == str(logs.FILES_KEPT + 3)


def test_a_file_that_grew_too_large_is_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 8)
    carry(Output(tmp_path), "server", b"123456789\nnext\n")
    assert (tmp_path / "server.log.1").read_bytes() == b"123456789\n"
    assert (tmp_path / "server.log").read_bytes() == b"next\n"


def test_a_console_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as stream:
        console = Console(stream)
        carry(Output(tmp_path, console), "server", b"one\ntwo\n")
        assert (tmp_path / "server.log").read_bytes() == b"one\ntwo\n"
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
