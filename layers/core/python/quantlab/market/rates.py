"""A quote of a pair as the fraction that converts: live trading calls it, a backtest compiles it.

Only ints go in and out.
"""


def rate_at(
    multiplies: int, scale_num: int, scale_den: int, bid_ticks: int, ask_ticks: int, amount: int
) -> tuple[int, int]:
    """Return the fraction (num, den), not reduced, of minor units at the closing side.

    A gain (amount >= 0) is sold and a loss is bought: a pair that multiplies sells at the bid, one
    that divides at the ask; a loss takes the other side. scale_num/scale_den is what one tick of
    the pair is worth in minor units of one currency per minor unit of the other.
    """
    sells_pair = (amount >= 0) == (multiplies != 0)
    price_ticks = bid_ticks if sells_pair else ask_ticks
    if multiplies != 0:
        return price_ticks * scale_num, scale_den
    return scale_num, price_ticks * scale_den
