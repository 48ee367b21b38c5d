"""What a quote or the time means for working orders: the commands they call for."""

from quantlab.engine import commands, lifecycle
from quantlab.engine.context import Market, write_quotes
from quantlab.engine.fill_models import shows_size
from quantlab.engine.order_terms import (
    FOK,
    IOC,
    TRAILING_STOP,
    is_armed,
    is_called,
    trailed,
    with_peak,
)
from quantlab.engine.rejections import Rejection
from quantlab.engine.watched import RETRY_NS, Demand, Watched, demand_once
from quantlab.kernel.canonical import Json
from quantlab.kernel.records import replace
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.market.conversion import conversion_pair
from quantlab.market.fill_model import chosen_model
from quantlab.market.quote import Quote


def work_payload(order: Order, account: Account, quote: Quote, market: Market) -> dict[str, Json]:
    """Record what calls for an order: the quote, the one that converts its gain, and the peak."""
    used = [quote]
    currency = market.catalog.instruments[order.symbol].quote_currency
    conversion = conversion_pair(market.catalog, currency, account.currency)
    if conversion is not None and conversion.instrument is not None:
        converting = market.usable(conversion.instrument)
        if isinstance(converting, Quote) and converting.symbol != quote.symbol:
            used.append(converting)
    return {
        "orderId": order.order_id,
        "peakTicks": order.terms.peak_ticks,
        "feedSeq": quote.seq,
        "quotes": write_quotes(used),
    }


def trail_orders(account: Account, quote: Quote) -> Account:
    """Return the account with the peaks of its trailing stops moved by a quote."""
    moved = {
        order.order_id: after
        for order in account.working.values()
        if order.symbol == quote.symbol
        and quote.seq > order.terms.since_seq
        and (after := trailed(order, quote)) is not order
    }
    return replace(account, working={**account.working, **moved}) if moved else account


def keep_peaks(account: Account, old: Account) -> Account:
    """Return an account's newer state with the better peaks that were seen on the older one."""
    kept = {}
    for order in account.working.values():
        before = old.working.get(order.order_id)
        if before is None or before.terms.peak_ticks is None or not is_armed(order):
            continue
        better = with_peak(order, before.terms.peak_ticks)
        if better is not order:
            kept[order.order_id] = better
    return replace(account, working={**account.working, **kept}) if kept else account


def peaks_of(account: Account) -> dict[str, int]:
    """Return the peaks of an account's trailing stops by order."""
    return {
        order.order_id: order.terms.peak_ticks
        for order in account.working.values()
        if order.order_type == TRAILING_STOP and order.terms.peak_ticks is not None
    }


def work_orders(watched: Watched, quote: Quote | None, market: Market, now_ns: int) -> list[Demand]:
    """Hold the working orders against a quote, or against the latest of their symbols."""
    demands = expire_orders(watched, now_ns)
    symbols = {order.symbol for order in watched.account.working.values()}
    for symbol in sorted(symbols) if quote is None else {quote.symbol} & symbols:
        seen = market.usable(market.catalog.instruments[symbol])
        if isinstance(seen, Rejection):
            continue
        trailing = trail_orders(watched.account, seen)
        if trailing is not watched.account:
            watched.account, watched.peak_seq = trailing, max(watched.peak_seq, seen.seq)
        for order in trailing.working.values():
            waiting = order.symbol != symbol or order.status == lifecycle.PENDING_PARENT
            if waiting or not is_called(order, seen):
                continue
            about = (commands.WORK_ORDER, order.order_id)
            identity = (*about, seen.seq)
            if not _can_act(watched, order, seen, market):
                watched.answered[about] = watched.asked[about] = identity
                continue
            payload = work_payload(order, trailing, seen, market)
            tick_ts_ns = None if quote is None else quote.ts_ns
            demands += demand_once(watched, about, identity, payload, now_ns, tick_ts_ns)
    return demands


def _can_act(watched: Watched, order: Order, quote: Quote, market: Market) -> bool:
    """Say whether a quote at an order's price triggers it, ends it, or may fill some of it.

    A price without a size that the fill model asks for, or without a rate for the gain, leaves an
    order as it is: it waits for another quote.
    """
    if is_armed(order) or order.terms.time_in_force in (IOC, FOK):
        return True
    instrument = market.catalog.instruments[order.symbol]
    default = market.catalog.fill_models[order.symbol]
    model = chosen_model(watched.fill_models, order.symbol, default)
    rate = market.rate(instrument, watched.account.currency, order.side)
    return shows_size(model, instrument, quote, order.side) and not isinstance(rate, Rejection)


def expire_orders(watched: Watched, now_ns: int) -> list[Demand]:
    """Wake the account's writer when the time of one of its orders has come."""
    account = watched.account
    times = (order.terms.expire_at_ns for order in account.working.values())
    if not any(time_ns is not None and now_ns >= time_ns for time_ns in times):
        return []
    identity = (commands.EXPIRE_ORDERS, account.event_seq, now_ns // RETRY_NS)
    return demand_once(watched, (commands.EXPIRE_ORDERS,), identity, {}, now_ns)


def observe_trails(watched: Watched, trails: dict[str, int], now_ns: int) -> list[Demand]:
    """Hand on the peaks of trailing stops that their writer does not know yet."""
    new = {id_: peak for id_, peak in trails.items() if watched.stored_peaks.get(id_) != peak}
    seen: list[Json] = [
        {"orderId": order_id, "peakTicks": peak, "feedSeq": watched.peak_seq}
        for order_id, peak in sorted(new.items())
    ]
    named = tuple(part for item in sorted(new.items()) for part in item)
    identity = (commands.OBSERVE_TRAILS, *named)
    return demand_once(watched, identity, identity, {"trails": seen}, now_ns)
