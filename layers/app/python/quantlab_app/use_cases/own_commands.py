"""Commands that the platform gives itself, into the same inbox as everybody else's."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, Literal

from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.clock import Clock, Ids
from quantlab_app.ports.inbox import Inbox, NewCommand

CHUNK: Final = 200

Giver = Literal["watch", "schedule"]


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """A command of a tenant's account, ready to be accepted once or again."""

    tenant_id: str
    command: NewCommand


def own_command(
    clock: Clock,
    ids: Ids,
    giver: Giver,
    tenant_id: str,
    account_id: str,
    name: str,
    payload: dict[str, Json],
    identity: tuple[str | int, ...],
) -> OwnCommand:
    """Write a command whose key follows from what it is: the same identity is accepted once."""
    key = "\x1f".join(map(str, (account_id, *identity)))
    return OwnCommand(
        tenant_id,
        NewCommand(
            signal_id=ids.new_id(),
            account_id=account_id,
            source_kind=giver,
            source_id=account_id,
            idempotency_key=hashlib.sha256(key.encode()).digest(),
            body_digest=hashlib.sha256(canonical_json(payload)).digest(),
            name=name,
            payload=payload,
            received_ns=clock.now_ns(),
        ),
    )


async def accept_all(inbox: Inbox, commands: Sequence[OwnCommand]) -> int:
    """Put commands into the inbox, many at a time; return how many were new."""
    new = 0
    for start in range(0, len(commands), CHUNK):
        chunk = commands[start : start + CHUNK]
        accepted = await asyncio.gather(
            *(
                inbox.accept(
                    system_scope(own.tenant_id, own.command.source_kind, own.command.signal_id),
                    own.command,
                )
                for own in chunk
            )
        )
        new += sum(one.new for one in accepted)
    return new
