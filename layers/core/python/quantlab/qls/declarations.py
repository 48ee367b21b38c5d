"""The top of a strategy: its name, its inputs, its constants and persistent state."""

from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

from quantlab.qls import ir, limits, tree
from quantlab.qls.context import Context, at_of
from quantlab.qls.diagnostics import LimitReached, did_you_mean
from quantlab.qls.statements import declare
from quantlab.qls.values import (
    BOOL,
    CHOICE,
    ERROR,
    FLOAT,
    INT,
    SPOKEN,
    TEXT,
    TUPLE,
    WORD_TYPES,
    WRONG,
    Value,
    constant,
)

_TYPES: Final = {"int": INT, "float": FLOAT, "bool": BOOL, "choice": CHOICE, "string": TEXT}
_SETTINGS: Final = {
    "int": ("min", "max", "step", "label", "unit"),
    "float": ("min", "max", "step", "label", "unit"),
    "bool": ("label",),
    "choice": ("options", "label"),
    "string": ("label",),
}


def read_input(ctx: Context, item: tree.InputItem, texts: dict[str, str]) -> ir.Input | None:
    """Read `input name = kind(default, ...)`, and begin its name; None where it has errors."""
    node = item.value
    if not isinstance(node, tree.Call) or node.name not in _TYPES:
        name = node.name if isinstance(node, tree.Call) else ""
        hint = did_you_mean(name, _TYPES) or "Write input length = int(14, min=1, max=200)."
        ctx.error(at_of(node), "input", f"An input is one of {', '.join(_TYPES)}.", hint)
        declare(ctx, item.name, ERROR)
        return None
    given = _settings(ctx, node)
    made = None if given is None else _input(ctx, item.name.name, node, given, texts)
    if made is None:
        declare(ctx, item.name, ERROR)
        return None
    _begin(ctx, item.name, made)
    return made


def _begin(ctx: Context, name: tree.Name, made: ir.Input) -> None:
    if made.kind == "string":
        declare(ctx, name, constant(made.default))
        return
    type_ = _TYPES[made.kind]
    low = high = None
    if type_ == INT:
        low = limits.INT_MIN if made.low is None else int(made.low)
        high = limits.INT_MAX if made.high is None else int(made.high)
    value = Value(type_, low=low, high=high, fixed=True, extra=made.options)
    binding = declare(ctx, name, value)
    if binding is not None:
        binding.word = made.word


def _settings(ctx: Context, node: tree.Call) -> dict[str, Any] | None:
    """Read the arguments of an input as constants by name."""
    names = ("default", *_SETTINGS[node.name])
    given: dict[str, Any] = {}
    for place, arg in enumerate(node.args):
        name = arg.name or (("default", "options")[place] if place < 2 else "")
        if name not in names or name in given:
            ctx.error(
                arg.at, "input", f"{node.name} has no setting {name or 'at this place'}.",
                did_you_mean(name, names) or f"It has {', '.join(names)}.",
            )  # fmt: skip
            return None
        value = ctx.expression(ctx, arg.value)
        if value.type == TUPLE:
            given[name] = tuple(one.const for one in value.items if one.type == TEXT)
        elif value.const is None:
            if value.type != WRONG:
                ctx.error(at_of(arg.value), "input", f"{name} must be a constant.")
            return None
        else:
            given[name] = value.const
    return given


def _input(
    ctx: Context, name: str, node: tree.Call, given: dict[str, Any], texts: dict[str, str]
) -> ir.Input | None:
    kind = node.name
    default = texts.get(name, given.get("default")) if kind == "string" else given.get("default")
    options = given.get("options", ())
    problem = _problem(kind, default, given)
    if problem:
        ctx.error(node.at, "input", problem)
        return None
    if kind == "float":
        default = float(default or 0)
    if kind == "choice":
        default = options.index(default)
    word = -1 if kind == "string" else ctx.image.words_for(1)
    number = {key: given.get(key) for key in ("min", "max", "step")}
    return ir.Input(
        name, kind, default, number["min"], number["max"], number["step"], options,
        given.get("label", ""), given.get("unit", ""), word,
    )  # fmt: skip


def _problem(kind: str, default: Any, given: dict[str, Any]) -> str:
    """Say what is wrong with an input's default or settings; "" where nothing is."""
    if not _is_of(kind, default):
        what = "one of its options" if kind == "choice" else SPOKEN[_TYPES[kind]]
        return f"{kind} begins with its default, {what}."
    for key in ("label", "unit"):
        if not isinstance(given.get(key, ""), str):
            return f"{key} must be a text."
    if kind == "choice":
        options = given.get("options", ())
        fits = isinstance(options, tuple) and default in options
        return "" if fits else 'choice takes its default and options: choice("a", ["a", "b"]).'
    return _out_of_range(kind, default, given)


def _is_of(kind: str, value: Any) -> bool:
    if kind in {"int", "float"}:
        wanted = int if kind == "int" else (int, float)
        return isinstance(value, wanted) and not isinstance(value, bool)
    return isinstance(value, bool if kind == "bool" else str)


def _out_of_range(kind: str, default: Any, given: dict[str, Any]) -> str:
    for key in ("min", "max", "step"):
        if key in given and not _is_of(kind, given[key]):
            return f"{key} must be {SPOKEN[_TYPES[kind]]}."
    numbers = [given[key] for key in ("default", "min", "max", "step") if key in given]
    if kind == "float" and not all(isfinite(number) for number in numbers):
        return "The default, min, max and step are numbers, neither na nor infinite."
    if not given.get("step", 1) > 0:
        return "step must be above 0."
    low, high = given.get("min", default), given.get("max", default)
    if kind in {"int", "float"} and not low <= default <= high:
        return f"The default {default} does not lie in {low}..{high}."
    return ""


def read_strategy(ctx: Context, item: tree.Strategy) -> tuple[str, str]:
    """Return the name and the time zone of `strategy "name" (timezone="...")`."""
    zone = "UTC"
    for arg in item.args:
        value = ctx.expression(ctx, arg.value)
        if arg.name != "timezone" or value.type != TEXT:
            ctx.error(arg.at, "strategy", 'A strategy has one setting: timezone="Europe/Berlin".')
        elif not _is_zone(value.const):
            ctx.error(
                at_of(arg.value), "timezone", f"There is no time zone {value.const!r}.",
                'It is a name of the tz database, such as "America/New_York".',
            )  # fmt: skip
        else:
            zone = value.const
    return item.name, zone


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def read_var(ctx: Context, item: tree.Var) -> None:
    """Begin a persistent name that all handlers share; its first value comes before any event."""
    value = ctx.expression(ctx, item.value)
    if value.type not in WORD_TYPES or not value.fixed:
        if value.type != WRONG:
            ctx.error(
                at_of(item.value), "var",
                "A var at the top begins with a number or bool known before the first event.",
                "Begin it with 0.0 or na and set it in a handler.",
            )  # fmt: skip
        declare(ctx, item.name, ERROR)
        return
    if value.const is not None:
        word = ctx.image.word(value.type, value.const)
    else:
        word = ctx.image.words_for(1)
        ctx.code.emit("store", "", (ctx.code.reg(value),), word)
    binding = declare(ctx, item.name, Value(value.type))
    if binding is not None:
        binding.word, binding.fixed = word, False


def read_constant(ctx: Context, item: tree.Let) -> None:
    """Begin a name at the top for a constant."""
    value = ctx.expression(ctx, item.value)
    if value.type != WRONG and value.const is None:
        value = ctx.error(
            at_of(item.value), "constant", "A name at the top holds a constant.",
            "Compute it in a handler, or keep state with var.",
        )  # fmt: skip
    for name in item.names:
        declare(ctx, name, value)


def check_count(count: int, most: int, limit: str, at: int, what: str) -> None:
    """Stop at a named limit of how many there may be."""
    if count > most:
        raise LimitReached(at, limit, f"The strategy has more than {most} {what}.")
