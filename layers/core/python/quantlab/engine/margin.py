"""What an account's positions and working orders need as margin, and what is left to trade with.

The functions on integers know no object, so that live trading and a compiled loop run the very
same ones. docs/margin.md has the formulas, their sources and worked examples.
"""

from collections.abc import Sequence
from typing import Final

from quantlab.engine import lifecycle
from quantlab.engine.context import Market, equity_of
from quantlab.engine.draft import Draft
from quantlab.engine.order_terms import FOK, IOC, LIMITED, trigger_of
from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.arith import MICRO, muldiv
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fills import Netted
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account, Position
from quantlab.ledger.trading_terms import TradingTerms
from quantlab.market.instrument import Instrument
from quantlab.market.quote import BUY
from quantlab.rules.wording import money

PPM: Final = 1_000_000


def margin_micro(
    value: int,
    unit_num: int,
    unit_den: int,
    rate_num: int,
    rate_den: int,
    leverage_num: int,
    leverage_den: int,
) -> int:
    """Return the margin of a value of ticks times steps, in millionths of the account's minor unit.

    |value| * unit * rate / leverage; each product is rounded half to even.
    """
    notional_micro = muldiv(abs(value), unit_num, unit_den)
    return muldiv(muldiv(notional_micro, rate_num, rate_den), leverage_den, leverage_num)


def minor_above(amount_micro: int) -> int:
    """Return millionths as minor units, rounded up: margin is never asked too little."""
    return -(-amount_micro // MICRO)


def is_at_level(equity_minor: int, used_minor: int, level_ppm: int) -> bool:
    """Say whether equity / used margin has fallen to a level; nothing is divided.

    Without used margin there is no level to fall to.
    """
    return used_minor > 0 and equity_minor * PPM <= used_minor * level_ppm


def reserved_value(
    buy_value: int, buy_steps: int, sell_value: int, sell_steps: int, held_steps: int
) -> int:
    """Return the value of ticks times steps that working orders of a symbol could add.

    Each side is first taken off the position (held_steps is signed); of what it would open beyond
    that, valued at the side's average price and rounded up, the larger side counts.
    """
    buys = _opening(abs(buy_value), buy_steps, max(0, -held_steps))
    return max(buys, _opening(abs(sell_value), sell_steps, max(0, held_steps)))


def _opening(value: int, steps: int, reducing_steps: int) -> int:
    opening_steps = steps - reducing_steps
    return 0 if opening_steps <= 0 else -(-value * opening_steps // steps)


def needed_and_free(
    equity: int, used: int, reserved: int, used_after: int, reserved_after: int, fee: int
) -> tuple[int, int]:
    """Return what a change needs of the margin that is free before it, and that; all minor units.

    Nothing is needed where margin does not grow. Positions must be covered without what orders
    reserve, which may be more than there is: what others reserve may shrink by what this one uses,
    and that alone pays for no position.
    """
    before, after = used + reserved, used_after + reserved_after
    if after <= before:
        before, after = used, used_after
    return (0, 0) if after <= before else (after - before + fee, equity - before)


@dataclass(frozen=True, slots=True)
class Margin:
    """An account's margin in minor units: of its positions, and reserved by its working orders."""

    equity_minor: int
    used_minor: int
    reserved_minor: int

    @property
    def required_minor(self) -> int:
        """Return the margin of positions and orders together."""
        return self.used_minor + self.reserved_minor

    @property
    def free_minor(self) -> int:
        """Return what is left for new positions; below zero when more is used than is there."""
        return self.equity_minor - self.required_minor

    @property
    def level_ppm(self) -> int | None:
        """Return equity / used margin in millionths, rounded down; None without used margin."""
        return None if self.used_minor == 0 else self.equity_minor * PPM // self.used_minor


def margin_of(account: Account, market: Market, terms: TradingTerms) -> Margin | Rejection:
    """Return an account's margin at a market's quotes, or why it cannot be known."""
    equity_minor = equity_of(account, market)
    if isinstance(equity_minor, Rejection):
        return equity_minor
    used_minor = used_margin(account, market, terms)
    if isinstance(used_minor, Rejection):
        return used_minor
    reserved_minor = reserved_margin(account, market, terms)
    if isinstance(reserved_minor, Rejection):
        return reserved_minor
    return Margin(equity_minor, used_minor, reserved_minor)


def used_margin(account: Account, market: Market, terms: TradingTerms) -> int | Rejection:
    """Return the margin of the open positions, at what they cost, in minor units.

    Of legs of a symbol in both directions the side of the larger value counts.
    """
    used_micro = 0
    for symbol in dict.fromkeys(position.symbol for position in account.legs()):
        instrument = market.catalog.instruments[symbol]
        value = max(_held_values(account, symbol).values())
        micro = _valued(value, instrument, account.currency, market, terms)
        if isinstance(micro, Rejection):
            return micro
        used_micro += micro
    return minor_above(used_micro)


def reserved_margin(account: Account, market: Market, terms: TradingTerms) -> int | Rejection:
    """Return the margin of what working orders could add to positions, in minor units.

    Orders that only reduce and children that wait for their parent reserve nothing.
    """
    reserved_micro = 0
    for symbol in sorted({order.symbol for order in account.working.values()}):
        instrument = market.catalog.instruments[symbol]
        if terms.leverage(instrument) is None:
            continue
        value = _reserved_value(account, instrument, market, hedging=terms.hedging)
        if isinstance(value, Rejection):
            return value
        micro = _valued(value, instrument, account.currency, market, terms)
        if isinstance(micro, Rejection):
            return micro
        reserved_micro += micro
    return minor_above(reserved_micro)


def _held_values(account: Account, symbol: str) -> dict[int, int]:
    """Return what the legs of each side have cost, in ticks times steps."""
    values = {BUY: 0, -BUY: 0}
    for leg in account.legs(symbol):
        values[BUY if leg.size_steps > 0 else -BUY] += abs(leg.cost)
    return values


def _valued(
    value: int, instrument: Instrument, currency: str, market: Market, terms: TradingTerms
) -> int | Rejection:
    leverage = terms.leverage(instrument)
    if leverage is None or value == 0:
        return 0
    rate = market.rate(instrument, currency, -1)
    if isinstance(rate, Rejection):
        return rate
    return margin_micro(value, instrument.unit_num, instrument.unit_den, *rate, *leverage)


def _reserved_value(
    account: Account, instrument: Instrument, market: Market, *, hedging: bool
) -> int | Rejection:
    values, steps = {BUY: 0, -BUY: 0}, {BUY: 0, -BUY: 0}
    for order in account.working.values():
        if order.symbol != instrument.symbol or not _reserves(order):
            continue
        price_ticks = _entry_ticks(order, instrument, market)
        if isinstance(price_ticks, Rejection):
            return price_ticks
        values[order.side] += abs(price_ticks) * order.remaining_steps
        steps[order.side] += order.remaining_steps
    if hedging:
        held = _held_values(account, instrument.symbol)
        return max(held[side] + values[side] for side in held) - max(held.values())
    held_steps = sum(one.size_steps for one in account.legs(instrument.symbol))
    return reserved_value(values[BUY], steps[BUY], values[-BUY], steps[-BUY], held_steps)


def _reserves(order: Order) -> bool:
    return order.status != lifecycle.PENDING_PARENT and not order.terms.reduce_only


def _entry_ticks(order: Order, instrument: Instrument, market: Market) -> int | Rejection:
    """Return the price a working order is expected to open at: its limit, else its trigger."""
    own = order.terms.limit_ticks if order.order_type in LIMITED else trigger_of(order)
    if own is not None:
        return own
    quote = market.usable(instrument)
    return quote if isinstance(quote, Rejection) else quote.price_for(order.side)


def refused_fill(
    draft: Draft,
    order: Order,
    instrument: Instrument,
    netted: Netted,
    size_steps: int,
    fee_micro: int,
) -> Rejection | None:
    """Refuse a fill that opens what there is no free margin for; closing needs none."""
    if not netted.opened_steps or draft.context.trading.leverage(instrument) is None:
        return None
    account = draft.account
    others = {id_: one for id_, one in account.working.items() if id_ != order.order_id}
    after = dict(others)
    stays = order.order_id in account.working and order.terms.time_in_force not in (IOC, FOK)
    if stays and order.remaining_steps > size_steps:
        rest = replace(order, filled_steps=order.filled_steps + size_steps)
        after[order.order_id] = rest
    position = Position(instrument.symbol, netted.size_steps, netted.cost, None, None, 0, 0)
    positions = {**account.positions, order.position_key: position}
    return _refused(
        draft,
        replace(account, working=others),
        replace(account, working=after, positions=positions),
        fee_micro,
    )


def refused_orders(
    draft: Draft, instrument: Instrument, orders: Sequence[Order]
) -> Rejection | None:
    """Refuse working orders, new or changed, that there is no free margin to reserve for."""
    if not orders or draft.context.trading.leverage(instrument) is None:
        return None
    account = draft.account
    new = {one.order_id or f"new {number}": one for number, one in enumerate(orders)}
    return _refused(draft, account, replace(account, working={**account.working, **new}), 0)


def _refused(draft: Draft, before: Account, after: Account, fee_micro: int) -> Rejection | None:
    """Refuse what needs more margin than before and more than is free, at the present quotes.

    Where an account cannot be valued now, that is the reason of the refusal.
    """
    context = draft.context
    now = margin_of(before, context.market, context.trading)
    if isinstance(now, Rejection):
        return now
    used_minor = used_margin(after, context.market, context.trading)
    if isinstance(used_minor, Rejection):
        return used_minor
    reserved_minor = reserved_margin(after, context.market, context.trading)
    if isinstance(reserved_minor, Rejection):
        return reserved_minor
    needed_minor, free_minor = needed_and_free(
        now.equity_minor,
        now.used_minor,
        now.reserved_minor,
        used_minor,
        reserved_minor,
        minor_above(fee_micro),
    )
    if needed_minor <= free_minor:
        return None
    if free_minor != now.free_minor:
        now = replace(now, reserved_minor=0)
    return Rejection(Reason.MARGIN_INSUFFICIENT, _short(draft, now, needed_minor))


def _short(draft: Draft, now: Margin, needed_minor: int) -> str:
    def told(amount_minor: int) -> str:
        return f"{money(amount_minor, draft.account.currency_digits)} {draft.account.currency}"

    return (
        f"expected free margin of at least {told(needed_minor)}, was {told(now.free_minor)}"
        f" (equity {told(now.equity_minor)} less used {told(now.used_minor)}"
        f" and reserved {told(now.reserved_minor)}): {told(needed_minor - now.free_minor)} short"
    )
