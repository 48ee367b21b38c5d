"""What an account holds, as its row repeats it in records of fixed width; see migration 0025."""

import struct
from collections.abc import Iterable
from typing import Final

from quantlab.ledger.state import Position
from quantlab.market.instrument import symbol_key

# A symbol's key, the size in steps and the cost, of eight bytes each, the highest first.
HELD_WIDTH: Final = 3
_pack = struct.Struct("!8sqq").pack


def held_records(positions: Iterable[Position]) -> bytes:
    """Write the records of an account's positions."""
    return b"".join(_pack(symbol_key(one.symbol), one.size_steps, one.cost) for one in positions)
