"""Backtests: the queue of runs, what carries one out, and the files of its results."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from quantlab.market.quote import Quote
from quantlab.tenancy.scope import Scope

BacktestStatus = Literal["queued", "running", "done", "failed", "cancelled"]
Held = Literal["held", "cancel", "lost"]
Full = Literal["user", "tenant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A run. user_id is its owner, None for the firm; a run of no saved version has a source.

    The range [from_ns, to_ns) is of recorded ticks. ticks_total is known when they were gathered.
    summary has the main figures; error is the slug of what stopped it.
    """

    backtest_id: str
    user_id: str | None
    created_by: str
    strategy_id: str | None
    version: int | None
    source_hash: str
    symbols: tuple[str, ...]
    from_ns: int
    to_ns: int
    account_type: str | None
    config_version: str | None
    inputs: Mapping[str, Any]
    seed: int
    created_ns: int
    status: BacktestStatus = "queued"
    error: str | None = None
    error_detail: str | None = None
    ticks_total: int | None = None
    ticks_done: int = 0
    attempts: int = 0
    cancel_requested: bool = False
    started_ns: int | None = None
    ended_ns: int | None = None
    trace_hash: str | None = None
    summary: Mapping[str, Any] | None = None
    result_key: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this worker holds, with the source and the name of its strategy."""

    backtest: Backtest
    source: str
    name: str
    lease_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended."""

    status: Literal["done", "failed", "cancelled"]
    ended_ns: int
    error: str | None = None
    error_detail: str | None = None
    ticks_done: int | None = None
    ticks_total: int | None = None
    trace_hash: str | None = None
    summary: Mapping[str, Any] | None = None
    result_key: str | None = None


class Backtests(Protocol):
    """The runs of a tenant. A run is held by one worker at a time, for as long as its lease."""

    async def add(
        self, scope: Scope, backtest: Backtest, source: str | None, user_max: int, tenant_max: int
    ) -> Full | None:
        """Queue a run; say whose limit of runs that wait or run is reached, if one is."""
        ...

    async def page(
        self,
        scope: Scope,
        *,
        user_id: str | None,
        status: BacktestStatus | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Backtest]:
        """Return runs, the newest first, before one of that moment and id: a user's, or all."""
        ...

    async def find(self, scope: Scope, backtest_id: str) -> Backtest | None:
        """Return one run."""
        ...

    async def cancel(self, scope: Scope, backtest_id: str, now_ns: int) -> bool:
        """End a run that waits, have one ended that runs; False when it has ended already."""
        ...

    async def waiting(self, now_ns: int) -> Sequence[str]:
        """Return the tenants that have a run which nobody holds."""
        ...

    async def claim(
        self, scope: Scope, lease_id: str, now_ns: int, until_ns: int
    ) -> Claimed | None:
        """Hold the oldest run of the tenant that nobody holds, and count the attempt."""
        ...

    async def renew(
        self, scope: Scope, claimed: Claimed, until_ns: int, done: int, total: int | None
    ) -> Held:
        """Go on holding a run and note its progress; say whether it is to be ended, or lost."""
        ...

    async def release(self, scope: Scope, claimed: Claimed) -> None:
        """Let another worker take a run; the attempt does not count."""
        ...

    async def end(self, scope: Scope, claimed: Claimed, ending: Ending) -> bool:
        """End a run; False, and nothing changed, when this worker does not hold it any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestJob:
    """All a run depends on but its ticks. config is a tenant's resolved one, for account_type.

    lease_id names the attempt: of two at one run only the one that holds it is listened to.
    """

    backtest_id: str
    lease_id: str
    source: str
    name: str
    inputs: Mapping[str, Any]
    seed: int
    account_type: str | None = None
    profile: str = ""
    config: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BacktestFiles:
    """What a run leaves: JSON without and with the long lists, and a page of HTML."""

    result: bytes
    details: bytes
    report: bytes


class BacktestFailed(Exception):
    """A run ended without results: slug names why, the text says it."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


class BacktestRunner(Protocol):
    """Runs one backtest behind the walls of a sandbox; when it is cancelled nothing is left."""

    async def run(
        self,
        job: BacktestJob,
        ticks: Mapping[str, AsyncIterator[Sequence[Quote]]],
        on_progress: Callable[[int, int], None],
    ) -> BacktestFiles:
        """Run over ticks by symbol, each oldest first; on_progress gets ticks done, and all.

        Raises BacktestFailed.
        """
        ...


class ResultFiles(Protocol):
    """Durable storage of results by key."""

    async def store(self, key: str, content: bytes) -> None:
        """Store a file whole; one of that key is replaced."""
        ...

    async def load(self, key: str) -> bytes:
        """Return a file; NotFound when there is none."""
        ...
