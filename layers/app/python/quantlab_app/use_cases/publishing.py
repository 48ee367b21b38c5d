"""How what was committed is told, and sending again what perhaps never was; receivers go by seq."""

from typing import Final

import orjson

from quantlab.engine.commands import Event
from quantlab.ledger.state import Account
from quantlab_app.ports.container import Ports
from quantlab_app.ports.sockets import EVENTS
from quantlab_app.use_cases import audit

ACCOUNTS_TOPIC: Final = "accounts"
BATCH_MAX: Final = 256
UNSENT_S: Final = 2.0
# The sweep stands in for queue functions that are down; it leaves them time to do it themselves.
ABANDONED_S: Final = 5.0


def events_message(tenant_id: str, streams: dict[str, list[Event]]) -> bytes:
    """Write the message of topic `events`: the events of some streams in order of seq."""
    return orjson.dumps(
        {
            "tenantId": tenant_id,
            "streams": [
                {
                    "streamId": stream_id,
                    "events": [
                        {
                            "seq": event.seq,
                            "eventType": event.event_type,
                            "occurredNs": event.occurred_ns,
                            "payload": event.payload,
                        }
                        for event in events
                    ],
                }
                for stream_id, events in streams.items()
            ],
        }
    )


def accounts_message(accounts: dict[str, Account]) -> bytes:
    """Write the message of topic `accounts`: the state account_watch judges ticks against."""
    return orjson.dumps(list(accounts.values()))


async def republish(ports: Ports, tenant_id: str, older_than_s: float) -> int:
    """Send one batch of a tenant's unsent events; return how many outbox rows it settled."""
    outbox_ids, streams = await ports.outbox.unpublished(tenant_id, older_than_s, BATCH_MAX)
    if not outbox_ids:
        return 0
    found = {unsent.stream_id: list(unsent.events) for unsent in streams}
    await ports.event_bus.publish(EVENTS, events_message(tenant_id, found))
    await ports.outbox.drop(tenant_id, outbox_ids)
    return len(outbox_ids)


async def sweep_outbox(ports: Ports) -> int:
    """Take one turn for every tenant whose rows nobody has taken; return the rows settled."""
    settled = 0
    for tenant_id in await ports.outbox.tenants_waiting("publish", ABANDONED_S):
        settled += await republish(ports, tenant_id, ABANDONED_S)
    for tenant_id in await ports.outbox.tenants_waiting("audit", ABANDONED_S):
        settled += await audit.append_pending(ports, tenant_id)
    return settled
