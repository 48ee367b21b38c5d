"""From what a signal asks to accepted orders: one, linked ones, or an entry with its exits."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from quantlab.engine import lifecycle
from quantlab.engine.draft import Draft
from quantlab.engine.fill_models import expected_price
from quantlab.engine.filling import fill_order
from quantlab.engine.legs import refused_leg
from quantlab.engine.margin import refused_orders
from quantlab.engine.order_terms import (
    DAY,
    GTC,
    IOC,
    LIMIT,
    LIMITED,
    MARKET,
    OCO,
    OUO,
    PERCENT_STEP,
    STOP,
    TRAILING_STOP,
    is_armed,
    is_marketable,
    is_reached,
    started,
    trigger_of,
)
from quantlab.engine.orders import accept_order
from quantlab.engine.pretrade import refused_by_rules
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import (
    Sized,
    on_tick,
    protective_prices,
    quantity_steps,
    size_entry,
)
from quantlab.engine.trading import Planned, plan_fill, side_name, ticket_payload
from quantlab.engine.working import attempt
from quantlab.kernel.decimals import format_units, to_units
from quantlab.kernel.instants import format_rfc3339, parse_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.orders import Order, Terms
from quantlab.market.instrument import Instrument
from quantlab.market.quote import BUY, Quote

WORKING_MAX: Final = 200
OTO: Final = "oto"
SIZED_BY_ENTRY: Final = ("riskPercent", "equityPercent")
_PRICES: Final = (
    ("limit_ticks", "price"),
    ("trigger_ticks", "triggerPrice"),
    ("trail_ticks", "trailDistance"),
)

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Orders to be accepted together: those that work at once, and children of the first."""

    orders: tuple[Order, ...]
    children: tuple[Order, ...] = ()
    siblings: str | None = None


def place_orders(draft: Draft, instrument: Instrument, payload: Payload) -> Rejection | None:
    """Accept what a buy or sell asks for, all of it or nothing, and fill what can fill now."""
    plan = _plan(draft, instrument, payload)
    if isinstance(plan, Rejection):
        return plan
    refused = _refused(draft, instrument, plan)
    if refused is not None:
        return refused
    first = plan.orders[0]
    planned: Planned | Rejection | None = None
    at_once = not _waits(first)
    if at_once:
        accepts = len(plan.orders) + len(plan.children)
        planned = plan_fill(draft, first, draft.context.market, events_before=accepts)
    if isinstance(planned, Rejection):
        return planned
    waiting = [order for order in plan.orders if _waits(order)]
    refused = refused_orders(draft, instrument, waiting)
    if refused is not None:
        return refused
    group_id = draft.derived_id("group") if plan.siblings in (OCO, OUO) else None
    accepted = [
        accept_order(
            draft,
            _grouped(order, group_id, plan.siblings),
            "signal",
            kept=_waits(order),
        )
        for order in plan.orders
    ]
    parent = accepted[0]
    exits_id = draft.derived_id("exits") if plan.siblings is None and plan.children[1:] else None
    accepted += [
        accept_order(draft, _grouped(_child_of(parent, child), exits_id, OUO), "signal", held=True)
        for child in plan.children
    ]
    if at_once:
        fill_order(draft, accepted[0], planned, "signal")
    for order in accepted:
        attempt(draft, order.order_id, draft.context.market, judged=True)
    _answer(draft, instrument, accepted)
    return None


def _waits(order: Order) -> bool:
    """Say whether an order is kept until a quote is for it; a plain market order fills now."""
    return order.order_type != MARKET or order.terms.active_ns > 0


def _refused(draft: Draft, instrument: Instrument, plan: Plan) -> Rejection | None:
    """Judge the orders that are to work at once; a stop among the children protects the first."""
    stop_ticks = next((trigger_of(one) for one in plan.children if one.order_type == STOP), None)
    together = len(plan.orders) + sum(not one.terms.reduce_only for one in plan.children)
    for order in plan.orders:
        entry = entry_ticks_of(draft, instrument, order)
        entry_ticks = None if isinstance(entry, Rejection) else entry
        refused = refused_by_rules(draft, order, entry_ticks, stop_ticks, together)
        if refused is not None:
            return refused
    return None


def _grouped(order: Order, group_id: str | None, kind: str | None) -> Order:
    if group_id is None:
        return order
    return replace(order, terms=replace(order.terms, group_id=group_id, group_kind=kind))


def _child_of(parent: Order, child: Order) -> Order:
    """Let an order wait for its parent; one that only reduces, reduces the parent's position."""
    ticket = parent.terms.ticket if child.terms.reduce_only else None
    return replace(child, terms=replace(child.terms, parent_id=parent.order_id, ticket=ticket))


def _answer(draft: Draft, instrument: Instrument, accepted: list[Order]) -> None:
    first, result = accepted[0], draft.outcome.result
    if not result:
        result = {
            "symbol": first.symbol,
            "side": side_name(first.side),
            "quantity": format_units(first.size_steps, instrument.size_step),
        }
    result = {**result, "orderId": first.order_id, **ticket_payload(first.terms.ticket)}
    if len(accepted) > 1:
        result["orderIds"] = [order.order_id for order in accepted]
    draft.outcome.result = result


def _plan(draft: Draft, instrument: Instrument, payload: Payload) -> Plan | Rejection:
    first = _order(draft, instrument, payload)
    if isinstance(first, Rejection):
        return first
    links = payload.get("links")
    plan: Plan | Rejection = Plan((first,))
    if links is not None and links["type"] == OTO:
        plan = _with_children(draft, instrument, first, links["orders"])
    elif links is not None:
        plan = _with_siblings(draft, instrument, first, links)
    elif "bracket" in payload:
        plan = _with_exits(draft, instrument, first, payload["bracket"])
    if isinstance(plan, Rejection):
        return plan
    waiting = len(plan.orders) + len(plan.children) - (not _waits(first))
    count = len(draft.account.working) + waiting
    if waiting and count > WORKING_MAX:
        return Rejection(
            Reason.TOO_MANY_ORDERS, f"expected at most {WORKING_MAX} working orders, was {count}"
        )
    return plan


def _with_siblings(
    draft: Draft, instrument: Instrument, first: Order, links: Payload
) -> Plan | Rejection:
    size = format_units(first.size_steps, instrument.size_step)
    orders = [first]
    for leg in links["orders"]:
        order = _order(draft, instrument, {"quantity": size, **leg})
        if isinstance(order, Rejection):
            return order
        orders.append(order)
    return Plan(tuple(orders), siblings=links["type"])


def _with_children(
    draft: Draft, instrument: Instrument, first: Order, legs: list[Payload]
) -> Plan | Rejection:
    children = []
    for leg in legs:
        child = _child(draft, instrument, leg)
        if isinstance(child, Rejection):
            return child
        children.append(child)
    return Plan((first,), tuple(children), siblings=OTO)


def _with_exits(
    draft: Draft, instrument: Instrument, first: Order, bracket: Payload
) -> Plan | Rejection:
    """Make the exits of a bracket: a stop or trailing stop, and a limit, that only reduce."""
    entry_ticks = entry_ticks_of(draft, instrument, first)
    if isinstance(entry_ticks, Rejection):
        return entry_ticks
    checked = protective_prices(instrument, first.side, entry_ticks, bracket)
    if isinstance(checked, Rejection):
        return checked
    exit_side = {"action": side_name(-first.side), "reduceOnly": True, "timeInForce": GTC}
    trail = {key: bracket[key] for key in ("trailDistance", "trailPercent") if key in bracket}
    legs: list[Payload] = []
    if "stopLoss" in bracket:
        legs.append({**exit_side, "orderType": STOP, "triggerPrice": bracket["stopLoss"]})
    elif trail:
        legs.append({**exit_side, "orderType": TRAILING_STOP, **trail})
    if "takeProfit" in bracket:
        legs.append({**exit_side, "orderType": LIMIT, "price": bracket["takeProfit"]})
    plan = _with_children(draft, instrument, first, legs)
    return plan if isinstance(plan, Rejection) else replace(plan, siblings=None)


def _order(draft: Draft, instrument: Instrument, payload: Payload) -> Order | Rejection:
    """Read an order that is to work at once: its terms, its size, and how it meets the quote."""
    order = _unsized(draft, instrument, payload)
    if isinstance(order, Rejection):
        return order
    if order.order_type != MARKET:
        order = started(order, draft.context.market)
    refused = misplaced(order, draft.context.market.usable(instrument), instrument)
    if refused is not None:
        return refused
    sized = _sized(draft, instrument, order, payload)
    if isinstance(sized, Rejection):
        return sized
    refused = refused_leg(draft, order)
    if refused is not None:
        return refused
    return replace(
        order,
        status=lifecycle.NEW,
        size_steps=sized.size_steps,
        stop_loss_ticks=sized.stop_loss_ticks,
        take_profit_ticks=sized.take_profit_ticks,
    )


def _child(draft: Draft, instrument: Instrument, payload: Payload) -> Order | Rejection:
    """Read an order that waits for its parent; its size will be what the parent has filled."""
    order = _unsized(draft, instrument, payload)
    if isinstance(order, Rejection):
        return order
    reference = order.terms.limit_ticks if order.order_type in LIMITED else trigger_of(order)
    if reference is None:
        return replace(order, status=lifecycle.NEW)
    protective = protective_prices(instrument, order.side, reference, payload)
    if isinstance(protective, Rejection):
        return protective
    stop_loss, take_profit = protective
    return replace(
        order,
        status=lifecycle.NEW,
        stop_loss_ticks=stop_loss,
        take_profit_ticks=take_profit,
    )


def _unsized(draft: Draft, instrument: Instrument, payload: Payload) -> Order | Rejection:
    terms = read_terms(draft, instrument, payload)
    if isinstance(terms, Rejection):
        return terms
    command = draft.command
    return Order(
        order_id="",
        signal_id=command.signal_id,
        client_id=payload.get("clientId"),
        source_kind=command.source_kind,
        symbol=instrument.symbol,
        side=BUY if payload["action"] == "buy" else -BUY,
        order_type=payload.get("orderType", MARKET),
        size_steps=0,
        filled_steps=0,
        stop_loss_ticks=None,
        take_profit_ticks=None,
        status=lifecycle.WORKING,
        reason=None,
        event_seq=0,
        created_ns=draft.context.now_ns,
        terms=terms,
    )


def read_terms(draft: Draft, instrument: Instrument, payload: Payload) -> Terms | Rejection:
    """Read an order's terms; the price of a market order is only what its sender saw."""
    order_type = payload.get("orderType", MARKET)
    time_in_force = payload.get("timeInForce", IOC if order_type == MARKET else GTC)
    fields: dict[str, Any] = {}
    for name, key in _PRICES:
        if key in payload and order_type != MARKET:
            ticks = on_tick(instrument, key, payload[key])
            if isinstance(ticks, Rejection):
                return ticks
            fields[name] = ticks
    if "trailPercent" in payload:
        ppm = to_units(Decimal(payload["trailPercent"]), Decimal(PERCENT_STEP))
        if ppm is None:
            return Rejection(
                Reason.PRICE_OFF_TICK,
                f"expected trailPercent in steps of {PERCENT_STEP}, was {payload['trailPercent']}",
            )
        fields["trail_ppm"] = ppm
    expire_at_ns = _expire_at(draft, instrument, time_in_force, payload)
    if isinstance(expire_at_ns, Rejection):
        return expire_at_ns
    return Terms(
        **fields,
        time_in_force=time_in_force,
        expire_at_ns=expire_at_ns,
        reduce_only=payload.get("reduceOnly", False),
        post_only=payload.get("postOnly", False),
        active_ns=draft.active_ns(instrument),
        ticket=payload.get("ticket"),
    )


def _expire_at(
    draft: Draft, instrument: Instrument, time_in_force: str, payload: Payload
) -> int | Rejection | None:
    """Return when an order ends by itself: a day's order with the session or the trading day."""
    if time_in_force == DAY:
        close_ns = draft.context.market.next_close(instrument)
        return draft.account.day.next_reset_ns if close_ns is None else close_ns
    text = payload.get("expireAt")
    return None if text is None else read_expiry(draft, text)


def read_expiry(draft: Draft, text: str) -> int | Rejection:
    """Read an expiry, which must lie ahead."""
    expire_at_ns = parse_rfc3339(text)
    if expire_at_ns is None or expire_at_ns <= draft.context.now_ns:
        now = format_rfc3339(draft.context.now_ns)
        return Rejection(Reason.EXPIRED_ALREADY, f"expected expireAt after {now}, was {text}")
    return expire_at_ns


def misplaced(order: Order, quote: Quote | Rejection, instrument: Instrument) -> Rejection | None:
    """Say why a working order may not stand where it does; a stop may before there is a quote."""
    if isinstance(quote, Rejection):
        return quote if order.order_type == MARKET or order.terms.post_only else None
    shown = format_units(quote.price_for(order.side), instrument.tick)
    if is_armed(order) and is_reached(order, quote):
        trigger = format_units(trigger_of(order) or 0, instrument.tick)
        return Rejection(
            Reason.TRIGGER_REACHED,
            f"expected triggerPrice beyond the quote of {shown}, was {trigger}",
        )
    if order.terms.post_only and is_marketable(order, quote):
        limit = format_units(order.terms.limit_ticks or 0, instrument.tick)
        return Rejection(
            Reason.WOULD_TRADE, f"expected price away from the quote of {shown}, was {limit}"
        )
    return None


def _sized(
    draft: Draft, instrument: Instrument, order: Order, payload: Payload
) -> Sized | Rejection:
    needs_entry = any(key in payload for key in ("stopLoss", "takeProfit", *SIZED_BY_ENTRY))
    entry_ticks = entry_ticks_of(draft, instrument, order)
    if isinstance(entry_ticks, Rejection):
        if needs_entry:
            return entry_ticks
        size = quantity_steps(instrument, payload["quantity"])
        return size if isinstance(size, Rejection) else Sized(size, None, None)
    context = draft.context
    fees = context.trading.fees(instrument)
    return size_entry(
        draft.account, context.market, instrument, order.side, entry_ticks, payload, fees
    )


def entry_ticks_of(draft: Draft, instrument: Instrument, order: Order) -> int | Rejection:
    """Return the price an order would enter at: its own, or the quote's where that is better."""
    quote = draft.context.market.usable(instrument)
    model = draft.context.fill_model(instrument)
    own_ticks = order.terms.limit_ticks if order.order_type in LIMITED else trigger_of(order)
    if order.order_type in (MARKET, LIMIT) and isinstance(quote, Quote):
        price_ticks = expected_price(model, quote, order.side)
        better = own_ticks is None or order.side * (price_ticks - own_ticks) < 0
        return price_ticks if better or own_ticks is None else own_ticks
    if own_ticks is not None:
        return own_ticks
    return quote if isinstance(quote, Rejection) else expected_price(model, quote, order.side)
