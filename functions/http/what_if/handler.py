"""What if: who would break which rule of a profile, were it in force now or from the start."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import Field
from starlette.requests import Request

from quantlab.engine.other_rules import write_compared
from quantlab.kernel.decimals import format_minor
from quantlab.rules.reader import ProfileError
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.what_if import (
    Judged,
    Proposal,
    proposal_of_profile,
    proposal_of_version,
    what_if,
    what_if_replayed,
)
from quantlab_edge.http import ApiModel, principal
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, encode_cursor
from quantlab_edge.problems import FieldError, ProblemError
from quantlab_edge.requests import ports_of

router = new_router("what-if", prefix="/tenants/{tenantId}/what-if")

Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
Outcome = Literal["breach", "locked", "orders_refused", "warned", "fine", "unknown", "incompatible"]


# Within the time of one call; `quantlab replay under` has no bound.
REPLAYED_TICKS_MAX: Final = 50_000
REPLAYED_ACCOUNTS_MAX: Final = 5


class Question(ApiModel):
    """The rules to judge by: a profile's document, or a recorded version of the configuration.

    replay judges by what would have come of them since each account's opening, a few accounts a
    page, instead of by the present.
    """

    profile: dict[str, Any] | None = None
    config_version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    replay: bool = False


class BrokenOut(ApiModel):
    """A rule that would have been broken, when, and the arithmetic of its verdict."""

    rule: str
    action: str
    at: str
    arithmetic: str


class RunOut(ApiModel):
    """Where a replay ends: equity null where it cannot be known; rejected orders by reason."""

    status: str
    status_reason: str | None
    balance: str
    equity: str | None
    high_water: str
    broken: list[BrokenOut]
    rejected: dict[str, int]


class ReplayOut(ApiModel):
    """Two replays of an account on its ticks: under its own rules, and under the others."""

    ticks: int
    commands: int
    own: RunOut
    other: RunOut


class JudgedOut(ApiModel):
    """What would become of one account, with each verdict's figures and arithmetic.

    equity is null, with the reason in detail, where it cannot be known; outcome is unknown then.
    Of a replay, equity and verdicts are those under the other rules.
    """

    account_id: str
    account_type: str
    status: str
    outcome: Outcome
    detail: str | None
    balance: str
    equity: str | None
    high_water: str
    profile_version: str | None
    verdicts: list[dict[str, Any]]
    replay: ReplayOut | None


class Answer(ApiModel):
    """A page of live accounts by identifier, and how many of the page end in which way."""

    counts: dict[Outcome, int]
    items: list[JudgedOut]
    next_cursor: str | None


@router.post("")
async def post_what_if(
    request: Request, scope: Manager, question: Question, limit: Limit = 100, cursor: Cursor = None
) -> Answer:
    """Judge live accounts by the present, or by a replay; nothing of them is changed."""
    ports = ports_of(request)
    decoded = decode_cursor(cursor, UUID)
    after = None if decoded is None else decoded[0]
    proposal = await _proposal(ports, scope, question)
    if question.replay:
        few = min(limit, REPLAYED_ACCOUNTS_MAX)
        judged, last = await what_if_replayed(
            ports, scope, proposal, after, few, REPLAYED_TICKS_MAX
        )
    else:
        judged, last = await what_if(ports, scope, proposal, after, limit)
    counts: dict[Outcome, int] = {}
    items = [_shown(one) for one in judged]
    for item in items:
        counts[item.outcome] = counts.get(item.outcome, 0) + 1
    following = None if last is None else encode_cursor((last,))
    return Answer(counts=counts, items=items, next_cursor=following)


async def _proposal(ports: Ports, scope: Scope, question: Question) -> Proposal:
    if (question.profile is None) == (question.config_version is None):
        both = "neither" if question.profile is None else "both"
        error = FieldError("/profile", "either profile or configVersion", both)
        raise ProblemError("invalid_fields", "1 field(s) do not hold.", [error])
    if question.config_version is not None:
        return await proposal_of_version(ports, scope, question.config_version)
    try:
        return await proposal_of_profile(ports, scope, question.profile or {})
    except ProfileError as refused:
        errors = [
            FieldError(f"/profile{one.pointer}", one.expected, one.got) for one in refused.problems
        ]
        words = f"{len(errors)} field(s) do not hold."
        raise ProblemError("invalid_fields", words, errors) from refused


def _shown(judged: Judged) -> JudgedOut:
    account, equity_minor = judged.owned.account, judged.equity_minor
    digits = account.currency_digits
    return JudgedOut.model_validate(
        {
            "account_id": account.account_id,
            "account_type": account.account_type,
            "status": account.status,
            "outcome": judged.outcome,
            "detail": judged.detail,
            "balance": format_minor(account.balance_minor, digits),
            "equity": None if equity_minor is None else format_minor(equity_minor, digits),
            "high_water": format_minor(account.high_water_minor, digits),
            "profile_version": judged.profile_version,
            "verdicts": list(judged.verdicts),
            "replay": None if judged.replay is None else write_compared(judged.replay),
        }
    )
