"""Events on EventBridge, beside the bus that the platform's own processes listen to."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from quantlab.kernel.instants import format_rfc3339
from quantlab_adapters.aws.clients import Clients
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sockets import EVENTS, EventBus

if TYPE_CHECKING:
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE: Final = "quantlab"
ENTRIES_MAX: Final = 10
BYTES_MAX: Final = 256 * 1024


class EventBridgeBus:
    """EventBus port: everything goes to the inner bus, topic `events` to EventBridge as well.

    What could not be sent is a fault, so that the outbox sends it again: receivers go by streamId
    and seq.
    """

    def __init__(self, inner: EventBus, clients: Clients, bus_name: str) -> None:
        self._inner = inner
        self._clients = clients
        self._bus_name = bus_name

    async def publish(self, topic: str, body: bytes) -> None:
        if topic != EVENTS:
            await self._inner.publish(topic, body)
            return
        done = await asyncio.gather(
            self._inner.publish(topic, body), self._put(body), return_exceptions=True
        )
        for outcome in done:
            if outcome is not None:
                raise outcome

    async def listen(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        await self._inner.listen(topics, on_message, on_attached)

    async def _put(self, body: bytes) -> None:
        for group in _groups(self._bus_name, orjson.loads(body)):
            await self._put_group(group)

    async def _put_group(self, group: "list[PutEventsRequestEntryTypeDef]") -> None:
        answer = await self._clients.call(lambda: self._clients.events.put_events(Entries=group))
        if answer["FailedEntryCount"]:
            codes = {entry.get("ErrorCode") for entry in answer["Entries"]} - {None}
            raise StoreUnavailable(f"AWS PutEvents: {', '.join(sorted(map(str, codes)))}")


def _groups(
    bus_name: str, message: dict[str, Any]
) -> "Iterator[list[PutEventsRequestEntryTypeDef]]":
    """Divide a message's events into calls: ten entries and 256 KB each at most."""
    group: list[PutEventsRequestEntryTypeDef] = []
    size = 0
    for stream in message["streams"]:
        for event in stream["events"]:
            entry, length = _entry(bus_name, message["tenantId"], stream["streamId"], event)
            if group and (len(group) == ENTRIES_MAX or size + length > BYTES_MAX):
                yield group
                group, size = [], 0
            group.append(entry)
            size += length
    if group:
        yield group


def _entry(
    bus_name: str, tenant_id: str, stream_id: str, event: dict[str, Any]
) -> "tuple[PutEventsRequestEntryTypeDef, int]":
    """Write one event and its size; a payload no entry can hold is left out, and that said."""
    detail = {
        "tenantId": tenant_id,
        "streamId": stream_id,
        "seq": event["seq"],
        "occurredAt": format_rfc3339(event["occurredNs"]),
        "payload": event["payload"],
    }
    kind = event["eventType"]
    length = len(SOURCE) + len(kind) + len(text := orjson.dumps(detail))
    if length > BYTES_MAX:
        text = orjson.dumps({**detail, "payload": None, "payloadOmitted": True})
        length = len(SOURCE) + len(kind) + len(text)
    return {
        "EventBusName": bus_name,
        "Source": SOURCE,
        "DetailType": kind,
        "Detail": text.decode(),
    }, length
