"""A command that cannot be written fails, and nobody who waits in the same group waits for ever."""

import asyncio

import pytest
from tests.support.world import ALPHA, World

from quantlab.engine.commands import TRADE
from quantlab_app.ports.inbox import Accepted, NewCommand

pytestmark = pytest.mark.stack


def _command(small: World, account_id: str, payload: dict[str, object]) -> NewCommand:
    return NewCommand(
        signal_id=small.ports.ids.new_id(),
        account_id=account_id,
        source_kind="bot",
        source_id="test",
        idempotency_key=small.ports.ids.random_bytes(32),
        body_digest=bytes(32),
        name=TRADE,
        payload=payload,
        received_ns=1,
    )


async def test_an_unwritable_command_leaves_nobody_waiting(small: World) -> None:
    account_id = await small.account(ALPHA)
    scope = small.scope(ALPHA)
    unwritable = _command(small, account_id, {"symbol": "\ud800"})
    group = [unwritable, *(_command(small, account_id, {}) for _ in range(3))]
    answers = await asyncio.wait_for(
        asyncio.gather(
            *(small.ports.inbox.accept(scope, one) for one in group), return_exceptions=True
        ),
        timeout=10,
    )
    assert isinstance(answers[0], TypeError)
    assert all(isinstance(answer, Accepted) and answer.new for answer in answers[1:])
    kept = await small.ports.inbox.deliveries(
        scope, source_kind="bot", account_ids=None, status=None, before=None, limit=10
    )
    assert {delivery.signal_id for delivery in kept} == {one.signal_id for one in group[1:]}
    after = await small.ports.inbox.accept(scope, _command(small, account_id, {}))
    assert after.new
