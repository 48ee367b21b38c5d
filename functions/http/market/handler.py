"""Quote and bars of a symbol; halts of symbols."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Path, Query
from starlette.requests import Request

from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.market.bars import Bar
from quantlab.market.instrument import Instrument
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.halts import KnownHalt
from quantlab_app.use_cases.halts import halt, list_halts, resume
from quantlab_app.use_cases.market_reads import BarRange, read_bars, read_quote
from quantlab_edge.http import ApiModel, principal
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import LIMIT_DEFAULT, Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import Instant, Words, instant_ns
from quantlab_edge.requests import ports_of

router = new_router("market", prefix="/tenants/{tenantId}/market")

Reader = Annotated[Scope, Depends(principal(Permission.MARKET_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
Symbol = Annotated[str, Path(pattern=r"^[A-Z0-9]{1,20}$", description="A symbol.")]


class QuoteOut(ApiModel):
    """The latest accepted quote; stale means that nothing trades on it now.

    The sizes are those displayed, in lots; null when the source gives none.
    """

    symbol: str
    bid: str
    ask: str
    bid_size: str | None
    ask_size: str | None
    ts: str
    seq: int
    stale: bool


class Why(ApiModel):
    """Why an instrument is halted, or trades again."""

    reason: Words


class HaltOut(ApiModel):
    """A halt of an instrument for the whole tenant, and how it ended; null while it holds."""

    halt_id: str
    symbol: str
    reason: str
    halted_by: str
    halted_at: str
    resumed_by: str | None
    resumed_at: str | None
    resumed_reason: str | None


class HaltPage(ApiModel):
    """A page of halts, newest first."""

    items: list[HaltOut]
    next_cursor: str | None


class Resumed(ApiModel):
    """Whether a halt was ended, or none held."""

    symbol: str
    resumed: bool


class BarOut(ApiModel):
    """One minute of bid prices, and the ask at its close."""

    start: str
    open: str
    high: str
    low: str
    close: str
    close_ask: str
    ticks: int


class BarsOut(ApiModel):
    """A page of bars, oldest first."""

    items: list[BarOut]
    next_cursor: str | None


@router.get("/halts")
async def get_halts(
    request: Request,
    scope: Reader,
    ended: Annotated[bool | None, Query(description="Only halts that ended, or that hold.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> HaltPage:
    """List the tenant's halts, newest first."""
    after = decode_cursor(cursor, int, UUID)
    before = None if after is None else (after[0], after[1])
    rows = await list_halts(ports_of(request), scope, before, limit + 1, ended=ended)
    kept, following = page(list(rows), limit, lambda row: (row.halted_ns, row.halt_id))
    return HaltPage(items=[_halt(row) for row in kept], next_cursor=following)


@router.put("/{symbol}/halt")
async def put_halt(request: Request, scope: Manager, symbol: Symbol, why: Why) -> HaltOut:
    """Halt an instrument: nothing of it fills and no order is taken; working orders stay.

    One that is halted already stays so, for the reason it was halted for.
    """
    halted, _ = await halt(ports_of(request), scope, symbol, why.reason)
    return _halt(halted)


@router.post("/{symbol}/resume")
async def post_resume(request: Request, scope: Manager, symbol: Symbol, why: Why) -> Resumed:
    """Let an instrument trade again; what waits is judged on its next quote."""
    resumed = await resume(ports_of(request), scope, symbol, why.reason)
    return Resumed(symbol=symbol, resumed=resumed)


@router.get("/{symbol}/quote")
async def get_quote(request: Request, scope: Reader, symbol: Symbol) -> QuoteOut:
    """Return the symbol's latest accepted quote."""
    ports = ports_of(request)
    view = await read_quote(scope, symbol, ports.catalog, ports.quotes, ports.clock)
    quote, tick, step = view.quote, view.instrument.tick, view.instrument.size_step
    bid_size, ask_size = (
        format_units(steps, step) if steps else None
        for steps in (quote.bid_size_steps, quote.ask_size_steps)
    )
    return QuoteOut(
        symbol=symbol,
        bid=format_units(quote.bid_ticks, tick),
        ask=format_units(quote.ask_ticks, tick),
        bid_size=bid_size,
        ask_size=ask_size,
        ts=format_rfc3339(quote.ts_ns),
        seq=quote.seq,
        stale=view.stale,
    )


@router.get("/{symbol}/bars")
async def get_bars(
    request: Request,
    scope: Reader,
    symbol: Symbol,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Annotated[Instant | None, Query()] = None,
    interval: Annotated[Literal["1m"], Query()] = "1m",  # noqa: ARG001 - checked, and the only one
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> BarsOut:
    """Return closed bars that start in [from, to): without times, the newest up to the limit."""
    ports = ports_of(request)
    after = decode_cursor(cursor, int)
    from_ns = None if from_ is None else instant_ns(from_)
    to_ns = None if to is None else instant_ns(to)
    if after is not None:
        from_ns = after[0] + 1
    wanted = BarRange(symbol, from_ns, to_ns, limit)
    instrument, bars = await read_bars(
        scope, wanted, ports.catalog, ports.bars, ports.quotes, ports.clock
    )
    shown, next_cursor = page(bars, limit, lambda bar: (bar.start_ns,))
    return BarsOut(items=[_bar(bar, instrument) for bar in shown], next_cursor=next_cursor)


def _bar(bar: Bar, instrument: Instrument) -> BarOut:
    tick = instrument.tick
    return BarOut(
        start=format_rfc3339(bar.start_ns),
        open=format_units(bar.open_ticks, tick),
        high=format_units(bar.high_ticks, tick),
        low=format_units(bar.low_ticks, tick),
        close=format_units(bar.close_ticks, tick),
        close_ask=format_units(bar.close_ask_ticks, tick),
        ticks=bar.tick_count,
    )


def _halt(known: KnownHalt) -> HaltOut:
    return HaltOut(
        halt_id=known.halt_id,
        symbol=known.symbol,
        reason=known.reason,
        halted_by=known.halted_by,
        halted_at=format_rfc3339(known.halted_ns),
        resumed_by=known.resumed_by,
        resumed_at=None if known.resumed_ns is None else format_rfc3339(known.resumed_ns),
        resumed_reason=known.resumed_reason,
    )
