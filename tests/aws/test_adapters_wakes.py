"""Wakes through SQS, against moto's server: one a row, shared calls, what was refused."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from quantlab.tenancy.scope import Scope, system_scope
from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.aws.inbox import WakingInbox
from quantlab_adapters.aws.wakes import GATHERED_NS, GATHERING, SqsWakes
from quantlab_adapters.selfhost.clock import SystemClock, SystemIds
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.inbox import Accepted, NewCommand
from quantlab_manifest import QueueWake, load_all
from tests.support.set_clock import SetClock


def _queue(clients: Clients, name: str) -> str:
    attributes: Any = {"FifoQueue": "true"}
    return clients.sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]


async def _received(clients: Clients, url: str) -> list[dict[str, Any]]:
    """Take what the queue holds; a group's next message comes when the one before is deleted."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await clients.call(
            lambda: clients.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            )
        )
        messages: Any = answer.get("Messages", [])
        if not messages:
            return found
        for message in messages:
            found.append({**json.loads(message["Body"]), "attributes": message["Attributes"]})
            clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@dataclasses.dataclass
class Table:
    """An inbox in memory: the first with a key wins."""

    rows: dict[bytes, str] = dataclasses.field(default_factory=dict)
    dead: str | None = None

    async def accept(self, scope: Scope, command: NewCommand) -> Accepted:
        first = self.rows.setdefault(command.idempotency_key, command.signal_id)
        return Accepted(first, new=first == command.signal_id, same_body=True)

    async def redrive(self, scope: Scope, signal_id: str) -> bool:
        return signal_id == self.dead

    async def delivery(self, scope: Scope, signal_id: str) -> None:
        return None


def _command(key: bytes, account_id: str | None) -> NewCommand:
    return NewCommand(SystemIds().new_id(), account_id, "bot", "b", key, bytes(32), "trade", {}, 1)


async def test_each_new_row_wakes_once_in_the_group_of_its_account(clients: Clients) -> None:
    url = _queue(clients, "orders")
    wakes = SqsWakes(clients, {"orders": url}, SystemIds(), SystemClock())
    table: Any = Table(dead="dead-signal")
    inbox = WakingInbox(table, wakes)
    scope = system_scope("alpha", "test", "test")
    first, note = _command(b"1", "account-1"), _command(b"2", None)
    await inbox.accept(scope, first)
    await inbox.accept(scope, _command(b"1", "account-1"))
    await inbox.accept(scope, note)
    assert await inbox.redrive(scope, "dead-signal")
    assert not await inbox.redrive(scope, "other")
    messages = await _received(clients, url)
    told = [(m["tenantId"], m["accountId"], m["attributes"]["MessageGroupId"]) for m in messages]
    assert sorted(told, key=str) == [
        ("alpha", "account-1", "account-1"),
        ("alpha", None, "tenant:alpha"),
        ("alpha", None, "tenant:alpha"),
    ]
    deduplication = [m["attributes"]["MessageDeduplicationId"] for m in messages]
    assert {first.signal_id, note.signal_id} < set(deduplication)
    assert len(set(deduplication)) == 3


async def test_wakes_with_fresh_ids_are_not_swallowed(clients: Clients) -> None:
    url = _queue(clients, "publish")
    wakes = SqsWakes(clients, {"publish": url}, SystemIds(), SystemClock())
    for _ in range(3):
        await wakes.wake("publish", "alpha")
    heard = wakes.listen("publish")
    assert [await anext(heard) for _ in range(3)] == ["alpha"] * 3
    with pytest.raises(Misconfigured, match="expected a queue of publish"):
        await wakes.wake("orders", "alpha")


async def test_wakes_of_a_gathering_queue_are_one_message_a_moment(clients: Clients) -> None:
    url = _queue(clients, "audit")
    clock = SetClock()
    ours, theirs = (SqsWakes(clients, {"audit": url}, SystemIds(), clock) for _ in range(2))
    for clock.at_ns in (2 * GATHERED_NS, 3 * GATHERED_NS - 1, 3 * GATHERED_NS):
        for wakes in (ours, ours, theirs):
            await wakes.wake("audit", "alpha")
        await theirs.wake("audit", "beta")
    heard = [message["tenantId"] for message in await _received(clients, url)]
    assert sorted(heard) == ["alpha", "alpha", "beta", "beta"]


def test_the_queues_that_gather_are_those_whose_manifests_say_so() -> None:
    root = Path(__file__).parents[2]
    wakes = [manifest.wake for manifest in load_all(root / "functions")]
    gathering = {one.queue for one in wakes if isinstance(one, QueueWake) and one.gathers}
    assert gathering == GATHERING


async def test_wakes_of_one_moment_share_calls_of_ten(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _queue(clients, "audit")
    wakes = SqsWakes(clients, {"audit": url}, SystemIds(), SystemClock())
    calls = 0
    inner = clients.call

    async def call(work: Any) -> Any:
        nonlocal calls
        calls += 1
        return await inner(work)

    monkeypatch.setattr(clients, "call", call)
    tenants = [f"tenant-{number}" for number in range(12)]
    await asyncio.gather(*(wakes.wake("audit", tenant) for tenant in tenants))
    assert calls == 2
    heard = await _received(clients, url)
    assert sorted(message["tenantId"] for message in heard) == sorted(tenants)


async def test_of_wakes_that_share_a_call_only_what_was_refused_is_told(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    wakes = SqsWakes(clients, {"audit": "https://sqs/audit.fifo"}, SystemIds(), SystemClock())
    failed = {"Id": "1", "Code": "ThrottlingException", "SenderFault": False}
    wakes._send_batch = lambda *_: {"Failed": [failed]}  # type: ignore[assignment,method-assign,typeddict-item,return-value]
    await asyncio.gather(*(wakes.wake("audit", tenant) for tenant in ("alpha", "beta", "gamma")))
    told = capsys.readouterr().out
    assert told.count("wake_failed") == 1
    assert "beta" in told
    assert "ThrottlingException" in told


async def test_a_wake_that_fails_leaves_the_row_accepted(clients: Clients, server: str) -> None:
    wakes = SqsWakes(
        clients, {"orders": f"{server}/123456789012/gone.fifo"}, SystemIds(), SystemClock()
    )
    table: Any = Table()
    command = _command(b"1", "account-1")
    scope = system_scope("alpha", "test", "test")
    accepted = await WakingInbox(table, wakes).accept(scope, command)
    assert accepted == Accepted(command.signal_id, new=True, same_body=True)
