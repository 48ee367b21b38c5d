"""Working orders when their turn comes: triggered, filled, trailed; judged by the rules first.

account_watch says which quote calls for an order and records it; here it is decided again, from
the order as it is now and the recorded quote. So the time between the tick and the fill moves no
price: a limit fills at the quote that reached it or not at all, a stop at the quote that
triggered it, which after a gap is the gap's.
"""

from typing import Any

from quantlab.engine import lifecycle
from quantlab.engine.context import Market
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce_equity
from quantlab.engine.filling import fill_order
from quantlab.engine.guard import guard, only_reduces
from quantlab.engine.order_terms import (
    STOP,
    has_arrived,
    is_armed,
    is_called,
    is_reached,
    trigger_of,
    with_peak,
)
from quantlab.engine.orders import cancel_order, move_order, put_away
from quantlab.engine.pretrade import refused_by_rules, report_stop
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.trading import Planned, plan_fill, quote_payload
from quantlab.kernel.canonical import Json
from quantlab.ledger.orders import Order
from quantlab.market.quote import Quote

_WAITING = (
    Reason.MARKET_CLOSED,
    Reason.INSTRUMENT_HALTED,
    Reason.NO_QUOTE,
    Reason.QUOTE_STALE,
    Reason.NO_CONVERSION_QUOTE,
)


def attempt(draft: Draft, order_id: str, market: Market, *, judged: bool) -> Rejection | None:
    """Hold a working order against a market's quote: trigger it, fill it, or leave it as it is.

    judged says that the rules have just let it pass. A rejection says why it could not be carried
    out; one the rules refuse, or that can never fill, is cancelled for that reason.
    """
    order = draft.account.working.get(order_id)
    if order is None or order.status == lifecycle.PENDING_PARENT:
        return None
    quote = market.usable(market.catalog.instruments[order.symbol])
    if isinstance(quote, Rejection):
        return quote
    if not has_arrived(order, quote) or (is_armed(order) and not is_reached(order, quote)):
        return None
    if is_armed(order):
        order = _trigger(draft, order, quote)
    planned = plan_fill(draft, order, market)
    reduces = only_reduces(draft, order)
    if isinstance(planned, Planned) and not judged:
        refused = _refused_now(draft, order, planned, reduces=reduces)
        if refused is not None:
            return _refuse(draft, order_id, refused)
        planned = plan_fill(draft, order, market)
    if isinstance(planned, Rejection):
        return _refuse(draft, order_id, planned)
    _fill(draft, order, planned, exits=reduces and not judged)
    return None


def _fill(draft: Draft, order: Order, planned: Planned | None, *, exits: bool) -> None:
    fill_order(draft, order, planned, order.order_type)
    if planned is not None and exits:
        report_stop(draft, planned.instrument)


def _refused_now(
    draft: Draft, order: Order, planned: Planned, *, reduces: bool
) -> Rejection | None:
    """Judge an order whose turn has come; an exit is filled whatever rules say of its moment."""
    refused = guard(draft, order.symbol, reducing=reduces)
    if isinstance(refused, Rejection):
        return refused
    if reduces:
        return None
    stop_ticks = child_stop(draft, order.order_id)
    return refused_by_rules(draft, order, planned.fill.price_ticks, stop_ticks)


def child_stop(draft: Draft, order_id: str) -> int | None:
    """Return the trigger of a stop that waits for an order to be filled."""
    children = (one for one in draft.account.working.values() if one.terms.parent_id == order_id)
    return next((trigger_of(one) for one in children if one.order_type == STOP), None)


def attempt_due(draft: Draft) -> bool:
    """Hold the orders that another's fill released against the present quotes; say if any."""
    if not draft.due:
        return False
    while draft.due:
        attempt(draft, draft.due.pop(0), draft.context.market, judged=False)
    return True


def _trigger(draft: Draft, order: Order, quote: Quote) -> Order:
    instrument = draft.context.market.catalog.instruments[order.symbol]
    told: dict[str, Json] = {"quote": quote_payload(quote, instrument)}
    return move_order(draft, order, lifecycle.TRIGGER, "price", told)


def _refuse(draft: Draft, order_id: str, refused: Rejection) -> Rejection:
    order = draft.account.working.get(order_id)
    if order is not None and refused.reason not in _WAITING:
        cancel_order(draft, order, str(refused.reason), detail=refused.detail)
    return refused


def work_order(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Carry out what a recorded quote calls for, if it still does."""
    order = draft.account.working.get(payload["orderId"])
    if order is None:
        return Rejection(Reason.ORDER_NOT_WORKING, f"no working order {payload['orderId']}")
    if order.status == lifecycle.PENDING_PARENT:
        return Rejection(Reason.ORDER_PENDING, "the order waits for its parent")
    order = _take_peak(draft, order, payload)
    seen = draft.context.recorded_market(payload["quotes"])
    quote = seen.quotes[order.symbol]
    if quote.seq <= order.terms.since_seq:
        return Rejection(Reason.NOT_TRIGGERED, "the order was held against that quote before")
    if not is_called(order, quote):
        return Rejection(Reason.NOT_TRIGGERED, "the quote is not at the order's price")
    rejection = attempt(draft, order.order_id, seen, judged=False)
    if rejection is None:
        draft.outcome.result = draft.outcome.result or {"orderId": order.order_id}
        enforce_equity(draft)
    return rejection


def _take_peak(draft: Draft, order: Order, payload: dict[str, Any]) -> Order:
    if payload.get("peakTicks") is None or not is_armed(order):
        return order
    moved = with_peak(order, payload["peakTicks"])
    if moved is not order:
        put_away(draft, moved)
    return moved


def observe_trails(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Take over the best prices that account_watch saw for trailing stops between commands."""
    for seen in payload["trails"]:
        order = draft.account.working.get(seen["orderId"])
        if order is None or not is_armed(order):
            continue
        moved = with_peak(order, seen["peakTicks"])
        if moved is not order:
            told: dict[str, Json] = {"feedSeq": seen["feedSeq"]}
            move_order(draft, order, lifecycle.MODIFY, "trail", told, terms=moved.terms)
    return None
