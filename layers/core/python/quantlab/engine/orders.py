"""Orders of an account taking their steps, each with its event, and what linked ones do then."""

from collections.abc import Collection, Iterable
from typing import Any

from quantlab.engine import lifecycle
from quantlab.engine.draft import Draft
from quantlab.engine.order_terms import OCO, started, terms_payload
from quantlab.engine.rejections import Rejection
from quantlab.engine.trading import side_name
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import InvariantBroken
from quantlab.kernel.decimals import format_units
from quantlab.kernel.records import replace
from quantlab.ledger.orders import Order
from quantlab.ledger.tally import count_order

SIGNAL = "signal"


def accept_order(
    draft: Draft, order: Order, cause: str, *, held: bool = False, kept: bool = True
) -> Order:
    """Accept a new order, named by its event; a held one waits for its parent.

    On a hedging account one that names no leg opens its own. One that is not kept among the working
    orders is filled at once by the caller. Exits that wait for their entry count for no day.
    """
    order_id = draft.derived_id("order")
    if draft.context.trading.hedging and order.terms.ticket is None:
        order = replace(order, terms=replace(order.terms, ticket=draft.new_ticket()))
    instrument = draft.context.market.catalog.instruments[order.symbol]
    payload: dict[str, Json] = {
        "orderId": order_id,
        "signalId": order.signal_id,
        "symbol": order.symbol,
        "side": side_name(order.side),
        "orderType": order.order_type,
        "quantity": format_units(order.size_steps, instrument.size_step),
        "cause": cause,
        **terms_payload(order, instrument),
    }
    if order.client_id is not None:
        payload["clientId"] = order.client_id
    action = lifecycle.HOLD if held else lifecycle.ACCEPT
    accepted = _take(draft, order, action, payload, order_id=order_id)
    if cause == SIGNAL and not (held and order.terms.reduce_only):
        draft.change(tally=count_order(draft.account.tally, draft.context.now_ns))
    if kept:
        put_away(draft, accepted)
    return accepted


def move_order(
    draft: Draft,
    order: Order,
    action: str,
    reason: str,
    told: dict[str, Json] | None = None,
    **changes: Any,
) -> Order:
    """Take a legal step with an order: its event says why, and what the order is after it."""
    instrument = draft.context.market.catalog.instruments[order.symbol]
    changed = replace(order, **changes)
    payload: dict[str, Json] = {
        "orderId": order.order_id,
        "signalId": order.signal_id,
        "symbol": order.symbol,
        "side": side_name(order.side),
        "orderType": order.order_type,
        "quantity": format_units(changed.size_steps, instrument.size_step),
        "filledQuantity": format_units(changed.filled_steps, instrument.size_step),
        "reason": reason,
        **terms_payload(changed, instrument),
        **(told or {}),
    }
    if order.client_id is not None:
        payload["clientId"] = order.client_id
    ends = action in (lifecycle.CANCEL, lifecycle.EXPIRE)
    moved = _take(draft, changed, action, payload, reason=reason if ends else None)
    put_away(draft, moved)
    return moved


def _take(
    draft: Draft, order: Order, action: str, payload: dict[str, Json], **changes: Any
) -> Order:
    taken = lifecycle.step(order.status, action)
    if isinstance(taken, Rejection):
        raise InvariantBroken(taken.detail)
    moved = replace(order, status=taken.state, event_seq=draft.next_seq, **changes)
    payload["status"] = taken.state
    draft.emit(taken.event_type, payload)
    return moved


def put_away(draft: Draft, order: Order) -> None:
    """Keep an order among the working ones, or among those that ended."""
    working = draft.account.working
    if order.status not in lifecycle.FINAL_STATES:
        draft.change(working={**working, order.order_id: order})
        return
    draft.outcome.orders.append(order)
    if order.order_id in working:
        draft.change(working={k: kept for k, kept in working.items() if k != order.order_id})


def cancel_order(draft: Draft, order: Order, reason: str, **told: Json) -> None:
    """Cancel what is left of an order, and the children that wait for a fill of it."""
    _end(draft, order, lifecycle.CANCEL, reason, told)


def expire_due(draft: Draft, moment_ns: int) -> None:
    """Expire the orders whose time has come by a moment; a day's orders end with it."""
    for order in tuple(draft.account.working.values()):
        expire_at_ns = order.terms.expire_at_ns
        still = order.order_id in draft.account.working
        if still and expire_at_ns is not None and moment_ns >= expire_at_ns:
            _end(draft, order, lifecycle.EXPIRE, order.terms.time_in_force, {})


def _end(draft: Draft, order: Order, action: str, reason: str, told: dict[str, Json]) -> None:
    move_order(draft, order, action, reason, told)
    for child in _children(draft, order.order_id):
        if child.status == lifecycle.PENDING_PARENT:
            cancel_order(draft, child, "parent_ended", parentId=order.order_id)


def cancel_working(
    draft: Draft,
    reason: str,
    symbol: str | None = None,
    kept: Collection[str] = (),
    **told: Json,
) -> tuple[str, ...]:
    """Cancel every working order, or those of a symbol, but those kept; return which."""
    chosen = [
        order.order_id
        for order in draft.account.working.values()
        if symbol in (None, order.symbol) and order.order_id not in kept
    ]
    for order_id in chosen:
        order = draft.account.working.get(order_id)
        if order is not None:
            cancel_order(draft, order, reason, **told)
    return tuple(chosen)


def cancel_openers(draft: Draft, reason: str, **told: Json) -> None:
    """Cancel the working orders that could open a position; those that only reduce stay."""
    for order_id in tuple(draft.account.working):
        order = draft.account.working.get(order_id)
        if order is not None and not order.terms.reduce_only:
            cancel_order(draft, order, reason, **told)


def follow_fill(draft: Draft, order: Order, size_steps: int, quote_seq: int) -> None:
    """Do what a fill of size_steps at a quote means for other orders, the filled one put away.

    Its group is cancelled (oco) or reduced (ouo), what is left of its parent is cancelled, its
    children may fill up to what it has filled, and what can reduce nothing any more is cancelled.
    """
    if not draft.account.working:
        return
    by: dict[str, Json] = {"filledOrderId": order.order_id}
    for peer in _peers(draft, order):
        left_steps = peer.size_steps - size_steps
        if order.terms.group_kind == OCO or left_steps <= peer.filled_steps:
            cancel_order(draft, peer, str(order.terms.group_kind), **by)
        else:
            smaller = _sized(peer, left_steps, -size_steps)
            move_order(draft, smaller, lifecycle.MODIFY, "ouo", by)
    parent = draft.account.working.get(order.terms.parent_id or "")
    if parent is not None:
        cancel_order(draft, parent, "exit_filled", **by)
    for child in _children(draft, order.order_id):
        _enlarge(draft, child, size_steps, quote_seq, by)
    _drop_reducers(draft, order.position_key)


def _enlarge(
    draft: Draft, child: Order, size_steps: int, quote_seq: int, by: dict[str, Json]
) -> None:
    """Let a child work for what its parent filled, from its first fill on for each later quote."""
    larger = _sized(child, child.size_steps + size_steps, size_steps)
    if child.status != lifecycle.PENDING_PARENT:
        move_order(draft, larger, lifecycle.MODIFY, "parent_filled", by)
        return
    working = replace(larger, status=lifecycle.WORKING)
    begun = started(working, draft.context.market)
    terms = replace(begun.terms, since_seq=quote_seq)
    begun = replace(begun, status=child.status, terms=terms)
    released = move_order(draft, begun, lifecycle.RELEASE, "parent_filled", by)
    draft.due.append(released.order_id)


def _sized(order: Order, size_steps: int, more_steps: int) -> Order:
    """Return an order with another size, and the most a child may have moved with it."""
    most_steps = order.terms.parent_steps + more_steps if order.terms.parent_id else 0
    return replace(
        order, size_steps=size_steps, terms=replace(order.terms, parent_steps=most_steps)
    )


def _drop_reducers(draft: Draft, position_key: str) -> None:
    for order in tuple(draft.account.working.values()):
        if (
            order.position_key == position_key
            and order.terms.reduce_only
            and order.status != lifecycle.PENDING_PARENT
            and not draft.account.reducible_steps(order)
            and order.order_id in draft.account.working
        ):
            cancel_order(draft, order, "position_closed")


def _peers(draft: Draft, order: Order) -> Iterable[Order]:
    group_id = order.terms.group_id
    return tuple(
        peer
        for peer in draft.account.working.values()
        if group_id is not None
        and peer.terms.group_id == group_id
        and peer.order_id != order.order_id
    )


def _children(draft: Draft, order_id: str) -> Iterable[Order]:
    return tuple(
        order for order in draft.account.working.values() if order.terms.parent_id == order_id
    )
