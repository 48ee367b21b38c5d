"""What the parent of a backtest makes of a child that ends, lies, or says too much."""

import asyncio
import json
import os
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from quantlab.market.quote import Quote
from quantlab_adapters.backtest_runs import runner
from quantlab_adapters.backtest_runs.runner import ChildBacktestRunner, ChildSettings
from quantlab_app.ports.backtests import BacktestFailed, BacktestFiles, BacktestJob

JOB = BacktestJob(
    backtest_id="run",
    lease_id="one",
    source="on tick\n    flatten()\n",
    name="x",
    inputs={},
    seed=0,
)
HEAD = """
import json, os, resource, signal, struct, sys
def say(data):
    os.write(1, struct.pack("<I", len(data)) + data)
(length,) = struct.unpack("<I", os.read(0, 4))
request = json.loads(sys.stdin.buffer.raw.read(length))
"""
NAMES = list(BacktestFiles.__dataclass_fields__)


async def ticks(count: int) -> AsyncIterator[Sequence[Quote]]:
    yield [Quote("EURUSD", 100 + n, 102 + n, 10**18 + n, n + 1) for n in range(count)]


def running(folder: Path, child: str) -> ChildBacktestRunner:
    command = (sys.executable, "-c", HEAD + child)
    return ChildBacktestRunner(ChildSettings(command, folder, folder, folder / "spool"))


async def run(folder: Path, child: str, count: int = 3) -> tuple[BacktestFiles, list[int]]:
    seen: list[int] = []
    files = await running(folder, child).run(
        JOB, {"EURUSD": ticks(count)}, lambda done, _: seen.append(done)
    )
    return files, seen


async def test_ticks_are_spooled_and_parts_come_together(tmp_path: Path) -> None:
    child = """
file = request["quotes"]["EURUSD"]
data = open(file, "rb").read()
say(b'{"taken": 2}')
say(b'{"taken": 99}')
say(b'{"parts": {"result": 2, "details": 1, "report": 0}}')
say(data[:48]); say(data[48:]); say(b"long")
"""
    files, seen = await run(tmp_path, child)
    rows = list(struct.iter_unpack("<6q", files.result))
    assert rows == [(10**18 + n, 100 + n, 102 + n, 0, 0, 0) for n in range(3)]
    assert (files.details, files.report) == (b"long", b"")
    assert seen == [0, 2, 3]
    assert list((tmp_path / "spool").iterdir()) == []


ENDS = {
    "import time; os.kill(os.getpid(), signal.SIGXCPU); time.sleep(9)": "cpu_limit",
    "import time; os.kill(os.getpid(), signal.SIGSYS); time.sleep(9)": "forbidden_call",
    "os.kill(os.getpid(), signal.SIGABRT)": "memory_limit",
    "sys.exit(3)": "child_lost",
    "os.write(1, struct.pack('<I', 50) + b'cut')": "child_lost",
    "os.write(1, struct.pack('<I', 2**31))": "forbidden_call",
    "say(b'not json')": "forbidden_call",
    "say(b'[]')": "forbidden_call",
    'say(b\'{"parts": {"result": 1}}\')': "forbidden_call",
    "say(b'{\"parts\": []}')": "forbidden_call",
    'say(b\'{"taken": "many"}\')': "forbidden_call",
    'say(b\'{"parts": {"result": "x", "details": 1, "report": 1}}\')': "forbidden_call",
    'say(b\'{"failed": "not_run", "detail": "why"}\')': "not_run",
}


@pytest.mark.parametrize("child", ENDS)
async def test_every_other_end_has_a_name(tmp_path: Path, child: str) -> None:
    with pytest.raises(BacktestFailed) as failed:
        await run(tmp_path, child)
    assert failed.value.slug == ENDS[child]
    assert list((tmp_path / "spool").iterdir()) == []


async def test_too_much_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RESULT_BYTES_MAX", 100)
    parts = json.dumps({"parts": dict.fromkeys(NAMES, 2)})
    child = f"say({parts.encode()!r})\nfor _ in range(6): say(b'x' * 40)\n"
    with pytest.raises(BacktestFailed) as failed:
        await run(tmp_path, child)
    assert failed.value.slug == "results_too_large"


async def test_no_ticks_are_no_run(tmp_path: Path) -> None:
    with pytest.raises(BacktestFailed) as failed:
        await run(tmp_path, "", count=0)
    assert failed.value.slug == "no_ticks"


async def test_a_cancelled_run_leaves_no_child_and_no_file(tmp_path: Path) -> None:
    """The child's folder and its process are gone when the cancelling is over."""
    child = """
import time
say(b'{"taken": 1}')
open(request["configs"] + "/pid", "w").write(f"{os.getpid()} ")
time.sleep(60)
"""
    task = asyncio.create_task(run(tmp_path, child))
    said = tmp_path / "pid"
    while not said.exists() or not said.read_text().endswith(" "):
        await asyncio.sleep(0.01)
    pid = int(said.read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((tmp_path / "spool").iterdir()) == []


async def test_what_a_killed_worker_left_is_cleared(tmp_path: Path) -> None:
    left, others = tmp_path / "spool" / "run.zero", tmp_path / "spool" / "other.one"
    for folder in (left, others):
        folder.mkdir(parents=True)
    with pytest.raises(BacktestFailed):
        await run(tmp_path, "sys.exit(1)")
    assert list((tmp_path / "spool").iterdir()) == [others]
