"""Order verbs: which order a call asks for, and the command it becomes."""

from collections.abc import Callable
from typing import Final

from quantlab.qls import ir, tree
from quantlab.qls.context import Context, at_of
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.semantics import NA
from quantlab.qls.values import BOOL, ERROR, FLOAT, INT, TEXT, WRONG, Value, constant

_NUMBERS: Final = {
    "limit": "price", "stop": "trigger", "touch": "trigger", "trail": "trail",
    "trail_percent": "trail", "sl": "stop_loss", "tp": "take_profit", "exit_trail": "trail",
}  # fmt: skip
_SIZES: Final = {"lots": 0, "risk": 1, "equity_percent": 2}
_FLAGS: Final = {"reduce_only": ir.REDUCE_ONLY, "post_only": ir.POST_ONLY}
_GROUPS: Final = {"oco": 0, "ouo": ir.OUO_GROUP}
_ENTRY: Final = (
    *_SIZES, *_NUMBERS, *_FLAGS, "tif", "expire", *_GROUPS, "parent", "symbol", "tag",
)  # fmt: skip
_CHANGES: Final = ("order", "lots", *_NUMBERS, "expire")
_AT_ONCE: Final = ("ioc", "fok")
_WAITING: Final = ("gtc", "day", "gtd")


class _Given:
    """The arguments of an order call, read one by one."""

    def __init__(self, ctx: Context, node: tree.Call, names: tuple[str, ...], first: str) -> None:
        self.ctx, self.node = ctx, node
        self.good = True
        self.args: dict[str, tree.Arg] = {}
        for place, arg in enumerate(node.args):
            name = arg.name or (first if place == 0 else "")
            if name not in names:
                hint = did_you_mean(arg.name, names) if arg.name else ""
                what = (
                    f"no argument {arg.name}" if arg.name else "only its first argument by position"
                )
                self.fail(
                    arg.at, f"{node.name} takes {what}.", hint or f"It takes {', '.join(names)}."
                )
            elif name in self.args:
                self.fail(arg.at, f"{name} is given twice.")
            else:
                self.args[name] = arg

    def fail(self, at: int, message: str, hint: str = "") -> None:
        self.good = False
        self.ctx.error(at, "order", message, hint)

    def number(self, name: str, type_: str, missing: Value) -> Value:
        arg = self.args.get(name)
        if arg is None:
            return missing
        at = at_of(arg.value)
        value = self.ctx.convert(self.ctx.expression(self.ctx, arg.value), type_, at, name)
        if value.type == WRONG:
            self.good = False
            return missing
        if type_ == FLOAT and value.const is not None and not value.const > 0:
            self.fail(at, f"{name} must be above 0.")
        return value

    def text(self, name: str) -> str:
        arg = self.args.get(name)
        if arg is None:
            return ""
        value = self.ctx.expression(self.ctx, arg.value)
        if value.type != TEXT:
            self.fail(at_of(arg.value), f'{name} must be a text: {name}="...".')
            return ""
        return str(value.const)

    def flag(self, name: str) -> bool:
        arg = self.args.get(name)
        if arg is None:
            return False
        value = self.ctx.expression(self.ctx, arg.value)
        if value.type != BOOL or value.const is None:
            self.fail(at_of(arg.value), f"{name} must be true or false.")
            return False
        return bool(value.const)

    def symbol(self) -> int:
        name = self.text("symbol")
        return self.ctx.image.symbol(name) if name else max(self.ctx.event.symbol, 0)


def _place(side: int) -> Callable[[Context, tree.Call], Value]:
    def lowered(ctx: Context, node: tree.Call) -> Value:
        given = _Given(ctx, node, _ENTRY, "lots")
        order_type = _type_of(given)
        time = _time_of(given, order_type)
        unit = _size_unit(given)
        _check_terms(given, order_type, time)
        numbers = _numbers(given)
        flags = sum(bit for name, bit in _FLAGS.items() if given.flag(name))
        flags |= _trail_flags(given)
        group, kind = _group(given)
        args = {
            **numbers,
            "side": constant(side),
            "parent": given.number("parent", INT, constant(0)),
            "expire_ns": given.number("expire", INT, constant(0)),
            "quantity": given.number(unit, FLOAT, constant(NA)),
        }
        tag = given.text("tag")
        spec = ir.OrderSpec(
            verb=ir.ORDER_VERBS.index("place"),
            symbol=given.symbol(),
            order_type=ir.ORDER_TYPES.index(order_type),
            time=ir.TIMES.index(time),
            size_unit=_SIZES[unit],
            flags=flags | kind,
            group=group,
            tag=ctx.image.string(tag) if tag else -1,
        )
        return _emit(ctx, spec, args) if given.good else ERROR

    return lowered


def _trail_flags(given: _Given) -> int:
    percent = ir.TRAIL_PERCENT if "trail_percent" in given.args else 0
    return percent | (ir.EXIT_TRAIL if "exit_trail" in given.args else 0)


def _group(given: _Given) -> tuple[int, int]:
    """Return the number of the group that an order is placed in, 0 for none, and its flag."""
    named = [name for name in _GROUPS if name in given.args]
    if len(named) > 1:
        given.fail(given.args["ouo"].at, "An order is in one group: oco or ouo.")
    if not named:
        return 0, 0
    groups, name = given.ctx.image.groups, given.text(named[0])
    if not name and given.good:
        given.fail(given.args[named[0]].at, "A group has a name that is not empty.")
    return groups.setdefault((named[0], name), len(groups) + 1), _GROUPS[named[0]]


def _numbers(given: _Given) -> dict[str, Value]:
    values = {}
    for name, field in _NUMBERS.items():
        if name in given.args:
            values[field] = given.number(name, FLOAT, constant(NA))
    return values


def _type_of(given: _Given) -> str:
    has = given.args
    triggers = [name for name in ("stop", "touch", "trail", "trail_percent") if name in has]
    if len(triggers) > 1:
        at = has[triggers[1]].at
        given.fail(
            at,
            f"An order has one of stop, touch, trail and trail_percent, not "
            f"{' and '.join(triggers)}.",
        )
    kinds = {"stop": "stop", "touch": "market_if_touched"}
    if "trail" in has or "trail_percent" in has:
        if "limit" in has:
            given.fail(has["limit"].at, "A trailing stop has no limit.")
        return "trailing_stop"
    if "limit" in has:
        return {"stop": "stop_limit", "touch": "limit_if_touched"}.get(
            "".join(triggers[:1]), "limit"
        )
    return kinds.get("".join(triggers[:1]), "market")


def _time_of(given: _Given, order_type: str) -> str:
    if "tif" not in given.args:
        return "gtd" if "expire" in given.args else "default"
    time = given.text("tif")
    allowed: tuple[str, ...] = _AT_ONCE if order_type == "market" else _WAITING
    allowed = (*_WAITING, *_AT_ONCE) if order_type == "limit" else allowed
    if time not in allowed:
        at = at_of(given.args["tif"].value)
        given.fail(
            at,
            f"tif of a {order_type} order is one of {', '.join(allowed)}.",
            did_you_mean(time, allowed),
        )
        return "default"
    return time


def _size_unit(given: _Given) -> str:
    units = [name for name in _SIZES if name in given.args]
    if len(units) != 1:
        given.fail(
            given.node.at, f"{given.node.name} needs its size, once: lots, risk or equity_percent.",
            f"Write {given.node.name}(0.1) or {given.node.name}(risk=0.5, sl=price).",
        )  # fmt: skip
        return "lots"
    if units[0] == "risk" and "sl" not in given.args:
        given.fail(given.args["risk"].at, "risk is the loss at the stop: it needs sl.")
    return units[0]


def _check_terms(given: _Given, order_type: str, time: str) -> None:
    has = given.args
    if "post_only" in has and (order_type != "limit" or time in _AT_ONCE):
        given.fail(has["post_only"].at, "post_only is for limit orders that wait.")
    if "reduce_only" in has and {"sl", "tp", "risk", "exit_trail"} & set(has):
        given.fail(has["reduce_only"].at, "reduce_only goes without sl, tp, exit_trail and risk.")
    if "exit_trail" in has and {"sl", "trail", "trail_percent"} & set(has):
        given.fail(has["exit_trail"].at, "exit_trail goes without sl, trail and trail_percent.")
    if ("expire" in has) != (time == "gtd"):
        at = has["expire"].at if "expire" in has else has["tif"].at
        given.fail(at, 'expire and tif="gtd" belong together.')
    for group in _GROUPS:
        if group in has and (order_type == "market" or time in _AT_ONCE):
            given.fail(has[group].at, f"{group} links orders that wait; a market order does not.")


def _emit(ctx: Context, spec: ir.OrderSpec, args: dict[str, Value]) -> Value:
    missing = {name: constant(0 if place < 4 else NA) for place, name in enumerate(ir.ORDER_ARGS)}
    values = {**missing, **args}
    regs = tuple(ctx.code.reg(values[name]) for name in ir.ORDER_ARGS)
    return Value(INT, ctx.code.emit("order", INT, regs, spec))


def _spec(verb: str, symbol: int) -> ir.OrderSpec:
    return ir.OrderSpec(ir.ORDER_VERBS.index(verb), symbol, 0, 0, 0, 0, 0, -1)


def _cancel(ctx: Context, node: tree.Call) -> Value:
    given = _Given(ctx, node, ("order",), "order")
    if not node.args:
        given.fail(node.at, "cancel needs the id of an order.", "Keep it: id = buy(1, limit=x).")
    order = given.number("order", INT, constant(0))
    return _emit(ctx, _spec("cancel", 0), {"order": order}) if given.good else ERROR


def _modify(ctx: Context, node: tree.Call) -> Value:
    """Lower a change of what an order that works already was placed with."""
    given = _Given(ctx, node, _CHANGES, "order")
    has = given.args
    if "order" not in has or len(has) < 2:
        given.fail(
            node.at, "modify needs the id of an order and what of it changes.",
            "Write modify(id, limit=x).",
        )  # fmt: skip
    for names in (
        ("stop", "touch"),
        ("trail", "trail_percent", "exit_trail"),
        ("sl", "exit_trail"),
    ):
        both = [name for name in names if name in has]
        if len(both) > 1:
            given.fail(has[both[1]].at, f"An order has no {' and '.join(both)} together.")
    args = {
        **_numbers(given),
        "order": given.number("order", INT, constant(0)),
        "expire_ns": given.number("expire", INT, constant(0)),
        "quantity": given.number("lots", FLOAT, constant(NA)),
    }
    spec = _spec("modify", 0)._replace(flags=_trail_flags(given))
    return _emit(ctx, spec, args) if given.good else ERROR


def _whole(verb: str, names: tuple[str, ...]) -> Callable[[Context, tree.Call], Value]:
    """Make the lowering of a verb for a whole position or all of something; it may take lots."""

    def lowered(ctx: Context, node: tree.Call) -> Value:
        given = _Given(ctx, node, names, names[0] if names else "")
        symbol = given.symbol()
        args = {}
        if "lots" in names:
            args["quantity"] = given.number("lots", FLOAT, constant(NA))
        return _emit(ctx, _spec(verb, symbol), args) if given.good else ERROR

    return lowered


VERBS: Final[dict[str, Callable[[Context, tree.Call], Value]]] = {
    "buy": _place(1),
    "sell": _place(-1),
    "modify": _modify,
    "cancel": _cancel,
    "cancel_all": _whole("cancel_all", ("symbol",)),
    "close_position": _whole("close", ("lots", "symbol")),
    "flatten": _whole("flatten", ()),
    "reverse": _whole("reverse", ("symbol",)),
}
_TERMS: Final = ", ".join(name for name in _ENTRY if name not in _SIZES)
_CHANGE_DOC: Final = (
    f"Change an order that works, by its id: {', '.join(_CHANGES[1:])}. na changes nothing; sl, tp "
    "and exit_trail move the exits of its bracket."
)
VERB_TERMS: Final = {"buy": _ENTRY, "sell": _ENTRY, "modify": _CHANGES[1:]}
"""What of a verb is given by name."""

VERB_DOCS: Final = {
    "buy": (
        "buy(lots, ...)",
        f"Place a buy order and return its id. Sizes: {', '.join(_SIZES)}. Terms: {_TERMS}.",
    ),
    "sell": ("sell(lots, ...)", "Place a sell order and return its id; it takes what buy takes."),
    "modify": ("modify(order, ...)", _CHANGE_DOC),
    "cancel": (
        "cancel(order)",
        "Cancel an order by its id; nothing happens if it works no longer.",
    ),
    "cancel_all": ("cancel_all(symbol)", "Cancel all working orders of the symbol."),
    "close_position": (
        "close_position(lots, symbol)",
        "Close the symbol's position, or lots of it, at the market.",
    ),
    "flatten": ("flatten()", "Cancel all orders and close all positions."),
    "reverse": ("reverse(symbol)", "Close the position and open one as large the other way."),
}
