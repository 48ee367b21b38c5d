"""Every error a client can see: one table of slugs, and the RFC 9457 documents made from it.

It must not decide anything: use cases and dependencies raise, this room words the answer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quantlab_app.ports.errors import Conflict, NotFound, StoreUnavailable
from quantlab_app.ports.mail import MailRefused, MailUnavailable

TYPE_BASE: Final = "https://errors.quantlab.example/"
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
MAIL_RETRY_S: Final = 30
GOT_CHARS_MAX: Final = 60
ERRORS_MAX: Final = 20

_log = structlog.get_logger("quantlab.http")

PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "malformed": (400, "The request cannot be read"),
    "malformed_json": (400, "The body is not valid JSON"),
    "invalid_request": (400, "The token request is not well formed"),
    "invalid_grant": (400, "The credentials or the token do not hold"),
    "unsupported_grant_type": (400, "This grant is not offered"),
    "totp_required": (400, "A one-time code is required"),
    "unauthorized": (401, "Credentials are missing or do not hold"),
    "bad_signature": (401, "The signature does not hold"),
    "bad_secret": (401, "The secret does not hold"),
    "stale_timestamp": (401, "The timestamp is outside the replay window"),
    "forbidden": (403, "The credential does not allow this"),
    "csrf_failed": (403, "The cross-site request check failed"),
    "bot_disabled": (403, "The bot is disabled"),
    "account_disabled": (403, "The account is disabled"),
    "account_closed": (403, "The account is closed"),
    "account_locked": (403, "The account is locked until its next reset"),
    "approval_needs_user": (403, "Only a person may decide this"),
    "approval_same_person": (403, "Another person has to decide this"),
    "source_not_allowed": (403, "The source address is not allowed"),
    "not_found": (404, "There is nothing here"),
    "unknown_token": (404, "Nobody receives signals at this address"),
    "unknown_account": (404, "There is no such account"),
    "method_not_allowed": (405, "The route does not take this method"),
    "conflict": (409, "The request conflicts with the present state"),
    "last_admin": (409, "The tenant needs an administrator who can sign in"),
    "override_needed": (409, "A rule disabled the account; it takes an approved override"),
    "not_disabled": (409, "The account is not disabled"),
    "not_flat": (409, "Something of the account is still in the market"),
    "payout_gates": (409, "A payout is not possible now"),
    "terms_changed": (409, "The terms are not those that were approved"),
    "still_in_breach": (409, "The account would break a rule at once"),
    "no_such_type": (409, "The configuration has no such account type"),
    "approval_open": (409, "The account has an open request already"),
    "approval_expired": (409, "The request was not decided in time"),
    "approval_decided": (409, "The request has been decided"),
    "nothing_to_correct": (409, "The ticks changed nothing that can be corrected"),
    "not_replayable": (409, "The account cannot be recomputed from its record"),
    "ticks_withdrawn": (409, "The ticks are not held to be bad any more"),
    "ticks_corrected": (409, "A correction of these ticks is asked for or carried out"),
    "order_not_working": (409, "The order has ended and cannot be changed"),
    "order_pending": (409, "The order waits for its parent to fill"),
    "already_triggered": (409, "The order has been triggered"),
    "illegal_step": (409, "The order cannot do that in its state"),
    "too_many_orders": (409, "The account has too many working orders"),
    "netting_only": (409, "Only an account that nets does this"),
    "hedging_only": (409, "Only a hedging account has tickets"),
    "too_many_positions": (409, "The account has too many open positions"),
    "would_not_reduce": (409, "There is no position that the order would make smaller"),
    "instrument_allowlist": (409, "The account may not trade this instrument"),
    "daily_loss": (409, "The day's loss limit is broken; new orders wait for the next reset"),
    "max_drawdown": (409, "The loss limit is broken; new orders wait for the next reset"),
    "trading_hours": (409, "The account may not trade now"),
    "flat_by": (409, "Positions have to be closed at this time"),
    "weekend_holding": (409, "Positions have to be closed before the break"),
    "news_window": (409, "The account may not trade this close to a release"),
    "position_size": (409, "The order makes the position larger than allowed"),
    "scaling_plan": (409, "The scaling plan does not allow this size yet"),
    "order_limits": (409, "The day's limit of orders, trades or lots is reached"),
    "stop_loss_required": (409, "The order needs a stop-loss, or one that risks less"),
    "hedging": (409, "A linked account holds the opposite position"),
    "copy_trading": (409, "A linked account has just given the same order"),
    "market_closed": (409, "The market is shut"),
    "instrument_halted": (409, "Trading of the instrument is halted"),
    "no_displayed_size": (409, "The quote shows no size to trade with"),
    "no_position": (409, "There is no open position"),
    "position_changed": (409, "The position is another one now"),
    "position_too_large": (409, "The position would be too large"),
    "margin_insufficient": (409, "There is not enough free margin"),
    "no_quote": (409, "There is no quote yet"),
    "quote_stale": (409, "The quote is too old or doubtful to trade on"),
    "no_conversion_quote": (409, "No usable quote converts the currencies"),
    "not_triggered": (409, "The price is not reached"),
    "strategy_archived": (409, "The strategy is archived"),
    "too_many_backtests": (409, "As many backtests wait or run as may"),
    "backtest_not_done": (409, "The backtest has no results"),
    "backtest_ended": (409, "The backtest has ended"),
    "too_many_runs": (409, "The account has as many live strategies as may be"),
    "too_many_strategies": (409, "The owner has as many strategies as may be"),
    "too_many_versions": (409, "The strategy has as many versions as may be"),
    "body_conflict": (409, "The same id was sent before with another body"),
    "payload_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body has the wrong media type"),
    "invalid_fields": (422, "Some fields do not hold"),
    "not_compiled": (422, "The strategy does not compile"),
    "unknown_instrument": (422, "There is no such instrument"),
    "ticket_needed": (422, "On a hedging account this needs a ticket"),
    "not_of_order_type": (422, "The order's type has no such field"),
    "expired_already": (422, "The expiry is not ahead"),
    "trigger_reached": (422, "The trigger is reached already"),
    "would_trade": (422, "The order would trade at once"),
    "price_off_tick": (422, "A price is not on the instrument's tick"),
    "invalid_stop_loss": (422, "The stop-loss is on the wrong side, or missing"),
    "invalid_take_profit": (422, "The take-profit is on the wrong side"),
    "quantity_off_step": (422, "The quantity is not a multiple of the size step"),
    "quantity_too_small": (422, "The quantity is too small"),
    "quantity_too_large": (422, "The quantity is too large"),
    "unknown_symbol": (422, "There is no such instrument"),
    "rate_limited": (429, "Too many requests"),
    "mail_refused": (422, "The mail cannot be sent"),
    "command_failed": (500, "The command was accepted and could not be carried out"),
    "internal": (500, "Something failed on our side"),
    "stores_unavailable": (503, "A store does not answer"),
    "mail_unavailable": (503, "Mail does not leave at present"),
}
_BY_STATUS: Final = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. pointer is a JSON pointer, or query/NAME, path/NAME, ..."""

    pointer: str
    expected: str
    got: str


class ProblemError(Exception):
    """An answer other than success; the slug must stand in the table."""

    def __init__(
        self,
        slug: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.status, self.title = PROBLEMS[slug]
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


def problem_body(error: ProblemError, correlation_id: str) -> bytes:
    """Return the problem document's bytes."""
    document: dict[str, Any] = {
        "type": TYPE_BASE + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "correlationId": correlation_id,
        **error.extra,
    }
    if error.errors or error.status == 422:
        document["errors"] = [
            {"pointer": item.pointer, "expected": item.expected, "got": item.got}
            for item in error.errors
        ]
    return json.dumps(document, ensure_ascii=False).encode()


def problem_response(error: ProblemError, correlation_id: str) -> Response:
    """Return the answer that carries the problem."""
    headers = {"cache-control": "no-store", **error.headers}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers.setdefault("www-authenticate", "Bearer")
    body = problem_body(error, correlation_id)
    return Response(body, status_code=error.status, media_type=MEDIA_TYPE, headers=headers)


def problem_of(error: Exception) -> ProblemError:
    """Translate an exception; what nobody foresaw becomes `internal` and says nothing."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, HTTPException):
        return _problem_of_status(error)
    for kind, slug, detail, retry_after_s in _FAULTS:
        if isinstance(error, kind):
            return ProblemError(slug, detail, (), retry_after_s)
    return ProblemError("internal", "The failure was recorded under the correlation id.")


_FAULTS: Final = (
    (StoreUnavailable, "stores_unavailable", "Try again shortly.", RETRY_AFTER_S),
    (MailUnavailable, "mail_unavailable", "The mail server did not take it.", MAIL_RETRY_S),
    (MailRefused, "mail_refused", "The mail server refused the message.", None),
    (NotFound, "not_found", "No such object.", None),
    (Conflict, "conflict", "Another writer was first, or the name is taken.", None),
)


def _problem_of_status(error: HTTPException) -> ProblemError:
    slug = _BY_STATUS.get(error.status_code)
    if slug is None:
        slug = "malformed" if error.status_code < 500 else "internal"
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return ProblemError(slug, PROBLEMS[slug][1] + ".", headers=headers)


def shown(value: object, *, hidden: bool = False) -> str:
    """Describe what was received: scalars shortened, containers by kind, secrets not at all."""
    if hidden:
        return "(not shown)"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= GOT_CHARS_MAX else text[: GOT_CHARS_MAX - 1] + "…"


def correlation_id_of(request: Request) -> str:
    """Return the id the edge gave to this request."""
    return str(request.scope.get("state", {}).get("correlation_id", ""))


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status == 503:
        _log.warning("store unavailable", cause=str(error))
    return problem_response(problem, correlation_id_of(request))


def install(app: Starlette) -> None:
    """Make every refusal of the application a problem document."""
    for kind in (ProblemError, HTTPException, *(fault for fault, *_ in _FAULTS)):
        app.add_exception_handler(kind, _answer)
