"""What a quote fills of an order, and at which price: one function on integers.

`plan_fill` and what it calls take and return plain integers within 2^62, so that live trading runs
them as they are and a compiler may take them as well. docs/fills.md has the formulas.
"""

from typing import Final

from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass
from quantlab.market.fill_model import (
    ANY_SIZE,
    DISPLAYED,
    FIXED_TICKS,
    RANDOM_TICKS,
    SPREAD_SHARE,
    VOLUME,
    FillModel,
)
from quantlab.market.instrument import Instrument
from quantlab.market.quote import BUY, Quote
from quantlab.market.synthetic import SplitMix64, seed_of

DRAW_BITS: Final = 31
_LEHMER: Final = 48_271
_LEHMER_MODULUS: Final = (1 << 31) - 1
PPM: Final = 1_000_000


def plan_fill(
    side: int,
    size_steps: int,
    limit_ticks: int,
    bid_ticks: int,
    ask_ticks: int,
    bid_size_steps: int,
    ask_size_steps: int,
    taken_steps: int,
    size_rule: int,
    slippage: int,
    amount: int,
    reference_steps: int,
    draw: int,
) -> tuple[int, int, int]:
    """Return (steps, price_ticks, slippage_ticks); (0, 0, 0) when the quote fills nothing.

    side is BUY or SELL, limit_ticks the worst price (`pricing.market_limit` where there is none),
    taken_steps what earlier fills used up of the displayed size, draw a number below 2^31. The
    slippage moves the price against the trader, at most to the limit and never below one tick.
    """
    touch_ticks = ask_ticks if side == BUY else bid_ticks
    displayed_steps = ask_size_steps if side == BUY else bid_size_steps
    if side * (touch_ticks - limit_ticks) > 0:
        return 0, 0, 0
    steps = size_steps
    if size_rule != ANY_SIZE and (displayed_steps > 0 or size_rule == DISPLAYED):
        steps = min(size_steps, displayed_steps - taken_steps)
    if steps <= 0:
        return 0, 0, 0
    spread_ticks = ask_ticks - bid_ticks
    compared_steps = displayed_steps if displayed_steps > 0 else reference_steps
    ticks = slippage_ticks(slippage, amount, spread_ticks, steps, compared_steps, draw)
    price_ticks = max(touch_ticks + side * ticks, 1)
    if side * (price_ticks - limit_ticks) > 0:
        price_ticks = limit_ticks
    return steps, price_ticks, side * (price_ticks - touch_ticks)


def slippage_ticks(
    slippage: int, amount: int, spread_ticks: int, steps: int, compared_steps: int, draw: int
) -> int:
    """Return how far a fill slips; what does not divide is rounded up, against the trader."""
    if slippage == FIXED_TICKS:
        return amount
    if slippage == SPREAD_SHARE:
        return -(-spread_ticks * amount // PPM)
    if slippage == VOLUME:
        return -(-steps * amount // compared_steps)
    if slippage == RANDOM_TICKS:
        return draw * (amount + 1) >> DRAW_BITS
    return 0


def shows_size(model: FillModel, instrument: Instrument, quote: Quote, side: int) -> bool:
    """Say whether a quote has a size for an order of a side, or the model needs none."""
    return model.size_rule(instrument) != DISPLAYED or quote.size_for(side) > 0


def fill_seed(tenant_id: str, account_id: str, event_seq: int) -> int:
    """Return the seed of a fill: 63 bits of SHA-256 of what names its event."""
    return seed_of("fill", tenant_id, account_id, event_seq) >> 1


def draw_of(seed: int) -> int:
    """Return the number below 2^31 that SplitMix64 draws first from the seed."""
    return SplitMix64(seed).below(1 << DRAW_BITS)


def next_draw(draw: int) -> int:
    """Return the number after a draw of a backtest, which draws one after the other: 1 to 2^31 - 2.

    x * 48271 mod (2^31 - 1): Park, Miller & Stockmeyer, CACM 36(7), 1993; minstd_rand of C++11.
    """
    return draw * _LEHMER % _LEHMER_MODULUS


def first_draw(seed: int) -> int:
    """Return the number that a backtest of a seed draws first."""
    return seed_of("backtest", seed) % (_LEHMER_MODULUS - 1) + 1


@dataclass(frozen=True, slots=True)
class PlannedFill:
    """What a quote fills of an order. seed is that of the event the fill is recorded with."""

    steps: int
    price_ticks: int
    slippage_ticks: int
    model: FillModel
    seed: int

    def evidence(self) -> dict[str, Json]:
        """Return the model as a fill's event records it; the seed where the model draws."""
        recorded: dict[str, Json] = {"version": self.model.version, **self.model.document}
        if self.model.slippage == RANDOM_TICKS:
            recorded["seed"] = str(self.seed)
        return recorded


def plan(
    model: FillModel,
    instrument: Instrument,
    quote: Quote,
    side: int,
    size_steps: int,
    limit_ticks: int,
    taken_steps: int,
    seed: int,
) -> PlannedFill:
    """Plan the fill of an order at a quote by a model; of no steps when it fills nothing."""
    steps, price_ticks, slipped_ticks = plan_fill(
        side,
        size_steps,
        limit_ticks,
        quote.bid_ticks,
        quote.ask_ticks,
        quote.bid_size_steps,
        quote.ask_size_steps,
        taken_steps,
        model.size_rule(instrument),
        model.slippage,
        model.amount,
        model.reference_steps,
        draw_of(seed) if model.slippage == RANDOM_TICKS else 0,
    )
    return PlannedFill(steps, price_ticks, slipped_ticks, model, seed)


def expected_ticks(slippage: int, amount: int, bid_ticks: int, ask_ticks: int, side: int) -> int:
    """Return the price an order is sized and its protective prices are judged by, in ticks.

    Slippage that depends on size or chance counts with the amount the model names: the most a
    random one draws, and that of a whole displayed size.
    """
    ticks = amount
    if slippage == SPREAD_SHARE:
        ticks = slippage_ticks(SPREAD_SHARE, amount, ask_ticks - bid_ticks, 1, 1, 0)
    touch_ticks = ask_ticks if side == BUY else bid_ticks
    return max(touch_ticks + side * ticks, 1)


def expected_price(model: FillModel, quote: Quote, side: int) -> int:
    """Return the price that `expected_ticks` gives at a quote."""
    return expected_ticks(model.slippage, model.amount, quote.bid_ticks, quote.ask_ticks, side)
