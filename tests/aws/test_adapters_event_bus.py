"""Events through EventBridge, against moto's server: limits, shared calls, what was refused."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.aws.event_bus import BYTES_MAX, EventBridgeBus
from quantlab_app.ports.errors import Misconfigured, StoreUnavailable


@dataclasses.dataclass
class Bus:
    """An inner bus that keeps what was published."""

    sent: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)

    async def publish(self, topic: str, body: bytes) -> None:
        self.sent.append((topic, body))

    async def listen(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        on_attached()


def _events(*payloads: Any) -> bytes:
    events = [
        {"seq": n, "eventType": "order.filled", "occurredNs": n * 10**9, "payload": payload}
        for n, payload in enumerate(payloads, 1)
    ]
    streams = [{"streamId": "stream-1", "events": events}]
    return orjson.dumps({"tenantId": "alpha", "streams": streams})


async def test_events_reach_both_buses_and_other_topics_the_inner_one(clients: Clients) -> None:
    url = clients.sqs.create_queue(QueueName="heard")["QueueUrl"]
    clients.events.create_event_bus(Name="events")
    pattern = json.dumps({"source": ["quantlab"]})
    clients.events.put_rule(Name="all", EventBusName="events", EventPattern=pattern)
    arn = "arn:aws:sqs:us-east-1:123456789012:heard"
    clients.events.put_targets(Rule="all", EventBusName="events", Targets=[{"Id": "q", "Arn": arn}])
    inner = Bus()
    bus = EventBridgeBus(inner, clients, "events")
    body = _events(*({"n": n} for n in range(23)))
    await bus.publish("events", body)
    await bus.publish("accounts", b"[]")
    assert inner.sent == [("events", body), ("accounts", b"[]")]
    heard = []
    while len(heard) < 23:
        answer = clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        messages = answer.get("Messages", [])
        assert messages
        heard += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert {event["detail-type"] for event in heard} == {"order.filled"}
    assert sorted((e["detail"] for e in heard), key=lambda d: d["seq"])[4] == {
        "tenantId": "alpha",
        "streamId": "stream-1",
        "seq": 5,
        "occurredAt": "1970-01-01T00:00:05.000000Z",
        "payload": {"n": 4},
    }


async def test_calls_stay_within_the_limits_of_event_bridge(clients: Clients) -> None:
    calls: list[list[dict[str, Any]]] = []
    bus = EventBridgeBus(Bus(), clients, "events")

    async def put_group(group: Any) -> dict[int, str]:
        calls.append([entry for _, entry in group])
        return {}

    bus._put_group = put_group  # type: ignore[method-assign]
    await bus.publish("events", _events("x" * 200_000, "y" * 100_000, "z" * 300_000, *range(12)))
    assert [len(group) for group in calls] == [1, 10, 4]
    for group in calls:
        assert sum(len(e["Source"] + e["DetailType"] + e["Detail"]) for e in group) <= BYTES_MAX
    omitted = json.loads(calls[1][1]["Detail"])
    assert (omitted["payload"], omitted["payloadOmitted"]) == (None, True)


async def test_messages_of_one_moment_share_calls_and_each_has_its_own_fault(
    clients: Clients,
) -> None:
    bus = EventBridgeBus(Bus(), clients, "events")
    calls: list[list[int]] = []

    async def put_group(group: Any) -> dict[int, str]:
        calls.append([place for place, _ in group])
        return {1: "ThrottlingException"} if len(calls) == 1 else {}

    bus._put_group = put_group  # type: ignore[method-assign]
    done = await asyncio.gather(
        *(bus.publish("events", _events(*range(count))) for count in (4, 2, 6)),
        return_exceptions=True,
    )
    assert calls == [[0] * 4 + [1] * 2 + [2] * 4, [2] * 2]
    assert [type(one) for one in done] == [type(None), StoreUnavailable, type(None)]


async def test_what_event_bridge_refused_is_a_fault(clients: Clients) -> None:
    bus = EventBridgeBus(Bus(), clients, "no-such-bus")
    with pytest.raises((StoreUnavailable, Misconfigured)):
        await bus.publish("events", _events({}))
