"""The body of a signal: JSON text to checked fields, with every problem named."""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from quantlab.kernel.instants import parse_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.webhooks.fields import FieldReader, Problem
from quantlab.webhooks.order_fields import PRICES, TERMS, TRAILS, read_order

ENTRIES = ("buy", "sell")
SIZES = ("quantity", "riskPercent", "equityPercent")
EXITS = ("stop", "target")
ACTIONS = (*ENTRIES, "close", "flat", "reverse", "cancel", "cancel_all", "modify")
CHANGES = ("quantity", *PRICES, *TRAILS, "expireAt")
EQUITY_PERCENT_MAX = Decimal(100_000)
_ALWAYS = frozenset(("id", "action", "accountId", "secret", "timenow"))
_DECIMALS = ("quantity", "triggerPrice", *TRAILS, "stopLoss", "takeProfit")
_NAMED = ("orderId", "clientId")
_EXIT = ("signalId", "exit")
_PLAIN = ("symbol", "orderType", "price", "clientId")
# What each action may have; any other field of an order is refused by name.
_FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ENTRIES, ("symbol", "clientId", *SIZES, *TERMS, "links", "bracket")),
    "close": (*_PLAIN, "quantity", "ticket"),
    "flat": _PLAIN,
    "reverse": (*_PLAIN, "stopLoss", "takeProfit"),
    "cancel": _NAMED,
    "cancel_all": ("symbol",),
    "modify": (*_NAMED, *_EXIT, *CHANGES),
}
_KEYS = _ALWAYS.union(*_FIELDS.values())


@dataclass(frozen=True, slots=True)
class Signal:
    """A checked signal; terms are its other fields as they are stored.

    Decimals are text, in lots and in price; absent fields are left out.
    """

    symbol: str | None
    action: str
    client_id: str | None
    account_id: str | None
    terms: Mapping[str, Any]

    def for_symbol(self, symbol: str) -> "Signal":
        """Return the signal with its ticker replaced by the symbol it stands for."""
        return replace(self, symbol=symbol)

    def as_payload(self) -> dict[str, Any]:
        """Return what is stored and executed: JSON without floats, absent fields left out."""
        fields = {
            "symbol": self.symbol,
            "action": self.action,
            **self.terms,
            "clientId": self.client_id,
        }
        return {key: value for key, value in fields.items() if value is not None}


def parse_json(raw: bytes) -> dict[str, Any] | None:
    """Read a JSON object with numbers as integers or Decimal; None when it is not one.

    A text with half a surrogate pair, which only an escape can bring in, cannot be kept.
    """
    try:
        document = json.loads(
            raw.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_refuse,
            object_pairs_hook=_unique,
        )
        if b"\\u" in raw:
            _refuse_half_characters(document)
    except (ValueError, RecursionError, InvalidOperation):
        return None
    return document if isinstance(document, dict) else None


def _refuse_half_characters(value: Any) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_half_characters(key)
            _refuse_half_characters(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_half_characters(item)


def _refuse(text: str) -> None:
    raise ValueError(f"expected a JSON number, was {text}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("expected unique keys")
    return document


def signal_id_of(document: dict[str, Any] | None) -> str | None:
    """Return the bot's own `id` of the signal when it is usable as an idempotency key."""
    given = None if document is None else document.get("id")
    return given if isinstance(given, str) and 0 < len(given) <= 128 else None


def idempotency_key(bot_id: str, signal_id: str | None, raw: bytes) -> bytes:
    """Return the 32-byte key: of the bot's own id, else of the bot and the raw body."""
    if signal_id is not None:
        return hashlib.sha256(b"id\x00" + signal_id.encode()).digest()
    return hashlib.sha256(b"body\x00" + bot_id.encode() + b"\x00" + raw).digest()


def parse_signal(document: dict[str, Any]) -> Signal | tuple[Problem, ...]:
    """Check every field; return the signal, or every problem in the order of the fields."""
    problems: list[Problem] = []
    reader = FieldReader(document, problems)
    reader.refuse_unknown(_KEYS)
    reader.text("id", 128)
    action = reader.choice("action", ACTIONS, required=True)
    needs_symbol = action in (*ENTRIES, "close", "reverse")
    signal = Signal(
        symbol=reader.text("symbol", 64, required=needs_symbol),
        action=action or "flat",
        client_id=reader.text("clientId", 64),
        account_id=reader.uuid("accountId"),
        terms={} if action is None else _terms(reader, action),
    )
    return tuple(problems) if problems else signal


def _terms(reader: FieldReader, action: str) -> dict[str, Any]:
    reader.refuse(sorted(_KEYS - _ALWAYS - set(_FIELDS[action])), f"for {action}")
    if action in ENTRIES:
        return _entry(reader)
    fields: dict[str, Any] = {}
    for key in _FIELDS[action]:
        if key in (*_DECIMALS, "price"):
            fields[key] = reader.positive(key)
        elif key == "ticket":
            fields[key] = reader.uuid(key)
    if action in ("cancel", "modify"):
        fields |= _target(reader, action)
    elif "orderType" in _FIELDS[action]:
        fields["orderType"] = reader.choice("orderType", ("market",)) or "market"
    return {key: value for key, value in fields.items() if value is not None}


def _entry(reader: FieldReader) -> dict[str, Any]:
    fields = {
        "quantity": reader.positive("quantity"),
        "riskPercent": reader.positive("riskPercent", Decimal(100)),
        "equityPercent": reader.positive("equityPercent", EQUITY_PERCENT_MAX),
        "bracket": None,
        **read_order(reader),
    }
    sizes = sum(reader.has(key) for key in SIZES)
    if sizes != 1:
        reader.fail("quantity", f"exactly one of {', '.join(SIZES)}", str(sizes))
    elif reader.has("riskPercent") and not _has_stop(reader, fields):
        reader.fail("stopLoss", "a stop-loss price, or one in a bracket, with riskPercent")
    return {key: value for key, value in fields.items() if value is not None}


def _has_stop(reader: FieldReader, fields: Mapping[str, Any]) -> bool:
    return reader.has("stopLoss") or "stopLoss" in (fields["bracket"] or {})


def _target(reader: FieldReader, action: str) -> dict[str, Any]:
    """Read which order is meant, and what of it is to change."""
    names = _NAMED if action == "cancel" else (*_NAMED, "signalId")
    count = sum(reader.has(key) for key in names)
    if count != 1:
        reader.fail("orderId", f"exactly one of {', '.join(names)}", str(count))
    fields: dict[str, Any] = {"orderId": reader.uuid("orderId")}
    if action == "modify":
        fields["signalId"] = reader.uuid("signalId")
        fields["exit"] = reader.choice("exit", EXITS, required=reader.has("signalId"))
        if not reader.has("signalId"):
            reader.refuse(("exit",), "without the signalId of an entry with a bracket")
        fields["expireAt"] = reader.instant("expireAt")
        if not any(reader.has(key) for key in CHANGES):
            reader.fail("quantity", "something to change: " + ", ".join(CHANGES))
        if reader.has("trailDistance") and reader.has("trailPercent"):
            reader.fail("trailPercent", "absent with trailDistance", "present")
    return fields


def sent_at_ns(document: dict[str, Any]) -> int | None:
    """Return TradingView's `timenow` as nanoseconds; None when absent or not RFC 3339."""
    value = document.get("timenow")
    return parse_rfc3339(value) if isinstance(value, str) else None
