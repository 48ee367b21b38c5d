"""What positions are worth, on plain integers: the live path calls it, the batch compiles it.

Only ints and bools go in and out, and nothing else is called than functions of this kind. Every
step stays within 64 bits for a position within its price limit; a compiled loop must leave what
is not to the interpreter, whose integers have no end.
"""

from quantlab.kernel.arith import LIMIT, MICRO, muldiv

OPEN_MICRO_LIMIT = LIMIT // 2
# So many positions at most that the sum of their values stays within OPEN_MICRO_LIMIT.
POSITIONS_MAX = 16
VALUE_MICRO_LIMIT = OPEN_MICRO_LIMIT // POSITIONS_MAX


def netted(
    held_steps: int, cost: int, side: int, size_steps: int, price_ticks: int
) -> tuple[int, int, int, int, int]:
    """Net a fill into a position: return (size_steps, cost, gain, closed_steps, opened_steps).

    A partial close takes floor(cost * closed / size) of the cost; the rest stays. gain is in ticks
    times size steps. Within 64 bits while |held_steps| * size_steps is below 2^62.
    """
    if held_steps * side >= 0:
        opened = side * size_steps
        return held_steps + opened, cost + opened * price_ticks, 0, 0, size_steps
    closed = min(abs(held_steps), size_steps)
    whole, rest = divmod(cost, abs(held_steps))
    closed_cost = whole * closed + rest * closed // abs(held_steps)
    gain = -side * closed * price_ticks - closed_cost
    opened = side * (size_steps - closed)
    if opened != 0:
        return opened, opened * price_ticks, gain, closed, size_steps - closed
    return held_steps + side * closed, cost - closed_cost, gain, closed, 0


def worth_limit(unit_num: int, unit_den: int) -> int:
    """Return the least ticks times size steps that, or whose worth, is not below 2^62."""
    if unit_den >= unit_num:
        return LIMIT
    whole, rest = divmod(LIMIT, unit_num)
    return whole * unit_den - (-rest * unit_den // unit_num)


def fits(size_steps: int, cost: int, gain: int, price_ticks: int, limit: int) -> bool:
    """Say whether every product of a position stays below 2^62, as live and batch require.

    limit is what `worth_limit` returns of the instrument.
    """
    return max(abs(size_steps) * price_ticks, abs(cost), abs(gain)) < limit


def nano_of(size_steps: int, nano_num: int, nano_den: int) -> int:
    """Return steps in 10^-9 lots, rounded down; a step is nano_num/nano_den of those."""
    return size_steps * nano_num // nano_den


def closing_ticks(size_steps: int, bid_ticks: int, ask_ticks: int) -> int:
    """Return the price a position closes at: longs at the bid, shorts at the ask."""
    return bid_ticks if size_steps > 0 else ask_ticks


def open_gain(size_steps: int, cost: int, price_ticks: int, unit_num: int, unit_den: int) -> int:
    """Value a position at a price in millionths of the quote currency's minor unit.

    unit_num/unit_den is the value of one tick times one size step. Within 64 bits up to the
    price that `price_limit_ticks` returns.
    """
    return muldiv(size_steps * price_ticks - cost, unit_num, unit_den)


def equity_of_open(balance_minor: int, carry_micro: int, open_micro: int) -> int:
    """Return the balance plus the open gain, half-even to minor units.

    Within 64 bits while |open_micro| is below OPEN_MICRO_LIMIT.
    """
    return balance_minor + muldiv(open_micro + carry_micro, 1, MICRO)


def in_currency(gain: int, gain_num: int, gain_den: int, loss_num: int, loss_den: int) -> int:
    """Convert a gain, or a loss, to the account's currency: each has a rate of its own.

    Within 64 bits while |gain| is at most what `product_limit` returns for both rates.
    """
    numerator = gain_num if gain >= 0 else loss_num
    denominator = gain_den if gain >= 0 else loss_den
    return muldiv(gain, numerator, denominator)


def product_limit(most: int, numerator: int, denominator: int) -> int:
    """Return an amount up to which muldiv's result, on either side of zero, is at most `most`."""
    if denominator >= numerator:
        return most
    return most // numerator * denominator


def price_limit_ticks(size_steps: int, cost: int, unit_num: int, unit_den: int) -> int:
    """Return the highest price at which a position's gain stays below 2^62; below 0 at none.

    |size_steps| is above zero, and it and |cost| are below 2^62.
    """
    return (product_limit(LIMIT - 1, unit_num, unit_den) - abs(cost)) // abs(size_steps)
