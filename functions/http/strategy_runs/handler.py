"""Live runs of strategies: start, show, stop, kill."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases import strategy_runs as use_cases
from quantlab_edge.http import LongRoute, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.problems import FieldError, ProblemError
from quantlab_edge.requests import ports_of
from quantlab_edge.run_documents import (
    EndedRuns,
    NewStrategyRun,
    StrategyRunDetail,
    StrategyRunOut,
    StrategyRunPage,
    shown_detail,
    shown_run,
)

router = new_router("strategy-runs", prefix="/tenants/{tenantId}", route_class=LongRoute)

Reader = Annotated[Scope, Depends(principal(Permission.STRATEGY_RUNS_READ))]
Starter = Annotated[Scope, Depends(principal(Permission.STRATEGY_RUNS_START))]
Stopper = Annotated[Scope, Depends(principal(Permission.STRATEGY_RUNS_STOP))]
OF_ACCOUNT = "/accounts/{accountId}/strategy-runs"


@router.post(OF_ACCOUNT, status_code=201)
async def post_run(
    request: Request,
    response: Response,
    scope: Starter,
    accountId: str,  # noqa: N803
    new: NewStrategyRun,
) -> StrategyRunOut:
    """Start a version of a strategy on an account: its orders are the account's like any other."""
    require_uuid(accountId)
    made = await use_cases.start_run(
        ports_of(request),
        scope,
        accountId,
        use_cases.NewRun(
            strategy_id=str(new.strategy_id),
            version=new.version,
            symbol=new.symbol,
            inputs=new.inputs,
            limits=new.limits.as_limits(),
            cancels_orders=new.on_kill == "cancel_orders",
            warm_up_s=new.warm_up_seconds,
        ),
    )
    if isinstance(made, use_cases.Refused):
        errors = [FieldError(made.pointer, made.detail, "as given")] if made.pointer else []
        raise ProblemError(made.slug, made.detail, errors)
    response.headers["location"] = (
        f"/tenants/{scope.tenant_id}/accounts/{accountId}/strategy-runs/{made.run_id}"
    )
    return shown_run(made)


@router.get(OF_ACCOUNT)
async def get_runs(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> StrategyRunPage:
    """List an account's runs, the newest first."""
    require_uuid(accountId)
    before = decode_cursor(cursor, UUID)
    rows = await use_cases.list_runs(
        ports_of(request), scope, accountId, None if before is None else before[0], limit + 1
    )
    kept, following = page(rows, limit, lambda row: (row.run_id,))
    return StrategyRunPage(items=[shown_run(row) for row in kept], next_cursor=following)


@router.get(OF_ACCOUNT + "/{runId}")
async def get_run(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    runId: str,  # noqa: N803
) -> StrategyRunDetail:
    """Return a run with the last lines of its log."""
    require_uuid(accountId)
    require_uuid(runId)
    run, lines = await use_cases.read_run(ports_of(request), scope, accountId, runId)
    return shown_detail(run, lines)


@router.post(OF_ACCOUNT + "/{runId}/stop", status_code=202)
async def stop_run(
    request: Request,
    scope: Stopper,
    accountId: str,  # noqa: N803
    runId: str,  # noqa: N803
) -> EndedRuns:
    """Have a run end with its `on stop`; what it gives then is still carried out."""
    require_uuid(accountId)
    require_uuid(runId)
    return await _ended(request, scope, accountId, runId, kill=False)


@router.post(OF_ACCOUNT + "/{runId}/kill")
async def kill_run(
    request: Request,
    scope: Stopper,
    accountId: str,  # noqa: N803
    runId: str,  # noqa: N803
) -> EndedRuns:
    """End a run at once: no order of it is accepted any more."""
    require_uuid(accountId)
    require_uuid(runId)
    return await _ended(request, scope, accountId, runId, kill=True)


@router.post(OF_ACCOUNT + "/kill")
async def kill_account_runs(request: Request, scope: Stopper, accountId: str) -> EndedRuns:  # noqa: N803
    """End every run of an account at once."""
    require_uuid(accountId)
    return await _ended(request, scope, accountId, None, kill=True)


@router.post("/strategy-runs/kill")
async def kill_all_runs(
    request: Request,
    scope: Annotated[Scope, Depends(principal(Permission.STRATEGY_RUNS_KILL_ALL))],
) -> EndedRuns:
    """End every run of the tenant at once."""
    return await _ended(request, scope, None, None, kill=True)


async def _ended(
    request: Request, scope: Scope, account_id: str | None, run_id: str | None, *, kill: bool
) -> EndedRuns:
    ended = await use_cases.end_runs(ports_of(request), scope, account_id, run_id, kill=kill)
    return EndedRuns(items=[shown_run(run) for run in ended])
