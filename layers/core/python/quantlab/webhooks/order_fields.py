"""What an order asks beyond side and size, as fields: its type, prices, time in force and links."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from quantlab.kernel.records import dataclass
from quantlab.webhooks.fields import FieldReader

PRICES: Final = ("price", "triggerPrice")
TRAILS: Final = ("trailDistance", "trailPercent")
PERCENT_DIGITS_MAX: Final = 4
LINKED_MAX: Final = 10
_WAITING: Final = ("gtc", "day", "gtd")
_AT_ONCE: Final = ("ioc", "fok")


@dataclass(frozen=True, slots=True)
class _Kind:
    """An order type: the prices it needs, and how long it may work."""

    needs: tuple[str, ...]
    times: tuple[str, ...] = _WAITING


KINDS: Final = {
    "market": _Kind((), _AT_ONCE),
    "limit": _Kind(("price",), (*_WAITING, *_AT_ONCE)),
    "stop": _Kind(("triggerPrice",)),
    "stop_limit": _Kind(("price", "triggerPrice")),
    "trailing_stop": _Kind(()),
    "market_if_touched": _Kind(("triggerPrice",)),
    "limit_if_touched": _Kind(("price", "triggerPrice")),
}
ORDER_TYPES: Final = tuple(KINDS)
TIMES: Final = (*_WAITING, *_AT_ONCE)
LINK_TYPES: Final = ("oco", "ouo", "oto")
TERMS: Final = (
    "orderType", *PRICES, *TRAILS, "timeInForce", "expireAt", "reduceOnly", "postOnly", "stopLoss",
    "takeProfit", "ticket",
)  # fmt: skip
BRACKET: Final = ("stopLoss", "takeProfit", *TRAILS)

Fields = dict[str, Any]


def read_order(reader: FieldReader) -> Fields:
    """Read an order's terms, links and bracket; only what is given is returned."""
    fields = {**read_terms(reader), **_links(reader), **_bracket(reader)}
    bracket = fields.get("bracket")
    if bracket is not None:
        reader.refuse(("stopLoss", "takeProfit", "links", "reduceOnly"), "with a bracket")
    links = fields.get("links")
    if links is not None and links["type"] != "oto":
        waiting = fields.get("orderType", "market") != "market"
        if not waiting or fields.get("timeInForce") in _AT_ONCE:
            expected = f"an order that waits, with links of type {links['type']}"
            reader.fail("orderType", expected, reader.get("orderType"))
    return fields


def read_terms(reader: FieldReader) -> Fields:
    """Read the fields that every order may have, and check them against its type."""
    kind = reader.choice("orderType", ORDER_TYPES) or "market"
    fields: Fields = {"orderType": kind}
    for key in (*PRICES, "trailDistance", "stopLoss", "takeProfit"):
        fields[key] = reader.positive(key)
    fields["trailPercent"] = _percent(reader)
    fields["timeInForce"] = reader.choice("timeInForce", TIMES)
    fields["expireAt"] = reader.instant("expireAt")
    for key in ("reduceOnly", "postOnly"):
        fields[key] = reader.flag(key) or None
    fields["ticket"] = reader.uuid("ticket")
    _check_prices(reader, kind)
    _check_time(reader, kind, fields["timeInForce"])
    if fields["postOnly"] and (kind != "limit" or fields["timeInForce"] in _AT_ONCE):
        reader.fail("postOnly", "absent or false, but for a limit that waits", "true")
    if fields["reduceOnly"]:
        reader.refuse(("stopLoss", "takeProfit", "riskPercent", "equityPercent"), "with reduceOnly")
    else:
        reader.refuse(("ticket",), "without reduceOnly")
    return {key: value for key, value in fields.items() if value is not None}


def _percent(reader: FieldReader) -> str | None:
    text = reader.positive("trailPercent", Decimal(50))
    if text is not None and len(text.partition(".")[2].rstrip("0")) > PERCENT_DIGITS_MAX:
        reader.fail("trailPercent", f"at most {PERCENT_DIGITS_MAX} decimals", text)
    return text


def _check_prices(reader: FieldReader, kind: str) -> None:
    needs = KINDS[kind].needs
    for key in PRICES:
        if key in needs and not reader.has(key):
            reader.fail(key, f"a price for a {kind} order")
        elif key not in needs and (kind != "market" or key != "price"):
            reader.refuse((key,), f"for a {kind} order")
    if kind != "trailing_stop":
        reader.refuse(TRAILS, f"for a {kind} order")
    elif reader.has("trailDistance") == reader.has("trailPercent"):
        count = 2 * reader.has("trailDistance")
        reader.fail("trailDistance", "exactly one of trailDistance and trailPercent", str(count))


def _check_time(reader: FieldReader, kind: str, time_in_force: str | None) -> None:
    times = KINDS[kind].times
    if time_in_force is not None and time_in_force not in times:
        reader.fail("timeInForce", f"one of {', '.join(times)} for a {kind} order", time_in_force)
    elif time_in_force == "gtd" and not reader.has("expireAt"):
        reader.fail("expireAt", "a time with timeInForce gtd")
    elif time_in_force != "gtd":
        reader.refuse(("expireAt",), "without timeInForce gtd")


def _links(reader: FieldReader) -> Fields:
    given = reader.get("links")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        reader.fail("links", "an object with type and orders", given)
        return {}
    inner = reader.at("links", given)
    inner.refuse_unknown(("type", "orders"))
    kind = inner.choice("type", LINK_TYPES, required=True)
    orders = given.get("orders")
    if not isinstance(orders, list) or not 0 < len(orders) <= LINKED_MAX:
        inner.fail("orders", f"a list of 1 to {LINKED_MAX} orders", orders)
        return {}
    legs = []
    for number, order in enumerate(orders):
        if isinstance(order, Mapping):
            legs.append(_leg(inner.at(f"orders/{number}", order), kind))
        else:
            inner.fail(f"orders/{number}", "an object", order)
    return {} if kind is None else {"links": {"type": kind, "orders": legs}}


def _leg(reader: FieldReader, link_type: str | None) -> Fields:
    """Read a linked order: it waits, trades the same symbol, and has no size of its own in oto."""
    reader.refuse_unknown((*TERMS, "action", "quantity", "clientId"))
    fields = read_terms(reader)
    if fields["orderType"] == "market" or fields.get("timeInForce") in _AT_ONCE:
        reader.fail("orderType", "an order that waits", reader.get("orderType"))
    if link_type == "oto":
        reader.refuse(("quantity",), "in oto: a child has the size its parent fills")
        reader.refuse(("ticket",), "in oto: a child reduces the position of its parent")
    given = {
        "action": reader.choice("action", ("buy", "sell"), required=True),
        "quantity": reader.positive("quantity"),
        "clientId": reader.text("clientId", 64),
    }
    return {**fields, **{key: value for key, value in given.items() if value is not None}}


def _bracket(reader: FieldReader) -> Fields:
    given = reader.get("bracket")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        reader.fail("bracket", "an object with the exits of the entry", given)
        return {}
    inner = reader.at("bracket", given)
    inner.refuse_unknown(BRACKET)
    fields = {key: inner.positive(key) for key in ("stopLoss", "takeProfit", "trailDistance")}
    fields["trailPercent"] = _percent(inner)
    stops = sum(inner.has(key) for key in ("stopLoss", *TRAILS))
    if stops > 1:
        inner.fail("stopLoss", "at most one of stopLoss, trailDistance and trailPercent", stops)
    if not stops and not inner.has("takeProfit"):
        inner.fail("stopLoss", "a stop or a takeProfit")
    return {"bracket": {key: value for key, value in fields.items() if value is not None}}
