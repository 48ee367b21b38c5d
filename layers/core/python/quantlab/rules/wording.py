"""Amounts, percents and clock times as people read them in evidence."""

from quantlab.kernel.decimals import format_minor

_PPM_PER_PERCENT = 10_000
_NANO = 1_000_000_000


def money(amount_minor: int, digits: int) -> str:
    """Write minor units with thousands marked: 9500000 at 2 digits is 95,000.00."""
    text = format_minor(abs(amount_minor), digits)
    whole, point, rest = text.partition(".")
    return f"{'-' if amount_minor < 0 else ''}{int(whole):,}{point}{rest}"


def percent(share_ppm: int) -> str:
    """Write parts per million as a percent: 25000 is 2.5 %."""
    whole, rest = divmod(share_ppm, _PPM_PER_PERCENT)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + " %"


def clock(minute: int) -> str:
    """Write minutes since midnight as HH:MM."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def lots(nano: int) -> str:
    """Write 10^-9 lots as a plain number: 1500000000 is 1.5."""
    whole, rest = divmod(abs(nano), _NANO)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nano < 0 else text
