"""GET quote and bars of a symbol."""

from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, Field
from starlette.requests import Request

from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import format_rfc3339, parse_rfc3339
from quantlab.market.bars import Bar
from quantlab.market.instrument import Instrument
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases.market_reads import BarRange, read_bars, read_quote
from quantlab_edge.http import ApiModel, ports_of, principal
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import LIMIT_DEFAULT, Cursor, Limit, decode_cursor, page

router = new_router("market", prefix="/tenants/{tenantId}/market/{symbol}")

Reader = Annotated[Scope, Depends(principal(Permission.MARKET_READ))]
Symbol = Annotated[str, Path(pattern=r"^[A-Z0-9]{1,20}$", description="A symbol.")]


def _instant(text: str) -> str:
    if parse_rfc3339(text) is None:
        raise ValueError("an RFC 3339 instant with an offset, such as 2026-01-02T03:04:05Z")
    return text


Instant = Annotated[
    str, AfterValidator(_instant), Field(max_length=40, json_schema_extra={"format": "date-time"})
]


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


@router.get("/quote")
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


@router.get("/bars")
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
    from_ns = None if from_ is None else parse_rfc3339(from_)
    to_ns = None if to is None else parse_rfc3339(to)
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
