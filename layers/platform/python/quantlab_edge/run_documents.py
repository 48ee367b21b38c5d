"""Live runs of strategies as REST shows and takes them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab_app.ports.live_strategies import Line, StrategyRun
from quantlab_app.use_cases.strategy_runs import LIMITS, WARM_UP_S_MAX
from quantlab_edge.http import ApiModel


class RunLimits(ApiModel):
    """What a run may take; reaching one ends it with that limit as its reason.

    Commands to the account a minute, orders that work at a time, instructions an event, memory.
    """

    orders_per_minute: Annotated[int, Field(ge=LIMITS["ordersPerMinute"][0],
                                            le=LIMITS["ordersPerMinute"][2])] = LIMITS[
        "ordersPerMinute"][1]  # fmt: skip
    open_orders: Annotated[int, Field(ge=LIMITS["openOrders"][0], le=LIMITS["openOrders"][2])] = (
        LIMITS["openOrders"][1]
    )
    fuel_per_event: Annotated[
        int, Field(ge=LIMITS["fuelPerEvent"][0], le=LIMITS["fuelPerEvent"][2])
    ] = LIMITS["fuelPerEvent"][1]
    memory_bytes: Annotated[
        int, Field(ge=LIMITS["memoryBytes"][0], le=LIMITS["memoryBytes"][2])
    ] = LIMITS["memoryBytes"][1]

    def as_limits(self) -> dict[str, int]:
        """Return the limits by their names."""
        return {
            "ordersPerMinute": self.orders_per_minute,
            "openOrders": self.open_orders,
            "fuelPerEvent": self.fuel_per_event,
            "memoryBytes": self.memory_bytes,
        }


class NewStrategyRun(ApiModel):
    """A version of a strategy to be put on a symbol of the account; the latest without version.

    It first runs over the recorded ticks of the last warmUpSeconds, and none of its orders counts.
    """

    strategy_id: UUID
    version: Annotated[int | None, Field(ge=1, lt=1 << 31)] = None
    symbol: Annotated[str, Field(min_length=1, max_length=64)]
    inputs: Annotated[
        dict[str, bool | int | float | str], Field(default_factory=dict, max_length=64)
    ]
    limits: RunLimits = RunLimits()
    warm_up_seconds: Annotated[int, Field(ge=0, le=WARM_UP_S_MAX)] = 0
    on_kill: Literal["cancel_orders", "keep_orders"] = "cancel_orders"


class StrategyRunOut(ApiModel):
    """A run: events is how many it was fed, orders the number of its last order.

    ordersSent went to the account's inbox, ordersRefused did not; stateHash is that of its state.
    """

    run_id: str
    account_id: str
    strategy_id: str
    version: int
    source_hash: str
    created_by: str
    symbol: str
    inputs: dict[str, Any]
    limits: RunLimits
    on_kill: Literal["cancel_orders", "keep_orders"]
    status: Literal["starting", "running", "stopping", "stopped", "killed", "failed"]
    reason: str | None
    detail: str | None
    began_at: str
    warm_up_seconds: int
    ended_at: str | None
    events: int
    orders: int
    orders_sent: int
    orders_refused: int
    state_hash: str | None


class RunLine(ApiModel):
    """An alert, a marker, a line of the log, or why an order was not sent; market time."""

    at: str
    kind: str
    text: str


class StrategyRunDetail(StrategyRunOut):
    """A run with the last lines of its log, the oldest first."""

    log: list[RunLine]


class StrategyRunPage(ApiModel):
    """Runs, the newest first."""

    items: list[StrategyRunOut]
    next_cursor: str | None = None


class EndedRuns(ApiModel):
    """The runs that a request has stopped or killed."""

    items: list[StrategyRunOut]


def shown_run(run: StrategyRun) -> StrategyRunOut:
    """Show a run."""
    return StrategyRunOut(**_fields(run))


def shown_detail(run: StrategyRun, lines: Sequence[Line]) -> StrategyRunDetail:
    """Show a run with its log."""
    log = [RunLine(at=format_rfc3339(one.ns), kind=one.kind, text=one.text) for one in lines]
    return StrategyRunDetail(**_fields(run), log=log)


def _fields(run: StrategyRun) -> dict[str, Any]:
    limits = {name: run.limits[name] for name in LIMITS}
    return {
        "run_id": run.run_id,
        "account_id": run.account_id,
        "strategy_id": run.strategy_id,
        "version": run.version,
        "source_hash": run.source_hash,
        "created_by": run.created_by,
        "symbol": run.symbol,
        "inputs": dict(run.inputs),
        "limits": RunLimits.model_validate(limits),
        "on_kill": "cancel_orders" if run.cancels_orders else "keep_orders",
        "status": run.status,
        "reason": run.reason,
        "detail": run.detail,
        "began_at": format_rfc3339(run.live_ns),
        "warm_up_seconds": (run.live_ns - run.began_ns) // SECOND_NS,
        "ended_at": None if run.ended_ns is None else format_rfc3339(run.ended_ns),
        "events": run.events,
        "orders": run.orders,
        "orders_sent": run.orders_sent,
        "orders_refused": run.orders_refused,
        "state_hash": run.state_hash,
    }
