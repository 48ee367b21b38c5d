"""Orders of people: checked like signals, executed by the account's one writer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from quantlab.engine.commands import TRADE
from quantlab.tenancy.scope import Scope
from quantlab.webhooks.body import Problem, parse_signal
from quantlab_app.ports.accounts import Row
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Delivery
from quantlab_app.use_cases.submission import KeyTaken, Submitted, Wish, submit
from quantlab_app.use_cases.visibility import require_visible

LED_TO_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Execution:
    """An order and the fill it ended in; a refused order has none."""

    order: Row
    fill: Row | None


async def place_order(
    ports: Ports, scope: Scope, account_id: str, document: dict[str, Any], key: str | None
) -> Submitted | KeyTaken | tuple[Problem, ...]:
    """Check the fields and have the order executed, once per clientId or, without one, per key."""
    await require_visible(ports, scope, (account_id,))
    signal = parse_signal(document)
    if isinstance(signal, tuple):
        return signal
    own = None
    if signal.client_id is not None:
        own = f"client\x00{signal.client_id}"
    elif key is not None:
        own = f"header\x00{key}"
    wish = Wish(account_id, "user", TRADE, signal.as_payload(), own)
    return await submit(ports, scope, wish)


async def executions_of(ports: Ports, scope: Scope, delivery: Delivery) -> Sequence[Execution]:
    """Return the orders a settled command led to with their fills, in the order they happened."""
    if delivery.account_id is None or delivery.from_seq is None or delivery.to_seq is None:
        return ()
    account_id, before = delivery.account_id, delivery.to_seq + 1
    limit = min(LED_TO_MAX, before - delivery.from_seq)
    orders = await ports.accounts.orders(scope, account_id, before, limit)
    fills = await ports.accounts.fills(scope, account_id, before, limit)
    fill_of = {fill["order_id"]: fill for fill in fills}
    return [
        Execution(order, fill_of.get(order["order_id"]))
        for order in reversed(orders)
        if order["event_seq"] >= delivery.from_seq
    ]
