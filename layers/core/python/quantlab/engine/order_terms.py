"""What an order's terms mean against a quote: armed or live, its trigger, its limit, its trail."""

from typing import Any, Final

from quantlab.engine import lifecycle
from quantlab.engine.context import Market
from quantlab.engine.pricing import (
    market_limit,
    stop_reached,
    touch_reached,
    trail_peak,
    trail_trigger,
)
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import replace
from quantlab.ledger.orders import Order, Terms
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote

MARKET: Final = "market"
LIMIT: Final = "limit"
STOP: Final = "stop"
STOP_LIMIT: Final = "stop_limit"
TRAILING_STOP: Final = "trailing_stop"
MARKET_IF_TOUCHED: Final = "market_if_touched"
LIMIT_IF_TOUCHED: Final = "limit_if_touched"
STOPS: Final = (STOP, STOP_LIMIT, TRAILING_STOP)
TOUCHES: Final = (MARKET_IF_TOUCHED, LIMIT_IF_TOUCHED)
LIMITED: Final = (LIMIT, STOP_LIMIT, LIMIT_IF_TOUCHED)
TRIGGERED_BY_PRICE: Final = (STOP, STOP_LIMIT, *TOUCHES)

GTC: Final = "gtc"
DAY: Final = "day"
GTD: Final = "gtd"
IOC: Final = "ioc"
FOK: Final = "fok"

OCO: Final = "oco"
OUO: Final = "ouo"
PERCENT_STEP: Final = "0.0001"
PPM_PER_PERCENT: Final = 10_000


def is_armed(order: Order) -> bool:
    """Say whether an order waits for its trigger."""
    return order.status == lifecycle.WORKING and order.order_type in (*STOPS, *TOUCHES)


def limit_of(order: Order) -> int:
    """Return the worst price an order may trade at, in ticks."""
    limit_ticks = order.terms.limit_ticks
    return market_limit(order.side) if limit_ticks is None else limit_ticks


def trigger_of(order: Order) -> int | None:
    """Return the price that triggers an order; that of a trail without a peak is not known yet."""
    terms = order.terms
    if order.order_type != TRAILING_STOP:
        return terms.trigger_ticks
    if terms.peak_ticks is None:
        return None
    return trail_trigger(order.side, terms.peak_ticks, terms.trail_ticks or 0, terms.trail_ppm or 0)


def is_reached(order: Order, quote: Quote) -> bool:
    """Say whether a quote triggers an armed order."""
    trigger_ticks = trigger_of(order)
    if trigger_ticks is None:
        return False
    reached = stop_reached if order.order_type in STOPS else touch_reached
    return reached(order.side, trigger_ticks, quote.bid_ticks, quote.ask_ticks)


def is_marketable(order: Order, quote: Quote) -> bool:
    """Say whether a quote is at an order's limit or better."""
    return order.side * (quote.price_for(order.side) - limit_of(order)) <= 0


def has_arrived(order: Order, quote: Quote) -> bool:
    """Say whether a quote is late enough for an order that had to travel."""
    return quote.ts_ns >= order.terms.active_ns


def is_called(order: Order, quote: Quote) -> bool:
    """Say whether a quote triggers an order, is at its limit, or is the only one it may have."""
    if not has_arrived(order, quote) or quote.seq <= order.terms.since_seq:
        return False
    if is_armed(order):
        return is_reached(order, quote)
    return order.terms.time_in_force in (IOC, FOK) or is_marketable(order, quote)


def trailed(order: Order, quote: Quote) -> Order:
    """Return the order with the peak of its trail moved by a quote; itself when it stays."""
    terms = order.terms
    if order.order_type != TRAILING_STOP or not is_armed(order) or not has_arrived(order, quote):
        return order
    peak_ticks = quote.price_for(order.side)
    if terms.peak_ticks is not None:
        peak_ticks = trail_peak(order.side, terms.peak_ticks, quote.bid_ticks, quote.ask_ticks)
    return with_peak(order, peak_ticks)


def with_peak(order: Order, peak_ticks: int) -> Order:
    """Return the order with a better peak; itself when the peak is no better."""
    known = order.terms.peak_ticks
    if known is not None and order.side * (peak_ticks - known) >= 0:
        return order
    return replace(order, terms=replace(order.terms, peak_ticks=peak_ticks))


def started(order: Order, market: Market) -> Order:
    """Return the order as it begins to work: only quotes after the market's may trigger or fill it.

    A trail begins at the market's quote; without a usable one, at the first that comes.
    """
    known = market.quotes.get(order.symbol)
    since_seq = 0 if known is None else known.seq
    order = replace(order, terms=replace(order.terms, since_seq=since_seq))
    quote = market.usable(market.catalog.instruments[order.symbol])
    return trailed(order, quote) if isinstance(quote, Quote) else order


def terms_payload(order: Order, instrument: Instrument) -> dict[str, Json]:
    """Write an order's terms as events and the API show them; what it has not is left out."""
    terms, tick = order.terms, instrument.tick
    ticks = {
        "price": terms.limit_ticks,
        "triggerPrice": trigger_of(order),
        "trailDistance": terms.trail_ticks,
        "bestPrice": terms.peak_ticks,
        "stopLoss": order.stop_loss_ticks,
        "takeProfit": order.take_profit_ticks,
    }
    payload: dict[str, Any] = {
        key: format_units(value, tick) for key, value in ticks.items() if value is not None
    }
    if terms.trail_ppm is not None:
        payload["trailPercent"] = percent_text(terms.trail_ppm)
    if order.order_type != MARKET or terms.time_in_force != IOC:
        payload["timeInForce"] = terms.time_in_force
    if terms.expire_at_ns is not None:
        payload["expireAt"] = format_rfc3339(terms.expire_at_ns)
    if terms.active_ns:
        payload["activeFrom"] = format_rfc3339(terms.active_ns)
    payload |= {k: True for k in ("reduceOnly", "postOnly") if _flag(terms, k)}
    links = {
        "parentId": terms.parent_id,
        "groupId": terms.group_id,
        "linkType": terms.group_kind,
        "ticket": terms.ticket,
    }
    return payload | {key: value for key, value in links.items() if value is not None}


def percent_text(ppm: int) -> str:
    """Write millionths as percent: 5000 -> "0.5"."""
    whole, rest = divmod(ppm, PPM_PER_PERCENT)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


def _flag(terms: Terms, key: str) -> bool:
    return terms.reduce_only if key == "reduceOnly" else terms.post_only
