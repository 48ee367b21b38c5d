"""Decimal text to integers and back, without floats."""

import re
from decimal import Decimal
from fractions import Fraction

_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?\Z")


def parse_decimal(text: str) -> Decimal | None:
    """Read a plain decimal of at most 18 digits on either side; None when it is not one."""
    return Decimal(text) if _DECIMAL.match(text) else None


def to_units(value: Decimal, unit: Decimal) -> int | None:
    """Count whole units in the value; None when it is not a whole number of units."""
    count = Fraction(value) / Fraction(unit)
    return count.numerator if count.denominator == 1 else None


def to_units_floor(value: Decimal, unit: Decimal) -> int:
    """Count whole units in the value, rounded towards zero."""
    return int(Fraction(value) / Fraction(unit))


def format_units(count: int, unit: Decimal) -> str:
    """Write an integer count of units as plain decimal text with the unit's digits."""
    return format(count * unit, "f")


def format_minor(amount_minor: int, digits: int) -> str:
    """Write minor units as decimal text: (12345, 2) -> "123.45"."""
    if digits == 0:
        return str(amount_minor)
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), 10**digits)
    return f"{sign}{whole}.{rest:0{digits}d}"


def parse_minor(text: str, digits: int) -> int | None:
    """Read decimal text as minor units; None when it has more digits than the currency."""
    value = parse_decimal(text)
    return None if value is None else to_units(value, Decimal(1).scaleb(-digits))
