"""Read and judge function.toml; every fault names file, key, what was expected and what was got."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from quantlab_manifest.duration import milliseconds
from quantlab_manifest.model import (
    ALARMS,
    KINDS,
    Alarm,
    DeployWake,
    GatewayWake,
    HttpWake,
    Kind,
    Manifest,
    Profile,
    QueueWake,
    ScheduleWake,
    SocketWake,
    Wake,
    WorkerWake,
)

FILE: Final = "function.toml"
NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
HTTP_PREFIX: Final = re.compile(r"\$default|/|(/([a-z0-9._-]+|\{[a-z][A-Za-z]*\}))+")
SOCKET_ROUTE: Final = re.compile(r"\$connect|\$disconnect|\$default|[a-z][a-z_]*")
MEMORY_MB: Final = range(128, 10_241)
TIMEOUT_S: Final = range(1, 901)
CONCURRENCY: Final = range(1, 1_001)
PROFILES: Final[tuple[Profile, ...]] = ("selfhost", "aws")
KEYS: Final = frozenset(
    {
        "name", "kind", "description", "memory_mb", "timeout_s", "concurrency", "ports", "alarms",
        "wake",
    }
)  # fmt: skip
T = TypeVar("T")


class ManifestError(Exception):
    """Say which key of which manifest is wrong."""

    def __init__(self, file: Path, key: str, expected: str, got: object) -> None:
        super().__init__(f"{file}: {key}: expected {expected}, got {got!r}")
        self.file = file
        self.key = key


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table that knows where it stands."""

    file: Path
    path: str
    values: dict[str, Any]

    def only(self, allowed: frozenset[str]) -> None:
        for key in self.values:
            if key not in allowed:
                names = ", ".join(sorted(allowed)) or "nothing"
                raise ManifestError(self.file, self.path + key, f"one of {names}", key)

    def take(self, key: str, kind: type[T]) -> T:
        value = self.values.get(key)
        # TOML's true is Python's True, which is an int.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ManifestError(self.file, self.path + key, kind.__name__, value)
        return value

    def text(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self.take(key, str)
        if pattern.fullmatch(value) is None:
            raise ManifestError(self.file, self.path + key, f"text like {pattern.pattern}", value)
        return value

    def texts(self, key: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """Take one text, or a list of at least one."""
        held = self.values.get(key)
        values = held if isinstance(held, list) and held else [held]
        for value in values:
            if not isinstance(value, str) or pattern.fullmatch(value) is None:
                expected = f"text like {pattern.pattern}, or a list of such"
                raise ManifestError(self.file, self.path + key, expected, value)
        return tuple(values)

    def number(self, key: str, allowed: range) -> int:
        value = self.take(key, int)
        if value not in allowed:
            expected = f"a whole number from {allowed.start} to {allowed.stop - 1}"
            raise ManifestError(self.file, self.path + key, expected, value)
        return value

    def flag(self, key: str) -> bool:
        """Take true or false; what is not there is false."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise ManifestError(self.file, self.path + key, "true or false", value)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list)
        for value in values:
            if not isinstance(value, str) or NAME.fullmatch(value) is None:
                raise ManifestError(self.file, self.path + key, "names in lower case", value)
        if len(set(values)) != len(values):
            raise ManifestError(self.file, self.path + key, "each name once", values)
        return tuple(values)

    def table(self, key: str) -> "_Table":
        return _Table(self.file, f"{self.path}{key}.", self.take(key, dict))


def load(file: Path) -> Manifest:
    """Read one manifest and see that it fits the folder it stands in."""
    if not file.is_file():
        raise ManifestError(file, "(file)", "a manifest in every function folder", "none")
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ManifestError(file, "(file)", "readable TOML", str(error)) from error
    table = _Table(file, "", values)
    table.only(KEYS)
    name, kind = _identity(table)
    return Manifest(
        name=name,
        kind=kind,
        description=table.text("description", re.compile(r"\S.{8,198}\.")),
        memory_mb=table.number("memory_mb", MEMORY_MB),
        timeout_s=table.number("timeout_s", TIMEOUT_S),
        concurrency=table.number("concurrency", CONCURRENCY),
        ports=table.names("ports"),
        alarms=_alarms(table),
        wake=WAKES[kind](_wake_table(table, kind)),
        folder=file.parent,
    )


def load_all(root: Path) -> tuple[Manifest, ...]:
    """Read every manifest below the functions folder, in the order of kind and name."""
    manifests = tuple(
        load(folder / FILE)
        for kind in KINDS
        for folder in sorted((root / kind).glob("*"))
        if folder.name != "__pycache__" and _holds_something(folder)
    )
    _each_once(manifests)
    return manifests


def _identity(table: _Table) -> tuple[str, Kind]:
    folder = table.file.parent
    name = table.text("name", NAME)
    if name != folder.name:
        raise ManifestError(table.file, "name", f"the folder's name {folder.name}", name)
    kind = table.take("kind", str)
    if kind not in KINDS:
        raise ManifestError(table.file, "kind", f"one of {', '.join(KINDS)}", kind)
    if kind != folder.parent.name:
        raise ManifestError(table.file, "kind", f"the folder's kind {folder.parent.name}", kind)
    return name, kind


def _alarms(table: _Table) -> tuple[Alarm, ...]:
    alarms = table.names("alarms")
    for alarm in alarms:
        if alarm not in ALARMS:
            raise ManifestError(table.file, "alarms", f"some of {', '.join(ALARMS)}", alarm)
    return cast(tuple[Alarm, ...], alarms)


def _wake_table(table: _Table, kind: Kind) -> _Table:
    if kind == "worker" and "wake" not in table.values:
        return _Table(table.file, "wake.", {})
    return table.table("wake")


def _http(table: _Table) -> Wake:
    table.only(frozenset({"prefix", "router", "public", "raw"}))
    prefixes = table.texts("prefix", HTTP_PREFIX)
    public, raw = table.flag("public"), table.flag("raw")
    return HttpWake(prefixes, table.text("router", NAME), public=public, raw=raw)


def _socket(table: _Table) -> Wake:
    table.only(frozenset({"route"}))
    return SocketWake(table.text("route", SOCKET_ROUTE))


def _queue(table: _Table) -> Wake:
    table.only(frozenset({"queue", "gathers"}))
    return QueueWake(table.text("queue", NAME), gathers=table.flag("gathers"))


def _schedule(table: _Table) -> Wake:
    table.only(frozenset({"every"}))
    text = table.take("every", str)
    every_ms = milliseconds(text)
    if every_ms is None:
        raise ManifestError(table.file, "wake.every", "an ISO 8601 duration such as PT5M", text)
    return ScheduleWake(every_ms)


def _worker(table: _Table) -> Wake:
    table.only(frozenset({"only"}))
    if "only" not in table.values:
        return WorkerWake()
    only = table.take("only", str)
    if only not in PROFILES:
        raise ManifestError(table.file, "wake.only", f"one of {', '.join(PROFILES)}", only)
    return WorkerWake(only)


def _gateway(table: _Table) -> Wake:
    table.only(frozenset({"asks"}))
    return GatewayWake(table.text("asks", NAME))


def _deploy(table: _Table) -> Wake:
    table.only(frozenset({"resource"}))
    return DeployWake(table.text("resource", NAME))


WAKES: Final[dict[Kind, Callable[[_Table], Wake]]] = {
    "http": _http,
    "socket": _socket,
    "queue": _queue,
    "schedule": _schedule,
    "worker": _worker,
    "gateway": _gateway,
    "deploy": _deploy,
}


def _holds_something(folder: Path) -> bool:
    """Pass over the empty folder that a deleted function leaves behind."""
    return folder.is_dir() and any(entry.name != "__pycache__" for entry in folder.iterdir())


def _each_once(manifests: tuple[Manifest, ...]) -> None:
    """Refuse two functions woken by the same thing: only one of them would ever run."""
    seen: dict[object, Manifest] = {}
    for manifest in manifests:
        for woken_by in _exclusive(manifest.wake):
            other = seen.setdefault(woken_by, manifest)
            if other is not manifest:
                raise ManifestError(
                    manifest.folder / FILE,
                    "wake",
                    f"something that wakes {other.name} not",
                    woken_by,
                )


def _exclusive(wake: Wake) -> tuple[object, ...]:
    if isinstance(wake, HttpWake):
        return wake.prefixes
    return () if isinstance(wake, ScheduleWake | WorkerWake) else (wake,)
