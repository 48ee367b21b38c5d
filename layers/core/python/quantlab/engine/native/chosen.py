"""The loops a process has: compiled, or as they are."""

from collections.abc import Callable
from typing import Final

import numpy as np

from quantlab.engine.native import kernels as loops
from quantlab.kernel.records import dataclass
from quantlab.ledger.scalars import POSITIONS_MAX


@dataclass(frozen=True, slots=True)
class Kernels:
    """The loops, compiled or as they are."""

    revalue: Callable[..., int]
    levels: Callable[..., tuple[int, int]]
    trailing_below: Callable[..., int]
    settle: Callable[..., int]
    value_positions: Callable[..., None]
    judge: Callable[..., None]

    def warm(self) -> None:
        """Call every loop once, so that nothing is compiled when it counts."""
        i8, u4 = np.zeros(1, np.int64), np.zeros(1, np.uint32)
        table = np.zeros((1, POSITIONS_MAX + 1), np.int64)
        self.revalue(0, u4, i8, i8, i8, i8, i8, i8, u4, table, 1, 1, 1, 1, True, i8, i8, i8, i8, i8)
        self.levels(0, 0, 0, 0, 0)
        self.trailing_below(0, 0, 0, 0, table, 0, 0)
        self.settle(0, i8, i8, 0, 0, 0, 0, table, table, i8, i8, i8, i8, table, table, table)
        self.value_positions(i8[:0], i8, i8, i8, i8, table, table, table, i8, i8)
        self.judge(table, i8[:0], table, table, 0, i8, i8, i8, i8, i8, i8)


INTERPRETED: Final = Kernels(
    loops.revalue,
    loops.levels,
    loops.trailing_below,
    loops.settle,
    loops.value_positions,
    loops.judge,
)
