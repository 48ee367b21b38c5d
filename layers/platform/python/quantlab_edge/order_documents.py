"""Orders and fills as the API shows them."""

from collections.abc import Mapping
from typing import Any, Literal

from quantlab.engine.order_terms import percent_text, trigger_of
from quantlab.engine.trading import side_name
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.orders import PLAIN, Order, Terms
from quantlab.market.catalog import Catalog
from quantlab.market.instrument import Instrument
from quantlab_app.use_cases.orders import Execution
from quantlab_edge.http import ApiModel

Side = Literal["buy", "sell"]
Status = Literal[
    "pending_parent",
    "working",
    "triggered",
    "partially_filled",
    "filled",
    "cancelled",
    "expired",
    "rejected",
]


class OrderOut(ApiModel):
    """An order as it is now. quantity is null when it was refused before it was sized.

    triggerPrice of a trailing stop follows bestPrice, the best price it has seen. activeFrom is
    when an order arrives, on the feed's clock: no earlier quote triggers or fills it. ticket is the
    leg that it opens or reduces on a hedging account.
    """

    order_id: str
    signal_id: str
    client_id: str | None
    source: str
    symbol: str
    ticket: str | None
    side: Side
    order_type: str
    quantity: str | None
    filled_quantity: str
    price: str | None
    trigger_price: str | None
    trail_distance: str | None
    trail_percent: str | None
    best_price: str | None
    time_in_force: str
    expire_at: str | None
    active_from: str | None
    reduce_only: bool
    post_only: bool
    stop_loss: str | None
    take_profit: str | None
    parent_order_id: str | None
    group_id: str | None
    link_type: Literal["oco", "ouo"] | None
    status: Status
    reason: str | None
    event_seq: int
    created_at: str
    ended_at: str | None


class FillQuote(ApiModel):
    """The quote a fill was computed from; time and seq are the feed's."""

    bid: str
    ask: str
    time: str
    seq: int
    bid_size: str | None
    ask_size: str | None


class FillOut(ApiModel):
    """A fill with every input it was computed from; rate is a fraction of minor units.

    fillModel is the version of the model, which the fill's event shows in full; fillSeed is what
    a random slippage was drawn from.
    """

    fill_id: str
    order_id: str
    symbol: str
    ticket: str | None
    side: Side
    quantity: str
    price: str
    slippage: str
    quote: FillQuote
    fill_model: str | None
    fill_seed: str | None
    rate: str
    realised: str
    commission: str
    config_version: str
    engine_version: str
    event_seq: int
    filled_at: str


class ExecutionOut(ApiModel):
    """An order and what the command filled of it."""

    order: OrderOut
    fill: FillOut | None


class PlacedOrder(ApiModel):
    """The order and its fill, null while it works.

    further are the orders linked to it, and those the command moved or led to, as when a rule
    closed positions. order is null when a cancellation found nothing to cancel.
    """

    signal_id: str
    status: Literal["executed"]
    order: OrderOut | None
    fill: FillOut | None
    further: list[ExecutionOut]


class OrderPage(ApiModel):
    """A page of orders, those that moved last first."""

    items: list[OrderOut]
    next_cursor: str | None


class FillPage(ApiModel):
    """A page of fills, newest first."""

    items: list[FillOut]
    next_cursor: str | None


def execution_out(catalog: Catalog, one: Execution, digits: int) -> ExecutionOut:
    """Show an order with its fill."""
    fill = None if one.fill is None else fill_out(catalog, one.fill, digits)
    return ExecutionOut(order=order_out(catalog, one.order), fill=fill)


def order_out(catalog: Catalog, row: Mapping[str, Any]) -> OrderOut:
    """Show an order's row."""
    instrument = catalog.find(row["symbol"])
    terms = PLAIN if row["terms"] is None else Terms(**row["terms"])

    def price(ticks: int | None) -> str | None:
        known = instrument is not None and ticks is not None
        return format_units(ticks or 0, instrument.tick) if known and instrument else None

    return OrderOut(
        order_id=row["order_id"],
        signal_id=row["signal_id"],
        client_id=row["client_id"],
        source=row["source_kind"],
        symbol=row["symbol"],
        ticket=terms.ticket,
        side="buy" if row["side"] > 0 else "sell",
        order_type=row["order_type"],
        quantity=None if row["status"] == "rejected" else _size(instrument, row["size_steps"]),
        filled_quantity=_size(instrument, row["filled_steps"]),
        price=price(terms.limit_ticks),
        trigger_price=price(_trigger(row, terms)),
        trail_distance=price(terms.trail_ticks),
        trail_percent=None if terms.trail_ppm is None else percent_text(terms.trail_ppm),
        best_price=price(terms.peak_ticks),
        time_in_force=terms.time_in_force,
        expire_at=None if terms.expire_at_ns is None else format_rfc3339(terms.expire_at_ns),
        active_from=format_rfc3339(terms.active_ns) if terms.active_ns else None,
        reduce_only=terms.reduce_only,
        post_only=terms.post_only,
        stop_loss=price(row["stop_loss_ticks"]),
        take_profit=price(row["take_profit_ticks"]),
        parent_order_id=terms.parent_id,
        group_id=terms.group_id,
        link_type=terms.group_kind,
        status=row["status"],
        reason=row["reason"],
        event_seq=row["event_seq"],
        created_at=format_rfc3339(row["created_ns"]),
        ended_at=None if row["ended_ns"] is None else format_rfc3339(row["ended_ns"]),
    )


def _trigger(row: Mapping[str, Any], terms: Terms) -> int | None:
    names = Order.__dataclass_fields__.keys() - {"terms"}
    return trigger_of(Order(**{name: row[name] for name in names}, terms=terms))


def _size(instrument: Instrument | None, steps: int) -> str:
    return "0" if instrument is None else format_units(steps, instrument.size_step)


def _shown(instrument: Instrument, steps: int) -> str | None:
    return format_units(steps, instrument.size_step) if steps else None


def fill_out(catalog: Catalog, row: Mapping[str, Any], digits: int) -> FillOut:
    """Show a fill's row; digits are those of the account's currency."""
    instrument = catalog.instruments[row["symbol"]]
    tick = instrument.tick
    return FillOut.model_validate(
        {
            "fill_id": row["fill_id"],
            "order_id": row["order_id"],
            "symbol": row["symbol"],
            "ticket": row["ticket"],
            "side": side_name(row["side"]),
            "quantity": format_units(row["size_steps"], instrument.size_step),
            "price": format_units(row["price_ticks"], tick),
            "slippage": format_units(row["slippage_ticks"], tick),
            "quote": FillQuote(
                bid=format_units(row["bid_ticks"], tick),
                ask=format_units(row["ask_ticks"], tick),
                time=format_rfc3339(row["quote_ts_ns"]),
                seq=row["quote_seq"],
                bid_size=_shown(instrument, row["bid_size_steps"]),
                ask_size=_shown(instrument, row["ask_size_steps"]),
            ),
            "fill_model": row["fill_model"],
            "fill_seed": None if row["fill_seed"] is None else str(row["fill_seed"]),
            "rate": f"{row['rate_num']}/{row['rate_den']}",
            "realised": format_minor(row["realised_minor"], digits),
            "commission": format_minor(row["commission_minor"], digits),
            "config_version": row["config_version"],
            "engine_version": row["engine_version"],
            "event_seq": row["event_seq"],
            "filled_at": format_rfc3339(row["filled_ns"]),
        }
    )
