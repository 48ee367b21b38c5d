"""RFC 8785 canonical JSON for what we record: no floats, integers within 2^53, ASCII keys.

With ASCII keys the order by UTF-16 code units (RFC 8785, 3.2.3) is the order by code points.
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

SAFE_INTEGER: Final = (1 << 53) - 1
# Sorts keys by code points and escapes what RFC 8785, 3.2.2.2 escapes, nothing else.
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER

Json = None | bool | int | str | list[Any] | dict[str, Any]


def canonical_json(value: Json) -> bytes:
    """Return the RFC 8785 bytes of a value; ValueError names what it cannot hold."""
    _refuse_unsafe((value,))
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:  # half a surrogate pair, or nested too deeply
        raise ValueError(f"expected JSON of Unicode text: {error}") from error


def _refuse_unsafe(values: Iterable[object]) -> None:
    for value in values:
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, int):
            if not -SAFE_INTEGER <= value <= SAFE_INTEGER:
                raise ValueError(f"expected an integer within 2^53, was {value}")
        elif isinstance(value, dict):
            _refuse_unsafe_keys(value)
            _refuse_unsafe(value.values())
        elif isinstance(value, (list, tuple)):
            _refuse_unsafe(value)
        else:
            kind = type(value).__name__
            raise ValueError(f"expected JSON without floats, was {kind}")  # noqa: TRY004 - data


def _refuse_unsafe_keys(keys: Iterable[object]) -> None:
    for key in keys:
        if not (isinstance(key, str) and key.isascii()):
            raise ValueError(f"expected ASCII text keys, was {key!r}")
