"""What one quote does to one order, on integers alone: limit, trigger and trail.

What it fills is said by `fill_models`. Prices in ticks, side +1 to buy and -1 to sell. Nothing
here knows an object, so that live trading and a compiled backtest run the very same functions.
"""

from quantlab.kernel.arith import LIMIT, MICRO


def market_limit(side: int) -> int:
    """Return the limit of an order that has none: no price is worse."""
    return side * LIMIT


def stop_reached(side: int, trigger_ticks: int, bid_ticks: int, ask_ticks: int) -> bool:
    """Say whether the price has come to a stop: a buy stop from below, a sell stop from above."""
    price_ticks = ask_ticks if side > 0 else bid_ticks
    return side * (price_ticks - trigger_ticks) >= 0


def touch_reached(side: int, trigger_ticks: int, bid_ticks: int, ask_ticks: int) -> bool:
    """Say whether the price has come to where an order waits for a better one."""
    price_ticks = ask_ticks if side > 0 else bid_ticks
    return side * (price_ticks - trigger_ticks) <= 0


def trail_peak(side: int, peak_ticks: int, bid_ticks: int, ask_ticks: int) -> int:
    """Return the best price a trailing stop has seen: the highest bid to sell, the lowest ask."""
    return min(peak_ticks, ask_ticks) if side > 0 else max(peak_ticks, bid_ticks)


def trail_trigger(side: int, peak_ticks: int, trail_ticks: int, trail_ppm: int) -> int:
    """Return the trigger behind a peak: by trail_ticks, or where that is 0 by millionths of it.

    A share of the peak is rounded down to ticks and at least one.
    """
    distance_ticks = trail_ticks
    if distance_ticks == 0:
        distance_ticks = max(1, abs(peak_ticks) * trail_ppm // MICRO)
    return peak_ticks + side * distance_ticks
