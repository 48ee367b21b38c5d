"""Handlers: the events they are for, and those that keep the market's past."""

import re
from typing import Final

from quantlab.kernel.records import dataclass
from quantlab.qls import tree
from quantlab.qls.assigned import assigned_in
from quantlab.qls.builder import Code, Image
from quantlab.qls.context import Context, Event, Scope, at_of
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.names import EVENTS
from quantlab.qls.values import INT, TEXT, WRONG, Value

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MINUTE_NS: Final = 60 * 10**9
PERIOD_MIN_NS: Final = 10**9


@dataclass(slots=True)
class Draft:
    """A handler before it is laid out; symbol -1 means any."""

    kind: str
    code: Code
    symbol: int = 0
    stream: int = -1
    period_ns: int = 0
    daily_ns: int = -1
    at: int = -1


def read_event(ctx: Context, item: tree.On) -> Draft | None:
    """Read what follows `on`; None where it is no event, which was reported."""
    kind = item.event.name
    if kind not in EVENTS:
        ctx.error(
            item.event.at, "event", f"There is no event {kind}.",
            did_you_mean(kind, EVENTS) or f"There are {', '.join(EVENTS)}.",
        )  # fmt: skip
        return None
    values = [(arg, ctx.expression(ctx, arg.value)) for arg in item.args]
    if any(value.type == WRONG for _, value in values):
        return None
    draft = Draft(kind, Code(ctx.image), at=item.at, symbol=-1 if kind == "fill" else 0)
    for arg, value in values:
        if not _take(ctx, draft, value):
            ctx.error(at_of(arg.value), "event", f"`on {kind}` does not take this.", EVENTS[kind])
            return None
    if kind == "bar" and draft.stream < 0 and draft.period_ns == 0:
        ctx.error(item.event.at, "event", "`on bar` needs a timeframe.", EVENTS["bar"])
        return None
    if kind == "timer" and draft.period_ns == 0 and draft.daily_ns < 0:
        ctx.error(item.event.at, "event", "`on timer` needs a period or a time.", EVENTS["timer"])
        return None
    if kind == "bar":
        draft.stream = ctx.image.stream(draft.symbol, draft.period_ns)
        draft.period_ns = 0
    return draft


def _take(ctx: Context, draft: Draft, value: Value) -> bool:
    """Take one argument of an event; say whether it belongs there."""
    kind = draft.kind
    if value.type == TEXT and kind in {"tick", "bar", "fill"}:
        draft.symbol = ctx.image.symbol(value.const)
        return True
    if value.type == INT and kind in {"bar", "timer"} and value.const is not None:
        draft.period_ns = value.const
        return bool(value.const >= PERIOD_MIN_NS)
    clock = _CLOCK.fullmatch(value.const) if value.type == TEXT and kind == "timer" else None
    if clock is not None:
        draft.daily_ns = (int(clock[1]) * 60 + int(clock[2])) * _MINUTE_NS
        return True
    return False


def lower_handler(ctx: Context, item: tree.On, draft: Draft) -> Draft:
    """Lower the body of a handler."""
    ctx.code = draft.code
    ctx.event = Event(draft.kind, max(draft.symbol, 0), draft.stream)
    ctx.scope = Scope(ctx.top, assigned_in(item.body))
    try:
        ctx.body(ctx, item.body)
    finally:
        ctx.scope = ctx.top
    return draft


def prologues(image: Image) -> list[Draft]:
    """Return the handlers that keep the past of bars and quotes, which run before all others."""
    drafts = []
    for (kind, number), kept in image.market.items():
        code = Code(image)
        for read, history in kept.items():
            code.emit("hpush", "", (code.read(read),), history)
        is_bar = kind == "bar"
        symbol = list(image.streams)[number].symbol if is_bar else number
        drafts.append(Draft(kind, code, symbol, number if is_bar else -1))
    return drafts


def unused_functions(ctx: Context) -> None:
    """Warn of functions that nobody calls."""
    for name, function in ctx.functions.items():
        if name not in ctx.used_functions:
            ctx.warn(function.name.at, "unused", f"{name} is never called.", "Delete it.")
