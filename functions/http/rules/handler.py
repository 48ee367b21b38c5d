"""Rules of an account: where it stands with each, and what it broke."""

from typing import Annotated, Any, Literal

from fastapi import Depends
from starlette.requests import Request

from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.rules.evidence import RuleStatus, amount_text
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases.account_views import read_history, read_rules
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.requests import ports_of

router = new_router("rules", prefix="/tenants/{tenantId}/accounts/{accountId}")

Reader = Annotated[Scope, Depends(principal(Permission.RULES_READ))]


class RuleOut(ApiModel):
    """A rule. state is unknown while what it depends on is.

    threshold, value and remaining are in the unit (lots, orders, trades, days or money), for rules
    that count; remaining is what the next order may still take.
    """

    rule: str
    rule_id: str
    severity: str
    action: str
    state: Literal["ok", "warned", "violated", "gate_closed", "closed", "unknown"]
    detail: str
    floor: str | None
    distance: str | None
    threshold: str | None
    value: str | None
    remaining: str | None
    unit: str | None


class Rules(ApiModel):
    """Every rule of the account's pinned profile, in its order."""

    profile: str
    profile_version: str
    equity: str | None
    equity_unknown_reason: str | None
    items: list[RuleOut]
    next_cursor: None = None


class ViolationOut(ApiModel):
    """A broken rule, what was done, and the verdict with its figures and arithmetic."""

    event_seq: int
    rule: str
    action: str
    verdict: dict[str, Any]
    at: str


class ViolationPage(ApiModel):
    """A page of violations, newest first."""

    items: list[ViolationOut]
    next_cursor: str | None


@router.get("/rules")
async def get_rules(request: Request, scope: Reader, accountId: str) -> Rules:  # noqa: N803
    """Return where the account stands with each of its rules."""
    require_uuid(accountId)
    view = await read_rules(ports_of(request), scope, accountId)
    account = view.account
    digits, unknown = account.owned.account.currency_digits, account.equity_unknown
    return Rules(
        profile=account.profile.name,
        profile_version=account.profile.version,
        equity=None if account.equity_minor is None else format_minor(account.equity_minor, digits),
        equity_unknown_reason=None if unknown is None else str(unknown.reason),
        items=[_rule(status) for status in view.statuses],
    )


@router.get("/violations")
async def get_violations(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ViolationPage:
    """List the rules the account broke, newest first."""
    require_uuid(accountId)
    after = decode_cursor(cursor, int)
    before = None if after is None else after[0]
    ports = ports_of(request)
    _, rows = await read_history(ports, scope, accountId, "violations", before, limit + 1)
    kept, following = page(rows, limit, lambda row: (row["event_seq"],))
    items = [
        ViolationOut(
            event_seq=row["event_seq"],
            rule=row["rule"],
            action=row["action"],
            verdict=row["verdict"],
            at=format_rfc3339(row["at_ns"]),
        )
        for row in kept
    ]
    return ViolationPage(items=items, next_cursor=following)


def _rule(status: RuleStatus) -> RuleOut:
    found = status.measured
    return RuleOut.model_validate(
        {
            "rule": status.rule,
            "rule_id": status.rule_id,
            "severity": status.severity,
            "action": status.action,
            "state": status.state,
            "detail": status.detail,
            "floor": amount_text(status.floor_minor, status.currency_digits),
            "distance": amount_text(status.distance_minor, status.currency_digits),
            "threshold": None if found is None else found.threshold,
            "value": None if found is None else found.value,
            "remaining": None if found is None else found.room,
            "unit": None if found is None else found.unit,
        }
    )
