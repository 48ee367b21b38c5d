"""Shards of a sweep as platforms start them: a process each, killed, run again, put together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from tests.support import backtest_runs as runs
from typer.testing import CliRunner

from quantlab_adapters.aws.clients import Clients
from quantlab_edge.backtest import EngineFiles
from quantlab_server.backtests.shards import shard_of
from quantlab_server.cli.main import app
from quantlab_server.refusal import Refusal

AXES = ("--axis", "fast=5..20:5", "--axis", "slow=30,50", "--metric", "netProfit")
SHARDS = 3  # of 8 runs: 2, 3 and 3
KUBERNETES, BATCH = "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"


@pytest.fixture(scope="module")
def quotes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = runs.walk(4_000)
    words[:, 0] = runs.START_NS + (words[:, 0] - runs.START_NS) * 300
    rows = [f"{t // 10**6},{b / 1e5:.5f},{a / 1e5:.5f}" for t, b, a in words[:, :3].tolist()]
    file = tmp_path_factory.mktemp("quotes") / "quotes.csv"
    file.write_text("\n".join(["ts_ms,bid,ask", *rows]) + "\n")
    return file


@pytest.fixture
def given(quotes: Path, engine: EngineFiles) -> list[str]:
    return ["examples/sma_cross.qls", "--ticks", f"EURUSD={quotes}", *AXES]


@pytest.fixture(autouse=True)
def no_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KUBERNETES, BATCH, "AWS_BATCH_JOB_ARRAY_SIZE"):
        monkeypatch.delenv(name, raising=False)


def sweep(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["sweep", *arguments])
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["sweep", *arguments])
    assert isinstance(done.exception, Refusal), done.output
    return str(done.exception)


def start(place: object, *more: str, **variables: str) -> "subprocess.Popen[str]":
    """Start the process of a shard as a platform does: the same words, another variable."""
    return subprocess.Popen(
        [sys.executable, "-m", "quantlab_server", "sweep", "shard", str(place), *more],
        env=os.environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> str:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def split(given: list[str], place: object, *more: str) -> str:
    return sweep("split", *given, "--place", str(place), "--shards", str(SHARDS), *more)


def run_all(place: Path) -> None:
    for shard in range(SHARDS):
        sweep("shard", str(place), "--shard", f"{shard}/{SHARDS}")


def shard_file(place: Path, shard: int) -> Path:
    return place / f"shard-{shard:05}-of-{SHARDS:05}.jsonl"


def test_shards_of_processes_are_the_sweep_of_one(given: list[str], tmp_path: Path) -> None:
    place, single, whole = tmp_path / "place", tmp_path / "single", tmp_path / "whole"
    document, merged = tmp_path / "single.json", tmp_path / "merged.json"
    sweep("run", *given, "--lowest", "--out", str(single), "--json", str(document))
    assert "8 runs in 3 shards of at most 3" in split(given, place, "--lowest")
    for line, name in zip(range(SHARDS), (KUBERNETES, BATCH, KUBERNETES), strict=True):
        wanted = len(range(8 * line // 3, 8 * (line + 1) // 3))
        said = ended(start(place, **{name: str(line)}))
        assert f"shard {line} of 3: {wanted} runs of {wanted} were made" in said
    sweep("merge", str(place), "--out", str(whole), "--json", str(merged))
    for name in ("results.jsonl", "sweep.json"):
        assert (whole / name).read_bytes() == (single / name).read_bytes()
    assert merged.read_bytes() == document.read_bytes()
    # Once more changes nothing, a shard's file least of all.
    before = {file.name: file.stat().st_mtime_ns for file in place.glob("shard-*")}
    assert "0 runs of 3 were made" in sweep("shard", str(place), "--shard", "1/3")
    assert {file.name: file.stat().st_mtime_ns for file in place.glob("shard-*")} == before
    split(given, place, "--lowest")
    # The folder is one that a single process would go on with.
    assert "0 runs of 8 were made" in sweep("run", *given, "--lowest", "--out", str(whole))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_shard_that_was_killed_goes_on_where_it_was(
    given: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    place = tmp_path / "place"
    many = [*given, "--axis", "lots=0.01..1.00:0.01"]  # 800 runs
    split(many, place)
    file, kills = shard_file(place, 1), number == signal.SIGKILL
    process = start(place, "--save-every", "0" if kills else "3600", **{KUBERNETES: "1"})
    until = time.monotonic() + 120
    while not (_stored(file) >= 20 if kills else _catches_sigterm(process)):
        assert process.poll() is None
        assert time.monotonic() < until
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (-number if kills else 128 + number), said
    done = _stored(file)
    wanted = len(range(800 // 3, 1600 // 3))
    assert 0 <= done < wanted
    said = ended(start(place, **{KUBERNETES: "1"}))
    assert f"shard 1 of 3: {wanted - done} runs of {wanted} were made" in said


def _stored(file: Path) -> int:
    """Return how many runs a shard has stored: none before its file is there."""
    return file.read_bytes().count(b"\n") - 1 if file.exists() else 0


def _catches_sigterm(process: "subprocess.Popen[str]") -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_sweep_that_is_not_whole_is_not_merged(given: list[str], tmp_path: Path) -> None:
    place = tmp_path / "place"
    assert "no sweep is there (split.json is missing)" in refused("merge", str(place))
    split(given, place)
    run_all(place)
    whole = {shard: shard_file(place, shard).read_bytes() for shard in range(SHARDS)}
    shard_file(place, 1).unlink()
    shard_file(place, 2).write_bytes(whole[2][: whole[2][:-1].rfind(b"\n") + 1])
    said = refused("merge", str(place))
    assert "2 of 3 shards are not done: run them again: 1 (0 of 3 runs), 2 (2 of 3 runs)" in said
    # Another shard's results under this one's name.
    shard_file(place, 2).write_bytes(whole[1])
    shard_file(place, 1).write_bytes(whole[1])
    assert "shard-00002-of-00003.jsonl is not of this sweep: shard differ" in refused(
        "merge", str(place)
    )
    header, *rows = whole[2].splitlines(keepends=True)
    taken = whole[1].splitlines(keepends=True)[1]
    for lines, wanted in (
        ([header, *rows, rows[0]], "expected at most 3 runs, was 4"),
        ([header, rows[0], rows[0], rows[1]], "is in shard-00002-of-00003.jsonl too"),
        ([header, taken, *rows[1:]], "is in shard-00001-of-00003.jsonl too"),
        ([header, rows[1], rows[0], rows[2]], "not those of the sweep, or not in its order"),
        ([header, b"nonsense\n", *rows[1:]], "line 1: expected a result of a sweep"),
        ([b"nonsense\n", *rows], "expected the results of a shard"),
    ):
        shard_file(place, 2).write_bytes(b"".join(lines))
        assert wanted in refused("merge", str(place))
    shard_file(place, 2).write_bytes(b"".join([header, rows[1]]))
    said = refused("shard", str(place), "--shard", "2/3")
    assert "shard-00002-of-00003.jsonl holds other runs than those of this shard" in said


@pytest.mark.parametrize(
    ("more", "differs"),
    [
        (("--set", "lots=0.02"), "combinations, fixed"),
        (("--metric", "sharpe"), "metric"),
        (("--axis", "lots=0.01,0.02"), "combinations, runs"),
    ],
)
def test_a_shard_of_another_sweep_is_refused(
    given: list[str], tmp_path: Path, more: tuple[str, ...], differs: str
) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    split(given, place)
    split([*given, *more], other)
    run_all(place)
    run_all(other)
    shard_file(place, 1).write_bytes(shard_file(other, 1).read_bytes())
    for command in (("merge", str(place)), ("shard", str(place), "--shard", "1/3")):
        assert f"is not of this sweep: {differs} differ" in refused(*command)
    said = refused("split", *given, *more, "--place", str(place), "--shards", "3")
    assert "another sweep, or another split of it, is there already" in said


def test_a_machine_that_would_run_something_else_runs_nothing(
    given: list[str], tmp_path: Path
) -> None:
    place = tmp_path / "place"
    split(given, place)
    document = json.loads((place / "split.json").read_bytes())
    for name in ("engine", "dataDigest", "sourceHash", "account"):
        other = document | {"sweep": document["sweep"] | {name: "0" * 32}}
        (place / "split.json").write_text(json.dumps(other))
        said = refused("shard", str(place), "--shard", "0/3")
        assert f"than the one that was split: {name} differ" in said
    (place / "split.json").write_text(json.dumps(document | {"axes": ["fast=5..20:5"]}))
    assert "combinations differ" in refused("shard", str(place), "--shard", "0/3")
    (place / "split.json").write_text(json.dumps(document | {"runs": "many"}))
    assert "split.json: runs: " in refused("shard", str(place), "--shard", "0/3")
    outside = document | {"files": {"../outside": "0"}}
    (place / "split.json").write_text(json.dumps(outside))
    assert "expected a name below the folder" in refused("shard", str(place), "--shard", "0/3")
    (place / "split.json").write_text(json.dumps(document | {"random": 0, "seed": 2}))
    (file,) = (place / "input" / "quotes" / "EURUSD").iterdir()
    file.write_text("ts_ms,bid,ask\n")
    assert "quotes.csv has changed" in refused("shard", str(place), "--shard", "0/3")
    file.unlink()
    assert "quotes.csv is missing" in refused("shard", str(place), "--shard", "0/3")
    assert not list(place.glob("shard-*"))


def test_rules_news_and_columns_travel_with_the_sweep(engine: EngineFiles, tmp_path: Path) -> None:
    words, place, columns = runs.walk(3_000), tmp_path / "place", tmp_path / "columns"
    columns.mkdir()
    for name, column in {
        "ts": runs.START_NS + (words[:, 0] - runs.START_NS) * 300,
        "bid": words[:, 1] / 1e5,
        "ask": words[:, 2] / 1e5,
    }.items():
        np.save(columns / f"{name}.npy", column)
    news = tmp_path / "news.json"
    news.write_text('{"format": 1, "until": "2030-01-01T00:00:00Z", "events": []}')
    given = ["examples/sma_cross.qls", "--ticks", f"EURUSD={columns}", *AXES, "--random", "5"]
    given += ["--profile", "northwind-capital/demo-100k", "--seed", "7", "--trace"]
    given += ["--news", str(news)]
    split(given, place)
    configs = {
        str(path.relative_to(place / "input/configs"))
        for path in place.rglob("*.json")
        if path.is_relative_to(place / "input/configs")
    }
    assert {"instruments.json", "tenants/northwind-capital.json"} <= configs
    assert "tenants/blue-harbor.json" not in configs
    for shard in range(SHARDS):
        ended(start(place, "--shard", f"{shard}/3", PYTHONHASHSEED=str(shard)))
    single, whole = tmp_path / "single", tmp_path / "whole"
    sweep("run", *given, "--out", str(single))
    sweep("merge", str(place), "--out", str(whole))
    found = (whole / "results.jsonl").read_bytes()
    assert found == (single / "results.jsonl").read_bytes()
    assert len({json.loads(line)["traceHash"] for line in found.splitlines()}) == 5


@pytest.mark.parametrize(
    ("asked", "environment", "said"),
    [
        (None, {}, "expected --shard INDEX/4, or one of JOB_COMPLETION_INDEX and"),
        (None, {KUBERNETES: "1", BATCH: "1"}, "was JOB_COMPLETION_INDEX and AWS_BATCH"),
        (None, {KUBERNETES: "4"}, "JOB_COMPLETION_INDEX: expected 0 to 3, was '4'"),
        (None, {BATCH: "x"}, "AWS_BATCH_JOB_ARRAY_INDEX: expected 0 to 3, was 'x'"),
        (None, {BATCH: "1", "AWS_BATCH_JOB_ARRAY_SIZE": "5"}, "ARRAY_SIZE: expected 4"),
        ("1/5", {}, "--shard: expected INDEX/4, as the split says, was '1/5'"),
        ("-1/4", {}, "--shard: expected 0 to 3, was '-1'"),
        ("4/4", {KUBERNETES: "1"}, "--shard: expected 0 to 3, was '4'"),
        ("1", {}, "--shard: expected INDEX/4"),
    ],
)
def test_a_shard_must_be_one_of_them(
    asked: str | None, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(Refusal) as caught:
        shard_of(asked, environment, 4)
    assert said in str(caught.value)


def test_a_shard_is_said_by_a_platform_or_by_hand() -> None:
    assert shard_of(None, {KUBERNETES: "0"}, 4) == 0
    assert shard_of(None, {BATCH: "3", "AWS_BATCH_JOB_ARRAY_SIZE": "4"}, 4) == 3
    assert shard_of("2/4", {KUBERNETES: "1"}, 4) == 2


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    Clients().s3.create_bucket(Bucket="sweeps")
    yield "s3://sweeps/one"
    running.stop()


def test_a_bucket_serves_as_well_as_a_folder(given: list[str], tmp_path: Path, bucket: str) -> None:
    assert "expected a folder or s3://BUCKET/PREFIX" in refused("merge", "s3://sweeps")
    assert "NoSuchBucket" in refused("merge", "s3://elsewhere/one")
    assert f"{bucket}: " not in split(given, bucket)
    for shard in (0, 1):
        sweep("shard", bucket, "--shard", f"{shard}/{SHARDS}")
    assert "1 of 3 shards are not done" in refused("merge", bucket)
    ended(start(bucket, **{BATCH: "2", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}))
    single = tmp_path / "single"
    sweep("run", *given, "--out", str(single))
    sweep("merge", bucket, "--out", str(tmp_path / "merged"))
    found = (tmp_path / "merged" / "results.jsonl").read_bytes()
    assert found == (single / "results.jsonl").read_bytes()


def test_a_job_of_kubernetes_runs_each_shard_once(given: list[str], tmp_path: Path) -> None:
    place = tmp_path / "place"
    split(given, place)
    wanted = ["kubernetes", str(place), "--image", "registry.example/quantlab:1"]
    assert "expected --claim where PLACE is a folder" in refused(*wanted)
    text = sweep(*wanted, "--claim", "sweeps", "--parallelism", "2", "--cpu", "1.5")
    job = json.loads(text)
    kubernetes_validate.validate(job, "1.34", strict=True)
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 2)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/quantlab:1"
    assert container["resources"]["limits"] == {"cpu": "1.5", "memory": "2Gi"}
    mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert mounted == {"/cache": "cache", str(place): "place"}
    # What the container runs, run here, is a shard.
    assert container["command"] == ["quantlab"]
    arguments = container["args"]
    assert arguments[:3] == ["sweep", "shard", str(place)]
    assert "3 runs of 3 were made" in ended(start(place, *arguments[3:], **{KUBERNETES: "2"}))
