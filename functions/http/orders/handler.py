"""Orders and fills of an account: placed, executed at once, read again."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quantlab.engine.trading import side_name
from quantlab.kernel.check import check
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.market.catalog import Catalog
from quantlab.market.instrument import Instrument
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Delivery
from quantlab_app.use_cases.account_views import read_history, read_order
from quantlab_app.use_cases.orders import Execution, executions_of, place_order
from quantlab_app.use_cases.submission import Submitted
from quantlab_app.use_cases.visibility import visible_account
from quantlab_edge.http import ApiModel, ports_of, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.outcomes import Pending, settled
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import IdempotencyKey
from quantlab_edge.problems import FieldError, ProblemError

router = new_router("orders", prefix="/tenants/{tenantId}/accounts/{accountId}")

Reader = Annotated[Scope, Depends(principal(Permission.ORDERS_READ))]
Trader = Annotated[Scope, Depends(principal(Permission.ORDERS_PLACE))]
Side = Literal["buy", "sell"]
# Checked by the signal's own reader, which names every problem and knows no floats.
Exact = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})]
Text = Annotated[Any, WithJsonSchema({"type": "string"})]


class NewOrder(ApiModel):
    """A market order, read like a signal. Give side (buy, sell) or action; numbers are exact."""

    symbol: Text = None
    action: Annotated[
        Any, WithJsonSchema({"type": "string", "enum": ["buy", "sell", "close", "flat"]})
    ] = None
    side: Annotated[Any, WithJsonSchema({"type": "string", "enum": ["buy", "sell"]})] = None
    order_type: Annotated[Any, WithJsonSchema({"type": "string", "enum": ["market"]})] = None
    quantity: Exact = None
    risk_percent: Exact = None
    stop_loss: Exact = None
    take_profit: Exact = None
    client_id: Text = None


class OrderOut(ApiModel):
    """An order as it ended. quantity is null when it was refused before it was sized."""

    order_id: str
    signal_id: str
    client_id: str | None
    source: str
    symbol: str
    side: Side
    order_type: str
    quantity: str | None
    filled_quantity: str
    stop_loss: str | None
    take_profit: str | None
    status: Literal["filled", "rejected", "cancelled"]
    reason: str | None
    event_seq: int
    created_at: str


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
    """An order and its fill."""

    order: OrderOut
    fill: FillOut | None


class PlacedOrder(ApiModel):
    """The order and its fill; further are orders it led to, as when a rule closed positions."""

    signal_id: str
    status: Literal["executed"]
    order: OrderOut
    fill: FillOut | None
    further: list[ExecutionOut]


class OrderPage(ApiModel):
    """A page of orders, newest first."""

    items: list[OrderOut]
    next_cursor: str | None


class FillPage(ApiModel):
    """A page of fills, newest first."""

    items: list[FillOut]
    next_cursor: str | None


@router.post(
    "/orders",
    status_code=201,
    response_model=PlacedOrder,
    responses={
        200: {"model": PlacedOrder, "description": "Executed before under the same key."},
        202: {"model": Pending, "description": "Accepted and not carried out yet."},
    },
)
async def post_order(
    request: Request,
    response: Response,
    scope: Trader,
    accountId: str,  # noqa: N803
    new: NewOrder,
    idempotency_key: IdempotencyKey = None,
) -> PlacedOrder | Response:
    """Place a market order and wait a few seconds for its fill.

    A clientId, or without one an Idempotency-Key, makes a repeat answer as the first did. A
    refusal's problem type is its reason; 202 means that nothing is decided yet.
    """
    require_uuid(accountId)
    ports = ports_of(request)
    placed = await place_order(ports, scope, accountId, _document(new), idempotency_key)
    if isinstance(placed, tuple):
        errors = [FieldError(item.pointer, item.expected, item.got) for item in placed]
        raise ProblemError("invalid_fields", f"{len(errors)} field(s) do not hold.", errors)
    delivery = settled(placed)
    if not delivery.settled:
        pending = Pending(signal_id=delivery.signal_id)
        return JSONResponse(pending.model_dump(by_alias=True), status_code=202)
    body = await _placed(ports, scope, delivery, accountId)
    response.status_code = 201 if isinstance(placed, Submitted) and placed.new else 200
    orders = f"/tenants/{scope.tenant_id}/accounts/{accountId}/orders"
    response.headers["location"] = f"{orders}/{body.order.order_id}"
    return body


@router.get("/orders")
async def get_orders(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> OrderPage:
    """List the account's orders, newest first; those of signals and of protective prices too."""
    require_uuid(accountId)
    ports = ports_of(request)
    after = decode_cursor(cursor, int)
    before = None if after is None else after[0]
    _, rows = await read_history(ports, scope, accountId, "orders", before, limit + 1)
    kept, following = page(rows, limit, lambda row: (row["event_seq"],))
    return OrderPage(items=[_order(ports.catalog, row) for row in kept], next_cursor=following)


@router.get("/orders/{orderId}")
async def get_order(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    orderId: str,  # noqa: N803
) -> OrderOut:
    """Return one order."""
    ports = ports_of(request)
    return _order(ports.catalog, await _found(ports, scope, accountId, orderId))


@router.patch("/orders/{orderId}", status_code=204)
async def patch_order(
    request: Request,
    scope: Trader,
    accountId: str,  # noqa: N803
    orderId: str,  # noqa: N803
) -> None:
    """Change a working order; a market order has ended, so `order_not_working` is the answer."""
    raise _ended(await _found(ports_of(request), scope, accountId, orderId))


@router.delete("/orders/{orderId}", status_code=204)
async def delete_order(
    request: Request,
    scope: Trader,
    accountId: str,  # noqa: N803
    orderId: str,  # noqa: N803
) -> None:
    """Cancel a working order; a market order has ended, so `order_not_working` is the answer."""
    raise _ended(await _found(ports_of(request), scope, accountId, orderId))


@router.get("/fills")
async def get_fills(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> FillPage:
    """List the account's fills, newest first."""
    require_uuid(accountId)
    ports = ports_of(request)
    after = decode_cursor(cursor, int)
    before = None if after is None else after[0]
    owned, rows = await read_history(ports, scope, accountId, "fills", before, limit + 1)
    kept, following = page(rows, limit, lambda row: (row["event_seq"],))
    digits = owned.account.currency_digits
    items = [_fill(ports.catalog, row, digits) for row in kept]
    return FillPage(items=items, next_cursor=following)


async def _found(ports: Ports, scope: Scope, account_id: str, order_id: str) -> Mapping[str, Any]:
    require_uuid(account_id)
    require_uuid(order_id)
    return await read_order(ports, scope, account_id, order_id)


def _ended(order: Mapping[str, Any]) -> ProblemError:
    return ProblemError("order_not_working", f"The order is {order['status']}.")


def _document(new: NewOrder) -> dict[str, Any]:
    """Return the order as the reader of signals takes it: side is another word for action."""
    given = new.model_dump(by_alias=True, exclude_none=True)
    side = given.pop("side", None)
    if side is None:
        return given
    if "action" in given or side not in ("buy", "sell"):
        error = FieldError("/side", "buy or sell, without action", str(side)[:64])
        raise ProblemError("invalid_fields", "1 field(s) do not hold.", [error])
    return {**given, "action": side}


async def _placed(ports: Ports, scope: Scope, delivery: Delivery, account_id: str) -> PlacedOrder:
    owned = await visible_account(ports, scope, account_id)
    digits = owned.account.currency_digits
    done = await executions_of(ports, scope, delivery)
    shown = [_execution(ports.catalog, one, digits) for one in done]
    check(shown, f"the executed order {delivery.signal_id} left no order")
    return PlacedOrder(
        signal_id=delivery.signal_id,
        status="executed",
        order=shown[0].order,
        fill=shown[0].fill,
        further=shown[1:],
    )


def _execution(catalog: Catalog, one: Execution, digits: int) -> ExecutionOut:
    fill = None if one.fill is None else _fill(catalog, one.fill, digits)
    return ExecutionOut(order=_order(catalog, one.order), fill=fill)


def _order(catalog: Catalog, row: Mapping[str, Any]) -> OrderOut:
    instrument = catalog.find(row["symbol"])
    return OrderOut.model_validate(
        {
            "order_id": row["order_id"],
            "signal_id": row["signal_id"],
            "client_id": row["client_id"],
            "source": row["source_kind"],
            "symbol": row["symbol"],
            "side": side_name(row["side"]),
            "order_type": row["order_type"],
            "quantity": _size(instrument, row["size_steps"]) if row["size_steps"] else None,
            "filled_quantity": _size(instrument, row["filled_steps"]),
            "stop_loss": _price(instrument, row["stop_loss_ticks"]),
            "take_profit": _price(instrument, row["take_profit_ticks"]),
            "status": row["status"],
            "reason": row["reason"],
            "event_seq": row["event_seq"],
            "created_at": format_rfc3339(row["created_ns"]),
        }
    )


def _size(instrument: Instrument | None, steps: int) -> str:
    return "0" if instrument is None else format_units(steps, instrument.size_step)


def _shown(instrument: Instrument, steps: int) -> str | None:
    return format_units(steps, instrument.size_step) if steps else None


def _price(instrument: Instrument | None, ticks: int | None) -> str | None:
    if instrument is None or ticks is None:
        return None
    return format_units(ticks, instrument.tick)


def _fill(catalog: Catalog, row: Mapping[str, Any], digits: int) -> FillOut:
    instrument = catalog.instruments[row["symbol"]]
    tick = instrument.tick
    return FillOut.model_validate(
        {
            "fill_id": row["fill_id"],
            "order_id": row["order_id"],
            "symbol": row["symbol"],
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
