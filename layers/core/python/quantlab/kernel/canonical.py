"""RFC 8785 canonical JSON for what we record: no floats, integers within 2^53, ASCII keys.

With ASCII keys the order by UTF-16 code units (RFC 8785, 3.2.3) is the order by code points.
"""

import json
from typing import Any

SAFE_INTEGER = (1 << 53) - 1

Json = None | bool | int | str | list[Any] | dict[str, Any]

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def canonical_json(value: Json) -> bytes:
    """Return the RFC 8785 bytes of a value; ValueError names what it cannot hold."""
    _refuse_unsafe(value)
    return _encode(value).encode("utf-8")


def _refuse_unsafe(value: object) -> None:
    if isinstance(value, dict):
        for key in value:
            if not (isinstance(key, str) and key.isascii()):
                raise ValueError(f"expected ASCII text keys, was {key!r}")
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        _refuse_unsafe_scalar(value)
        return
    for item in value:
        _refuse_unsafe(item)


def _refuse_unsafe_scalar(value: object) -> None:
    if isinstance(value, int):
        if abs(value) > SAFE_INTEGER:
            raise ValueError(f"expected an integer within 2^53, was {value}")
    elif not (value is None or isinstance(value, str)):
        raise ValueError(f"expected JSON without floats, was {type(value).__name__}")
