"""Amounts from one currency to another, as an exact fraction of a quote."""

from fractions import Fraction

from quantlab.kernel.arith import LIMIT
from quantlab.kernel.check import InvariantBroken, check
from quantlab.kernel.records import dataclass
from quantlab.market.catalog import Catalog
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.market.rates import rate_at


@dataclass(frozen=True, slots=True)
class Conversion:
    """How one currency becomes another: by a pair, multiplied when its base is what is given.

    instrument is None for the same currency, which needs no quote.
    """

    instrument: Instrument | None = None
    multiplies: bool = True
    digits_from: int = 0
    digits_to: int = 0

    @property
    def symbol(self) -> str | None:
        """Return the symbol whose quote the conversion needs; None when it needs none."""
        return None if self.instrument is None else self.instrument.symbol

    def scale(self) -> tuple[int, int]:
        """Return what `rates.rate_at` scales the pair's price by, as a reduced fraction."""
        digits = Fraction(10**self.digits_to, 10**self.digits_from)
        if self.instrument is None:
            return 1, 1
        tick = Fraction(self.instrument.tick)
        scale = digits * tick if self.multiplies else digits / tick
        return scale.numerator, scale.denominator


def conversion_pair(catalog: Catalog, from_currency: str, to_currency: str) -> Conversion | None:
    """Return how to convert between two currencies; None, so refuse, when no pair does it."""
    if from_currency == to_currency:
        return Conversion()
    digits = catalog.currency_digits
    for symbol in catalog.conversions:
        pair = catalog.instruments[symbol]
        ends = (pair.base_currency, pair.quote_currency)
        if ends in {(from_currency, to_currency), (to_currency, from_currency)}:
            multiplies = ends[0] == from_currency
            return Conversion(pair, multiplies, digits[from_currency], digits[to_currency])
    return None


def conversion_rate(conversion: Conversion, quote: Quote | None, amount: int) -> tuple[int, int]:
    """Return the reduced fraction (num, den) from minor units to minor units at the closing side.

    Only the sign of the amount counts; the quote is None for the same currency.

    A gain (amount >= 0) in the first currency is sold and a loss is bought: a multiplied
    pair sells at the bid, a divided pair at the ask; a loss takes the other side.
    """
    pair = conversion.instrument
    if pair is None:
        return 1, 1
    if quote is None or quote.symbol != pair.symbol:
        raise InvariantBroken(f"expected a quote of {pair.symbol}, was {quote}")
    check(min(quote.bid_ticks, quote.ask_ticks) > 0, f"conversion at a quote of {quote.symbol}")
    exact = rate_at(
        conversion.multiplies, *conversion.scale(), quote.bid_ticks, quote.ask_ticks, amount
    )
    rate = Fraction(*exact)
    check(rate.numerator * rate.denominator < LIMIT, f"conversion rate {rate} is out of range")
    return rate.numerator, rate.denominator
