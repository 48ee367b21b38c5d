"""Rows of words that grow in number: what a run's logs have held."""

from typing import Any, Final

import numpy as np

_FEW: Final = 1024
_AHEAD: Final = 4


class Rows:
    """A table that takes rows at its end. What it has shown stays as it was."""

    def __init__(self, words: int) -> None:
        self._words = words
        self._table = np.empty((0, words), np.int64)
        self.count = 0

    def add(self, rows: Any) -> None:
        """Take a copy of rows, words to each."""
        count = self.count + len(rows)
        if count > len(self._table):
            # Memory that nothing is written to costs nothing: many rows are likely to be followed.
            table = np.empty((count if count < _FEW else _AHEAD * count, self._words), np.int64)
            table[: self.count] = self._table[: self.count]
            self._table = table
        self._table[self.count : count] = rows
        self.count = count

    def since(self, begin: int) -> Any:
        """Return the rows from one on."""
        return self._table[begin : self.count]
