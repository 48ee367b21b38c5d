"""What one quote does to one order, on integers alone: trigger, trail, fill price and fill size.

Prices in ticks, sizes in steps, side +1 to buy and -1 to sell. Nothing here knows an object, so
that live trading and a compiled backtest run the very same functions.
"""

from quantlab.kernel.arith import LIMIT, MICRO

UNLIMITED = LIMIT


def market_limit(side: int) -> int:
    """Return the limit of an order that has none: no price is worse."""
    return side * UNLIMITED


def fill_at(
    side: int,
    limit_ticks: int,
    bid_ticks: int,
    ask_ticks: int,
    slippage_ticks: int,
    wanted_steps: int,
    available_steps: int,
) -> tuple[int, int]:
    """Return the steps that fill at a quote and their price; (0, 0) when the limit is not reached.

    A buy trades at the ask, a sell at the bid; slippage moves it against the trader, but never
    beyond the limit.
    """
    price_ticks = ask_ticks if side > 0 else bid_ticks
    if side * (price_ticks - limit_ticks) > 0 or wanted_steps <= 0 or available_steps <= 0:
        return 0, 0
    price_ticks += side * slippage_ticks
    if side * (price_ticks - limit_ticks) > 0:
        price_ticks = limit_ticks
    return min(wanted_steps, available_steps), price_ticks


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
