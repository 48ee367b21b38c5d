"""What can be traded: the units of its price, size and money."""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256

from quantlab.kernel.arith import LIMIT, MICRO
from quantlab.kernel.records import dataclass
from quantlab.market.costs import SwapTerms


@dataclass(frozen=True, slots=True)
class GateLimits:
    """When a quote of the instrument is believed. Ages on the feed's clock, jumps in ticks.

    A market that has been locked, bid and ask equal, for max_locked_ns is not believed any more.
    """

    max_age_ns: int
    max_spread_ticks: int
    max_jump_ticks: int
    confirmations: int
    max_locked_ns: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol.

    tick and size_step are decimals in price and lots; unit_num/unit_den is the value of one tick
    times one size step in millionths of the quote currency's minor unit. Commission is charged
    per side in millionths of the account currency's minor unit, as a share of the notional and with
    a minimum an order where given; slippage moves a market fill against the trader. Where a size is
    required, a quote that displays none fills nothing; elsewhere it fills any size. asset_class
    groups instruments for the terms of account types.
    """

    symbol: str
    description: str
    base_currency: str
    quote_currency: str
    quote_digits: int
    tick: Decimal
    size_step: Decimal
    contract_size: Decimal
    min_size_steps: int
    max_size_steps: int
    unit_num: int
    unit_den: int
    calendar: str
    gate: GateLimits
    aliases: tuple[str, ...] = ()
    commission_micro_per_step: int = 0
    slippage_ticks: int = 0
    commission_ppm: int = 0
    commission_minimum_micro: int = 0
    asset_class: str = "other"
    swap: SwapTerms | None = None
    size_required: bool = False


def unit_value(
    tick: Decimal, size_step: Decimal, contract_size: Decimal, quote_digits: int
) -> tuple[int, int]:
    """Return the reduced unit_num/unit_den of an instrument; ValueError when it is out of range."""
    value = Fraction(tick) * Fraction(size_step) * Fraction(contract_size)
    value *= 10**quote_digits * MICRO
    if value <= 0 or value.numerator * value.denominator >= LIMIT:
        raise ValueError(f"expected a unit value within 2^62, was {value}")
    return value.numerator, value.denominator


@lru_cache(maxsize=4096)
def symbol_key(symbol: str) -> bytes:
    """Return what stands for a symbol where each has the same width: 8 bytes of its SHA-256."""
    return sha256(symbol.encode()).digest()[:8]
