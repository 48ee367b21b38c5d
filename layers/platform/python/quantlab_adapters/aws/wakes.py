"""Wakes by SQS FIFO: an account is a message group, so its hints arrive one after another."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict

import structlog

from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.together import Faults, Together
from quantlab_app.ports.clock import Clock, Ids
from quantlab_app.ports.errors import Fault, Misconfigured, StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import MessageTypeDef, SendMessageBatchResultTypeDef

# Shorter than the read timeout of the client.
_POLL_S: Final = 5

BATCH_MAX: Final = 10
# These queues hold a message back for twice as long as wakes of one tenant are one message, so that
# it is delivered after all commits it stands for.
GATHERING: Final = frozenset({"audit"})
GATHERED_NS: Final = 500_000_000

_log = structlog.get_logger("quantlab.wakes")


class _Message(TypedDict):
    MessageBody: str
    MessageGroupId: str
    MessageDeduplicationId: str


class SqsWakes:
    """Wakes port. A hint that cannot be sent is logged and left to the sweep."""

    def __init__(self, clients: Clients, queues: Mapping[str, str], ids: Ids, clock: Clock) -> None:
        self._clients = clients
        self._queues = queues
        self._ids = ids
        self._clock = clock
        self._sends: dict[str, Together[_Message]] = {}
        self._told: dict[tuple[str, str], int] = {}

    async def wake(self, queue: str, tenant_id: str, account_id: str | None = None) -> None:
        if queue not in GATHERING:
            await self.wake_once(queue, tenant_id, account_id, self._ids.new_id())
            return
        moment = self._clock.now_ns() // GATHERED_NS
        if self._told.get((queue, tenant_id)) == moment:
            return
        self._told[queue, tenant_id] = moment
        await self.wake_once(queue, tenant_id, None, f"{tenant_id}:{moment}")

    async def wake_once(
        self, queue: str, tenant_id: str, account_id: str | None, deduplication_id: str
    ) -> None:
        """Hint at what the deduplication id names; SQS swallows the same id for five minutes."""
        url = self._url(queue)
        sends = self._sends.get(url)
        if sends is None:
            sends = self._sends[url] = Together(partial(self._send, url))
        message = _Message(
            MessageBody=json.dumps({"tenantId": tenant_id, "accountId": account_id}),
            MessageGroupId=account_id or f"tenant:{tenant_id}",
            MessageDeduplicationId=deduplication_id,
        )
        try:
            await sends.do(message)
        except Fault as fault:
            _log.warning(
                "wake_failed", queue=queue, tenant_id=tenant_id, account_id=account_id,
                cause=str(fault),
            )  # fmt: skip

    async def _send(self, url: str, messages: Sequence[_Message]) -> Faults:
        """Send hints of the same moment; one that is alone by a call that the client repeats."""
        clients = self._clients
        faults: list[Fault | None] = [None] * len(messages)
        if len(messages) == 1:
            await clients.call(lambda: clients.sqs.send_message(QueueUrl=url, **messages[0]))
            return faults
        entries: list[Any] = [
            {"Id": str(place), **message} for place, message in enumerate(messages)
        ]
        while entries:
            batch, entries = entries[:BATCH_MAX], entries[BATCH_MAX:]
            send = partial(self._send_batch, url, batch)
            for failed in (await clients.call(send)).get("Failed", []):
                cause = StoreUnavailable(f"AWS SendMessageBatch: {failed['Code']}")
                faults[int(failed["Id"])] = cause
        return faults

    def _send_batch(self, url: str, batch: list[Any]) -> "SendMessageBatchResultTypeDef":
        return self._clients.sqs.send_message_batch(QueueUrl=url, Entries=batch)

    async def listen(self, queue: str) -> AsyncIterator[str]:
        """Yield the tenant of every wake of a queue; a message is gone once it was yielded."""
        url = self._url(queue)
        while True:
            received = await self._clients.call(
                lambda: self._clients.sqs.receive_message(
                    QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=_POLL_S
                )
            )
            for message in received.get("Messages", []):
                yield json.loads(message.get("Body", ""))["tenantId"]
                await self._delete(url, message)

    async def _delete(self, url: str, message: "MessageTypeDef") -> None:
        receipt = message.get("ReceiptHandle", "")
        await self._clients.call(
            lambda: self._clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
        )

    def _url(self, queue: str) -> str:
        try:
            return self._queues[queue]
        except KeyError:
            known = ", ".join(sorted(self._queues))
            raise Misconfigured(f"expected a queue of {known}, got {queue}") from None
