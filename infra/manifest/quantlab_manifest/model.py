"""What a function folder says about itself, as frozen data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["http", "socket", "queue", "schedule", "worker"]
Alarm = Literal[
    "errors", "throttles", "duration", "queue_age", "dead_letters", "restarts", "lag", "missed_runs"
]

KINDS: Final[tuple[Kind, ...]] = ("http", "socket", "queue", "schedule", "worker")
ALARMS: Final[tuple[Alarm, ...]] = (
    "errors",
    "throttles",
    "duration",
    "queue_age",
    "dead_letters",
    "restarts",
    "lag",
    "missed_runs",
)


@dataclass(frozen=True, slots=True)
class HttpWake:
    """Requests below some paths; the handler holds a router under the given name."""

    prefixes: tuple[str, ...]
    router: str


@dataclass(frozen=True, slots=True)
class SocketWake:
    """Messages of one WebSocket route."""

    route: str


@dataclass(frozen=True, slots=True)
class QueueWake:
    """Messages of one queue."""

    queue: str


@dataclass(frozen=True, slots=True)
class ScheduleWake:
    """A timer."""

    every_ms: int


@dataclass(frozen=True, slots=True)
class WorkerWake:
    """Nothing: a worker runs all the time."""


Wake = HttpWake | SocketWake | QueueWake | ScheduleWake | WorkerWake


@dataclass(frozen=True, slots=True)
class Manifest:
    """One deployable: what wakes it, what it may use, how large it is, what is watched."""

    name: str
    kind: Kind
    description: str
    memory_mb: int
    timeout_s: int
    concurrency: int
    ports: tuple[str, ...]
    alarms: tuple[Alarm, ...]
    wake: Wake
    folder: Path

    @property
    def module(self) -> str:
        """Name the module of the handler."""
        return f"functions.{self.kind}.{self.name}.handler"
