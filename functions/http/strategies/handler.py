"""Strategies: source by name in versions, and a language service for editors."""

from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from quantlab.qls import service
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases import strategies as use_cases
from quantlab_edge.http import LongRoute, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.problems import FieldError, ProblemError
from quantlab_edge.requests import ports_of
from quantlab_edge.strategy_documents import (
    NewStrategy,
    SourceChecked,
    SourceCompletion,
    SourceCursor,
    SourceEdit,
    SourceEdits,
    SourceHover,
    SourceRename,
    SourceText,
    SourceWord,
    StrategyDiagnostic,
    StrategyEdit,
    StrategyLine,
    StrategyOut,
    StrategyPage,
    StrategyVersionPage,
    not_compiled,
    shown_facts,
    shown_line,
    shown_strategy,
    shown_version,
)

router = new_router("strategies", prefix="/tenants/{tenantId}/strategies", route_class=LongRoute)

Reader = Annotated[Scope, Depends(principal(Permission.STRATEGIES_READ))]
Author = Annotated[Scope, Depends(principal(Permission.STRATEGIES_WRITE))]
Version = Annotated[
    int | None, Query(ge=1, lt=1 << 31, description="Which version; the latest one without it.")
]
Done = TypeVar("Done")


@router.get("")
async def get_strategies(
    request: Request,
    scope: Reader,
    archived: Annotated[bool, Query(description="Those that are archived.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> StrategyPage:
    """List strategies by identifier: a trader's own, or the tenant's."""
    after = decode_cursor(cursor, UUID)
    rows = await use_cases.list_strategies(
        ports_of(request),
        scope,
        archived=archived,
        after=None if after is None else after[0],
        limit=limit + 1,
    )
    kept, following = page(rows, limit, lambda row: (row.strategy_id,))
    return StrategyPage(
        items=[StrategyLine(**shown_line(row)) for row in kept], next_cursor=following
    )


@router.post("", status_code=201)
async def post_strategy(
    request: Request, response: Response, scope: Author, new: NewStrategy
) -> StrategyOut:
    """Save a strategy; where it does not compile the problem says why and nothing is saved."""
    made = await use_cases.create_strategy(ports_of(request), scope, new.name, new.source)
    shown = shown_strategy(_held(made))
    response.headers["location"] = f"/tenants/{scope.tenant_id}/strategies/{shown.strategy_id}"
    return shown


@router.get("/{strategyId}")
async def get_strategy(
    request: Request,
    scope: Reader,
    strategyId: str,  # noqa: N803
    version: Version = None,
) -> StrategyOut:
    """Return a strategy with its latest version, or the one asked for."""
    require_uuid(strategyId)
    return shown_strategy(
        await use_cases.read_strategy(ports_of(request), scope, strategyId, version)
    )


@router.put("/{strategyId}")
async def put_strategy(
    request: Request,
    scope: Author,
    strategyId: str,  # noqa: N803
    edit: StrategyEdit,
) -> StrategyOut:
    """Save the next version; the source of the latest one makes no other."""
    require_uuid(strategyId)
    saved = await use_cases.save_strategy(
        ports_of(request),
        scope,
        strategyId,
        edit.source,
        name=edit.name,
        base_version=edit.base_version,
    )
    return shown_strategy(_held(saved))


@router.delete("/{strategyId}", status_code=204)
async def delete_strategy(request: Request, scope: Author, strategyId: str) -> None:  # noqa: N803
    """Archive a strategy: lists no longer show it, its versions stay."""
    require_uuid(strategyId)
    await use_cases.archive_strategy(ports_of(request), scope, strategyId)


@router.get("/{strategyId}/versions")
async def get_versions(
    request: Request,
    scope: Reader,
    strategyId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> StrategyVersionPage:
    """List a strategy's versions, the newest first."""
    require_uuid(strategyId)
    before = decode_cursor(cursor, int)
    rows = await use_cases.list_versions(
        ports_of(request), scope, strategyId, None if before is None else before[0], limit + 1
    )
    kept, following = page(rows, limit, lambda row: (row.version,))
    return StrategyVersionPage(items=[shown_version(row) for row in kept], next_cursor=following)


@router.post("/check")
async def post_check(scope: Reader, text: SourceText) -> SourceChecked:  # noqa: ARG001 - who may ask
    """Compile a source and save nothing."""
    checked = await use_cases.beside(use_cases.check_source, text.source)
    facts = None if checked.facts is None else shown_facts(checked.facts)
    return SourceChecked(
        ok=facts is not None,
        source_hash=checked.source_hash or None,
        diagnostics=[StrategyDiagnostic(**one.as_json()) for one in checked.diagnostics],
        facts=facts,
    )


@router.post("/format")
async def post_format(scope: Reader, text: SourceText) -> SourceText:  # noqa: ARG001 - who may ask
    """Return a source in its canonical form."""
    return SourceText(source=await use_cases.beside(service.formatting, text.source))


@router.post("/complete")
async def post_complete(scope: Reader, at: SourceCursor) -> SourceCompletion:  # noqa: ARG001 - who may ask
    """Return what may stand at a place."""
    found = await use_cases.beside(service.completion, at.source, at.offset)
    return SourceCompletion(items=[SourceWord(**one.as_json()) for one in found])


@router.post("/hover")
async def post_hover(scope: Reader, at: SourceCursor) -> SourceHover:  # noqa: ARG001 - who may ask
    """Return what the word at a place is."""
    found = await use_cases.beside(service.hover, at.source, at.offset)
    return SourceHover(item=None if found is None else SourceWord(**found.as_json()))


@router.post("/rename")
async def post_rename(scope: Reader, at: SourceRename) -> SourceEdits:  # noqa: ARG001 - who may ask
    """Return the edits that rename the name at a place."""
    try:
        edits = await use_cases.beside(service.rename, at.source, at.offset, at.name)
    except ValueError as error:
        wrong = FieldError("/name", str(error), at.name)
        raise ProblemError("invalid_fields", "1 field(s) do not hold.", [wrong]) from None
    return SourceEdits(
        edits=[SourceEdit(start=one.start, end=one.end, text=one.text) for one in edits]
    )


def _held(result: Done | use_cases.NotCompiled | use_cases.Refused) -> Done:
    """Return a result, or word the problem of a refusal."""
    if isinstance(result, use_cases.Refused):
        raise ProblemError(result.slug, result.detail)
    if isinstance(result, use_cases.NotCompiled):
        raise not_compiled(result)
    return result
