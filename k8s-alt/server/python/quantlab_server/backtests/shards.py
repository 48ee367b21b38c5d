"""The shards of a sweep that was split: one is run, all are put together.

What a shard has done is one file of its place, stored whole every now and then: a line that says
of what, then a line for each run. A shard that is started again runs what is missing.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from quantlab.backtest.account import NotRun
from quantlab_app.ports.errors import Fault
from quantlab_edge.places import Place, place_at
from quantlab_server.backtests.evaluating import Row, evaluators, processes
from quantlab_server.backtests.given import native_folder
from quantlab_server.backtests.progress import bar
from quantlab_server.backtests.splitting import Split, differing, digest_of, fetch
from quantlab_server.backtests.sweeping import Kept, line_of, rows_of, run_all
from quantlab_server.refusal import Refusal

# Numbers of a shard, from 0: a Job of Kubernetes that is indexed, an array job of AWS Batch.
INDEXES: Final = ("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX")
ARRAY_SIZE: Final = "AWS_BATCH_JOB_ARRAY_SIZE"
SAVE_EVERY_S: Final = 30.0
_SHOWN: Final = 20


@contextmanager
def shared(where: str) -> Iterator[Place]:
    """Open a place; what cannot be stored or read there is a Refusal that names it."""
    try:
        with place_at(where) as place:
            yield place
    except (Fault, OSError) as error:
        raise Refusal(f"{where}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name != "botocore":
            raise
        raise Refusal(f"{where}: expected botocore, which is missing: install aws") from error


def shard_of(asked: str | None, environment: Mapping[str, str], shards: int) -> int:
    """Return the number of the shard to run: INDEX/COUNT as asked, else from the environment."""
    if asked is not None:
        index, _, count = asked.partition("/")
        where = "--shard"
        if count != str(shards):
            raise Refusal(f"--shard: expected INDEX/{shards}, as the split says, was {asked!r}")
    else:
        given = [name for name in INDEXES if environment.get(name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise Refusal(
                f"expected --shard INDEX/{shards}, or one of {' and '.join(INDEXES)} in the"
                f" environment, was {found}"
            )
        where, index = given[0], environment[given[0]]
    size = environment.get(ARRAY_SIZE)
    if asked is None and where == INDEXES[1] and size and size != str(shards):
        raise Refusal(f"{ARRAY_SIZE}: expected {shards}, as the split says, was {size!r}")
    if not (index.isascii() and index.isdigit() and int(index) < shards):
        raise Refusal(f"{where}: expected 0 to {shards - 1}, was {index!r}")
    return int(index)


def run_shard(place: Place, split: Split, shard: int, jobs: int, save_every_s: float) -> int:
    """Run what is missing of a shard; return how many runs were made."""
    root = native_folder() / "sweeps" / split.digest()[:24]
    fetch(place, split, root)
    bench, found = split.bench(root)
    part = split.part(shard)
    mine = found.all[part.start : part.stop]
    saved = _Saved(place, split, shard, save_every_s)
    before = len(saved.rows)
    if [row["key"] for row in saved.rows] != found.keys(mine[:before]):
        raise Refusal(f"{name_of(split, shard)} holds other runs than those of this shard")
    kept, quotes = Kept(saved.rows, saved.keep), len(bench.records.words)
    setup = split.asked(root).setup
    try:
        with (
            _ended_in_order(),
            evaluators(setup, bench, processes(jobs, len(part) * quotes)) as evaluate,
            bar("runs") as progress,
            saved,
        ):
            run_all(mine, found.fixed, kept, evaluate, quotes, progress)
    except NotRun as error:
        raise Refusal(str(error)) from error
    return len(saved.rows) - before


class _Saved:
    """The rows of a shard, stored from time to time and when it ends, however it does."""

    def __init__(self, place: Place, split: Split, shard: int, every_s: float) -> None:
        self._place, self._name, self._every_s = place, name_of(split, shard), every_s
        found = read_shard(place, split, shard)
        self.rows = found or []
        self._header = line_of(split.header(shard))
        self._stored = None if found is None else len(found)
        self._at = time.monotonic()

    def keep(self, row: Row) -> None:
        self.rows.append(row)
        if time.monotonic() - self._at >= self._every_s:
            self._store()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stored != len(self.rows):
            self._store()

    def _store(self) -> None:
        lines = b"".join(map(line_of, self.rows))
        self._place.store(self._name, self._header + lines)
        self._stored, self._at = len(self.rows), time.monotonic()


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let what a platform sends before it kills end the run by an exception."""

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def name_of(split: Split, shard: int) -> str:
    """Return the name of the file of a shard's results."""
    return f"shard-{shard:05}-of-{split.shards:05}.jsonl"


def read_shard(place: Place, split: Split, shard: int) -> list[Row] | None:
    """Return what a shard has done, None where nothing is there, or raise Refusal."""
    name = name_of(split, shard)
    content = place.load(name)
    if content is None:
        return None
    first, _, lines = content.partition(b"\n")
    try:
        header = dict(json.loads(first))
    except (ValueError, TypeError) as error:
        raise Refusal(f"{name}: expected the results of a shard, was {first[:60]!r}") from error
    if other := differing(header, split.header(shard)):
        raise Refusal(f"{name} is not of this sweep: {', '.join(other)} differ")
    rows = rows_of(lines, name)
    if len(rows) > len(split.part(shard)):
        raise Refusal(
            f"{name}: expected at most {len(split.part(shard)):,} runs, was {len(rows):,}"
        )
    return rows


def merged(place: Place, split: Split) -> list[Row]:
    """Return the rows of a sweep in its order, all of them and each once, or raise Refusal."""
    found = [read_shard(place, split, shard) for shard in range(split.shards)]
    missing = [
        f"{shard} ({len(rows or ()):,} of {len(split.part(shard)):,} runs)"
        for shard, rows in enumerate(found)
        if rows is None or len(rows) < len(split.part(shard))
    ]
    if missing:
        more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        raise Refusal(
            f"{len(missing):,} of {split.shards:,} shards are not done: run them again:"
            f" {', '.join(missing[:_SHOWN])}{more}"
        )
    parts = [rows or [] for rows in found]
    _refuse_doubled(split, parts)
    whole = [row for rows in parts for row in rows]
    if digest_of(str(row["key"]) for row in whole) != split.combinations:
        raise Refusal("the runs of the shards are not those of the sweep, or not in its order")
    return whole


def _refuse_doubled(split: Split, parts: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    seen: dict[Any, int] = {}
    for shard, rows in enumerate(parts):
        for row in rows:
            key = row["key"]
            if key in seen:
                raise Refusal(
                    f"{name_of(split, shard)}: run {key} is in {name_of(split, seen[key])} too"
                )
            seen[key] = shard
