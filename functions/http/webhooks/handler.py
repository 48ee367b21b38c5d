"""POST a signal: signed in headers, or with an unguessable address and a secret in the body."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from quantlab.webhooks.body import ACTIONS, EXITS
from quantlab.webhooks.order_fields import ORDER_TYPES, TIMES
from quantlab_app.use_cases.signals import BODY_BYTES_MAX, Attempt, Receipt, Refused, accept
from quantlab_edge.http import PUBLIC, ApiModel, RawRoute, ports_of, source_of
from quantlab_edge.observe import signals
from quantlab_edge.order_requests import Bracket, Links
from quantlab_edge.problems import FieldError, ProblemError, correlation_id_of

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=RawRoute)


class SignalIn(ApiModel, defer_build=True):
    """A signal. Decimals are text or JSON numbers, read exactly."""

    id: str | None = Field(None, max_length=128, description="The sender's idempotency key.")
    symbol: str | None = Field(None, max_length=64, description="A symbol or a mapped ticker.")
    action: str = Field(description=", ".join(ACTIONS) + ".")
    quantity: str | None = Field(None, description="Lots, contracts or coins.")
    risk_percent: str | None = Field(None, description="Percent of the balance lost at the stop.")
    equity_percent: str | None = Field(None, description="Value as a percent of the equity.")
    order_type: str = Field("market", description=", ".join(ORDER_TYPES) + ".")
    price: str | None = Field(None, description="The limit; of a market order only recorded.")
    trigger_price: str | None = Field(None, description="The stop or touch price.")
    trail_distance: str | None = Field(None, description="Of a trailing stop, in price.")
    trail_percent: str | None = Field(None, description="Of a trailing stop, of the best price.")
    time_in_force: str | None = Field(None, description=", ".join(TIMES) + ".")
    expire_at: str | None = Field(None, description="RFC 3339, with timeInForce gtd.")
    reduce_only: bool = False
    post_only: bool = False
    stop_loss: str | None = None
    take_profit: str | None = None
    links: Links = Field(None, description="Orders linked to this one.")
    bracket: Bracket = Field(None, description="The exits of this entry.")
    client_id: str | None = Field(None, max_length=64)
    order_id: str | None = Field(None, description="Which order to cancel or modify.")
    signal_id: str | None = Field(None, description="With exit, whose bracket to modify.")
    exit: str | None = Field(None, description=", ".join(EXITS) + ".")
    account_id: str | None = Field(None, description="Default: the bot's own account.")


class SignalByToken(SignalIn, defer_build=True):
    """A signal of a sender without headers."""

    secret: str = Field(description="The bot's secret; removed before anything is stored.")
    timenow: str | None = Field(None, description="The sender's time, RFC 3339.")


class SignalOut(ApiModel, defer_build=True):
    """The signal is durably queued; its outcome follows on the account's event stream."""

    signal_id: str
    status: str = "accepted"


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": SignalOut, "description": "A duplicate; the body is that of the first."},
    202: {"model": SignalOut, "description": "Durably queued."},
}


@router.post(
    "/signals",
    status_code=202,
    responses=_ANSWERS,
    openapi_extra={**PUBLIC, "requestBody": SignalIn},
)
async def post_signal(request: Request) -> Response:
    """Queue a signed signal: `X-Bot-Id` with `X-Signature` or the Standard Webhooks headers."""
    headers = request.headers
    standard = None
    if "webhook-signature" in headers:
        standard = (
            headers.get("webhook-id", ""),
            headers.get("webhook-timestamp", ""),
            headers["webhook-signature"],
        )
    attempt = Attempt(
        raw=await _body(request),
        source=source_of(request),
        bot_id=headers.get("x-bot-id"),
        signature=headers.get("x-signature"),
        standard=standard,
    )
    return await _answer(request, attempt)


@router.post(
    "/signals/{botToken}",  # noqa: FAST003 - a raw route reads its path itself
    status_code=202,
    responses=_ANSWERS,
    openapi_extra={**PUBLIC, "requestBody": SignalByToken},
)
async def post_signal_by_token(request: Request) -> Response:
    """Queue a signal of a sender that cannot send headers, such as TradingView."""
    token = request.path_params["botToken"]
    attempt = Attempt(raw=await _body(request), source=source_of(request), token=token)
    return await _answer(request, attempt)


async def _body(request: Request) -> bytes:
    """Read the body; one beyond the limit is not read but still is an attempt, of that size."""
    try:
        return await request.body()
    except HTTPException as refused:
        if refused.status_code != 413:
            raise
        return bytes(BODY_BYTES_MAX + 1)
    except ClientDisconnect:
        raise ProblemError("malformed", "The sender left before the body ended.") from None


async def _answer(request: Request, attempt: Attempt) -> Response:
    answer = await accept(ports_of(request), attempt, correlation_id_of(request))
    if isinstance(answer, Receipt):
        signals.labels("duplicate" if answer.duplicate else "accepted").inc()
        body = f'{{"signalId":"{answer.signal_id}","status":"accepted"}}'
        status = 200 if answer.duplicate else 202
        return Response(body, status_code=status, media_type="application/json")
    signals.labels("refused" if answer.recorded else "unauthenticated").inc()
    raise _problem(answer)


def _problem(refused: Refused) -> ProblemError:
    return ProblemError(
        refused.slug,
        refused.detail,
        [FieldError(item.pointer, item.expected, item.got) for item in refused.problems],
        refused.retry_after_s,
        extra={"signalId": refused.signal_id} if refused.signal_id else {},
    )
