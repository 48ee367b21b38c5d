"""Backtests: asked for, followed, cancelled; their results as JSON and as a page."""

from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from quantlab.kernel.instants import format_rfc3339
from quantlab.qls.limits import INPUTS_MAX, SOURCE_BYTES_MAX
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.backtests import Backtest
from quantlab_app.use_cases import backtests as use_cases
from quantlab_app.use_cases.strategies import NotCompiled, Refused
from quantlab_edge.http import ApiModel, LongRoute, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import Instant, UuidText, instant_ns
from quantlab_edge.problems import FieldError, ProblemError, shown
from quantlab_edge.requests import ports_of
from quantlab_edge.strategy_documents import not_compiled

router = new_router("backtests", prefix="/tenants/{tenantId}/backtests", route_class=LongRoute)

# A report is a page that a strategy has had a part in: a browser shows it and runs nothing of it.
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
JSON_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}}}}
PAGE_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}
Reader = Annotated[Scope, Depends(principal(Permission.BACKTESTS_READ))]
Runner = Annotated[Scope, Depends(principal(Permission.BACKTESTS_RUN))]
Status = Literal["queued", "running", "done", "failed", "cancelled"]
Symbol = Annotated[str, Field(min_length=1, max_length=40)]
Value = bool | int | float | Annotated[str, Field(max_length=200)]
Done = TypeVar("Done")


class NewBacktest(ApiModel):
    """A run of a saved strategy, its latest version or one, or of a source.

    The range from, included, to to, excluded, is of recorded ticks; without to it goes to the
    newest. Without accountType the account has 100,000 and no rules.
    """

    strategy_id: UuidText | None = None
    version: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    source: Annotated[str, Field(max_length=SOURCE_BYTES_MAX)] | None = None
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=use_cases.SYMBOLS_MAX)]
    from_: Annotated[Instant, Field(alias="from")]
    to: Instant | None = None
    account_type: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    inputs: Annotated[dict[str, Value], Field(default_factory=dict, max_length=INPUTS_MAX)]
    seed: Annotated[int, Field(ge=0, lt=1 << 53)] = 0

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if (self.strategy_id is None) == (self.source is None):
            raise ValueError("either strategyId or source")
        if self.version is not None and self.strategy_id is None:
            raise ValueError("version beside strategyId")
        return self


class BacktestError(ApiModel):
    """Why a run failed: a name that stays, and a sentence."""

    code: str
    detail: str


class BacktestOut(ApiModel):
    """A run; userId is its owner, null for the firm. ticksTotal is null until they are gathered.

    summary has the counts, the account and the main metrics of a run that is done.
    """

    backtest_id: str
    user_id: str | None
    strategy_id: str | None
    version: int | None
    source_hash: str
    symbols: list[str]
    from_: Annotated[str, Field(alias="from")]
    to: str
    account_type: str | None
    config_version: str | None
    inputs: dict[str, Value]
    seed: int
    status: Status
    cancelling: bool
    error: BacktestError | None
    ticks_total: int | None
    ticks_done: int
    created_at: str
    started_at: str | None
    ended_at: str | None
    trace_hash: str | None
    summary: dict[str, Any] | None


class BacktestPage(ApiModel):
    """A page of runs, the newest first."""

    items: list[BacktestOut]
    next_cursor: str | None


@router.get("")
async def get_backtests(
    request: Request,
    scope: Reader,
    status: Status | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> BacktestPage:
    """List runs, the newest first: a trader's own, or the tenant's."""
    after = decode_cursor(cursor, int, UUID)
    before = None if after is None else (after[0], after[1])
    rows = await use_cases.list_backtests(ports_of(request), scope, status, before, limit + 1)
    kept, following = page(rows, limit, lambda row: (row.created_ns, row.backtest_id))
    return BacktestPage(items=[_backtest(row) for row in kept], next_cursor=following)


@router.post("", status_code=202)
async def post_backtest(
    request: Request, response: Response, scope: Runner, new: NewBacktest
) -> BacktestOut:
    """Queue a run; follow it on the channel backtest:<id>, or by reading it again."""
    wish = use_cases.Wish(
        strategy_id=new.strategy_id,
        version=new.version,
        source=new.source,
        symbols=tuple(new.symbols),
        from_ns=instant_ns(new.from_),
        to_ns=None if new.to is None else instant_ns(new.to),
        account_type=new.account_type,
        inputs=new.inputs,
        seed=new.seed,
    )
    made = _held(await use_cases.submit(ports_of(request), scope, wish))
    response.headers["location"] = f"/tenants/{scope.tenant_id}/backtests/{made.backtest_id}"
    return _backtest(made)


@router.get("/{backtestId}")
async def get_backtest(request: Request, scope: Reader, backtestId: str) -> BacktestOut:  # noqa: N803
    """Return one run."""
    require_uuid(backtestId)
    return _backtest(await use_cases.read_backtest(ports_of(request), scope, backtestId))


@router.post("/{backtestId}/cancel", status_code=202)
async def post_cancel(request: Request, scope: Runner, backtestId: str) -> BacktestOut:  # noqa: N803
    """End a run that waits at once, and one that runs within seconds."""
    require_uuid(backtestId)
    return _backtest(_held(await use_cases.cancel_backtest(ports_of(request), scope, backtestId)))


@router.get("/{backtestId}/result", response_class=Response, responses=JSON_FILE)
async def get_result(
    request: Request,
    scope: Reader,
    backtestId: str,  # noqa: N803
    details: Annotated[bool, Query(description="With all trades, fills, orders and days.")] = False,
) -> Response:
    """Return the results as `quantlab backtest run --json` writes them."""
    name = "details.json" if details else "result.json"
    return Response(await _file(request, scope, backtestId, name), media_type="application/json")


@router.get("/{backtestId}/report", response_class=Response, responses=PAGE_FILE)
async def get_report(request: Request, scope: Reader, backtestId: str) -> Response:  # noqa: N803
    """Return the page with charts."""
    content = await _file(request, scope, backtestId, "report.html")
    headers = {"content-security-policy": PAGE_POLICY}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


async def _file(request: Request, scope: Scope, backtest_id: str, name: str) -> bytes:
    require_uuid(backtest_id)
    return _held(await use_cases.read_results(ports_of(request), scope, backtest_id, name))


def _held(result: Done | use_cases.Wrong | NotCompiled | Refused) -> Done:
    """Return a result, or word the problem of a refusal."""
    if isinstance(result, NotCompiled):
        raise not_compiled(result)
    if isinstance(result, Refused):
        raise ProblemError(result.slug, result.detail)
    if isinstance(result, use_cases.Wrong):
        error = FieldError(result.pointer, result.expected, shown(result.got))
        raise ProblemError("invalid_fields", "1 field(s) do not hold.", [error])
    return result


def _backtest(one: Backtest) -> BacktestOut:
    return BacktestOut.model_validate(
        {
            "backtest_id": one.backtest_id,
            "user_id": one.user_id,
            "strategy_id": one.strategy_id,
            "version": one.version,
            "source_hash": one.source_hash,
            "symbols": list(one.symbols),
            "from_": format_rfc3339(one.from_ns),
            "to": format_rfc3339(one.to_ns),
            "account_type": one.account_type,
            "config_version": one.config_version,
            "inputs": dict(one.inputs),
            "seed": one.seed,
            "status": one.status,
            "cancelling": one.cancel_requested and one.status == "running",
            "error": None
            if one.error is None
            else BacktestError(code=one.error, detail=one.error_detail or ""),
            "ticks_total": one.ticks_total,
            "ticks_done": one.ticks_done,
            "created_at": format_rfc3339(one.created_ns),
            "started_at": _at(one.started_ns),
            "ended_at": _at(one.ended_ns),
            "trace_hash": one.trace_hash,
            "summary": one.summary,
        }
    )


def _at(moment_ns: int | None) -> str | None:
    return None if moment_ns is None else format_rfc3339(moment_ns)
