"""The body of a signal: JSON text to checked fields, with every problem named."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from quantlab.kernel.decimals import parse_decimal
from quantlab.kernel.instants import parse_rfc3339

ACTIONS = ("buy", "sell", "close", "flat")
ORDER_TYPES = ("market",)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_KEYS = frozenset(
    [
        "id",
        "symbol",
        "action",
        "quantity",
        "riskPercent",
        "orderType",
        "price",
        "stopLoss",
        "takeProfit",
        "clientId",
        "accountId",
        "secret",
        "timenow",
    ]
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is not as expected; pointer is RFC 6901."""

    pointer: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Signal:
    """A checked signal; decimals as sent, in lots and in price; None where not given."""

    symbol: str | None
    action: str
    quantity: Decimal | None
    risk_percent: Decimal | None
    order_type: str
    price: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    client_id: str | None
    account_id: str | None

    def for_symbol(self, symbol: str) -> "Signal":
        """Return the signal with its ticker replaced by the symbol it stands for."""
        return replace(self, symbol=symbol)

    def as_payload(self) -> dict[str, Any]:
        """Return what is stored and executed: JSON without floats, absent fields left out."""
        fields = {
            "symbol": self.symbol,
            "action": self.action,
            "quantity": _text(self.quantity),
            "riskPercent": _text(self.risk_percent),
            "orderType": self.order_type,
            "price": _text(self.price),
            "stopLoss": _text(self.stop_loss),
            "takeProfit": _text(self.take_profit),
            "clientId": self.client_id,
        }
        return {key: value for key, value in fields.items() if value is not None}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


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
    except (ValueError, RecursionError):
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
    reader = _Reader(document, problems)
    for key in document:
        if key not in _KEYS:
            shown = key.replace("~", "~0").replace("/", "~1")[:64]
            problems.append(Problem(f"/{shown}", "no such field", "present"))
    reader.text("id", 128)
    action = reader.choice("action", ACTIONS) or "flat"
    signal = Signal(
        symbol=reader.text("symbol", 64, required=action != "flat"),
        action=action,
        quantity=reader.positive("quantity"),
        risk_percent=reader.positive("riskPercent", Decimal(100)),
        order_type=reader.choice("orderType", ORDER_TYPES, "market") or "market",
        price=reader.positive("price"),
        stop_loss=reader.positive("stopLoss"),
        take_profit=reader.positive("takeProfit"),
        client_id=reader.text("clientId", 64),
        account_id=reader.uuid("accountId"),
    )
    if not problems:
        problems.extend(_together(signal))
    return tuple(problems) if problems else signal


def _together(signal: Signal) -> list[Problem]:
    """Check the fields against each other."""
    entering = signal.action in ("buy", "sell")
    sizes = (signal.quantity is not None) + (signal.risk_percent is not None)
    problems = []
    if entering and sizes != 1:
        problems.append(Problem("/quantity", "exactly one of quantity and riskPercent", str(sizes)))
    if entering and signal.risk_percent is not None and signal.stop_loss is None:
        problems.append(Problem("/stopLoss", "a stop-loss price with riskPercent", "absent"))
    if not entering:
        for key, value in (
            ("riskPercent", signal.risk_percent),
            ("stopLoss", signal.stop_loss),
            ("takeProfit", signal.take_profit),
        ):
            if value is not None:
                problems.append(Problem(f"/{key}", f"absent for {signal.action}", "present"))
    if signal.action == "flat" and signal.quantity is not None:
        problems.append(Problem("/quantity", "absent for flat", "present"))
    return problems


class _Reader:
    """Read fields of one document and collect what is wrong."""

    def __init__(self, document: dict[str, Any], problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems

    def _fail(self, key: str, expected: str, got: object) -> None:
        shown = "absent" if got is None else type(got).__name__
        if isinstance(got, (str, int, Decimal)) and not isinstance(got, bool):
            shown = str(got)[:64]
        self._problems.append(Problem(f"/{key}", expected, shown))

    def text(self, key: str, longest: int, *, required: bool = False) -> str | None:
        value = self._document.get(key)
        if value is None and not required:
            return None
        if isinstance(value, str) and 0 < len(value) <= longest and value.isprintable():
            return value
        self._fail(key, f"printable text of 1 to {longest} characters", value)
        return None

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str | None:
        value = self._document.get(key, default)
        if isinstance(value, str) and value.lower() in choices:
            return value.lower()
        self._fail(key, "one of " + ", ".join(choices), value)
        return None

    def positive(self, key: str, most: Decimal | None = None) -> Decimal | None:
        value = self._document.get(key)
        if value is None:
            return None
        number = None
        if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
            number = _plain(value)
        if number is not None and number > 0 and (most is None or number <= most):
            return number
        limit = "" if most is None else f" and at most {most}"
        self._fail(key, f"a plain decimal above 0{limit}", value)
        return None

    def uuid(self, key: str) -> str | None:
        value = self._document.get(key)
        if value is None or (isinstance(value, str) and _UUID.match(value.lower())):
            return None if value is None else str(value).lower()
        self._fail(key, "a UUID", value)
        return None


def _plain(value: str | int | Decimal) -> Decimal | None:
    if isinstance(value, Decimal):
        if abs(value.adjusted()) > 18:
            return None
        value = format(value, "f")
    return parse_decimal(str(value))


def sent_at_ns(document: dict[str, Any]) -> int | None:
    """Return TradingView's `timenow` as nanoseconds; None when absent or not RFC 3339."""
    value = document.get("timenow")
    return parse_rfc3339(value) if isinstance(value, str) else None
