"""Orders of people: checked like signals, executed by the account's one writer."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quantlab.engine.commands import TRADE
from quantlab.engine.lifecycle import OPEN_STATES
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab.webhooks.body import parse_signal
from quantlab.webhooks.fields import Problem
from quantlab_app.ports.accounts import Row
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Delivery
from quantlab_app.use_cases.account_views import read_order
from quantlab_app.use_cases.submission import KeyTaken, Submitted, Wish, submit
from quantlab_app.use_cases.visibility import require_visible

LED_TO_MAX: Final = 1000
_OF_ORDERS: Final = ("cancel", "cancel_all", "modify")

Answer = Submitted | KeyTaken | tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Execution:
    """An order and what a command filled of it; None when that was nothing."""

    order: Row
    fill: Row | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The order has ended as this status and cannot be changed."""

    status: str


async def place_order(
    ports: Ports, scope: Scope, account_id: str, document: dict[str, Any], key: str | None
) -> Answer:
    """Check the fields and have the order executed, once per clientId or, without one, per key."""
    await require_visible(ports, scope, (account_id,))
    signal = parse_signal(document)
    if isinstance(signal, tuple):
        return signal
    own = None
    if signal.client_id is not None and signal.action not in _OF_ORDERS:
        own = f"client\x00{signal.client_id}"
    elif key is not None:
        own = f"header\x00{key}"
    wish = Wish(account_id, "user", TRADE, signal.as_payload(), own)
    return await submit(ports, scope, wish)


async def change_order(
    ports: Ports, scope: Scope, account_id: str, order_id: str, document: Mapping[str, Any]
) -> Answer | Ended:
    """Have a working order changed, or cancelled, as the document's action says.

    Raises NotFound when the order or its account is not visible.
    """
    order = await read_order(ports, scope, account_id, order_id)
    if order["status"] not in OPEN_STATES:
        return Ended(order["status"])
    return await place_order(ports, scope, account_id, {**document, "orderId": order_id}, None)


async def executions_of(ports: Ports, scope: Scope, delivery: Delivery) -> Sequence[Execution]:
    """Return the orders a settled command placed or moved, with its fills.

    First those it names, as they are now, then the others in the order things happened.
    """
    if delivery.account_id is None or delivery.from_seq is None or delivery.to_seq is None:
        return ()
    account_id, before = delivery.account_id, delivery.to_seq + 1
    limit = min(LED_TO_MAX, before - delivery.from_seq)
    moved = await ports.accounts.orders(scope, account_id, before, limit)
    fills = await ports.accounts.fills(scope, account_id, before, limit)
    fill_of = {fill["order_id"]: fill for fill in fills if fill["event_seq"] >= delivery.from_seq}
    found = {
        order["order_id"]: order
        for order in reversed(moved)
        if order["event_seq"] >= delivery.from_seq
    }
    named = named_orders(delivery)
    missing = [order_id for order_id in (*named, *fill_of) if order_id not in found]
    if missing:
        later = await ports.accounts.orders_named(scope, account_id, missing)
        found |= {order["order_id"]: order for order in later}
    ordered = dict.fromkeys([order_id for order_id in named if order_id in found])
    return [Execution(found[order_id], fill_of.get(order_id)) for order_id in {**ordered, **found}]


def named_orders(delivery: Delivery) -> list[str]:
    """Return the orders a command's result names, the one it is about first."""
    result = delivery.result or {}
    first = [result["orderId"]] if "orderId" in result else []
    return list(dict.fromkeys([*first, *result.get("orderIds", ())]))
