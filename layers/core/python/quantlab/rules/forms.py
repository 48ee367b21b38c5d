"""What the forms of several rules share: amounts, shares, sizes, clocks and targets.

It must not know which rule it reads.
"""

import re
from decimal import Decimal

from quantlab.kernel.arith import MICRO
from quantlab.kernel.decimals import to_units
from quantlab.kernel.records import dataclass
from quantlab.rules.calendar import CLOCK, is_zone, minute_of_day
from quantlab.rules.limits import (
    AMOUNT_MINOR_MAX,
    LOTS_NANO_MAX,
    SYMBOLS_MAX,
    TEXT_LENGTH_MAX,
    WINDOWS_MAX,
)
from quantlab.rules.reader import Reader
from quantlab.rules.terms import Window

FREE_TEXT = re.compile(rf"[^\x00-\x1f]{{0,{TEXT_LENGTH_MAX}}}")
_SOME_TEXT = re.compile(r"[^\x00-\x1f]{1,100}")
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._/-]{0,31}")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile("|".join(_WEEKDAYS))
_PPM = Decimal("0.0001")
_FACTOR_PPM = Decimal("0.000001")
_NANO = Decimal("0.000000001")
_PPM_WHOLE = 1_000_000
_FACTOR_MAX = 1_000

Graded = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Money:
    """The currency's digits and the initial balance that amounts are resolved for."""

    digits: int
    initial_minor: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss as terms hold it: a share of its reference to keep, or millionths of a minor unit."""

    keep_ppm: int
    loss_micro: int
    percent_ppm: int


def read_zone(reader: Reader) -> str:
    """Read timeZone."""
    zone = reader.text("timeZone", _SOME_TEXT, "the name of a time zone")
    if zone and not is_zone(zone):
        reader.refuse("timeZone", "the name of a time zone, such as America/New_York")
    return zone


def read_windows(reader: Reader, key: str, opens: str, closes: str) -> tuple[Window, ...]:
    """Read weekly windows, each with days and the names of its two clock times."""
    return tuple(_window(item, opens, closes) for item in reader.objects(key, WINDOWS_MAX))


def _window(reader: Reader, opens: str, closes: str) -> Window:
    days = reader.names("days", len(_WEEKDAYS), _WEEKDAY, "one of " + ", ".join(_WEEKDAYS))
    opened = reader.text(opens, CLOCK, "a clock time HH:MM")
    closed = reader.text(closes, CLOCK, "a clock time HH:MM")
    reader.finish()
    return Window(
        frozenset(_WEEKDAYS.index(day) for day in days),
        minute_of_day(opened or "00:00"),
        minute_of_day(closed or "00:00"),
    )


def read_reducing(reader: Reader) -> bool:
    """Read reducingOrders: whether orders that only make a position smaller pass."""
    return reader.choice("reducingOrders", ("allowed", "refused")) == "allowed"


def read_costs(reader: Reader) -> bool:
    """Read costs: whether commissions and swaps count as losses; they do when left out."""
    return reader.choice("costs", ("included", "excluded"), default="included") == "included"


def read_loss(reader: Reader, bases: tuple[str, ...], money: Money) -> Loss:
    """Read an amount, or a percent of one of the bases."""
    if reader.has("amount"):
        loss = Loss(_PPM_WHOLE, read_amount(reader, "amount", 1, money) * MICRO, 0)
    else:
        share_ppm = read_percent(reader, "percent")
        if reader.choice("of", bases) == "initial":
            loss = Loss(_PPM_WHOLE, money.initial_minor * share_ppm, share_ppm)
        else:
            loss = Loss(_PPM_WHOLE - share_ppm, 0, share_ppm)
    reader.finish()
    return loss


def read_amount_or_percent(reader: Reader, key: str, money: Money) -> int:
    """Read an object of an amount, or of a percent of the initial balance, as minor units.

    A share that is no whole number of minor units is rounded up: that much must be reached.
    """
    child = reader.child(key)
    if child.has("amount"):
        amount_minor = read_amount(child, "amount", 1, money)
    else:
        amount_minor = -(-money.initial_minor * read_percent(child, "percent") // MICRO)
    child.finish()
    return amount_minor


def read_above_initial(reader: Reader, key: str, money: Money) -> int | None:
    """Read the initial balance plus an amount; None when the key is absent."""
    if not reader.has(key):
        return None
    child = reader.child(key)
    above_minor = read_amount(child, "aboveInitial", 0, money)
    child.finish()
    return money.initial_minor + above_minor


def read_percent(reader: Reader, key: str) -> int:
    """Read a percent above 0 and up to 100 as parts per million."""
    expected = "a percent above 0 and up to 100 as decimal text with at most 4 decimals"
    percent = reader.decimal(key, expected)
    if percent is None:
        return 0
    ppm = to_units(percent, _PPM)
    if ppm is None or not 0 < ppm <= _PPM_WHOLE:
        reader.refuse(key, expected)
        return 0
    return ppm


def read_factor(reader: Reader, key: str) -> int:
    """Read a factor above 0 and up to 1000 as parts per million."""
    expected = f"a factor above 0 and up to {_FACTOR_MAX} as decimal text with at most 6 decimals"
    factor = reader.decimal(key, expected)
    ppm = None if factor is None else to_units(factor, _FACTOR_PPM)
    if factor is not None and (ppm is None or not 0 < ppm <= _FACTOR_MAX * _PPM_WHOLE):
        reader.refuse(key, expected)
        return 0
    return ppm or 0


def read_amount(reader: Reader, key: str, low_minor: int, money: Money) -> int:
    """Read an amount of at least low_minor (0 or 1) in minor units."""
    sign = "above 0" if low_minor else "of 0 or more"
    expected = f"an amount {sign} as decimal text with at most {money.digits} decimals"
    amount = reader.decimal(key, expected)
    if amount is None:
        return 0
    amount_minor = to_units(amount, Decimal(1).scaleb(-money.digits))
    if amount_minor is None or not low_minor <= amount_minor <= AMOUNT_MINOR_MAX:
        reader.refuse(key, expected)
        return 0
    return amount_minor


def read_lots(reader: Reader, key: str) -> int:
    """Read a number of lots above 0 in 10^-9 lots."""
    expected = "a number of lots above 0 as decimal text with at most 9 decimals"
    lots = reader.decimal(key, expected)
    nano = None if lots is None else to_units(lots, _NANO)
    if lots is not None and (nano is None or not 0 < nano <= LOTS_NANO_MAX):
        reader.refuse(key, expected)
        return 0
    return nano or 0


def read_weights(reader: Reader) -> tuple[tuple[str, int], ...]:
    """Read lotWeights: symbols of which a lot counts as another number of lots than one."""
    if not reader.has("lotWeights"):
        return ()
    weights = {}
    for item in reader.objects("lotWeights", SYMBOLS_MAX):
        symbol = item.text("symbol", SYMBOL, "an upper-case symbol")
        weights[symbol] = read_factor(item, "countsAs")
        item.finish()
    return tuple(sorted(weights.items()))
