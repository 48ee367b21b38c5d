"""The loops compiled by numba; a process imports it when it needs them compiled."""

from typing import Any, Final

import numba
from numba.extending import register_jitable

from quantlab.engine.native import kernels as loops
from quantlab.engine.native.chosen import Kernels
from quantlab.kernel import arith
from quantlab.ledger import scalars as ledger
from quantlab.rules import scalars as rules

_CALLED: Final = (
    arith.muldiv,
    ledger.closing_ticks,
    ledger.open_gain,
    ledger.equity_of_open,
    ledger.in_currency,
    ledger.product_limit,
    ledger.price_limit_ticks,
    rules.daily_anchor,
    rules.drawdown_reference,
    rules.floor_below,
    rules.locked_floor,
    rules.least_floor,
    rules.next_mark,
    rules.is_under,
    rules.breach_below,
    rules.floor_of,
    loops.ratios_of,
    loops.converted,
    loops.known,
    loops.levels,
    loops.trailing_below,
    loops.fits,
)
"""What the loops call, theirs and the scalars."""

for _function in _CALLED:
    register_jitable(_function)


def compiled(cache_folder: str | None) -> Kernels:
    """Compile the loops; what was compiled before is read from the folder, which is the caller's.

    The folder must belong to exactly this source: numba looks at the loops' file alone.
    """
    if cache_folder is not None:
        config: Any = numba.config
        config.CACHE_DIR = cache_folder
    make: Any = numba.njit(cache=cache_folder is not None, nogil=True, error_model="numpy")
    return Kernels(
        make(loops.revalue),
        make(loops.levels),
        make(loops.trailing_below),
        make(loops.settle),
        make(loops.value_positions),
        make(loops.judge),
    )
