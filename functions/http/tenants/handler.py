"""A tenant's configuration in short, its news calendar, and the branding anybody may see."""

from typing import Annotated, Any

from fastapi import Body, Depends, Query
from pydantic import Field
from starlette.requests import Request

from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.rules.reader import ProfileError
from quantlab.rules.surroundings import write_news_calendar
from quantlab.tenancy.config import AccountType, Branding
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.news import StoredCalendar
from quantlab_app.use_cases.branding import tenant_of_host
from quantlab_app.use_cases.news import put_calendar, read_calendar
from quantlab_edge.http import PUBLIC, ApiModel, principal
from quantlab_edge.http import router as new_router
from quantlab_edge.problems import FieldError, ProblemError, correlation_id_of
from quantlab_edge.requests import ports_of

router = new_router("tenants")

Reader = Annotated[Scope, Depends(principal(Permission.CONFIG_READ))]
Writer = Annotated[Scope, Depends(principal(Permission.CONFIG_WRITE))]
Document = Annotated[
    dict[str, Any],
    Body(
        description="format is 1; until says to when the calendar is complete: orders that look"
        " further ahead are refused. events are releases: at, name, impact (high, medium, low) and"
        " at least one of currencies, symbols.",
        examples=[
            {
                "format": 1,
                "until": "2026-03-07T00:00:00Z",
                "events": [
                    {
                        "at": "2026-03-06T13:30:00Z",
                        "name": "Non-farm payrolls",
                        "impact": "high",
                        "currencies": ["USD"],
                    }
                ],
            }
        ],
    ),
]


class BrandingView(ApiModel):
    """How a tenant shows itself."""

    tenant_id: str
    name: str
    colours: dict[str, str]
    logo_url: str | None
    support_email: str | None


class AccountTypeView(ApiModel):
    """What an account of this type starts as."""

    id: str
    name: str
    currency: str
    initial_balance: str
    profile: str
    profile_version: str
    instruments: list[str]
    retention_days: int


class TenantView(ApiModel):
    """A tenant's current configuration; accounts stay with the version they began under."""

    tenant_id: str
    config_version: str
    branding: BrandingView
    time_zone: str
    day_reset: str = Field(description="Local time at which a trading day begins, HH:MM.")
    instruments: list[str]
    account_types: list[AccountTypeView]


class Release(ApiModel):
    """A release; it concerns what it names, or whose currency it names."""

    at: str
    name: str
    impact: str
    currencies: list[str] | None = None
    symbols: list[str] | None = None


class NewsCalendarView(ApiModel):
    """A calendar of releases in order of time, complete until an instant.

    version is the SHA-256 of its content; what comes after until is not known.
    """

    version: str
    changed_by: str
    changed_at: str
    format: int
    until: str
    events: list[Release]


@router.get("/tenants/{tenantId}")
async def get_tenant(request: Request, scope: Reader) -> TenantView:
    """Return the tenant's configuration in short."""
    config = await ports_of(request).tenant_configs.current(scope)
    return TenantView(
        tenant_id=config.tenant_id,
        config_version=config.version,
        branding=_branding(config.tenant_id, config.branding),
        time_zone=config.time_zone,
        day_reset=config.day_reset,
        instruments=list(config.instruments),
        account_types=[_account_type(item) for item in config.account_types.values()],
    )


@router.get("/tenants/{tenantId}/news-calendar", response_model_exclude_unset=True)
async def get_news_calendar(request: Request, scope: Reader) -> NewsCalendarView:
    """Return the calendar of releases that rules about news look at."""
    return _calendar(await read_calendar(ports_of(request), scope))


@router.put("/tenants/{tenantId}/news-calendar", response_model_exclude_unset=True)
async def put_news_calendar(
    request: Request, scope: Writer, document: Document
) -> NewsCalendarView:
    """Replace the calendar of releases; it holds for the next order."""
    try:
        stored, _ = await put_calendar(ports_of(request), scope, document)
    except ProfileError as refused:
        errors = [FieldError(one.pointer, one.expected, one.got) for one in refused.problems]
        words = f"{len(errors)} field(s) do not hold."
        raise ProblemError("invalid_fields", words, errors) from refused
    return _calendar(stored)


@router.get("/branding", openapi_extra=PUBLIC)
async def get_branding(
    request: Request, host: Annotated[str, Query(min_length=1, max_length=253)]
) -> BrandingView:
    """Return the branding of the tenant that a host name belongs to."""
    config = await tenant_of_host(ports_of(request), host, correlation_id_of(request))
    return _branding(config.tenant_id, config.branding)


def _calendar(stored: StoredCalendar) -> NewsCalendarView:
    return NewsCalendarView.model_validate(
        {
            "version": stored.version,
            "changed_by": stored.put_by,
            "changed_at": format_rfc3339(stored.put_ns),
            **write_news_calendar(stored.calendar),
        }
    )


def _branding(tenant_id: str, branding: Branding) -> BrandingView:
    return BrandingView(
        tenant_id=tenant_id,
        name=branding.name,
        colours=dict(branding.colours),
        logo_url=branding.logo_url,
        support_email=branding.support_email,
    )


def _account_type(item: AccountType) -> AccountTypeView:
    return AccountTypeView(
        id=item.type_id,
        name=item.name,
        currency=item.currency,
        initial_balance=format_minor(item.initial_balance_minor, item.currency_digits),
        profile=item.profile_id,
        profile_version=item.profile_version,
        instruments=list(item.instruments),
        retention_days=item.retention_days,
    )
