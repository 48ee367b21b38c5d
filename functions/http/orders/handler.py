"""Orders and fills of an account: placed, changed, cancelled, read again."""

from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Delivery
from quantlab_app.use_cases.account_views import read_history, read_order, read_orders
from quantlab_app.use_cases.orders import (
    Answer,
    Ended,
    change_order,
    executions_of,
    place_order,
)
from quantlab_app.use_cases.submission import Submitted
from quantlab_app.use_cases.visibility import visible_account
from quantlab_edge.http import principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.order_documents import (
    FillPage,
    OrderOut,
    OrderPage,
    PlacedOrder,
    Status,
    execution_out,
    fill_out,
    order_out,
)
from quantlab_edge.order_requests import NewOrder, OrderChange
from quantlab_edge.outcomes import Pending, settled
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import IdempotencyKey
from quantlab_edge.problems import FieldError, ProblemError
from quantlab_edge.requests import ports_of

router = new_router("orders", prefix="/tenants/{tenantId}/accounts/{accountId}")

Reader = Annotated[Scope, Depends(principal(Permission.ORDERS_READ))]
Trader = Annotated[Scope, Depends(principal(Permission.ORDERS_PLACE))]
Statuses = Annotated[
    list[Status] | None, Query(alias="status", description="Only orders of these statuses.")
]
_PENDING: dict[int | str, dict[str, Any]] = {
    202: {"model": Pending, "description": "Accepted and not carried out yet."}
}


@router.post(
    "/orders",
    status_code=201,
    response_model=PlacedOrder,
    responses={
        200: {"model": PlacedOrder, "description": "Executed before under the same key."},
        **_PENDING,
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
    """Place an order and wait a few seconds until it works or is filled.

    A clientId, or without one an Idempotency-Key, makes a repeat answer as the first did. A
    refusal's problem type is its reason; 202 means that nothing is decided yet.
    """
    require_uuid(accountId)
    ports = ports_of(request)
    placed = await place_order(ports, scope, accountId, _document(new), idempotency_key)
    delivery = _settled(placed)
    if not delivery.settled:
        return _pending(delivery)
    body = await _placed(ports, scope, delivery, accountId)
    response.status_code = 201 if isinstance(placed, Submitted) and placed.new else 200
    if body.order is not None:
        orders = f"/tenants/{scope.tenant_id}/accounts/{accountId}/orders"
        response.headers["location"] = f"{orders}/{body.order.order_id}"
    return body


@router.get("/orders")
async def get_orders(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    status: Statuses = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> OrderPage:
    """List the account's orders, working and ended, those that moved last first.

    Those of signals and of protective prices too.
    """
    require_uuid(accountId)
    ports = ports_of(request)
    after = decode_cursor(cursor, int)
    before = None if after is None else after[0]
    rows = await read_orders(ports, scope, accountId, before, limit + 1, status)
    kept, following = page(rows, limit, lambda row: (row["event_seq"],))
    return OrderPage(items=[order_out(ports.catalog, row) for row in kept], next_cursor=following)


@router.delete("/orders", response_model=PlacedOrder, responses=_PENDING)
async def delete_orders(
    request: Request,
    scope: Trader,
    accountId: str,  # noqa: N803
    symbol: Annotated[str | None, Query(max_length=64, description="Only of this symbol.")] = None,
) -> PlacedOrder | Response:
    """Cancel every working order, or those of a symbol; positions stay as they are."""
    require_uuid(accountId)
    document = {"action": "cancel_all", "symbol": symbol}
    given = {key: value for key, value in document.items() if value is not None}
    answer = await place_order(ports_of(request), scope, accountId, given, None)
    return await _moved(request, scope, accountId, answer)


@router.get("/orders/{orderId}")
async def get_order(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    orderId: str,  # noqa: N803
) -> OrderOut:
    """Return one order."""
    require_uuid(accountId)
    require_uuid(orderId)
    ports = ports_of(request)
    return order_out(ports.catalog, await read_order(ports, scope, accountId, orderId))


@router.patch("/orders/{orderId}", response_model=PlacedOrder, responses=_PENDING)
async def patch_order(
    request: Request,
    scope: Trader,
    accountId: str,  # noqa: N803
    orderId: str,  # noqa: N803
    change: OrderChange,
) -> PlacedOrder | Response:
    """Change size, price, trigger, trail or expiry of a working order.

    A limit that comes to the quote fills at once. An ended order is `order_not_working`.
    """
    given = change.model_dump(by_alias=True, exclude_none=True)
    return await _change(request, scope, accountId, orderId, {"action": "modify", **given})


@router.delete("/orders/{orderId}", response_model=PlacedOrder, responses=_PENDING)
async def delete_order(
    request: Request,
    scope: Trader,
    accountId: str,  # noqa: N803
    orderId: str,  # noqa: N803
) -> PlacedOrder | Response:
    """Cancel what is left of a working order; an ended one is `order_not_working`."""
    return await _change(request, scope, accountId, orderId, {"action": "cancel"})


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
    items = [fill_out(ports.catalog, row, digits) for row in kept]
    return FillPage(items=items, next_cursor=following)


async def _change(
    request: Request, scope: Scope, account_id: str, order_id: str, document: dict[str, Any]
) -> PlacedOrder | Response:
    require_uuid(account_id)
    require_uuid(order_id)
    answer = await change_order(ports_of(request), scope, account_id, order_id, document)
    if isinstance(answer, Ended):
        raise ProblemError("order_not_working", f"The order is {answer.status}.")
    return await _moved(request, scope, account_id, answer)


async def _moved(
    request: Request, scope: Scope, account_id: str, answer: Answer
) -> PlacedOrder | Response:
    delivery = _settled(answer)
    if not delivery.settled:
        return _pending(delivery)
    return await _placed(ports_of(request), scope, delivery, account_id)


def _settled(answer: Answer) -> Delivery:
    if isinstance(answer, tuple):
        errors = [FieldError(item.pointer, item.expected, item.got) for item in answer]
        raise ProblemError("invalid_fields", f"{len(errors)} field(s) do not hold.", errors)
    return settled(answer)


def _pending(delivery: Delivery) -> Response:
    pending = Pending(signal_id=delivery.signal_id)
    return JSONResponse(pending.model_dump(by_alias=True), status_code=202)


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
    shown = [execution_out(ports.catalog, one, digits) for one in done]
    return PlacedOrder(
        signal_id=delivery.signal_id,
        status="executed",
        order=shown[0].order if shown else None,
        fill=shown[0].fill if shown else None,
        further=shown[1:],
    )
