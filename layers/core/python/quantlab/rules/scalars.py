"""Equity floors and high-water marks on plain integers: live calls it, the batch compiles it.

Only ints and bools go in and out, and nothing else is called than functions of this kind. Every
step stays within 64 bits while amounts in minor units are within AMOUNT_MINOR_LIMIT and loss_micro
within LIMIT; a compiled loop must leave accounts beyond them to the interpreter, whose integers
have no end.
"""

from quantlab.kernel.arith import LIMIT, MICRO

AMOUNT_MINOR_LIMIT = LIMIT // (2 * MICRO)

DAY_NS = 86_400 * 10**9

BELOW = 0
AT_OR_BELOW = 1

ANCHOR_BALANCE = 0
ANCHOR_EQUITY = 1
ANCHOR_HIGHER = 2
ANCHOR_INITIAL = 3
ANCHOR_NET_RESULT = 4

BASIS_INITIAL = 0
BASIS_EQUITY = 1
BASIS_BALANCE = 2
BASIS_END_OF_DAY = 3

NO_LOCK = -1
NO_LEAST = -1

DAILY_LOSS = 0
MAX_DRAWDOWN = 1


def daily_anchor(
    anchor: int,
    initial_minor: int,
    start_balance_minor: int,
    start_equity_minor: int,
    balance_minor: int,
    realised_minor: int,
) -> int:
    """Return the amount a daily loss is counted from; anchor is an ANCHOR code."""
    if anchor == ANCHOR_BALANCE:
        return start_balance_minor
    if anchor == ANCHOR_EQUITY:
        return start_equity_minor
    if anchor == ANCHOR_HIGHER:
        return max(start_balance_minor, start_equity_minor)
    if anchor == ANCHOR_NET_RESULT:
        return balance_minor - realised_minor
    return initial_minor


def drawdown_reference(basis: int, initial_minor: int, high_water_minor: int) -> int:
    """Return the amount a drawdown is counted from; basis is a BASIS code."""
    return initial_minor if basis == BASIS_INITIAL else high_water_minor


def floor_below(reference_minor: int, keep_ppm: int, loss_micro: int, comparator: int) -> int:
    """Return the floor reference * keep_ppm / 10^6 - loss_micro / 10^6 in whole minor units.

    It is the largest whole unit at or under the exact quotient where the comparator is
    AT_OR_BELOW, the smallest at or above it where it is BELOW: comparing integers then decides as
    comparing fractions would.
    """
    floor_micro = reference_minor * keep_ppm - loss_micro
    if comparator == AT_OR_BELOW:
        return floor_micro // MICRO
    return -(-floor_micro // MICRO)


def locked_floor(floor_minor: int, lock_minor: int) -> int:
    """Hold a trailing floor at its lock once it would pass it; lock_minor is NO_LOCK without."""
    if lock_minor == NO_LOCK or floor_minor < lock_minor:
        return floor_minor
    return lock_minor


def least_floor(floor_minor: int, least_minor: int) -> int:
    """Raise a floor to the least it may be; least_minor is NO_LEAST without."""
    if least_minor == NO_LEAST or floor_minor > least_minor:
        return floor_minor
    return least_minor


def floor_of(
    kind: int,
    code: int,
    keep_ppm: int,
    loss_micro: int,
    comparator: int,
    lock_minor: int,
    least_minor: int,
    initial_minor: int,
    start_balance_minor: int,
    start_equity_minor: int,
    balance_minor: int,
    realised_minor: int,
    high_water_minor: int,
) -> int:
    """Return a rule's floor: code is an ANCHOR of a DAILY_LOSS, a BASIS of a MAX_DRAWDOWN."""
    if kind == DAILY_LOSS:
        reference_minor = daily_anchor(
            code,
            initial_minor,
            start_balance_minor,
            start_equity_minor,
            balance_minor,
            realised_minor,
        )
    else:
        reference_minor = drawdown_reference(code, initial_minor, high_water_minor)
    floor_minor = floor_below(reference_minor, keep_ppm, loss_micro, comparator)
    return least_floor(locked_floor(floor_minor, lock_minor), least_minor)


def next_mark(
    basis: int, mark_minor: int, balance_minor: int, equity_minor: int, at_day_end: bool
) -> int:
    """Return the high-water mark after this balance and equity; basis is a BASIS code."""
    if basis == BASIS_EQUITY:
        return max(mark_minor, equity_minor)
    if basis == BASIS_BALANCE or (basis == BASIS_END_OF_DAY and at_day_end):
        return max(mark_minor, balance_minor)
    return mark_minor


def weighted_nano(nano: int, weight_ppm: int) -> int:
    """Return 10^-9 lots of which each counts as so many millionths of one, rounded down."""
    whole, rest = divmod(nano, MICRO)
    return whole * weight_ppm + rest * weight_ppm // MICRO


def idle_from(since_ns: int, days: int) -> int:
    """Return the first instant at which an account that does nothing has done so for too long."""
    return since_ns + days * DAY_NS + 1


def is_under(comparator: int, floor_minor: int, equity_minor: int) -> bool:
    """Say whether an equity breaks a floor."""
    if comparator == AT_OR_BELOW:
        return equity_minor <= floor_minor
    return equity_minor < floor_minor


def breach_below(comparator: int, floor_minor: int) -> int:
    """Return the amount any equity below which breaks the floor, whatever the comparator."""
    return floor_minor + 1 if comparator == AT_OR_BELOW else floor_minor
