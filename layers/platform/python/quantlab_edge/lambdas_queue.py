"""Queue functions behind SQS FIFO: batches of wakes, and a timer's sweep for those that were lost.

A message is a hint that an account or a tenant has work. It is done when that work is.
"""

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Fault
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox

ACCOUNTS: Final = "account_ids"

_log = structlog.get_logger("quantlab.queue")


class Unreadable(ValueError):
    """A message that no function of ours has sent."""


@dataclass(frozen=True, slots=True)
class Wake:
    """What a message says: who has work."""

    tenant_id: str
    account_id: str | None


class QueueFunction:
    """Settles what each message names; only those that failed come back, and those behind them."""

    def __init__(
        self,
        handle: Callable[..., Awaitable[int]],
        waiting: Callable[[Ports], Awaitable[Sequence[str]]],
        full_turn: int,
        sandbox: Sandbox,
    ) -> None:
        self._handle = handle
        self._waiting = waiting
        self._full_turn = full_turn
        self._sandbox = sandbox
        self._by_account = ACCOUNTS in inspect.signature(handle).parameters

    def __call__(self, event: Any, context: Any, call: Call) -> Any:  # noqa: ARG002
        if "Records" not in event:
            return self._sweep(call)
        records = event["Records"]
        batch = _Batch(records)
        call.note("batch", messages=len(records), tenants=batch.tenants, tenant=batch.tenant)
        settled = batch.together(self._settle)
        processor = SqsFifoPartialProcessor(skip_group_on_error=True)
        try:
            with processor(records, lambda record: batch.one(record, self._settle)):
                processor.process()
        finally:
            for failed in processor.exceptions:
                _log.error("message failed", exc_info=failed)
            failures = len(processor.fail_messages)
            call.note("batch", rows=settled + batch.rows, failures=failures)
            if failures:
                call.fail()
        return processor.response()

    def _settle(self, wakes: Sequence[Wake]) -> int:
        """Settle accounts that were named, and whatever the tenants have that were named alone."""
        named = [wake for wake in wakes if self._by_account and wake.account_id is not None]
        tenants = _each(wake.tenant_id for wake in wakes if wake not in named)
        rows = 0
        if named:
            accounts = _each(wake.account_id for wake in named if wake.account_id is not None)
            rows += self._drain(_each(wake.tenant_id for wake in named), accounts)
        return rows + (self._drain(tenants) if tenants else 0)

    def _drain(self, tenant_ids: list[str], *accounts: list[str]) -> int:
        async def drain(ports: Ports) -> int:
            rows = 0
            while True:
                handled = await self._handle(ports, tenant_ids, *accounts)
                rows += handled
                if handled < self._full_turn:
                    return rows

        return self._sandbox.run(drain)

    def _sweep(self, call: Call) -> dict[str, int]:
        tenant_ids = self._sandbox.run(self._waiting)
        rows = self._drain(list(tenant_ids)) if tenant_ids else 0
        call.note("sweep", tenants=len(tenant_ids), rows=rows)
        return {"tenants": len(tenant_ids), "rows": rows}


class _Batch:
    """The messages of one call, settled in one turn if all goes well, one by one if not."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self._wakes: list[Wake] = []
        for record in records:
            try:
                self._wakes.append(read_wake(record["body"]))
            except Unreadable:
                continue  # told when its turn comes
        self._settled = False
        self._fault: Fault | None = None
        self.rows = 0
        names = _each(wake.tenant_id for wake in self._wakes)
        self.tenants = len(names)
        self.tenant = names[0] if len(names) == 1 else None

    def together(self, settle: Callable[[Sequence[Wake]], int]) -> int:
        """Try all at once: the rows of many accounts share a commit."""
        if len(self._wakes) < 2:
            return 0
        try:
            rows = settle(self._wakes)
        except Fault as fault:
            self._fault = fault
        except Exception as error:  # noqa: BLE001 - one by one it will show whose fault it is
            _log.warning("batch not settled at once", exc_info=error)
        else:
            self._settled = True
            return rows
        return 0

    def one(self, record: SQSRecord, settle: Callable[[Sequence[Wake]], int]) -> None:
        """Settle one message; when a store has failed, the others need not wait for it again."""
        wake = read_wake(record.body)
        if self._settled:
            return
        if self._fault is not None:
            raise self._fault
        try:
            self.rows += settle([wake])
        except Fault as fault:
            self._fault = fault
            raise


def read_wake(body: str) -> Wake:
    """Read a message; Unreadable for any that is no wake."""
    try:
        found = json.loads(body)
        tenant_id, account_id = found["tenantId"], found.get("accountId")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable("expected tenantId and accountId") from error
    if not isinstance(tenant_id, str) or not isinstance(account_id, str | None):
        raise Unreadable("expected tenantId and accountId as text")
    return Wake(tenant_id, account_id)


def _each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
