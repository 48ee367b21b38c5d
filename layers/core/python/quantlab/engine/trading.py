"""What one fill does: size and price at a quote, netting, money, and the events of all three."""

from quantlab.engine import ENGINE_VERSION, lifecycle
from quantlab.engine.commands import Fill
from quantlab.engine.context import Market
from quantlab.engine.draft import Draft
from quantlab.engine.fill_models import PlannedFill, fill_seed, plan
from quantlab.engine.margin import refused_fill
from quantlab.engine.order_terms import FOK, MARKET, limit_of
from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.arith import muldiv
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import check
from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fees import charged_fee_micro, raw_fee_micro
from quantlab.ledger.fills import (
    LedgerEntry,
    Netted,
    Rate,
    book_entry,
    fits,
    gain_micro,
    net,
)
from quantlab.ledger.orders import Order, Terms
from quantlab.ledger.state import Position
from quantlab.ledger.tally import count_fill
from quantlab.market.fill_model import ANY_SIZE
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote


@dataclass(frozen=True, slots=True)
class Planned:
    """A fill that may be booked as it is: nothing about it can fail any more."""

    instrument: Instrument
    quote: Quote
    fill: PlannedFill
    netted: Netted
    rate: Rate
    raw_fee_micro: int
    fee_micro: int


def plan_fill(
    draft: Draft, order: Order, market: Market, *, events_before: int = 0
) -> Planned | Rejection | None:
    """Work out what an order fills at a market's quote; None when that gives it nothing.

    events_before is how many events will come before the fill's own, which names its draw.
    """
    instrument = market.catalog.instruments[order.symbol]
    quote = market.usable(instrument)
    if isinstance(quote, Rejection):
        return quote
    wanted_steps = order.remaining_steps
    if order.terms.reduce_only:
        wanted_steps = min(wanted_steps, draft.account.reducible_steps(order))
    model = draft.context.fill_model(instrument)
    fill = plan(
        model,
        instrument,
        quote,
        order.side,
        wanted_steps,
        limit_of(order),
        draft.taken_steps(quote, order.side),
        _seed(draft, draft.next_seq + events_before),
    )
    if order.order_type == MARKET and wanted_steps and not fill.steps:
        return _no_size(instrument, order.side)
    if not fill.steps or (order.terms.time_in_force == FOK and fill.steps < order.remaining_steps):
        return None
    return _affordable(draft, order, market, quote, fill)


def _affordable(
    draft: Draft, order: Order, market: Market, quote: Quote, fill: PlannedFill
) -> Planned | Rejection:
    """Work out what a fill nets, gains and costs; refuse it without the margin it needs."""
    instrument = market.catalog.instruments[order.symbol]
    held = draft.account.held_for(order)
    netted = net(held, order.side, fill.steps, fill.price_ticks)
    if not fits(netted, fill.price_ticks, instrument):
        return Rejection(
            Reason.POSITION_TOO_LARGE,
            f"expected a position within 2^62 units of value, was {abs(netted.size_steps)} steps",
        )
    rate = market.rate(instrument, draft.account.currency, netted.gain)
    if isinstance(rate, Rejection):
        return rate
    raw_micro, fee_micro = _fee(draft, order, instrument, fill.steps, fill.price_ticks, rate)
    refused = refused_fill(draft, order, instrument, netted, fill.steps, fee_micro)
    if refused is not None:
        return refused
    return Planned(instrument, quote, fill, netted, rate, raw_micro, fee_micro)


def _fee(
    draft: Draft, order: Order, instrument: Instrument, steps: int, price_ticks: int, rate: Rate
) -> tuple[int, int]:
    """Return what a fill costs before the order's minimum, and what is charged for it."""
    fees = draft.context.trading.fees(instrument)
    raw_micro = raw_fee_micro(
        steps,
        price_ticks,
        instrument.unit_num,
        instrument.unit_den,
        fees.step_num,
        fees.step_den,
        fees.notional_ppm,
        *rate,
    )
    before_micro = order.terms.fee_micro
    filled = order.filled_steps > 0
    return raw_micro, charged_fee_micro(raw_micro, filled, before_micro, fees.minimum_micro)


def _seed(draft: Draft, event_seq: int) -> int:
    return fill_seed(draft.account.tenant_id, draft.account.account_id, event_seq)


def _no_size(instrument: Instrument, side: int) -> Rejection:
    return Rejection(
        Reason.NO_DISPLAYED_SIZE,
        f"expected a quote of {instrument.symbol} with a size left to {side_name(side)},"
        " was one without",
    )


def side_name(side: int) -> str:
    """Return buy or sell."""
    return "buy" if side > 0 else "sell"


def book_fill(draft: Draft, order: Order, planned: Planned, cause: str) -> Order:
    """Book a planned fill with its events and return the order after it, not yet put away."""
    if planned.fill.model.size_rule(planned.instrument) != ANY_SIZE:
        draft.take_steps(planned.quote, order.side, planned.fill.steps)
    whole = planned.fill.steps == order.remaining_steps
    stepped = lifecycle.step(order.status, lifecycle.FILL if whole else lifecycle.FILL_PART)
    check(isinstance(stepped, lifecycle.Step), f"a fill of an order that is {order.status}")
    state = lifecycle.FILLED if whole else lifecycle.PARTIALLY_FILLED
    held = draft.account.held_for(order)
    fill = _book(draft, order, planned)
    check(fill.fill_seed == _seed(draft, fill.event_seq), "a fill recorded with its own event")
    draft.outcome.fills.append(fill)
    after = replace(
        order,
        status=state,
        filled_steps=order.filled_steps + fill.size_steps,
        event_seq=fill.event_seq,
        terms=order.terms if whole else _left_terms(order, planned),
    )
    draft.emit(f"order.{state}", _fill_payload(draft, after, planned, fill, cause))
    _move_position(draft, order, planned, held)
    draft.change(
        tally=count_fill(
            draft.account.tally,
            planned.instrument,
            order.position_key,
            planned.netted,
            fill.realised_minor,
            fill.commission_minor,
        )
    )
    if not draft.outcome.result:
        draft.outcome.result = {
            "orderId": order.order_id,
            "fillId": fill.fill_id,
            "symbol": order.symbol,
            "side": side_name(order.side),
            "price": format_units(fill.price_ticks, planned.instrument.tick),
            "quantity": format_units(fill.size_steps, planned.instrument.size_step),
            **ticket_payload(fill.ticket),
        }
    return after


def _left_terms(order: Order, planned: Planned) -> Terms:
    """Return the terms of what is left: held against that quote, having cost so much so far."""
    fee_micro = order.terms.fee_micro + planned.raw_fee_micro
    return replace(order.terms, since_seq=planned.quote.seq, fee_micro=fee_micro)


def _book(draft: Draft, order: Order, planned: Planned) -> Fill:
    """Book the realised gain and the commission; the day's result moves with them."""
    account, instrument, netted = draft.account, planned.instrument, planned.netted
    entries: list[LedgerEntry] = []
    balance, carry = account.balance_minor, account.carry_micro
    gain_booked = muldiv(gain_micro(netted.gain, instrument), *planned.rate)
    booked = {"realised": 0, "commission": 0}
    for kind, amount_micro, due in (
        ("realised", gain_booked, netted.closed_steps > 0),
        ("commission", -planned.fee_micro, planned.fee_micro > 0),
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
    quote = planned.quote
    return Fill(
        fill_id=draft.derived_id("fill"),
        order_id=order.order_id,
        symbol=instrument.symbol,
        side=order.side,
        size_steps=planned.fill.steps,
        price_ticks=planned.fill.price_ticks,
        slippage_ticks=planned.fill.slippage_ticks,
        bid_ticks=quote.bid_ticks,
        ask_ticks=quote.ask_ticks,
        bid_size_steps=quote.bid_size_steps,
        ask_size_steps=quote.ask_size_steps,
        quote_ts_ns=quote.ts_ns,
        quote_seq=quote.seq,
        rate_num=planned.rate[0],
        rate_den=planned.rate[1],
        realised_minor=booked["realised"],
        commission_minor=-booked["commission"],
        entries=tuple(entries),
        event_seq=draft.next_seq,
        fill_model=planned.fill.model.version,
        fill_seed=planned.fill.seed,
        ticket=order.terms.ticket,
    )


def _move_position(draft: Draft, order: Order, planned: Planned, held: Position | None) -> None:
    key, netted = order.position_key, planned.netted
    positions = dict(draft.account.positions)
    if not netted.size_steps:
        closed = positions.pop(key)
        draft.change(positions=positions)
        draft.emit("position.closed", {**closed.named, "balance": _balance(draft)})
        return
    turned = held is None or held.size_steps * netted.size_steps < 0
    if held is None or turned:
        position = Position(
            symbol=order.symbol,
            size_steps=netted.size_steps,
            cost=netted.cost,
            stop_loss_ticks=order.stop_loss_ticks,
            take_profit_ticks=order.take_profit_ticks,
            opened_at_ns=draft.context.now_ns,
            opened_seq=draft.next_seq,
            ticket=order.terms.ticket,
        )
    else:
        position = replace(held, size_steps=netted.size_steps, cost=netted.cost)
        if netted.opened_steps:
            position = _protected(position, order)
    positions[key] = position
    draft.change(positions=positions)
    event = "position.opened" if turned else "position.changed"
    described = position_payload(position, planned.instrument)
    draft.emit(event, described | {"balance": _balance(draft)})


def ticket_payload(ticket: str | None) -> dict[str, Json]:
    """Name a leg; nothing on an account that nets."""
    return {} if ticket is None else {"ticket": ticket}


def _protected(position: Position, order: Order) -> Position:
    """Let the protective prices of an order that adds replace the earlier ones.

    Those of an order that only reduces lie on the wrong side of what is left and do not count.
    """
    if order.stop_loss_ticks is not None:
        position = replace(position, stop_loss_ticks=order.stop_loss_ticks)
    if order.take_profit_ticks is not None:
        position = replace(position, take_profit_ticks=order.take_profit_ticks)
    return position


def _balance(draft: Draft) -> str:
    return draft.money(draft.account.balance_minor)


def position_payload(position: Position, instrument: Instrument) -> dict[str, Json]:
    """Describe a position as events and the API show it."""
    return {
        **position.named,
        "side": "long" if position.size_steps > 0 else "short",
        "quantity": format_units(abs(position.size_steps), instrument.size_step),
        "sizeSteps": position.size_steps,
        "cost": str(position.cost),
        "stopLoss": _price(position.stop_loss_ticks, instrument),
        "takeProfit": _price(position.take_profit_ticks, instrument),
    }


def _price(ticks: int | None, instrument: Instrument) -> str | None:
    return None if ticks is None else format_units(ticks, instrument.tick)


def quote_payload(quote: Quote, instrument: Instrument) -> dict[str, Json]:
    """Write a quote as the events of orders and fills record it."""
    return {
        "bid": format_units(quote.bid_ticks, instrument.tick),
        "ask": format_units(quote.ask_ticks, instrument.tick),
        "time": format_rfc3339(quote.ts_ns),
        "seq": quote.seq,
        "bidSizeSteps": quote.bid_size_steps,
        "askSizeSteps": quote.ask_size_steps,
    }


def _fee_terms(draft: Draft, planned: Planned) -> dict[str, Json]:
    """Record what the commission was computed from, in millionths of the account's minor unit."""
    fees = draft.context.trading.fees(planned.instrument)
    return {
        "perStepMicro": f"{fees.step_num}/{fees.step_den}",
        "notionalPpm": fees.notional_ppm,
        "minimumMicro": str(fees.minimum_micro),
        "chargedMicro": str(planned.fee_micro),
    }


def _fill_payload(
    draft: Draft, order: Order, planned: Planned, fill: Fill, cause: str
) -> dict[str, Json]:
    """Record the fill with the inputs a stranger needs to recompute it."""
    instrument = planned.instrument
    payload: dict[str, Json] = {
        "orderId": fill.order_id,
        "fillId": fill.fill_id,
        "signalId": order.signal_id,
        "symbol": fill.symbol,
        **ticket_payload(fill.ticket),
        "side": side_name(fill.side),
        "quantity": format_units(fill.size_steps, instrument.size_step),
        "price": format_units(fill.price_ticks, instrument.tick),
        "slippageTicks": fill.slippage_ticks,
        "fillModel": planned.fill.evidence(),
        "quote": quote_payload(planned.quote, instrument),
        "rate": f"{fill.rate_num}/{fill.rate_den}",
        "realised": draft.money(fill.realised_minor),
        "commission": draft.money(fill.commission_minor),
        "balance": _balance(draft),
        "carryMicro": draft.account.carry_micro,
        "cause": cause,
        "feeTerms": _fee_terms(draft, planned),
        "configVersion": draft.account.config_version,
        "ruleProfileVersion": draft.context.profile.version,
        "catalogVersion": draft.context.market.catalog.version,
        "engineVersion": ENGINE_VERSION,
    }
    if order.filled_steps != fill.size_steps or order.remaining_steps:
        payload["filledQuantity"] = format_units(order.filled_steps, instrument.size_step)
        payload["orderQuantity"] = format_units(order.size_steps, instrument.size_step)
    return payload
