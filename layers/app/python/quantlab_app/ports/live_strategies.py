"""Strategies that run live: the runs, what each was fed, and the sandbox they run in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from quantlab.live.tray import Given
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.inbox import NewCommand

TOPIC: Final = "strategy_runs"
"""Where a tenant is named whose runs have changed."""

RunStatus = Literal["starting", "running", "stopping", "stopped", "killed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRun:
    """A run of a version of a strategy on an account.

    terms are those of `quantlab.live.terms`, limits what it may do. events and words count what was
    fed and is durable, orders is the number of the last order in it, state_hash that of the state
    after it. Its time begins at began_ns, with the first tick it warms up over; its orders count
    from live_ns on. feed_seqs has the last quote by symbol, account_seq the last event of the
    account.
    """

    run_id: str
    account_id: str
    strategy_id: str
    version: int
    source_hash: str
    user_id: str | None
    created_by: str
    symbol: str
    inputs: Mapping[str, Any]
    terms: Mapping[str, Any] = field(repr=False)
    limits: Mapping[str, int]
    status: RunStatus
    reason: str | None
    detail: str | None
    holder_id: str | None
    cancels_orders: bool
    began_ns: int
    live_ns: int
    ended_ns: int | None
    events: int
    orders: int
    orders_sent: int
    orders_refused: int
    state_hash: str | None
    feed_seqs: Mapping[str, int]
    account_seq: int


@dataclass(frozen=True, slots=True)
class Line:
    """An alert, a marker or a line of a strategy's log, or what the runner says of an order."""

    ns: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    """All of a run's state after a step: the program's as bytes, their SHA-256, the desk's."""

    image: bytes = field(repr=False)
    image_hash: str
    desk: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot(NewSnapshot):
    """A snapshot that was kept: after which step, what the state hashed to, its last order."""

    step: int
    state_hash: str
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a run was fed since the last step, and what comes of it: all of it or nothing is kept.

    words are events as they were fed. commands go to the account's inbox. A run that is warming up
    is not running yet.
    """

    words: bytes
    events: int
    orders: int
    state_hash: str
    feed_seqs: Mapping[str, int]
    account_seq: int
    commands: Sequence[NewCommand] = ()
    refused: int = 0
    lines: Sequence[Line] = ()
    warming: bool = False
    snapshot: NewSnapshot | None = None


class StrategyRuns(Protocol):
    """The runs of a tenant, with their journals."""

    async def add(self, scope: Scope, run: StrategyRun, per_account_max: int) -> bool:
        """Store a new run; False when the account has that many live ones."""
        ...

    async def page(
        self, scope: Scope, account_id: str, *, before: str | None, limit: int
    ) -> Sequence[StrategyRun]:
        """Return an account's runs, the newest first, before one of them."""
        ...

    async def find(self, scope: Scope, account_id: str, run_id: str) -> StrategyRun | None:
        """Return one run."""
        ...

    async def lines(self, scope: Scope, run_id: str, limit: int) -> Sequence[Line]:
        """Return the last lines of a run's log, oldest first."""
        ...

    async def live(self) -> Sequence[str]:
        """Return the tenants with a run that has not ended."""
        ...

    async def open_runs(self, tenant_id: str) -> Sequence[StrategyRun]:
        """Return a tenant's runs that have not ended."""
        ...

    async def claim(self, tenant_id: str, run_id: str, holder_id: str) -> StrategyRun | None:
        """Become the one that feeds a run: whoever did before cannot keep anything any more."""
        ...

    async def journal(
        self, tenant_id: str, run_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, bytes]]:
        """Return steps of what a run was fed, by number, oldest first."""
        ...

    async def snapshots(self, tenant_id: str, run_id: str) -> Sequence[Snapshot]:
        """Return the snapshots of a run that are kept, the newest first: two at most."""
        ...

    async def keep(self, tenant_id: str, run: StrategyRun, step: Step) -> bool:
        """Keep a step and put its commands into the inbox, in one transaction.

        With a third snapshot the oldest goes, and the journal up to the older of the two left;
        so do all but the newest lines of the log. False, and nothing kept, where the run is held by
        another, was killed, or has ended.
        """
        ...

    async def ask_to_stop(
        self, scope: Scope, account_id: str | None, run_id: str | None, *, kill: bool, now_ns: int
    ) -> Sequence[StrategyRun]:
        """Stop or kill a run, those of an account, or those of the tenant; return which did.

        A killed run has ended, with the return of this: no order of it is accepted any more. One
        that is stopped runs its `on stop` first.
        """
        ...

    async def end(
        self, tenant_id: str, run: StrategyRun, status: RunStatus, reason: str, detail: str,
        now_ns: int, commands: Sequence[NewCommand] = (),
    ) -> bool:  # fmt: skip
        """End a run that its holder holds, and put commands into the inbox, in one transaction.

        False, and nothing done, where it has ended or another holds it.
        """
        ...


class RunEnded(Exception):
    """A strategy cannot run or go on: the slug of why, and the text that says it."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a run is begun with: all that its state depends on, and what it may take."""

    source: str
    inputs: Mapping[str, Any]
    terms: Mapping[str, Any]
    began_ns: int
    fuel_per_event: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of events: entries in order, a trap or "", the number of the last order."""

    given: Sequence[Given]
    trap: str
    orders: int
    next_due_ns: int
    state_hash: str


class LiveProgram(Protocol):
    """A strategy in its sandbox."""

    @property
    def symbols(self) -> Sequence[str]:
        """Return the program's symbols by number."""
        ...

    async def feed(self, words: bytes, *, hashed: bool) -> Answer:
        """Feed events; raises RunEnded where the sandbox has ended."""
        ...

    async def snapshot(self) -> tuple[Answer, bytes]:
        """Return the state's hash, and all of the state as bytes that only `restore` reads."""
        ...

    async def restore(self, image: bytes) -> Answer:
        """Take a state up and return its hash; one that does not fit changes nothing."""
        ...

    async def close(self) -> None:
        """End the sandbox."""
        ...


class StrategySandbox(Protocol):
    """Where live strategies run."""

    async def open(self, program: Program) -> LiveProgram:
        """Begin a program; raises RunEnded where it does not compile or may not run."""
        ...
