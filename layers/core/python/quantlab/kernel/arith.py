"""Exact integer arithmetic for money: half-even products and bookings with carry."""

LIMIT = 1 << 62
MICRO = 1_000_000


def muldiv(value: int, numerator: int, denominator: int) -> int:
    """Return value * numerator / denominator, rounded half to even.

    Exact in 64-bit integers while numerator * denominator < 2^62 and the result is below 2^62.
    """
    if denominator == 1:
        return value * numerator
    quotient, remainder = divmod(value, denominator)
    floor, rest = divmod(remainder * numerator, denominator)
    result = quotient * numerator + floor
    if rest > denominator - rest or (rest == denominator - rest and result & 1):
        result += 1
    return result


def book(amount_micro: int, carry_micro: int) -> tuple[int, int]:
    """Split micro-minor units and the carried rest into booked minor units and the new carry.

    The carry stays within half a minor unit, so many small amounts neither gain nor lose.
    """
    total = amount_micro + carry_micro
    booked_minor = muldiv(total, 1, MICRO)
    return booked_minor, total - booked_minor * MICRO
