"""What became of signals: deliveries with their timelines, totals, dead letters."""

from collections.abc import Mapping, Sequence

from quantlab.engine.commands import Event
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.inbox import Delivery
from quantlab_app.ports.signals import SignalTotals
from quantlab_app.use_cases.visibility import require_visible, visible_ids

DEAD_EVENT = "command.dead"


@dataclass(frozen=True, slots=True)
class Step:
    """One point of a timeline; at_ns is None where no moment was recorded."""

    event: str
    at_ns: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Tracked:
    """A delivery and its timeline."""

    delivery: Delivery
    timeline: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which signals, newest first: those of one account, in one state, before an inbox id."""

    account_id: str | None
    status: str | None
    before: int | None
    limit: int


async def read_deliveries(ports: Ports, scope: Scope, wanted: DeliveryFilter) -> Sequence[Tracked]:
    """Return bots' signals; refused ones, which have no account, only to those who see all."""
    accounts = await visible_ids(ports, scope)
    if wanted.account_id is not None:
        await require_visible(ports, scope, (wanted.account_id,))
        accounts = (wanted.account_id,)
    deliveries = await ports.inbox.deliveries(
        scope,
        source_kind="bot",
        account_ids=accounts,
        status=wanted.status,
        before=wanted.before,
        limit=wanted.limit,
    )
    histories = await ports.inbox.histories(scope, deliveries)
    return [_tracked(delivery, histories) for delivery in deliveries]


async def read_delivery(ports: Ports, scope: Scope, signal_id: str) -> Tracked:
    """Return what became of one signal or order; NotFound when it is not visible."""
    delivery = await ports.inbox.delivery(scope, signal_id)
    if delivery is None:
        raise NotFound("signal")
    if delivery.account_id is not None:
        await require_visible(ports, scope, (delivery.account_id,))
    elif scope.owns_only or delivery.source_kind != "bot":
        raise NotFound("signal")
    return await tracked(ports, scope, delivery)


async def tracked(ports: Ports, scope: Scope, delivery: Delivery) -> Tracked:
    """Return a delivery with its timeline."""
    return _tracked(delivery, await ports.inbox.histories(scope, (delivery,)))


async def read_totals(ports: Ports, scope: Scope) -> SignalTotals:
    """Return how the attempts of the tenant's bots ended; NotFound for those who see a part."""
    if scope.owns_only:
        raise NotFound("totals")
    return await ports.signal_counts.totals(scope.tenant_id)


async def read_dead(
    ports: Ports, scope: Scope, before: int | None, limit: int
) -> Sequence[Delivery]:
    """Return commands that failed too often, newest first, whoever gave them."""
    return await ports.inbox.deliveries(
        scope, source_kind=None, account_ids=None, status="dead", before=before, limit=limit
    )


def _tracked(delivery: Delivery, histories: Mapping[str, Sequence[Event]]) -> Tracked:
    events = histories.get(delivery.signal_id)
    steps = _recorded(events) if events else _awaited(delivery)
    return Tracked(delivery, tuple(steps))


def _recorded(events: Sequence[Event]) -> list[Step]:
    return [Step(event.event_type, event.occurred_ns, _reason(event)) for event in events]


def _reason(event: Event) -> str | None:
    for key in ("reason", "rule"):
        reason = event.payload.get(key)
        if isinstance(reason, str):
            return reason
    return None


def _awaited(delivery: Delivery) -> list[Step]:
    """Tell what is known before the events are written, or when they never will be."""
    steps = []
    if delivery.source_kind == "bot":
        steps.append(Step("webhook.received", delivery.received_ns, None))
        if delivery.status == "refused":
            return [*steps, Step("webhook.rejected", None, delivery.reason)]
        steps.append(Step("webhook.validated", delivery.received_ns, None))
    if delivery.status == "dead":
        steps.append(Step(DEAD_EVENT, delivery.done_ns, delivery.reason))
    return steps
