"""When nothing of a run's account is in the market: no position, no working order."""

from typing import Any

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.running import Run


def flat_after(fills: Any, held: int) -> Any:
    """Say whether no position is open before the first fill, and after each.

    Rows are those of `layout.F_*`; held is how many positions are open before.
    """
    after, opened = np.abs(fills[:, at.F_POSITION]), fills[:, at.F_OPENED]
    was_open = (fills[:, at.F_CLOSED] > 0) | (after > opened)
    change = (after > 0).astype(np.int64) - was_open
    return np.cumsum(np.concatenate(([held], change))) == 0


class Working:
    """The orders of a run that were kept for a later quote, each from its creation to its end.

    An order stands from the instant after its creation to the one before its end; what was created
    at the instant of a fill stands beside it where its number is lower than that of the filled one.
    """

    def __init__(self, run: Run, ended: Any) -> None:
        """Take the orders that have ended since some instant, and those that stand now."""
        kept = ended[ended[:, at.E_CREATED] != ended[:, at.E_ENDED]]
        standing = _book(run.block)
        self._created = np.concatenate((kept[:, at.E_CREATED], standing[:, at.CREATED]))
        self._numbers = np.concatenate((kept[:, at.E_ID], standing[:, at.ID]))
        expires = standing[:, at.EXPIRES]
        never = np.where(expires == 0, at.NEVER_HIGH, expires)
        self._own_ends = kept[:, at.E_ENDED]
        self._ends = np.concatenate((self._own_ends, never))
        self._sorted_created, self._sorted_ends = np.sort(self._created), np.sort(self._ends)

    def count(self, instants: Any) -> Any:
        """Return how many stand before an instant and after it."""
        begun = np.searchsorted(self._sorted_created, instants, side="left")
        return begun - np.searchsorted(self._sorted_ends, instants, side="right")

    def at(self, instant: int) -> int:
        """Return how many stand at an instant."""
        return int(self.count(np.array([instant]))[0])

    def beside(self, instants: Any, numbers: Any) -> Any:
        """Return how many stand beside fills of orders of these numbers."""
        found = self.count(instants)
        same = np.flatnonzero(np.isin(self._created, instants))
        for k in same.tolist():
            here = (instants == self._created[k]) & (numbers > self._numbers[k])
            found = found + here
        return found

    def ends_from(self, instant: int) -> Any:
        """Return the instants from one on at which orders ended."""
        return np.unique(self._own_ends[self._own_ends >= instant])


def _book(m: Any) -> Any:
    """Return the orders of all books that have not ended, as rows of `layout`'s order words."""
    rows = []
    for s in range(m[at.SYMBOLS]):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        begin = m[w + at.ORDERS_AT]
        book = m[begin : begin + m[w + at.ORDERS] * at.ORDER_WORDS].reshape(-1, at.ORDER_WORDS)
        rows.append(book[book[:, at.STATE] != at.GONE])
    return np.concatenate(rows)
