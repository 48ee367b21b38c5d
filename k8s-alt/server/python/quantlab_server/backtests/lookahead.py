"""Whether a run knows its future: with other quotes from a place on, nothing before it may change.

Held against each other bit by bit at each cut: every fill and ended order so far, the account with
its money, rules, bars, timers, finished days and samples, the working orders, the strategy's state,
and what its events handed over on each of the last quotes before the cut: orders and outputs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.results.draws import below
from quantlab.backtest.results.finished import FILL_COLUMNS, ORDER_COLUMNS
from quantlab.backtest.running import Run

OUTPUTS_OF: Final = 256
_SHIFT: Final = 1_000
_MORE: Final = 1_000

Made = Callable[[Any], Run]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing before a cut that another future has changed.

    cut is the place of the first quote that was another, at cut_ns; what says where it is seen.
    """

    cut: int
    cut_ns: int
    what: str


def first_difference(
    made: Made, quotes: Any, cuts: int, seed: int, progress: Callable[[int, int], None]
) -> tuple[int, Difference | None]:
    """Return how many cuts were held against each other, and the first difference, None of none.

    made makes a run of quotes. Cuts are drawn from the seed among the quotes a run takes.
    """
    whole = made(quotes)
    whole.finish()
    places = cut_places(whole.taken, cuts, seed)
    known = made(quotes)
    for number, cut in enumerate(places, 1):
        other = made(perturbed(quotes, cut, seed + number))
        found = _at_cut(known, other, cut)
        if found is not None:
            return number, Difference(cut, int(quotes[cut, at.Q_NS]), found)
        progress(number, len(places))
    return len(places), None


def cut_places(taken: int, cuts: int, seed: int) -> list[int]:
    """Draw distinct places behind the first quote, in their order."""
    if taken < 2:
        return []
    return [int(place) for place in np.unique(1 + below(seed, 0, cuts, taken - 1))]


def perturbed(quotes: Any, cut: int, seed: int) -> Any:
    """Return quotes that are others from a place on: prices, spreads, sizes and times.

    Times keep their order and their end, as a run may know how long its data is.
    """
    found = np.array(quotes)
    count = len(found) - cut
    moved = below(seed, 0, 4 * count, 2 * _SHIFT + 1).reshape(4, count)
    spread = found[cut:, at.Q_ASK] - found[cut:, at.Q_BID] + moved[1] % 5
    found[cut:, at.Q_BID] = np.maximum(found[cut:, at.Q_BID] + moved[0] - _SHIFT, 1)
    found[cut:, at.Q_ASK] = found[cut:, at.Q_BID] + spread
    found[cut:, at.Q_BID_SIZE] += moved[2] % _MORE
    found[cut:, at.Q_ASK_SIZE] += moved[3] % _MORE
    gaps = np.diff(found[cut - 1 :, at.Q_NS])
    order = np.argsort(moved[0] * count + np.arange(count), kind="stable")
    found[cut:, at.Q_NS] = found[cut - 1, at.Q_NS] + np.cumsum(gaps[order])
    return found


def _at_cut(known: Run, other: Run, cut: int) -> str | None:
    """Take both runs to a cut; say where they differ."""
    begin = max(cut - OUTPUTS_OF, known.taken)
    for run in (known, other):
        run.take(begin)
    for place in range(begin + 1, cut + 1):
        for run in (known, other):
            run.take(place)
        if not np.array_equal(known.out, other.out):
            return f"what the strategy handed over on quote {place}"
    return next(_differences(known, other), None)


def _differences(known: Run, other: Run) -> Iterator[str]:
    yield from _rows("fill", known.fills(), other.fills(), FILL_COLUMNS)
    yield from _rows("ended order", known.orders(), other.orders(), ORDER_COLUMNS)
    yield from _words("word {} of the strategy's state", known.state.words, other.state.words)
    for (what, first), (_, second) in zip(_live(known.block), _live(other.block), strict=True):
        yield from _words(f"word {{}} of {what}", first, second)


def _live(m: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a block that hold what is, and not what was."""
    yield "the account", m[: m[at.SCRATCH_AT]]
    for what, begin, count, words in (
        ("the finished days", at.ROLLS_AT, at.ROLLS, at.ROLL_WORDS),
        ("the samples", at.SAMPLES_AT, at.SAMPLES, at.SAMPLE_WORDS),
    ):
        yield what, m[m[begin] : m[begin] + m[count] * words]
    for s in range(m[at.SYMBOLS]):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        begin = m[w + at.ORDERS_AT]
        yield "the working orders", m[begin : begin + m[w + at.ORDERS] * at.ORDER_WORDS]


def _rows(kind: str, first: Any, second: Any, columns: Mapping[str, int]) -> Iterator[str]:
    """Yield the first row that differs, and its columns."""
    count = min(len(first), len(second))
    rows = np.flatnonzero((first[:count] != second[:count]).any(axis=1))
    if len(rows):
        row = int(rows[0])
        known = [
            f"{name} {first[row, place]}, now {second[row, place]}"
            for name, place in columns.items()
            if first[row, place] != second[row, place]
        ]
        yield f"{kind} {row + 1}: {'; '.join(known) or 'a word that has no name'}"
    elif len(first) != len(second):
        yield f"{kind} {count + 1}: there were {len(first)}, now {len(second)}"


def _words(what: str, first: Any, second: Any) -> Iterator[str]:
    if len(first) != len(second):
        yield f"{what.format(len(first))}: there were {len(first)}, now {len(second)}"
        return
    places = np.flatnonzero(first != second)
    if len(places):
        place = int(places[0])
        yield f"{what.format(place)}: {first[place]}, now {second[place]}"
