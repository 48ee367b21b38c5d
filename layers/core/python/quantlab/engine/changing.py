"""Working orders changed or cancelled by whoever may trade the account."""

from decimal import Decimal
from typing import Any, Final

from quantlab.engine import lifecycle
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce_equity
from quantlab.engine.guard import guard, only_reduces
from quantlab.engine.margin import refused_orders
from quantlab.engine.order_terms import (
    GTD,
    LIMIT,
    LIMITED,
    PERCENT_STEP,
    STOP,
    TRAILING_STOP,
    TRIGGERED_BY_PRICE,
    is_armed,
    started,
    trigger_of,
)
from quantlab.engine.orders import cancel_order, cancel_working, move_order
from quantlab.engine.placing import Payload, entry_ticks_of, misplaced, read_expiry
from quantlab.engine.pretrade import refused_by_rules
from quantlab.engine.protecting import must_stay, refused_without_stop
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import on_tick, quantity_steps
from quantlab.engine.working import attempt, child_stop
from quantlab.kernel.decimals import format_units, to_units
from quantlab.kernel.records import replace
from quantlab.ledger.orders import Order
from quantlab.market.instrument import Instrument

_TERMS: Final = (
    ("price", "limit_ticks", LIMITED),
    ("triggerPrice", "trigger_ticks", TRIGGERED_BY_PRICE),
    ("trailDistance", "trail_ticks", (TRAILING_STOP,)),
    ("trailPercent", "trail_ppm", (TRAILING_STOP,)),
)


def cancel(draft: Draft, payload: Payload) -> Rejection | None:
    """Cancel the working orders that an orderId or a clientId names."""
    found = _named(draft, payload)
    if isinstance(found, Rejection):
        return found
    for order in found:
        refused = refused_without_stop(draft, order, None)
        if refused is not None:
            return refused
    for order in found:
        if order.order_id in draft.account.working:
            cancel_order(draft, order, "requested")
    _answer(draft, found)
    return None


def cancel_all(draft: Draft, payload: Payload) -> Rejection | None:
    """Cancel every working order, or those of one symbol; stops that a rule asks for stay."""
    symbol = payload.get("symbol")
    if symbol is not None:
        instrument = draft.context.market.catalog.find(symbol)
        if instrument is None:
            return Rejection(Reason.UNKNOWN_INSTRUMENT, f"expected an instrument, was {symbol}")
        symbol = instrument.symbol
    kept = [
        order_id
        for order_id, order in draft.account.working.items()
        if symbol in (None, order.symbol) and must_stay(draft, order)
    ]
    cancelled = cancel_working(draft, "requested", symbol, kept=kept)
    if kept and not cancelled:
        return refused_without_stop(draft, draft.account.working[kept[0]], None)
    draft.outcome.result = {"orderIds": list(cancelled)}
    if kept:
        draft.outcome.result["keptOrderIds"] = [*kept]
    return None


def modify(draft: Draft, payload: Payload) -> Rejection | None:
    """Change size, price, trigger, trail or expiry of one working order, or none of them.

    A limit that the change brings to the quote fills at once.
    """
    found = _named(draft, payload)
    if isinstance(found, Rejection):
        return found
    if len(found) > 1:
        detail = f"expected one working order that is meant, was {len(found)}"
        return Rejection(Reason.ORDER_NOT_WORKING, detail)
    (order,) = found
    market = draft.context.market
    instrument = market.catalog.instruments[order.symbol]
    changed = _allowed(draft, order, instrument, payload)
    if isinstance(changed, Rejection):
        return changed
    if order.status != lifecycle.PENDING_PARENT:
        active_ns = draft.active_ns(instrument)
        changed = replace(changed, terms=replace(changed.terms, active_ns=active_ns))
        changed = started(changed, market)
        refused = misplaced(changed, market.usable(instrument), instrument)
        if refused is not None:
            return refused
    refused = refused_orders(draft, instrument, [changed])
    if refused is not None:
        return refused
    moved = move_order(draft, changed, lifecycle.MODIFY, "requested")
    _answer(draft, [moved])
    attempt(draft, moved.order_id, market, judged=False)
    enforce_equity(draft)
    return None


def _lessens(order: Order, changed: Order) -> bool:
    """Say whether a change can only lessen what an order risks, which no rule refuses.

    It makes the order smaller, its limit better, its end sooner, or brings an exit's stop nearer.
    """
    was, now = order.terms, changed.terms
    if changed.size_steps > order.size_steps:
        return False
    worse = _moved(order.side, was.limit_ticks, now.limit_ticks)
    later = _moved(1, was.expire_at_ns, now.expire_at_ns)
    nearer = now.reduce_only and order.order_type == STOP
    farther = _moved(order.side, was.trigger_ticks, now.trigger_ticks)
    same = replace(
        now,
        limit_ticks=was.limit_ticks,
        expire_at_ns=was.expire_at_ns,
        trigger_ticks=was.trigger_ticks,
    )
    triggers = farther <= 0 if nearer else farther == 0
    return worse <= 0 and later <= 0 and triggers and same == was


def _moved(side: int, before: int | None, after: int | None) -> int:
    return side * ((after or 0) - (before or 0))


def _refused(draft: Draft, instrument: Instrument, changed: Order) -> Rejection | None:
    """Judge a changed order as if it were placed now; a stop, by the entry that it protects."""
    reduces = only_reduces(draft, changed)
    refused = guard(draft, changed.symbol, reducing=reduces)
    if isinstance(refused, Rejection):
        return refused
    judged, stop_ticks = changed, child_stop(draft, changed.order_id)
    entry = draft.account.working.get(changed.terms.parent_id or "")
    if entry is not None and changed.order_type == STOP:
        judged, stop_ticks = entry, trigger_of(changed)
    entry_ticks = entry_ticks_of(draft, instrument, judged)
    known_ticks = None if isinstance(entry_ticks, Rejection) else entry_ticks
    return refused_by_rules(draft, judged, known_ticks, stop_ticks)


def _answer(draft: Draft, orders: list[Order]) -> None:
    ids: list[Any] = [order.order_id for order in orders]
    draft.outcome.result = {"orderId": ids[0], "orderIds": ids}


def _named(draft: Draft, payload: Payload) -> list[Order] | Rejection:
    """Return the working orders meant: at least one."""
    order_id, client_id = payload.get("orderId"), payload.get("clientId")
    if "exit" in payload:
        return _exits_of(draft, payload["signalId"], payload["exit"])
    found = [
        order
        for order in draft.account.working.values()
        if order.order_id == order_id or (client_id is not None and order.client_id == client_id)
    ]
    if found:
        return found
    named = f"clientId {client_id}" if order_id is None else order_id
    return Rejection(Reason.ORDER_NOT_WORKING, f"no working order {named}")


def _exits_of(draft: Draft, signal_id: str, part: str) -> list[Order] | Rejection:
    """Return the stop or the target of the bracket that a signal has placed: one."""
    found = [
        order
        for order in draft.account.working.values()
        if order.signal_id == signal_id
        and order.terms.parent_id is not None
        and order.terms.reduce_only
        and order.client_id is None
        and (order.order_type == LIMIT) == (part == "target")
    ]
    if found:
        return found
    return Rejection(Reason.ORDER_NOT_WORKING, f"no working {part} of signal {signal_id}")


def _allowed(
    draft: Draft, order: Order, instrument: Instrument, payload: Payload
) -> Order | Rejection:
    """Return the changed order, or why it cannot be that or the rules do not let it."""
    changed = _changed(draft, order, instrument, payload)
    if isinstance(changed, Rejection):
        return changed
    refused = refused_without_stop(draft, order, changed)
    if refused is not None or _lessens(order, changed):
        return refused or changed
    return _refused(draft, instrument, changed) or changed


def _changed(
    draft: Draft, order: Order, instrument: Instrument, payload: Payload
) -> Order | Rejection:
    changes: dict[str, Any] = {}
    for key, name, types in _TERMS:
        if key in payload:
            value = _term(order, instrument, key, payload[key], types)
            if isinstance(value, Rejection):
                return value
            changes[name] = value
    if "trail_ticks" in changes or "trail_ppm" in changes:
        changes = {"trail_ticks": None, "trail_ppm": None, **changes}
    expire_at_ns = _new_expiry(draft, order, payload)
    if isinstance(expire_at_ns, Rejection):
        return expire_at_ns
    size_steps = _new_size(order, instrument, payload)
    if isinstance(size_steps, Rejection):
        return size_steps
    terms = replace(order.terms, **changes, expire_at_ns=expire_at_ns)
    return replace(order, size_steps=size_steps, terms=terms)


def _new_expiry(draft: Draft, order: Order, payload: Payload) -> int | Rejection | None:
    if "expireAt" not in payload:
        return order.terms.expire_at_ns
    if order.terms.time_in_force != GTD:
        return _not_of_type("expireAt", order.terms.time_in_force)
    return read_expiry(draft, payload["expireAt"])


def _term(
    order: Order, instrument: Instrument, key: str, text: str, types: tuple[str, ...]
) -> int | Rejection:
    if order.order_type not in types:
        return _not_of_type(key, order.order_type)
    if key != "price" and order.status != lifecycle.PENDING_PARENT and not is_armed(order):
        return Rejection(Reason.ALREADY_TRIGGERED, f"the order is {order.status}: no new {key}")
    if key != "trailPercent":
        return on_tick(instrument, key, text)
    ppm = to_units(Decimal(text), Decimal(PERCENT_STEP))
    if ppm is None:
        detail = f"expected trailPercent in steps of {PERCENT_STEP}, was {text}"
        return Rejection(Reason.PRICE_OFF_TICK, detail)
    return ppm


def _not_of_type(key: str, kind: str) -> Rejection:
    words = f"expected {key} absent for a {kind} order, was given"
    return Rejection(Reason.NOT_OF_ORDER_TYPE, words)


def _new_size(order: Order, instrument: Instrument, payload: Payload) -> int | Rejection:
    if "quantity" not in payload:
        return order.size_steps
    if order.status == lifecycle.PENDING_PARENT:
        return Rejection(Reason.ORDER_PENDING, "the order will have the size its parent fills")
    size_steps = quantity_steps(instrument, payload["quantity"])
    if isinstance(size_steps, int) and size_steps <= order.filled_steps:
        filled = format_units(order.filled_steps, instrument.size_step)
        return Rejection(
            Reason.QUANTITY_TOO_SMALL,
            f"expected quantity above the filled {filled} lots, was {payload['quantity']}",
        )
    if isinstance(size_steps, int) and order.terms.parent_id is not None:
        return _within_parent(order, instrument, size_steps)
    return size_steps


def _within_parent(order: Order, instrument: Instrument, size_steps: int) -> int | Rejection:
    """Refuse a child larger than what its parent has filled and no other exit has closed."""
    most_steps = max(order.terms.parent_steps, order.size_steps)
    if size_steps <= most_steps:
        return size_steps
    most, asked = (format_units(n, instrument.size_step) for n in (most_steps, size_steps))
    return Rejection(
        Reason.QUANTITY_TOO_LARGE,
        f"expected at most the {most} lots that its parent order has filled, was {asked}",
    )
