"""Reads of the market and the account, and of the market's past."""

from quantlab.qls import ir, tree
from quantlab.qls.context import Context, at_of
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.names import READABLES, RULES_WITH_FLOOR, Readable
from quantlab.qls.values import INT, TEXT, WRONG, Value


def read_value(
    ctx: Context, name: str, args: tuple[tree.Arg, ...], at: int, back: Value | None = None
) -> Value:
    """Return what the host gives for a name, or what it gave some events of its source ago."""
    readable = READABLES[name]
    if readable.events and ctx.event.kind not in readable.events:
        return ctx.error(at, "event", f"{name} has a value only in `on {readable.events[0]}`.")
    read = _read(ctx, name, readable, args, at)
    if isinstance(read, Value):
        return read
    if back is None or back.const == 0:
        return Value(read.type, ctx.code.read(read))
    source = _source(read)
    if source is None:
        return ctx.error(
            at, "history", f"The past of {name} is not kept.",
            f"Keep it: x = {name}, then x[1] is its value at the event before.",
        )  # fmt: skip
    kept = ctx.image.market.setdefault(source, {}).get(read)
    if kept is None:
        kept = ctx.image.market[source][read] = ctx.image.history(read.type)
    kept.depth = max(kept.depth, (back.high or 0) + 1)
    return Value(read.type, ctx.code.emit("hget", read.type, (ctx.code.reg(back),), kept))


def _source(read: ir.Read) -> tuple[str, int] | None:
    if read.scope == "bar":
        return "bar", read.stream
    return ("tick", read.symbol) if read.scope == "quote" else None


def _read(
    ctx: Context, name: str, readable: Readable, args: tuple[tree.Arg, ...], at: int
) -> ir.Read | Value:
    if readable.of == "rule":
        return _rule(ctx, name, readable, args, at)
    if not readable.of and args:
        return ctx.error(at, "arguments", f"{name} takes no arguments.")
    picked = _picked(ctx, name, readable, args)
    if isinstance(picked, Value):
        return picked
    symbol, period_ns = picked
    if readable.of != "bars":
        return ir.Read(readable.scope, readable.field, readable.type, max(symbol, 0))
    stream = _stream(ctx, name, args, symbol, period_ns, at)
    if isinstance(stream, Value):
        return stream
    return ir.Read("bar", readable.field, readable.type, _symbol_of(ctx, stream), stream)


def _picked(
    ctx: Context, name: str, readable: Readable, args: tuple[tree.Arg, ...]
) -> tuple[int, int] | Value:
    """Return the symbol and the timeframe that arguments name, 0 where they name none."""
    symbol, period_ns = ctx.event.symbol, 0
    for arg in args:
        value = ctx.expression(ctx, arg.value)
        if value.type == WRONG:
            return value
        if value.type == TEXT:
            symbol = ctx.image.symbol(value.const)
        elif value.type == INT and value.const is not None and readable.of == "bars":
            period_ns = value.const
        else:
            takes = "a symbol" if readable.of == "symbol" else "a symbol and a timeframe such as 5m"
            return ctx.error(at_of(arg.value), "arguments", f"{name} takes {takes}.")
    return symbol, period_ns


def _symbol_of(ctx: Context, stream: int) -> int:
    return next(key.symbol for key, number in ctx.image.streams.items() if number == stream)


def _stream(
    ctx: Context, name: str, args: tuple[tree.Arg, ...], symbol: int, period_ns: int, at: int
) -> int | Value:
    if not args and ctx.override is not None:
        return ctx.image.stream(*ctx.override)
    if period_ns > 0:
        return ctx.image.stream(symbol, period_ns)
    if ctx.event.stream < 0 or period_ns < 0:
        return ctx.error(
            at, "timeframe", f"{name} needs a timeframe here: it belongs to bars.",
            f"Write {name}(1m) for the last closed minute, or use it in `on bar(1m)`.",
        )  # fmt: skip
    if not args:
        return ctx.event.stream
    period_ns = list(ctx.image.streams)[ctx.event.stream].period_ns
    return ctx.image.stream(symbol, period_ns)


def _rule(
    ctx: Context, name: str, readable: Readable, args: tuple[tree.Arg, ...], at: int
) -> ir.Read | Value:
    value = ctx.expression(ctx, args[0].value) if len(args) == 1 else None
    if value is None or value.type != TEXT:
        return ctx.error(at, "arguments", f'{name} takes the slug of a rule: {name}("daily_loss").')
    if value.const not in RULES_WITH_FLOOR:
        return ctx.error(
            at_of(args[0].value), "arguments",
            f"{value.const!r} is no rule with a floor: {', '.join(RULES_WITH_FLOOR)}.",
            did_you_mean(value.const, RULES_WITH_FLOOR),
        )  # fmt: skip
    return ir.Read(readable.scope, readable.field, readable.type, rule=value.const)
