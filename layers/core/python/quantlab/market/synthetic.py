"""A seeded random walk of quotes in integers: the same seed gives the same market everywhere.

It must not know the wall clock; the walk says when each tick is due on its own time line.
"""

import hashlib
from collections.abc import Iterator

from quantlab.kernel.arith import muldiv
from quantlab.kernel.records import dataclass, replace
from quantlab.market.quote import PPM, Quote

_MASK = (1 << 64) - 1
_FINE = 1 << 20
_PULL_PPM = 20


@dataclass(frozen=True, slots=True)
class SyntheticModel:
    """How a symbol is simulated: where it starts and is drawn back to, and how lively it is.

    step_ppm bounds one tick's relative move; intervals spread evenly over a quarter to seven
    quarters of interval_ms, and displayed sizes over those of size_steps; 0 displays none.
    """

    start_ticks: int
    spread_ticks: int
    step_ppm: int
    interval_ms: int
    size_steps: int = 0


class SplitMix64:
    """The SplitMix64 generator of Steele, Lea and Flood (2014)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, bound: int) -> int:
        """Return a number in [0, bound) for a bound far below 2^64."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) * bound) >> 64


def walk(
    symbol: str, model: SyntheticModel, seed: int, start_ns: int, resume_ticks: int | None = None
) -> Iterator[Quote]:
    """Yield the symbol's endless quotes from start_ns, at first around resume_ticks if given."""
    rng, sizes = SplitMix64(seed_of(seed, symbol)), SplitMix64(seed_of(seed, symbol, "size"))
    home = model.start_ticks * _FINE
    price = home if resume_ticks is None else resume_ticks * _FINE
    interval_ns = model.interval_ms * 1_000_000
    ts_ns = start_ns
    while True:
        yield _sized(_quote(symbol, model, rng, price, ts_ns), model.size_steps, sizes)
        price += _step(rng, price, model.step_ppm) + muldiv(home - price, _PULL_PPM, PPM)
        price = min(max(price, home // 4), home * 4)
        ts_ns += interval_ns // 4 + rng.below(interval_ns * 3 // 2)


def seed_of(*parts: int | str) -> int:
    """Return the first eight bytes of the SHA-256 of the parts, joined by the unit separator."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _sized(quote: Quote, size_steps: int, rng: SplitMix64) -> Quote:
    if not size_steps:
        return quote
    bid, ask = (max(1, size_steps // 4 + rng.below(size_steps * 3 // 2 + 1)) for _ in range(2))
    return replace(quote, bid_size_steps=bid, ask_size_steps=ask)


def _step(rng: SplitMix64, price: int, step_ppm: int) -> int:
    """Draw a symmetric, bell-shaped move of at most step_ppm of the price."""
    draws = sum(rng.below(2 * PPM + 1) - PPM for _ in range(4))
    return muldiv(price * step_ppm, draws, 4 * PPM * PPM)


def _quote(symbol: str, model: SyntheticModel, rng: SplitMix64, price: int, ts_ns: int) -> Quote:
    half = model.spread_ticks // 2
    widened = model.spread_ticks + rng.below(half + 1)
    bid = max(1, price // _FINE - widened // 2)
    return Quote(symbol, bid, bid + widened, ts_ns, 0)
