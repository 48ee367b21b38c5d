"""A sweep split into shards: PLACE/split.json says all that a shard needs, on any machine.

A shard runs combinations that follow one another, so that the shards' results one after the other
are the results of the sweep.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from quantlab_edge.places import Place
from quantlab_server.backtests.axes import axes_of, drawn, grid
from quantlab_server.backtests.evaluating import Setup
from quantlab_server.backtests.given import Bench, fixed_of, sources_of
from quantlab_server.backtests.sweeping import key_of, manifest_of
from quantlab_server.refusal import Refusal

SPLIT: Final = "split.json"
CONFIGS: Final = "input/configs"
# As many as an array job of AWS Batch may have.
SHARDS_MAX: Final = 10_000


class Asked(NamedTuple):
    """A sweep as it was asked for."""

    setup: Setup
    axes: tuple[str, ...]
    set_: tuple[str, ...]
    random: int
    seed: int
    lowest: bool


class Combinations(NamedTuple):
    """All the combinations of a sweep, in its order, and what they have in common."""

    fixed: dict[str, Any]
    all: list[dict[str, Any]]

    def keys(self, some: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the keys of some of them."""
        return [key_of({**self.fixed, **one}) for one in some]

    def digest(self) -> str:
        """Return the hash of all, in their order."""
        return digest_of(self.keys(self.all))


def digest_of(keys: Iterable[str]) -> str:
    """Return the hash of the keys of combinations, in their order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def combinations_of(bench: Bench, asked: Asked) -> Combinations:
    """Return the combinations of inputs that were asked for, or raise Refusal."""
    fixed = fixed_of(bench.program, asked.set_)
    axes = axes_of(bench.program, asked.axes, fixed)
    found = drawn(axes, asked.random, asked.seed) if asked.random else list(grid(axes))
    return Combinations(fixed, found)


def sweep_of(bench: Bench, setup: Setup, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what results of a sweep depend on beside the inputs on axes."""
    said = {"profile": setup.profile, "fixed": dict(fixed), "metric": setup.metric}
    return manifest_of(bench, {**said, "traced": setup.traced})


class Split(BaseModel, frozen=True, extra="forbid"):
    """A sweep that was split: what is run, of which files, in how many shards."""

    format: int = Field(default=1, ge=1, le=1)
    shards: int = Field(ge=1, le=SHARDS_MAX)
    runs: int = Field(ge=1)
    combinations: str
    axes: list[str]
    set: list[str]
    random: int
    seed: int
    lowest: bool
    strategy: str
    ticks: list[str]
    bars: list[str]
    news: str | None
    files: dict[str, str]
    sweep: dict[str, Any]

    def asked(self, root: Path) -> Asked:
        """Return the sweep, with its files below a folder."""
        setup = Setup(
            root / self.strategy,
            tuple(_below(root, one) for one in self.ticks),
            tuple(_below(root, one) for one in self.bars),
            self.sweep["profile"],
            root / CONFIGS,
            self.sweep["metric"],
            traced=self.sweep["traced"],
            news=None if self.news is None else root / self.news,
        )
        axes, set_ = tuple(self.axes), tuple(self.set)
        return Asked(setup, axes, set_, self.random, self.seed, self.lowest)

    def written(self) -> bytes:
        """Return it as its place holds it."""
        return self.model_dump_json(indent=1).encode() + b"\n"

    def digest(self) -> str:
        """Return its hash."""
        return _sha256(self.written())

    def part(self, shard: int) -> range:
        """Return the places of a shard's combinations."""
        return range(self.runs * shard // self.shards, self.runs * (shard + 1) // self.shards)

    def header(self, shard: int) -> dict[str, Any]:
        """Return what the results of a shard say of themselves."""
        fields = {"format", "runs", "combinations", "seed", "lowest", "sweep"}
        return {"shard": shard, "of": self.shards, **self.model_dump(include=fields)}

    def bench(self, root: Path) -> tuple[Bench, Combinations]:
        """Read all a shard needs, or raise Refusal where it is not what was split."""
        asked = self.asked(root)
        bench = asked.setup.bench()
        found = combinations_of(bench, asked)
        here = {**sweep_of(bench, asked.setup, found.fixed), "combinations": found.digest()}
        wanted = {**self.sweep, "combinations": self.combinations}
        if other := differing(here, wanted):
            raise Refusal(
                f"this machine would run another sweep than the one that was split:"
                f" {', '.join(other)} differ; run the same version of QuantLabEngine"
            )
        return bench, found


def differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Return the names of what two documents differ in, those of a sweep by themselves."""
    found = []
    for name in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(name), right.get(name)
        if name == "sweep" and isinstance(ours, dict) and isinstance(theirs, dict):
            found += differing(ours, theirs)
        elif ours != theirs:
            found.append(name)
    return found


def split_sweep(asked: Asked, shards: int, place: Place) -> Split:
    """Put a sweep and its files into a place; the same again changes nothing."""
    bench = asked.setup.bench()
    found = combinations_of(bench, asked)
    files = _files(asked.setup)
    split = Split(
        shards=shards,
        runs=len(found.all),
        combinations=found.digest(),
        axes=list(asked.axes),
        set=list(asked.set_),
        random=asked.random,
        seed=asked.seed,
        lowest=asked.lowest,
        strategy=_strategy(asked.setup),
        ticks=[f"{one}={_source(one, file)}" for one, file in _sources(asked.setup.ticks)],
        bars=[f"{one}={_source(one, file)}" for one, file in _sources(asked.setup.bars)],
        news=None if asked.setup.news is None else _news(asked.setup.news),
        files={name: _sha256(path.read_bytes()) for name, path in files.items()},
        sweep=sweep_of(bench, asked.setup, found.fixed),
    )
    known = place.load(SPLIT)
    if known is not None and known != split.written():
        raise Refusal(f"another sweep, or another split of it, is there already ({SPLIT})")
    for name, path in files.items():
        place.store(name, path.read_bytes())
    place.store(SPLIT, split.written())  # last: where it is, the files are
    return split


def read_split(place: Place) -> Split:
    """Read the sweep that was put into a place."""
    content = place.load(SPLIT)
    if content is None:
        raise Refusal(f"no sweep is there ({SPLIT} is missing): see quantlab sweep split")
    try:
        return Split.model_validate_json(content)
    except ValidationError as error:
        one = error.errors()[0]
        where = ".".join(map(str, one["loc"]))
        raise Refusal(f"{SPLIT}: {where}: {one['msg']}") from error


def fetch(place: Place, split: Split, root: Path) -> None:
    """Bring the files of a sweep into a folder; those that are there are not fetched again."""
    for name, digest in split.files.items():
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise Refusal(f"{SPLIT}: files: expected a name below the folder, was {name!r}")
        if path.is_file() and _sha256(path.read_bytes()) == digest:
            continue
        content = place.load(name)
        if content is None or _sha256(content) != digest:
            what = "is missing" if content is None else "has changed"
            raise Refusal(f"{name} {what} since the sweep was split: split it into another place")
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def _files(setup: Setup) -> dict[str, Path]:
    """Return the files of a sweep by their names in a place."""
    files = {_strategy(setup): setup.strategy}
    for symbol, file in (*_sources(setup.ticks), *_sources(setup.bars)):
        name = _source(symbol, file)
        inner = sorted(file.glob("*.npy")) if file.is_dir() else None
        files |= {name: file} if inner is None else {f"{name}/{one.name}": one for one in inner}
    if setup.news is not None:
        files[_news(setup.news)] = setup.news
    configs = ["instruments.json"]
    if setup.profile is not None:
        configs += ["tenant.schema.json", f"tenants/{setup.profile.partition('/')[0]}.json"]
        found = sorted(setup.configs.glob("profiles/*.json"))
        configs += [str(path.relative_to(setup.configs)) for path in found]
    return files | {f"{CONFIGS}/{name}": setup.configs / name for name in configs}


def _sources(given: Sequence[str]) -> list[tuple[str, Path]]:
    return [(one, source.path) for one, source in sources_of(given, ()).items()] if given else []


def _source(symbol: str, file: Path) -> str:
    return f"input/quotes/{quote(symbol, safe='')}/{file.name}"


def _strategy(setup: Setup) -> str:
    return f"input/{setup.strategy.name}"


def _news(file: Path) -> str:
    return f"input/news/{file.name}"


def _below(root: Path, source: str) -> str:
    symbol, _, name = source.partition("=")
    return f"{symbol}={root / name}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
