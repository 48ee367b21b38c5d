"""Market orders against the quote of the moment: netting, money, and the events of both."""

from dataclasses import replace
from typing import Any

from quantlab.engine import ENGINE_VERSION
from quantlab.engine.commands import Fill, Order
from quantlab.engine.draft import Draft
from quantlab.engine.fill_models import NO_LIMIT, PlannedFill, fill_seed, plan
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import Intent
from quantlab.kernel.arith import muldiv
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import check
from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.fills import (
    LedgerEntry,
    Netted,
    Rate,
    book_entry,
    fits,
    gain_micro,
    net,
)
from quantlab.ledger.state import Position
from quantlab.market.instrument import Instrument

SIZE_EXHAUSTED = "size_exhausted"


def fill_market_order(draft: Draft, intent: Intent, cause: str) -> Rejection | None:
    """Fill an order at the quote of its intent as far as the fill model lets it; cancel the rest.

    The first refusal leaves nothing behind.
    """
    instrument = intent.instrument
    planned = _plan(draft, intent)
    if not planned.steps:
        return Rejection(
            Reason.NO_DISPLAYED_SIZE,
            f"expected a quote of {instrument.symbol} with a size to {side_name(intent.side)},"
            " was one without",
        )
    price_ticks = planned.price_ticks
    held = draft.account.positions.get(instrument.symbol)
    netted = net(held, intent.side, planned.steps, price_ticks)
    if not fits(netted, price_ticks, instrument):
        return Rejection(
            Reason.POSITION_TOO_LARGE,
            f"expected a position within 2^62 units of value, was {abs(netted.size_steps)} steps",
        )
    rate = draft.context.market.rate(instrument, draft.account.currency, netted.gain)
    if isinstance(rate, Rejection):
        return rate
    order_id = draft.derived_id("order")
    draft.emit("order.accepted", _order_payload(draft, intent, order_id, cause))
    fill = _book(draft, intent, order_id, planned, netted, rate)
    check(planned.seed == _seed(draft, fill.event_seq), "a fill recorded with its own event")
    draft.outcome.fills.append(fill)
    rest_steps = intent.size_steps - fill.size_steps
    filled = "order.partially_filled" if rest_steps else "order.filled"
    draft.emit(filled, _fill_payload(draft, intent, fill, planned, cause))
    _move_position(draft, intent, held, netted)
    if rest_steps:
        draft.emit("order.cancelled", _rest_payload(intent, fill, rest_steps))
    draft.outcome.orders.append(_done_order(draft, intent, fill))
    if not draft.outcome.result:
        draft.outcome.result = {
            "orderId": order_id,
            "fillId": fill.fill_id,
            "symbol": instrument.symbol,
            "side": side_name(intent.side),
            "price": format_units(price_ticks, instrument.tick),
            "quantity": format_units(fill.size_steps, instrument.size_step),
        }
    return None


def _plan(draft: Draft, intent: Intent) -> PlannedFill:
    """Plan the fill; its event follows the one that accepts the order."""
    return plan(
        draft.context.fill_model(intent.instrument),
        intent.instrument,
        intent.quote,
        intent.side,
        intent.size_steps,
        NO_LIMIT,
        _seed(draft, draft.next_seq + 1),
    )


def _seed(draft: Draft, event_seq: int) -> int:
    return fill_seed(draft.account.tenant_id, draft.account.account_id, event_seq)


def side_name(side: int) -> str:
    """Return buy or sell."""
    return "buy" if side > 0 else "sell"


def _book(
    draft: Draft,
    intent: Intent,
    order_id: str,
    planned: PlannedFill,
    netted: Netted,
    rate: Rate,
) -> Fill:
    """Book the realised gain and the commission; the day's result moves with them."""
    account = draft.account
    entries: list[LedgerEntry] = []
    balance, carry = account.balance_minor, account.carry_micro
    gain_booked = muldiv(gain_micro(netted.gain, intent.instrument), *rate)
    fee_micro = intent.instrument.commission_micro_per_step * planned.steps
    booked = {"realised": 0, "commission": 0}
    for kind, amount_micro, due in (
        ("realised", gain_booked, netted.closed_steps > 0),
        ("commission", -fee_micro, fee_micro > 0),
    ):
        if due:
            entry = book_entry(balance, carry, kind, amount_micro)
            balance, carry, booked[kind] = (
                entry.balance_minor,
                entry.carry_micro,
                entry.amount_minor,
            )
            entries.append(entry)
    day = replace(
        account.day,
        realised_minor=account.day.realised_minor + sum(booked.values()),
        traded=account.day.traded or netted.opened_steps > 0,
    )
    draft.change(balance_minor=balance, carry_micro=carry, day=day)
    return _fill(draft, intent, order_id, planned, rate, booked, tuple(entries))


def _fill(
    draft: Draft,
    intent: Intent,
    order_id: str,
    planned: PlannedFill,
    rate: Rate,
    booked: dict[str, int],
    entries: tuple[LedgerEntry, ...],
) -> Fill:
    return Fill(
        fill_id=draft.derived_id("fill"),
        order_id=order_id,
        symbol=intent.instrument.symbol,
        side=intent.side,
        size_steps=planned.steps,
        price_ticks=planned.price_ticks,
        slippage_ticks=planned.slippage_ticks,
        bid_ticks=intent.quote.bid_ticks,
        ask_ticks=intent.quote.ask_ticks,
        bid_size_steps=intent.quote.bid_size_steps,
        ask_size_steps=intent.quote.ask_size_steps,
        quote_ts_ns=intent.quote.ts_ns,
        quote_seq=intent.quote.seq,
        rate_num=rate[0],
        rate_den=rate[1],
        realised_minor=booked["realised"],
        commission_minor=-booked["commission"],
        entries=entries,
        event_seq=draft.next_seq,
        fill_model=planned.model.version,
        fill_seed=planned.seed,
    )


def _done_order(draft: Draft, intent: Intent, fill: Fill) -> Order:
    """Return the order as it ended: filled, or cancelled with a part filled."""
    whole = fill.size_steps == intent.size_steps
    return Order(
        order_id=fill.order_id,
        client_id=draft.command.payload.get("clientId"),
        symbol=fill.symbol,
        side=fill.side,
        order_type="market",
        size_steps=intent.size_steps,
        filled_steps=fill.size_steps,
        stop_loss_ticks=intent.stop_loss_ticks,
        take_profit_ticks=intent.take_profit_ticks,
        status="filled" if whole else "cancelled",
        reason=None if whole else SIZE_EXHAUSTED,
        event_seq=fill.event_seq,
    )


def _move_position(draft: Draft, intent: Intent, held: Position | None, netted: Netted) -> None:
    symbol = intent.instrument.symbol
    positions = dict(draft.account.positions)
    if not netted.size_steps:
        del positions[symbol]
        draft.change(positions=positions)
        draft.emit("position.closed", {"symbol": symbol, "balance": _balance(draft)})
        return
    turned = held is None or held.size_steps * netted.size_steps < 0
    if held is None or turned:
        position = Position(
            symbol=symbol,
            size_steps=netted.size_steps,
            cost=netted.cost,
            stop_loss_ticks=intent.stop_loss_ticks,
            take_profit_ticks=intent.take_profit_ticks,
            opened_at_ns=draft.context.now_ns,
            opened_seq=draft.next_seq,
        )
    else:
        position = replace(held, size_steps=netted.size_steps, cost=netted.cost)
        if netted.opened_steps:
            position = _protected(position, intent)
    positions[symbol] = position
    draft.change(positions=positions)
    event = "position.opened" if turned else "position.changed"
    draft.emit(event, position_payload(position, intent.instrument) | {"balance": _balance(draft)})


def _protected(position: Position, intent: Intent) -> Position:
    """Let the protective prices of an order that adds replace the earlier ones.

    Those of an order that only reduces lie on the wrong side of what is left and do not count.
    """
    if intent.stop_loss_ticks is not None:
        position = replace(position, stop_loss_ticks=intent.stop_loss_ticks)
    if intent.take_profit_ticks is not None:
        position = replace(position, take_profit_ticks=intent.take_profit_ticks)
    return position


def _balance(draft: Draft) -> str:
    return draft.money(draft.account.balance_minor)


def position_payload(position: Position, instrument: Instrument) -> dict[str, Json]:
    """Describe a position as events and the API show it."""
    return {
        "symbol": position.symbol,
        "side": "long" if position.size_steps > 0 else "short",
        "quantity": format_units(abs(position.size_steps), instrument.size_step),
        "sizeSteps": position.size_steps,
        "cost": str(position.cost),
        "stopLoss": _price(position.stop_loss_ticks, instrument),
        "takeProfit": _price(position.take_profit_ticks, instrument),
    }


def _price(ticks: int | None, instrument: Instrument) -> str | None:
    return None if ticks is None else format_units(ticks, instrument.tick)


def _order_payload(draft: Draft, intent: Intent, order_id: str, cause: str) -> dict[str, Json]:
    instrument = intent.instrument
    payload: dict[str, Any] = {
        "orderId": order_id,
        "signalId": draft.command.signal_id,
        "symbol": instrument.symbol,
        "side": side_name(intent.side),
        "orderType": "market",
        "quantity": format_units(intent.size_steps, instrument.size_step),
        "cause": cause,
    }
    for key, ticks in (
        ("stopLoss", intent.stop_loss_ticks),
        ("takeProfit", intent.take_profit_ticks),
    ):
        if ticks is not None:
            payload[key] = format_units(ticks, instrument.tick)
    return payload


def _rest_payload(intent: Intent, fill: Fill, rest_steps: int) -> dict[str, Json]:
    step = intent.instrument.size_step
    return {
        "orderId": fill.order_id,
        "symbol": fill.symbol,
        "reason": SIZE_EXHAUSTED,
        "filled": format_units(fill.size_steps, step),
        "cancelled": format_units(rest_steps, step),
    }


def _fill_payload(
    draft: Draft, intent: Intent, fill: Fill, planned: PlannedFill, cause: str
) -> dict[str, Json]:
    """Record the fill with the inputs a stranger needs to recompute it."""
    instrument, quote = intent.instrument, intent.quote
    return {
        "orderId": fill.order_id,
        "fillId": fill.fill_id,
        "signalId": draft.command.signal_id,
        "symbol": fill.symbol,
        "side": side_name(fill.side),
        "quantity": format_units(fill.size_steps, instrument.size_step),
        "price": format_units(fill.price_ticks, instrument.tick),
        "slippageTicks": fill.slippage_ticks,
        "fillModel": planned.evidence(),
        "quote": {
            "bid": format_units(quote.bid_ticks, instrument.tick),
            "ask": format_units(quote.ask_ticks, instrument.tick),
            "time": format_rfc3339(quote.ts_ns),
            "seq": quote.seq,
            "bidSizeSteps": quote.bid_size_steps,
            "askSizeSteps": quote.ask_size_steps,
        },
        "rate": f"{fill.rate_num}/{fill.rate_den}",
        "realised": draft.money(fill.realised_minor),
        "commission": draft.money(fill.commission_minor),
        "balance": _balance(draft),
        "carryMicro": draft.account.carry_micro,
        "cause": cause,
        "configVersion": draft.account.config_version,
        "ruleProfileVersion": draft.context.profile.version,
        "catalogVersion": draft.context.market.catalog.version,
        "engineVersion": ENGINE_VERSION,
    }
