"""What a live run is fed, as 64-bit words: the same in the pipe, in the journal and in a replay.

An event is a word with its kind, then its words:

    QUOTE    ns, bid, ask, bid size, ask size (ticks and steps; 0: none displayed), symbol
    ACCOUNT  count of the words that follow it, then balance, carry (millionths), high-water mark,
             start balance and equity of the day, realised of the day, its costs (minor units),
             payouts, working orders of the strategy, then (symbol, size steps, cost) a position
    FILL     number of the strategy's order, side, steps, price ticks, profit (minor units, costs
             taken off), steps left of the order, symbol
    TIME     ns: the clock has come so far and no quote said so
    START    ns
    STOP     ns
    KNOWN    as QUOTE: the latest quote of before the start, which is no event to the strategy
    ORDERS   count of the words that follow it, then (symbol, side, steps, price ticks) for each
             order that works and could open something; a price of 0 is that of the quote

Symbols are numbered as `LiveTerms.symbols`. An instant before that of the event before counts as
that of the event before: time does not run backwards in a run.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

(QUOTE, ACCOUNT, FILL, TIME, START, STOP, KNOWN, ORDERS) = range(1, 9)
SIZES: Final = {QUOTE: 7, FILL: 8, TIME: 2, START: 2, STOP: 2, KNOWN: 7}
QUOTE_WORDS: Final = SIZES[QUOTE]
ACCOUNT_HEAD: Final = 2
ACCOUNT_FIXED: Final = 9
POSITION_WORDS: Final = 3
RESTING_WORDS: Final = 4
EVENT_WORDS_MAX: Final = 4096
FRAME_WORDS: Final = 64_000


class Held(NamedTuple):
    """A position of a run's symbol, by its number: signed steps and exact cost."""

    symbol: int
    size_steps: int
    cost: int


class AccountSeen(NamedTuple):
    """What a strategy may see of its account; amounts in minor units."""

    balance: int
    carry_micro: int
    high_water: int
    day_start_balance: int
    day_start_equity: int
    day_realised: int
    day_costs: int
    payouts: int
    working_orders: int
    positions: tuple[Held, ...] = ()

    def words(self) -> list[int]:
        """Return it as an event."""
        held = [word for one in self.positions for word in one]
        return [ACCOUNT, ACCOUNT_FIXED + len(held), *self[:ACCOUNT_FIXED], *held]


class Resting(NamedTuple):
    """What an order that works could open, of the account, whoever placed it."""

    symbol: int
    side: int
    steps: int
    price_ticks: int


def orders_words(orders: Sequence[Resting]) -> list[int]:
    """Return the orders that work as an event."""
    return [ORDERS, RESTING_WORDS * len(orders), *(word for one in orders for word in one)]


class FillSeen(NamedTuple):
    """A fill of one of the strategy's orders; profit in minor units, costs taken off."""

    order: int
    side: int
    steps: int
    price_ticks: int
    profit: int
    left_steps: int
    symbol: int

    def words(self) -> list[int]:
        """Return it as an event."""
        return [FILL, *self]


def quote_words(
    ns: int, bid: int, ask: int, bid_size: int, ask_size: int, symbol: int
) -> list[int]:
    """Return a quote as an event."""
    return [QUOTE, ns, bid, ask, bid_size, ask_size, symbol]


class Malformed(ValueError):
    """Words that are no events: a journal that was damaged, or was not written by us."""


def size_at(words: Sequence[int] | memoryview, place: int) -> int:
    """Return how many words the event at a place takes; raises Malformed."""
    kind, end = words[place], len(words)
    size = SIZES.get(kind, 0)
    if kind == ACCOUNT and place + 1 < end:
        size = ACCOUNT_HEAD + words[place + 1]
        held = words[place + 1] - ACCOUNT_FIXED
        if held < 0 or held % POSITION_WORDS or size > EVENT_WORDS_MAX:
            raise Malformed(f"expected positions of an account, was {words[place + 1]} words")
    if kind == ORDERS and place + 1 < end:
        size = ACCOUNT_HEAD + words[place + 1]
        if words[place + 1] < 0 or words[place + 1] % RESTING_WORDS or size > EVENT_WORDS_MAX:
            raise Malformed(f"expected orders of an account, was {words[place + 1]} words")
    if size == 0 or place + size > end:
        raise Malformed(f"expected a whole event at word {place}, was kind {kind}")
    return size


def split(words: Sequence[int] | memoryview) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each event; raises Malformed where one is not whole."""
    place = 0
    while place < len(words):
        size = size_at(words, place)
        yield place, place + size
        place += size


def as_bytes(words: Sequence[int]) -> bytes:
    """Return words as they are kept: little-endian, 8 bytes each."""
    return struct.pack(f"<{len(words)}q", *words)


def frames(words: bytes) -> list[bytes]:
    """Cut kept events into pieces of `FRAME_WORDS` at most, each with whole events only."""
    view = memoryview(words).cast("q")
    found, begin = [], 0
    for start, end in split(view):
        if end - begin > FRAME_WORDS:
            found.append(bytes(view[begin:start]))
            begin = start
    if begin < len(view):
        found.append(bytes(view[begin:]))
    return found
