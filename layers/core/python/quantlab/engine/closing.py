"""Positions closed or turned round as a trader asks: one, a leg, those of a symbol, or all."""

from typing import Any

from quantlab.engine import lifecycle
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce_equity, liquidate
from quantlab.engine.filling import new_order, send_market_order
from quantlab.engine.guard import guard
from quantlab.engine.legs import named_positions
from quantlab.engine.order_terms import MARKET
from quantlab.engine.orders import cancel_working
from quantlab.engine.pretrade import refused_by_rules
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import Intent, closing_intent, reversing_intent
from quantlab.engine.trading import ticket_payload
from quantlab.ledger.orders import Order, Terms
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote


def close_or_reverse(
    draft: Draft, instrument: Instrument, payload: dict[str, Any]
) -> Rejection | None:
    """Close positions, or turn one round with one order of twice its size.

    What refuses one of them before any is closed refuses all. One that cannot be closed then, as by
    a quote too small for all, is recorded as a rejected order; where none can, that is the answer.
    """
    positions = named_positions(draft, instrument.symbol, payload)
    if isinstance(positions, Rejection):
        return positions
    quote = draft.context.market.usable(instrument)
    if isinstance(quote, Rejection):
        return quote
    intents: list[Intent] = []
    for position in positions:
        if payload["action"] == "reverse":
            model = draft.context.fill_model(instrument)
            intent = reversing_intent(position, instrument, quote, payload, model)
        else:
            intent = closing_intent(position, instrument, quote, payload.get("quantity"))
        if isinstance(intent, Rejection):
            return intent
        refused = refused_by_rules(draft, new_order(draft, intent), quote.price_for(intent.side))
        if refused is not None:
            return refused
        intents.append(intent)
    return _send(draft, intents, payload)


def _send(draft: Draft, intents: list[Intent], payload: dict[str, Any]) -> Rejection | None:
    """Send an order for each; the first refusal where none could be sent."""
    reduces = payload["action"] != "reverse"
    answers = [send_market_order(draft, one, reduce_only=reduces) for one in intents]
    if None not in answers:
        return answers[0]
    for one, refused in zip(intents, answers, strict=True):
        if refused is not None:
            reject_order(draft, {**payload, "ticket": one.ticket}, refused)
    if len(intents) > 1:
        accepted = [one for one in draft.outcome.events if one.event_type == "order.accepted"]
        draft.outcome.result["orderIds"] = [one.payload["orderId"] for one in accepted]
    return None


def flat(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Cancel the working orders and close the positions of a symbol, or of all."""
    ticker = payload.get("symbol")
    if ticker is not None:
        rejection = _flat_symbol(draft, ticker, payload)
        if rejection is not None:
            return reject_order(draft, payload, rejection)
    else:
        rejection = _flat_all(draft)
        if rejection is not None:
            return rejection
    enforce_equity(draft)
    return None


def _flat_symbol(draft: Draft, ticker: str, payload: dict[str, Any]) -> Rejection | None:
    instrument = guard(draft, ticker, reducing=True, closing=True)
    if isinstance(instrument, Rejection):
        return instrument
    cancelled = cancel_working(draft, "flattened", instrument.symbol)
    if cancelled and not draft.account.legs(instrument.symbol):
        draft.outcome.result = {"orderIds": list(cancelled)}
        return None
    return close_or_reverse(draft, instrument, payload)


def _flat_all(draft: Draft) -> Rejection | None:
    """Flatten every symbol; what has no good quote is named and stays open."""
    if not draft.account.positions and not draft.account.working:
        return Rejection(Reason.NO_POSITION, "no open position")
    for position in draft.account.legs():
        instrument = draft.context.market.catalog.instruments[position.symbol]
        quote = draft.context.market.usable(instrument)
        if isinstance(quote, Quote):
            intent = closing_intent(position, instrument, quote, None)
            if isinstance(intent, Intent):
                order = new_order(draft, intent)
                refused = refused_by_rules(draft, order, quote.price_for(intent.side))
                if refused is not None:
                    return refused
    cancelled = cancel_working(draft, "flattened")
    waiting = liquidate(draft, "signal")
    if waiting:
        enforce_equity(draft)
        return Rejection(Reason.QUOTE_STALE, "no good quote to close all of " + ", ".join(waiting))
    draft.outcome.result = draft.outcome.result or {"orderIds": list(cancelled)}
    return None


def reject_order(draft: Draft, payload: dict[str, Any], rejection: Rejection) -> Rejection:
    """Record an order that was not carried out, with its reason."""
    order_id = draft.derived_id("order")
    seq = draft.emit(
        "order.rejected",
        {
            "orderId": order_id,
            "signalId": draft.command.signal_id,
            "symbol": payload["symbol"],
            "action": payload["action"],
            "reason": str(rejection.reason),
            "detail": rejection.detail,
            **ticket_payload(payload.get("ticket")),
        },
    )
    draft.outcome.orders.append(
        Order(
            order_id=order_id,
            signal_id=draft.command.signal_id,
            client_id=payload.get("clientId"),
            source_kind=draft.command.source_kind,
            symbol=payload["symbol"],
            side=-1 if payload["action"] == "sell" else 1,
            order_type=payload.get("orderType", MARKET),
            size_steps=0,
            filled_steps=0,
            stop_loss_ticks=None,
            take_profit_ticks=None,
            status=lifecycle.REJECTED,
            reason=str(rejection.reason),
            event_seq=seq,
            created_ns=draft.context.now_ns,
            terms=Terms(ticket=payload.get("ticket")),
        )
    )
    return rejection
