"""Events on EventBridge, beside the bus that the platform's own processes listen to."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from quantlab.kernel.instants import format_rfc3339
from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.together import Faults, Together
from quantlab_app.ports.errors import Fault, StoreUnavailable
from quantlab_app.ports.sockets import EVENTS, EventBus

if TYPE_CHECKING:
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE: Final = "quantlab"
ENTRIES_MAX: Final = 10
BYTES_MAX: Final = 256 * 1024


# An entry of PutEvents and its size.
_Sized = tuple["PutEventsRequestEntryTypeDef", int]
# Entries of one call, each with the place of the message that it is of.
_Group = list[tuple[int, "PutEventsRequestEntryTypeDef"]]


class EventBridgeBus:
    """EventBus port: everything goes to the inner bus, topic `events` to EventBridge as well.

    What could not be sent is a fault, so that the outbox sends it again: receivers go by streamId
    and seq. Messages that are published at the same moment share calls.
    """

    def __init__(self, inner: EventBus, clients: Clients, bus_name: str) -> None:
        self._inner = inner
        self._clients = clients
        self._bus_name = bus_name
        self._puts: Together[list[_Sized]] = Together(self._put)

    async def publish(self, topic: str, body: bytes) -> None:
        if topic != EVENTS:
            await self._inner.publish(topic, body)
            return
        done = await asyncio.gather(
            self._inner.publish(topic, body),
            self._puts.do(_entries(self._bus_name, orjson.loads(body))),
            return_exceptions=True,
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

    async def _put(self, messages: Sequence[list[_Sized]]) -> Faults:
        faults: list[Fault | None] = [None] * len(messages)
        for group in _groups(messages):
            for place, code in (await self._put_group(group)).items():
                faults[place] = StoreUnavailable(f"AWS PutEvents: {code}")
        return faults

    async def _put_group(self, group: _Group) -> dict[int, str]:
        """Make one call; return the messages of which an entry was refused, and why."""
        entries = [entry for _, entry in group]
        answer = await self._clients.call(lambda: self._clients.events.put_events(Entries=entries))
        if not answer["FailedEntryCount"]:
            return {}
        told = zip(group, answer["Entries"], strict=True)
        return {place: one["ErrorCode"] for (place, _), one in told if "ErrorCode" in one}


def _entries(bus_name: str, message: dict[str, Any]) -> list[_Sized]:
    return [
        _entry(bus_name, message["tenantId"], stream["streamId"], event)
        for stream in message["streams"]
        for event in stream["events"]
    ]


def _groups(messages: Sequence[list[_Sized]]) -> Iterator[_Group]:
    """Divide the entries into calls: ten entries and 256 KB each at most."""
    group: _Group = []
    size = 0
    for place, sized in enumerate(messages):
        for entry, length in sized:
            if group and (len(group) == ENTRIES_MAX or size + length > BYTES_MAX):
                yield group
                group, size = [], 0
            group.append((place, entry))
            size += length
    if group:
        yield group


def _entry(bus_name: str, tenant_id: str, stream_id: str, event: dict[str, Any]) -> _Sized:
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
