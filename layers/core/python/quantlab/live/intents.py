"""What a strategy wants done as commands like anybody's: fields of a signal, or why there are none.

An event's orders become one command each, but orders that cancel each other, and orders that wait
for one of the same event, are linked in one, and a change of an order and of its exits is one for
each of them. Prices and sizes are rounded to whole ticks and steps
as a backtest rounds them; a size that is off its step is left as it is, and is refused.
"""

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from decimal import Decimal
from typing import Any, Final

from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.live.terms import LiveTerms
from quantlab.market.instrument import Instrument
from quantlab.qls import ir
from quantlab.qls.interpreter import Order

_OFF: Final = 1e-6
_RANGE: Final = float(1 << 53)
_PERCENT: Final = Decimal("0.0001")
_PPM_PER_PERCENT: Final = 10_000.0
SOURCE: Final = "strategy"
_VERBS: Final = {verb: number for number, verb in enumerate(ir.ORDER_VERBS)}
_PLACE: Final = _VERBS["place"]
_WHOLE: Final = {
    _VERBS["cancel_all"]: "cancel_all", _VERBS["close"]: "close", _VERBS["flatten"]: "flat",
    _VERBS["reverse"]: "reverse",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Intent:
    """A command: the numbers of the strategy's orders in it, the first one's first, its fields.

    part says which of an order's exits it changes, "" for any other command.
    """

    numbers: tuple[int, ...]
    fields: Mapping[str, Any]
    part: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Orders that cannot be asked for, and why."""

    numbers: tuple[int, ...]
    reason: str


def client_id(run_id: str, number: int) -> str:
    """Return what a strategy's order is known by at its account."""
    return f"{run_id}:{number}"


def signal_id_of(run_id: str, number: int, part: str = "") -> str:
    """Return the identifier of the command for a strategy's order: always the same one."""
    return derive_id(SOURCE, run_id, number, *((part,) if part else ()))


def intents_of(
    orders: Sequence[Order],
    run_id: str,
    terms: LiveTerms,
    symbols: Sequence[str],
    placed_on: MutableMapping[int, Instrument],
) -> list[Intent | NotSent]:
    """Return the commands of one event's orders, in order; symbols are the program's by number.

    placed_on has what each order of earlier events trades, by its number; this event's are added.
    """
    return _Event(orders, run_id, terms, symbols, placed_on).commands()


class _Event:
    """The orders of one event while they are put together."""

    def __init__(
        self,
        orders: Sequence[Order],
        run_id: str,
        terms: LiveTerms,
        symbols: Sequence[str],
        placed_on: MutableMapping[int, Instrument],
    ) -> None:
        self._orders, self._run_id, self._placed_on = orders, run_id, placed_on
        known = {one.symbol: one for one in terms.instruments}
        aliases = {alias: one for one in terms.instruments for alias in one.aliases}
        names = [terms.symbol, *symbols[1:]]
        self._instruments = [known.get(name) or aliases.get(name) for name in names]
        self._taken: set[int] = set()
        for order in orders:
            instrument = self._instrument(order)
            if order.spec.verb == _PLACE and instrument is not None:
                placed_on[order.order_id] = instrument

    def commands(self) -> list[Intent | NotSent]:
        found: list[Intent | NotSent] = []
        for order in self._orders:
            if order.spec.verb == _VERBS["modify"]:
                found += self._changes(order)
            elif order.order_id not in self._taken:
                found.append(self._command(order))
        return found

    def _command(self, order: Order) -> Intent | NotSent:
        self._taken.add(order.order_id)
        if order.spec.verb != _PLACE:
            return self._other(order)
        if order.args["parent"]:
            return NotSent((order.order_id,), "unknown_parent")
        members, children = self._group(order), self._children(order)
        numbers = (order.order_id, *(one.order_id for one in (*members, *children)))
        self._taken.update(numbers)
        if members and (children or any(self._children(one) for one in members)):
            return NotSent(numbers, "group_with_children")
        instrument = self._instrument(order)
        if instrument is None or any(
            self._instrument(one) is not instrument for one in (*members, *children)
        ):
            return NotSent(numbers, "group_refused" if instrument else "unknown_symbol")
        fields = self._entry(order, instrument, linked=bool(members or children))
        if members or children:
            legs = [self._leg(one, instrument, child=one in children)
                    for one in (*members, *children)]  # fmt: skip
            group = "ouo" if order.spec.flags & ir.OUO_GROUP else "oco"
            fields["links"] = {"type": group if members else "oto", "orders": legs}
        return Intent(numbers, fields)

    def _changes(self, order: Order) -> list[Intent | NotSent]:
        """Return the changes of an order and of the exits of its bracket, each a command.

        Prices are written in whole ticks of the symbol that the order was placed on.
        """
        number = int(order.args["order"])
        instrument = self._placed_on.get(number)
        if instrument is None:
            return [NotSent((order.order_id,), "unknown_order")]
        found: list[Intent | NotSent] = []
        for part, changes in _parts(order, instrument):
            named = {"clientId": client_id(self._run_id, number)}
            if part:
                named = {"signalId": signal_id_of(self._run_id, number), "exit": part}
            fields = {"action": "modify", **named, **changes}
            found.append(Intent((order.order_id,), fields, part))
        return found or [NotSent((order.order_id,), "nothing_changes")]

    def _other(self, order: Order) -> Intent | NotSent:
        """Return what is no entry: it asks for no order of its own."""
        if order.spec.verb == _VERBS["cancel"]:
            number = int(order.args["order"])
            known = {"action": "cancel", "clientId": client_id(self._run_id, number)}
            return Intent((order.order_id,), known)
        fields: dict[str, Any] = {"action": _WHOLE[order.spec.verb]}
        if order.spec.verb != _VERBS["flatten"]:
            instrument = self._instrument(order)
            if instrument is None:
                return NotSent((order.order_id,), "unknown_symbol")
            fields["symbol"] = instrument.symbol
            if order.spec.verb == _VERBS["close"] and _given(order, "quantity"):
                fields["quantity"] = lots_text(float(order.args["quantity"]), instrument)
        if order.spec.verb != _VERBS["cancel_all"]:
            fields["clientId"] = client_id(self._run_id, order.order_id)
        return Intent((order.order_id,), fields)

    def _entry(self, order: Order, instrument: Instrument, *, linked: bool) -> dict[str, Any]:
        fields = {
            "action": "buy" if order.args["side"] > 0 else "sell",
            "symbol": instrument.symbol,
            "clientId": client_id(self._run_id, order.order_id),
            **_size(order, instrument),
            **_terms(order, instrument),
        }
        exits = _exits(order, instrument)
        if exits and not linked:
            return {**fields, "bracket": exits}
        return {**fields, **exits}

    def _leg(self, order: Order, instrument: Instrument, *, child: bool) -> dict[str, Any]:
        fields = self._entry(order, instrument, linked=True)
        del fields["symbol"]
        if child:
            fields.pop("quantity", None)
        return fields

    def _group(self, order: Order) -> list[Order]:
        """Return the other orders of its group: of several events each is a group of its own."""
        group = order.spec.group
        return [
            one for one in self._orders
            if group and one is not order and one.spec.group == group
            and one.spec.verb == _PLACE and one.order_id not in self._taken
        ]  # fmt: skip

    def _children(self, order: Order) -> list[Order]:
        return [
            one for one in self._orders
            if one.spec.verb == _PLACE and one.args["parent"] == order.order_id
        ]  # fmt: skip

    def _instrument(self, order: Order) -> Instrument | None:
        return self._instruments[order.spec.symbol]


def _given(order: Order, name: str) -> bool:
    return not math.isnan(order.args[name])


def _size(order: Order, instrument: Instrument) -> dict[str, str]:
    quantity = float(order.args["quantity"])
    unit = ir.SIZE_UNITS[order.spec.size_unit]
    if unit == "lots":
        return {"quantity": lots_text(quantity, instrument)}
    return {"riskPercent" if unit == "risk_percent" else "equityPercent": _percent(quantity)}


def _parts(order: Order, instrument: Instrument) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what a change asks for of an order itself, of its bracket's stop, and its target."""
    of_exit = bool(order.spec.flags & ir.EXIT_TRAIL)
    own = {
        name: price_text(float(order.args[arg]), instrument)
        for name, arg in (("price", "price"), ("triggerPrice", "trigger"))
        if _given(order, arg)
    }
    if _given(order, "trail") and not of_exit:
        own |= _trail(order, instrument)
    if order.args["expire_ns"]:
        own["expireAt"] = format_rfc3339(int(order.args["expire_ns"]))
    if _given(order, "quantity"):
        own["quantity"] = lots_text(float(order.args["quantity"]), instrument)
    if own:
        yield "", own
    if _given(order, "stop_loss"):
        yield "stop", {"triggerPrice": price_text(float(order.args["stop_loss"]), instrument)}
    elif of_exit and _given(order, "trail"):
        yield "stop", _trail(order, instrument)
    if _given(order, "take_profit"):
        yield "target", {"price": price_text(float(order.args["take_profit"]), instrument)}


def _trail(order: Order, instrument: Instrument) -> dict[str, str]:
    trail = float(order.args["trail"])
    if order.spec.flags & ir.TRAIL_PERCENT:
        return {"trailPercent": _percent(trail)}
    return {"trailDistance": price_text(trail, instrument)}


def _terms(order: Order, instrument: Instrument) -> dict[str, Any]:
    kind = ir.ORDER_TYPES[order.spec.order_type]
    fields: dict[str, Any] = {"orderType": kind}
    if kind in {"limit", "stop_limit", "limit_if_touched"}:
        fields["price"] = price_text(float(order.args["price"]), instrument)
    if kind not in {"market", "limit", "trailing_stop"}:
        fields["triggerPrice"] = price_text(float(order.args["trigger"]), instrument)
    if kind == "trailing_stop":
        fields |= _trail(order, instrument)
    return {**fields, **_time(order), **_flags(order)}


def _time(order: Order) -> dict[str, str]:
    time = ir.TIMES[order.spec.time]
    fields = {} if time == "default" else {"timeInForce": time}
    if time == "gtd":
        fields["expireAt"] = format_rfc3339(int(order.args["expire_ns"]))
    return fields


def _flags(order: Order) -> dict[str, bool]:
    named = {"reduceOnly": ir.REDUCE_ONLY, "postOnly": ir.POST_ONLY}
    return {name: True for name, bit in named.items() if order.spec.flags & bit}


def _exits(order: Order, instrument: Instrument) -> dict[str, str]:
    fields = {}
    if _given(order, "stop_loss"):
        fields["stopLoss"] = price_text(float(order.args["stop_loss"]), instrument)
    if order.spec.flags & ir.EXIT_TRAIL:
        fields["trailDistance"] = price_text(float(order.args["trail"]), instrument)
    if _given(order, "take_profit"):
        fields["takeProfit"] = price_text(float(order.args["take_profit"]), instrument)
    return fields


def price_text(value: float, instrument: Instrument) -> str:
    """Return a price as its nearest tick, in decimals; what is no price as it is."""
    num, den = instrument.tick.as_integer_ratio()
    exact = value * float(den) / float(num)
    if not abs(exact) < _RANGE:
        return str(value)
    return _plain(math.floor(exact + 0.5) * instrument.tick)


def lots_text(value: float, instrument: Instrument) -> str:
    """Return a size in whole steps, in decimals; one that is off its step as it is."""
    num, den = instrument.size_step.as_integer_ratio()
    exact = value * float(den) / float(num)
    if not abs(exact) < _RANGE:
        return str(value)
    steps = math.floor(exact + 0.5)
    if not abs(exact - steps) <= _OFF * max(1.0, abs(exact)):
        return _plain(Decimal(repr(value)))
    return _plain(steps * instrument.size_step)


def _percent(value: float) -> str:
    """Return a percentage as its nearest millionth part of the whole, in decimals."""
    exact = value * _PPM_PER_PERCENT
    if not abs(exact) < _RANGE:
        return str(value)
    return _plain(math.floor(exact + 0.5) * _PERCENT)


def _plain(value: Decimal) -> str:
    return f"{value:f}"
