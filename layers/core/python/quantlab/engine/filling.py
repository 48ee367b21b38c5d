"""Orders meet a quote: market orders at once, working ones when it is their turn."""

from quantlab.engine import lifecycle
from quantlab.engine.draft import Draft
from quantlab.engine.order_terms import FOK, IOC, MARKET
from quantlab.engine.orders import accept_order, cancel_order, follow_fill, put_away
from quantlab.engine.rejections import Rejection
from quantlab.engine.sizing import Intent
from quantlab.engine.trading import Planned, book_fill, plan_fill
from quantlab.kernel.records import replace
from quantlab.ledger.orders import Order, Terms

NOT_FILLED = "not_filled"


def new_order(draft: Draft, intent: Intent, limit_ticks: int | None = None) -> Order:
    """Return the market order of an intent, in the name of whoever gave the command.

    limit_ticks is the worst price it takes, as that of a take-profit.
    """
    command = draft.command
    return Order(
        order_id="",
        signal_id=command.signal_id,
        client_id=command.payload.get("clientId"),
        source_kind=command.source_kind,
        symbol=intent.instrument.symbol,
        side=intent.side,
        order_type=MARKET,
        size_steps=intent.size_steps,
        filled_steps=0,
        stop_loss_ticks=intent.stop_loss_ticks,
        take_profit_ticks=intent.take_profit_ticks,
        status=lifecycle.NEW,
        reason=None,
        event_seq=0,
        created_ns=draft.context.now_ns,
        terms=Terms(limit_ticks=limit_ticks, ticket=intent.ticket),
    )


def fill_market_order(draft: Draft, intent: Intent, cause: str) -> Rejection | None:
    """Fill what an intent asks at the present quote; see fill_at_once."""
    return fill_at_once(draft, new_order(draft, intent), cause)


def send_market_order(draft: Draft, intent: Intent, *, reduce_only: bool) -> Rejection | None:
    """Fill what a trader asks for now, or let the order travel for as long as the model says.

    A stopped account keeps no orders: there a close is carried out at once.
    """
    active_ns = draft.active_ns(intent.instrument)
    if not active_ns or draft.account.status != "active":
        return fill_market_order(draft, intent, "signal")
    order = new_order(draft, intent)
    terms = replace(order.terms, reduce_only=reduce_only, active_ns=active_ns)
    order = replace(order, terms=terms)
    accepted = accept_order(draft, order, "signal")
    draft.outcome.result = {"orderId": accepted.order_id, "symbol": order.symbol}
    return None


def fill_at_once(draft: Draft, order: Order, cause: str) -> Rejection | None:
    """Fill an order at the present quote; the first refusal leaves nothing behind.

    What the quote does not fill is cancelled.
    """
    planned = plan_fill(draft, order, draft.context.market, events_before=1)
    if isinstance(planned, Rejection):
        return planned
    accepted = accept_order(draft, order, cause, kept=False)
    fill_order(draft, accepted, planned, cause)
    return None


def fill_order(draft: Draft, order: Order, planned: Planned | None, cause: str) -> None:
    """Fill a live order as planned and do what follows; one that may not wait ends with it."""
    left: Order | None = order
    if planned is not None:
        order = book_fill(draft, order, planned, cause)
        put_away(draft, order)
        follow_fill(draft, order, planned.fill.steps, planned.quote.seq)
        left = draft.account.working.get(order.order_id)
    if left is not None and left.terms.time_in_force in (IOC, FOK):
        cancel_order(draft, left, NOT_FILLED)
