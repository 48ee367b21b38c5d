"""What a step expects: read as what it is, and compared with what came."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from quantlab.kernel.decimals import parse_decimal
from quantlab.rules.reader import Reader

_Kind = tuple[str, Callable[[Any], bool]]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_decimal(value: Any) -> bool:
    return isinstance(value, str) and parse_decimal(value) is not None


_TEXT: Final[_Kind] = ("text", _is_text)
_AMOUNT: Final[_Kind] = ("decimal text", _is_decimal)
_TEXT_OR_NULL: Final[_Kind] = ("text or null", lambda value: value is None or _is_text(value))
_AMOUNT_OR_NULL: Final[_Kind] = (
    "decimal text or null",
    lambda value: value is None or _is_decimal(value),
)
_ONE: Final[Mapping[str, _Kind]] = {
    "balance": _AMOUNT,
    "equity": _AMOUNT_OR_NULL,
    "highWater": _AMOUNT,
    "status": _TEXT,
    "date": _TEXT,
    "refused": _TEXT_OR_NULL,
}
_NAMED: Final[Mapping[str, _Kind]] = {
    "positions": _AMOUNT,
    "floors": _AMOUNT_OR_NULL,
    "states": _TEXT,
    "remaining": _TEXT_OR_NULL,
    "details": _TEXT,
}
_VERDICTS: Final = "verdicts"
VERDICTS_MAX: Final = 10_000
TOLD: Final = (*_ONE, *_NAMED, _VERDICTS)


def read_expected(reader: Reader) -> Mapping[str, Any]:
    """Read what must hold after a step; what can be of no account is refused where it stands."""
    if not reader.has("expect"):
        return {}
    given = reader.value("expect")
    if not isinstance(given, dict) or set(given) - set(TOLD):
        reader.refuse("expect", "an object with some of " + ", ".join(TOLD))
        return {}
    child = reader.child("expect")
    for key, value in given.items():
        if key in _ONE:
            _check(child, key, value, _ONE[key])
        elif key in _NAMED:
            _check_all(child.child(key), value, _NAMED[key])
        else:
            child.objects(key, VERDICTS_MAX, least=0)
    return given


def _check_all(reader: Reader, named: Any, kind: _Kind) -> None:
    if isinstance(named, dict):
        for name, value in named.items():
            _check(reader, name, value, kind)


def _check(reader: Reader, key: str, value: Any, kind: _Kind) -> None:
    words, holds = kind
    if not holds(value):
        reader.refuse(key, words)


def differences(what: str, expected: Any, got: Any) -> Iterator[tuple[str, Any, Any]]:
    """Compare: of objects the named keys, of lists every item in order, of the rest the value.

    Positions are exactly those named. Decimal text is compared as a number: 1000 is 1000.00.
    """
    if isinstance(expected, dict) and isinstance(got, dict):
        yield from _named_differences(what, expected, got)
        if what == "positions" and got.keys() - expected.keys():
            yield what, expected, got
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield what, expected, got
        for index, (wanted, found) in enumerate(zip(expected, got, strict=False)):
            yield from differences(f"{what}[{index}]", wanted, found)
    elif not _is_same(expected, got):
        yield what, expected, got


def _named_differences(
    what: str, expected: Mapping[str, Any], got: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for key, wanted in expected.items():
        if key not in got:
            yield f"{what}.{key}", wanted, "nothing of that name"
        else:
            yield from differences(f"{what}.{key}", wanted, got[key])


def _is_same(expected: Any, got: Any) -> bool:
    if _is_decimal(expected) and _is_decimal(got):
        return parse_decimal(expected) == parse_decimal(got)
    return type(expected) is type(got) and bool(expected == got)
