"""POST a signal: signed in headers, or with an unguessable address and a secret in the body."""

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router

from quantlab_app.use_cases.signals import BODY_BYTES_MAX, Attempt, Receipt, Refused, accept
from quantlab_edge.observe import signals
from quantlab_edge.problems import FieldError, ProblemError, correlation_id_of
from quantlab_edge.raw import RawRoute
from quantlab_edge.requests import ports_of, source_of


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


async def post_signal_by_token(request: Request) -> Response:
    """Queue a signal of a sender that cannot send headers, such as TradingView."""
    token = request.path_params["botToken"]
    attempt = Attempt(raw=await _body(request), source=source_of(request), token=token)
    return await _answer(request, attempt)


router = Router(
    [
        RawRoute("/webhooks/signals", post_signal, methods=["POST"]),
        RawRoute("/webhooks/signals/{botToken}", post_signal_by_token, methods=["POST"]),
    ]
)


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
