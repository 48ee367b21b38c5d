"""Which doubles of a handler are numbers for certain: neither na nor infinite, whatever the quotes.

It follows, from what a host says of its reads, the powers of two that values stay below.
"""

from collections.abc import Mapping
from math import frexp, isfinite
from typing import Any, Final

HOST_BOUND: Final = 256
"""What a host says is a number is below two to this power."""
_INTEGER_BOUND: Final = 64
_MOST: Final = 1000


class Magnitudes:
    """By register, a power of two that its value stays below, where it is known to be a number."""

    def __init__(self, known: frozenset[int], consts: tuple[tuple[int, Any], ...]) -> None:
        self._bounds: dict[int, int] = dict.fromkeys(known, HOST_BOUND)
        self.is_worthwhile = bool(known)
        if self.is_worthwhile:
            self._bounds |= {
                register: max(frexp(value)[1], 0)
                for register, value in consts
                if isinstance(value, float) and isfinite(value)
            }

    def follow(self, op: str, out: int, args: tuple[int, ...]) -> None:
        """Take up an instruction."""
        if op == "i2f":
            self._bounds[out] = _INTEGER_BOUND
            return
        found = [self._bounds.get(arg, _MOST) for arg in args]
        bound = _GROWN[op](*found) if op in _GROWN else _MOST
        if bound < _MOST:
            self._bounds[out] = bound

    def is_zero(self, op: str, args: tuple[int, ...]) -> bool:
        """Say whether an instruction takes a number from itself."""
        return op == "fsub" and args[0] == args[1] and args[0] in self._bounds


_GROWN: Final[Mapping[str, Any]] = {
    "fadd": lambda a, b: max(a, b) + 1,
    "fsub": lambda a, b: max(a, b) + 1,
    "fmul": lambda a, b: a + b,
    "fmin": max,
    "fmax": max,
    "fneg": lambda a: a,
    "fabs": lambda a: a,
}
