"""What a function folder says about itself, as frozen data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["http", "socket", "queue", "schedule", "worker", "gateway", "deploy"]
Profile = Literal["selfhost", "aws"]
Alarm = Literal[
    "errors", "throttles", "duration", "queue_age", "dead_letters", "restarts", "lag", "missed_runs"
]

KINDS: Final[tuple[Kind, ...]] = (
    "http", "socket", "queue", "schedule", "worker", "gateway", "deploy",
)  # fmt: skip
AWS_KINDS: Final[frozenset[Kind]] = frozenset({"gateway", "deploy"})
EVERYTHING_ELSE: Final = "$default"
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
    """Requests below some paths; the handler holds a router under the given name.

    The path EVERYTHING_ELSE stands for all that no other function answers. What is public takes no
    credentials on any of its routes. What is raw reads its requests itself, starts without FastAPI,
    and is described by a module of its own beside the handler.
    """

    prefixes: tuple[str, ...]
    router: str
    public: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True)
class SocketWake:
    """Messages of one WebSocket route."""

    route: str


@dataclass(frozen=True, slots=True)
class QueueWake:
    """Messages of one queue; one that gathers holds them back for a while, for a larger batch."""

    queue: str
    gathers: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleWake:
    """A timer."""

    every_ms: int


@dataclass(frozen=True, slots=True)
class WorkerWake:
    """Nothing: a worker runs all the time, in one profile only where that is named."""

    only: Profile | None = None


@dataclass(frozen=True, slots=True)
class GatewayWake:
    """A question of the gateway in front of HTTP functions."""

    asks: str


@dataclass(frozen=True, slots=True)
class DeployWake:
    """A resource of a deployment that a function makes, changes and ends."""

    resource: str


Wake = HttpWake | SocketWake | QueueWake | ScheduleWake | WorkerWake | GatewayWake | DeployWake


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

    def runs_on(self, profile: Profile) -> bool:
        """Say whether a profile has this function at all."""
        if isinstance(self.wake, WorkerWake):
            return self.wake.only in {None, profile}
        return profile == "aws" or self.kind not in AWS_KINDS
