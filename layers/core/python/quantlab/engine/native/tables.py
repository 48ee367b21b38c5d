"""Growing tables of account_watch's arrays: positions of a symbol, rates, terms of rules."""

from typing import Final

import numpy as np

from quantlab.engine.native.kernels import NEVER, Array
from quantlab.kernel.check import InvariantBroken
from quantlab.ledger.scalars import (
    VALUE_MICRO_LIMIT,
    in_currency,
    open_gain,
    price_limit_ticks,
    product_limit,
)
from quantlab.ledger.state import Position
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import Conversion, conversion_pair, conversion_rate
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.rules.floors import RULE_COLUMNS

UNKNOWN: Final = (1, 1, 1, 1, -1)
OUT_OF_RANGE: Final = (1, 1, 1, 1, 0)
_FIRST: Final = 64
_APART_BYTES: Final = 320


def grown(array: Array) -> Array:
    """Return the array with twice its rows; the new ones are zero."""
    return np.concatenate((array, np.zeros_like(array)))


def column(count: int, number: int, *, kind: type = np.int64, fill: int = 0) -> Array:
    """Return one of several arrays that are walked side by side, each with another number.

    Large ones all begin at the same place of a page and would push each other out of the cache:
    each number begins elsewhere.
    """
    ahead = number * _APART_BYTES // np.dtype(kind).itemsize
    array: Array = np.full(ahead + count, fill, kind)[ahead:]
    return array


class Book:
    """The positions of one symbol, a slot each, in no order.

    A slot without a position (size 0) is that of a holder who must hear of every quote.
    """

    __slots__ = (
        "_slots", "costs", "count", "highs", "holder", "limits", "lows", "rate_of", "sizes",
        "values",
    )  # fmt: skip
    COLUMNS: Final = (
        "holder", "rate_of", "sizes", "costs", "values", "lows", "highs", "limits",
    )  # fmt: skip
    holder: Array
    rate_of: Array
    sizes: Array
    costs: Array
    values: Array
    lows: Array
    highs: Array
    limits: Array

    def __init__(self) -> None:
        self.count = 0
        self._slots: dict[int, int] = {}
        self._make_slots(_FIRST)

    def _make_slots(self, count: int) -> None:
        for number, name in enumerate(self.COLUMNS):
            kind = np.uint32 if name in ("holder", "rate_of") else np.int64
            setattr(self, name, column(count, number, kind=kind))

    def add(self, row: int, rate: int) -> int:
        """Give a holder a slot, without a position yet."""
        slot = self.count
        if slot == len(self.holder):
            old = {name: getattr(self, name) for name in self.COLUMNS}
            self._make_slots(2 * slot)
            for name, array in old.items():
                getattr(self, name)[:slot] = array
        self.holder[slot], self.rate_of[slot] = row, rate
        self.sizes[slot] = self.costs[slot] = self.values[slot] = 0
        self.lows[slot], self.highs[slot], self.limits[slot] = -1, NEVER, NEVER
        self._slots[row] = slot
        self.count += 1
        return slot

    def slot(self, row: int) -> int:
        """Return the slot of a holder."""
        return self._slots[row]

    def set_position(self, slot: int, position: Position, instrument: Instrument) -> None:
        """Put a position in a slot; its protective prices become prices to look at.

        A long's stop and a short's target are reached from above, and no bid is above its ask: a
        bid above `low` has reached neither, nor has an ask under `high` reached the other two.
        """
        stop, target = position.stop_loss_ticks, position.take_profit_ticks
        low, high = (stop, target) if position.size_steps > 0 else (target, stop)
        limit = price_limit_ticks(
            position.size_steps, position.cost, instrument.unit_num, instrument.unit_den
        )
        self.sizes[slot], self.costs[slot] = position.size_steps, position.cost
        self.limits[slot] = limit
        self.lows[slot] = -1 if low is None else low
        self.highs[slot] = min(limit, NEVER if high is None else high)

    def remove(self, row: int) -> None:
        """Take a holder out, if it has a slot; the last slot moves into its place."""
        slot = self._slots.pop(row, None)
        if slot is None:
            return
        self.count -= 1
        last = self.count
        if slot != last:
            for name in self.COLUMNS:
                array = getattr(self, name)
                array[slot] = array[last]
            self._slots[int(self.holder[slot])] = slot


class Rates:
    """Rows (gain num, den, loss num, den, most) by pair of currencies; row 0 is the same one."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rows: dict[tuple[str, str], int] = {}
        self._by_symbol: dict[str, list[tuple[int, str, Conversion]]] = {}
        self._quotes: dict[str, Quote] = {}
        self.table: Array = np.array([(1, 1, 1, 1, VALUE_MICRO_LIMIT)], np.int64)

    def row(self, from_currency: str, to_currency: str) -> int:
        """Return the row of a pair; what has no conversion is unknown for ever."""
        if from_currency == to_currency:
            return 0
        pair = (from_currency, to_currency)
        if pair not in self._rows:
            row = self._rows[pair] = len(self.table)
            self.table = np.concatenate((self.table, np.array([UNKNOWN], np.int64)))
            conversion = conversion_pair(self._catalog, *pair)
            if conversion is not None and conversion.symbol is not None:
                made = (row, from_currency, conversion)
                self._by_symbol.setdefault(conversion.symbol, []).append(made)
                if conversion.symbol in self._quotes:
                    self.table[row] = _rate_row(conversion, self._quotes[conversion.symbol])
        return self._rows[pair]

    def known(self, from_currency: str, to_currency: str) -> bool:
        """Say whether one currency can become the other at all."""
        return conversion_pair(self._catalog, from_currency, to_currency) is not None

    def take(self, quote: Quote) -> None:
        """Take over a quote that may convert currencies."""
        self._quotes[quote.symbol] = quote
        for row, _, conversion in self._by_symbol.get(quote.symbol, ()):
            self.table[row] = _rate_row(conversion, quote)

    def dependents(self, symbol: str) -> list[str]:
        """Return the currencies that a symbol's quote converts, each once."""
        return list(dict.fromkeys(found[1] for found in self._by_symbol.get(symbol, ())))

    def value(self, book: Book, slot: int, price: int, instrument: Instrument) -> int | None:
        """Return a position's value in its account's currency, 0 while its rate is unknown.

        None beyond what 64 bits hold.
        """
        *rate, most = self.table[book.rate_of[slot]].tolist()
        if most < 0:
            return 0
        size, cost = int(book.sizes[slot]), int(book.costs[slot])
        gain = open_gain(size, cost, price, instrument.unit_num, instrument.unit_den)
        if price > book.limits[slot] or abs(gain) > most:
            return None
        return in_currency(gain, *rate)


def _rate_row(conversion: Conversion, quote: Quote) -> tuple[int, int, int, int, int]:
    try:
        gain = conversion_rate(conversion, quote, 1)
        loss = conversion_rate(conversion, quote, -1)
    except InvariantBroken:
        return OUT_OF_RANGE
    most = min(product_limit(VALUE_MICRO_LIMIT, *gain), product_limit(VALUE_MICRO_LIMIT, *loss))
    return (*gain, *loss, most)


class Terms:
    """Rows of rules, the same rows of the same rules only once."""

    def __init__(self) -> None:
        self._found: dict[tuple[tuple[int, ...], ...], tuple[int, int]] = {}
        self.table: Array = np.zeros((1, RULE_COLUMNS), np.int64)
        self._used = 0

    def rows(self, rows: tuple[tuple[int, ...], ...]) -> tuple[int, int]:
        """Return where these rows begin and end in the table."""
        if rows not in self._found:
            first, self._used = self._used, self._used + len(rows)
            while self._used > len(self.table):
                self.table = grown(self.table)
            if rows:
                self.table[first : self._used] = rows
            self._found[rows] = (first, self._used)
        return self._found[rows]
