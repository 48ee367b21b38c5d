"""What the IR's arithmetic gives, operation by operation; `ir.py` says it in words."""

import math
import struct
from collections.abc import Callable
from typing import Any, Final

from quantlab.qls.limits import INT_MAX, INT_MIN

NA: Final = float("nan")
_WORD: Final = 2**64
_INTEGRAL: Final = 2.0**52


class Trap(Exception):
    """A strategy has reached a limit or an operation has no result; `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_na(a: float) -> bool:
    """Say whether a double is na."""
    return a != a  # noqa: PLR0124 - NaN is what differs from itself


def _fdiv(a: float, b: float) -> float:
    return NA if b == 0.0 else a / b


def _fsqrt(a: float) -> float:
    return math.sqrt(a) if a >= 0.0 else NA


def _ffloor(a: float) -> float:
    if is_na(a) or abs(a) >= _INTEGRAL or a == 0.0:
        return a
    return float(math.floor(a))


def _fmin(a: float, b: float) -> float:
    if is_na(a) or is_na(b):
        return NA
    return min(b, a)


def _fmax(a: float, b: float) -> float:
    if is_na(a) or is_na(b):
        return NA
    return max(b, a)


def _fne(a: float, b: float) -> bool:
    return a < b or a > b


def _checked(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise Trap("int_overflow")


def _wrapped(value: int) -> int:
    value %= _WORD
    return value if value <= INT_MAX else value - _WORD


def _idiv(a: int, b: int) -> int:
    if b == 0:
        raise Trap("division_by_zero")
    return _checked(a // b)


def _imod(a: int, b: int) -> int:
    if b == 0:
        raise Trap("division_by_zero")
    return a % b


def _f2i(a: float) -> int:
    if is_na(a):
        return 0
    if a >= 2.0**63:
        return INT_MAX
    if a <= -(2.0**63):
        return INT_MIN
    return int(a)


def _pow2(n: int) -> float:
    return math.ldexp(1.0, min(max(n, -1022), 1023))


def _exponent(a: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", a))[0]
    return ((bits >> 52) & 0x7FF) - 1023


PURE: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "fadd": ("f", lambda a, b: a + b),
    "fsub": ("f", lambda a, b: a - b),
    "fmul": ("f", lambda a, b: a * b),
    "fdiv": ("f", _fdiv),
    "fneg": ("f", lambda a: -a),
    "fabs": ("f", abs),
    "fsqrt": ("f", _fsqrt),
    "ffloor": ("f", _ffloor),
    "fmin": ("f", _fmin),
    "fmax": ("f", _fmax),
    "flt": ("b", lambda a, b: a < b),
    "fle": ("b", lambda a, b: a <= b),
    "fgt": ("b", lambda a, b: a > b),
    "fge": ("b", lambda a, b: a >= b),
    "feq": ("b", lambda a, b: a == b),
    "fne": ("b", _fne),
    "fisna": ("b", is_na),
    "iadd": ("i", lambda a, b: _checked(a + b)),
    "isub": ("i", lambda a, b: _checked(a - b)),
    "imul": ("i", lambda a, b: _checked(a * b)),
    "wadd": ("i", lambda a, b: _wrapped(a + b)),
    "wsub": ("i", lambda a, b: _wrapped(a - b)),
    "wmul": ("i", lambda a, b: _wrapped(a * b)),
    "idiv": ("i", _idiv),
    "imod": ("i", _imod),
    "ilt": ("b", lambda a, b: a < b),
    "ile": ("b", lambda a, b: a <= b),
    "igt": ("b", lambda a, b: a > b),
    "ige": ("b", lambda a, b: a >= b),
    "ieq": ("b", lambda a, b: a == b),
    "ine": ("b", lambda a, b: a != b),
    "band": ("b", lambda a, b: a and b),
    "bor": ("b", lambda a, b: a or b),
    "bxor": ("b", lambda a, b: a != b),
    "bnot": ("b", lambda a: not a),
    "i2f": ("f", float),
    "f2i": ("i", _f2i),
    "b2i": ("i", int),
    "pow2": ("f", _pow2),
    "exponent": ("i", _exponent),
}
"""Operations without memory: the type of their result, and what they give."""
