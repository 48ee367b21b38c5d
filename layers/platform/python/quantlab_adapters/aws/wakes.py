"""Wakes by SQS FIFO: an account is a message group, so its hints arrive one after another."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

import structlog

from quantlab_adapters.aws.clients import Clients
from quantlab_app.ports.clock import Ids
from quantlab_app.ports.errors import Fault, Misconfigured

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import MessageTypeDef

# Shorter than the read timeout of the client.
_POLL_S: Final = 5

_log = structlog.get_logger("quantlab.wakes")


class SqsWakes:
    """Wakes port. A hint that cannot be sent is logged and left to the sweep."""

    def __init__(self, clients: Clients, queues: Mapping[str, str], ids: Ids) -> None:
        self._clients = clients
        self._queues = queues
        self._ids = ids

    async def wake(self, queue: str, tenant_id: str, account_id: str | None = None) -> None:
        await self.wake_once(queue, tenant_id, account_id, self._ids.new_id())

    async def wake_once(
        self, queue: str, tenant_id: str, account_id: str | None, deduplication_id: str
    ) -> None:
        """Hint at what the deduplication id names; SQS swallows the same id for five minutes."""
        url = self._url(queue)
        body = json.dumps({"tenantId": tenant_id, "accountId": account_id})
        group = account_id or f"tenant:{tenant_id}"
        try:
            await self._clients.call(
                lambda: self._clients.sqs.send_message(
                    QueueUrl=url,
                    MessageBody=body,
                    MessageGroupId=group,
                    MessageDeduplicationId=deduplication_id,
                )
            )
        except Fault as fault:
            _log.warning(
                "wake_failed", queue=queue, tenant_id=tenant_id, account_id=account_id,
                cause=str(fault),
            )  # fmt: skip

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
