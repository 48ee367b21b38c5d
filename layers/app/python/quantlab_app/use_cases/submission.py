"""A command from a person: accepted durably like a signal, then awaited for a moment."""

import asyncio
import hashlib
from typing import Any, Final, Literal

from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.check import check
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Delivery, NewCommand

WAIT_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.002
LONGEST_PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Wish:
    """What an actor wants of an account. Without a key every wish is a new one."""

    account_id: str
    source_kind: Literal["user", "operator"]
    name: str
    payload: dict[str, Any]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The command and how far it has come; new is False when an earlier wish held the key."""

    delivery: Delivery
    new: bool


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """The key was used before for something else."""

    signal_id: str


async def submit(ports: Ports, scope: Scope, wish: Wish) -> Submitted | KeyTaken:
    """Accept the command once per key and wait a few seconds for its outcome."""
    signal_id = ports.ids.new_id()
    kind, own = ("fresh", signal_id) if wish.key is None else ("key", wish.key)
    key = f"{kind}\x00{wish.account_id}\x00{own}"
    body = canonical_json({"name": wish.name, "payload": wish.payload})
    accepted = await ports.inbox.accept(
        scope,
        NewCommand(
            signal_id=signal_id,
            account_id=wish.account_id,
            source_kind=wish.source_kind,
            source_id=scope.actor.id,
            idempotency_key=hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest(),
            body_digest=hashlib.sha256(body).digest(),
            name=wish.name,
            payload=wish.payload,
            received_ns=ports.clock.now_ns(),
        ),
    )
    if not accepted.same_body:
        return KeyTaken(accepted.signal_id)
    return Submitted(await until_settled(ports, scope, accepted.signal_id), accepted.new)


async def until_settled(ports: Ports, scope: Scope, signal_id: str) -> Delivery:
    """Look until the command is settled; after WAIT_S return it as it is."""
    pause_s, waited_s = FIRST_PAUSE_S, 0.0
    while True:
        delivery = await ports.inbox.delivery(scope, signal_id)
        check(delivery is not None, f"the accepted command {signal_id} is gone")
        if delivery is not None and (delivery.settled or waited_s >= WAIT_S):
            return delivery
        await asyncio.sleep(pause_s)
        waited_s += pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
