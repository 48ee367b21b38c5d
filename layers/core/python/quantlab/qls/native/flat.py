"""Which branches become selections: short ones that neither trap nor act nor loop.

A mispredicted jump costs more than a few operations whose results are thrown away. Both sides are
computed, and each store keeps the old value where its side was not taken.
"""

from typing import Final

from quantlab.qls.ir import Ins
from quantlab.qls.native.operations import BINARY, UNARY

FLAT_MAX: Final = 12
"""Instructions of both sides together."""

_SLOW: Final = frozenset(("fdiv", "fsqrt"))
_MEMORY: Final = frozenset(("select", "load", "store", "lget", "lset", "rget", "hget"))
_FLAT: Final = (frozenset(UNARY) | frozenset(BINARY) | _MEMORY) - _SLOW


def is_flat(sides: tuple[tuple[Ins, ...], tuple[Ins, ...]]) -> bool:
    """Say whether a branch is short and simple enough to compute both its sides."""
    return _size(sides) <= FLAT_MAX


def _size(sides: tuple[tuple[Ins, ...], tuple[Ins, ...]]) -> int:
    size = 0
    for side in sides:
        for ins in side:
            if ins.op == "if":
                size += 1 + _size(ins.imm)
            elif ins.op in _FLAT:
                size += 1
            else:
                return FLAT_MAX + 1
            if size > FLAT_MAX:
                return size
    return size
