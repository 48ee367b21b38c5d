"""What a compiled strategy is, for its author: inputs, events, cost, memory, indicators."""

from collections.abc import Iterator
from typing import Any

from quantlab.qls import ir
from quantlab.qls.library import LIBRARY

_PERIODS = (
    ("w", 604_800 * 10**9),
    ("d", 86_400 * 10**9),
    ("h", 3_600 * 10**9),
    ("m", 60 * 10**9),
    ("s", 10**9),
    ("ms", 10**6),
    ("us", 10**3),
    ("ns", 1),
)


def explain(program: ir.Program) -> dict[str, Any]:
    """Return the facts of a program as JSON has them."""
    return {
        "name": program.name,
        "timezone": program.zone,
        "sourceHash": program.source_hash,
        "inputs": [_input(known) for known in program.inputs],
        "events": [_event(program, handler) for handler in program.handlers],
        "symbols": [name or "(chart)" for name in program.symbols],
        "costPerEventMax": program.cost,
        "stateBytes": program.state_words * 8,
        "instructions": program.instructions,
        "indicators": [
            {"name": name, "definition": LIBRARY[name].doc, "warmUp": LIBRARY[name].warm_up}
            for name in program.indicators
        ],
        "orders": sorted({_order(spec) for spec in _orders(program)}),
    }


def duration_text(period_ns: int) -> str:
    """Write nanoseconds as a timeframe: 300000000000 -> "5m"."""
    return next(f"{period_ns // size}{unit}" for unit, size in _PERIODS if period_ns % size == 0)


def event_text(program: ir.Program, handler: ir.Handler) -> str:
    """Write the event of a handler as a strategy does."""
    parts = []
    stream = program.streams[handler.stream] if handler.stream >= 0 else None
    symbol = stream.symbol if stream is not None else handler.symbol
    if symbol > 0 and handler.kind in {"tick", "bar", "fill"}:
        parts.append(f'"{program.symbols[symbol]}"')
    if stream is not None:
        parts.append(duration_text(stream.period_ns))
    if handler.kind == "timer" and handler.period_ns:
        parts.append(duration_text(handler.period_ns))
    if handler.kind == "timer" and handler.daily_ns >= 0:
        minutes = handler.daily_ns // (60 * 10**9)
        parts.append(f'"{minutes // 60:02d}:{minutes % 60:02d}"')
    return f"on {handler.kind}" + (f"({', '.join(parts)})" if parts else "")


def _input(known: ir.Input) -> dict[str, Any]:
    default = known.options[known.default] if known.kind == "choice" else known.default
    facts = {
        "name": known.name, "type": known.kind, "default": default, "min": known.low,
        "max": known.high, "step": known.step, "options": list(known.options),
        "label": known.label or known.name.replace("_", " "), "unit": known.unit,
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value not in (None, [], "")}


def _event(program: ir.Program, handler: ir.Handler) -> dict[str, Any]:
    return {
        "event": event_text(program, handler),
        "line": handler.line,
        "keepsHistory": handler.line == 0,
        "costMax": handler.cost,
        "reads": sorted({program.reads[number].field for _, number in handler.reads}),
    }


def _orders(program: ir.Program) -> Iterator[ir.OrderSpec]:
    waiting = [ins for handler in program.handlers for ins in handler.body]
    while waiting:
        ins = waiting.pop()
        if ins.op == "order":
            yield ins.imm
        elif ins.op == "if":
            waiting += [*ins.imm[0], *ins.imm[1]]
        elif ins.op == "loop":
            waiting += ins.imm.body


def _order(spec: ir.OrderSpec) -> str:
    verb = ir.ORDER_VERBS[spec.verb]
    return f"{verb} {ir.ORDER_TYPES[spec.order_type]}" if verb == "place" else verb
