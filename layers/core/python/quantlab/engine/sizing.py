"""From what a signal asks to an order in integers, or the reason why not."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quantlab.engine.context import Market, equity_of
from quantlab.engine.fill_models import expected_price
from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.arith import MICRO, muldiv
from quantlab.kernel.decimals import to_units, to_units_floor
from quantlab.kernel.records import dataclass
from quantlab.ledger.fees import Fees, risk_steps
from quantlab.ledger.state import Account, Position
from quantlab.market.fill_model import FillModel
from quantlab.market.instrument import Instrument
from quantlab.market.quote import BUY, Quote

TICKS_MAX = 1 << 53


@dataclass(frozen=True, slots=True)
class Intent:
    """An order to be filled at once: side, size in steps, protective prices in ticks.

    ticket is the leg that it closes on a hedging account.
    """

    instrument: Instrument
    quote: Quote
    side: int
    size_steps: int
    stop_loss_ticks: int | None
    take_profit_ticks: int | None
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """The size of an entry in steps, and the protective prices of the position it opens."""

    size_steps: int
    stop_loss_ticks: int | None
    take_profit_ticks: int | None


def size_entry(
    account: Account,
    market: Market,
    instrument: Instrument,
    side: int,
    entry_ticks: int,
    payload: Mapping[str, Any],
    fees: Fees,
) -> Sized | Rejection:
    """Size a buy or sell: protective prices first, since the risk size needs the stop."""
    protective = protective_prices(instrument, side, entry_ticks, payload)
    if isinstance(protective, Rejection):
        return protective
    stop_loss, take_profit = protective
    if "quantity" in payload:
        size = quantity_steps(instrument, payload["quantity"])
    elif "equityPercent" in payload:
        percent = Decimal(payload["equityPercent"])
        size = _equity_size(account, market, instrument, entry_ticks, percent)
    else:
        percent = Decimal(payload["riskPercent"])
        stop_loss_at = _stop_at_risk(instrument, side, entry_ticks, payload, stop_loss)
        if isinstance(stop_loss_at, Rejection):
            return stop_loss_at
        size = _risk_size(account, market, instrument, entry_ticks, stop_loss_at, percent, fees)
    return size if isinstance(size, Rejection) else Sized(size, stop_loss, take_profit)


def _stop_at_risk(
    instrument: Instrument,
    side: int,
    entry_ticks: int,
    payload: Mapping[str, Any],
    stop_loss: int | None,
) -> int | Rejection | None:
    """Return the stop that a size by risk is measured to: the position's, or the bracket's."""
    if "stopLoss" not in payload.get("bracket", {}):
        return stop_loss
    exits = protective_prices(instrument, side, entry_ticks, payload["bracket"])
    return exits if isinstance(exits, Rejection) else exits[0]


def protective_prices(
    instrument: Instrument, side: int, entry_ticks: int, payload: Mapping[str, Any]
) -> tuple[int | None, int | None] | Rejection:
    """Read stopLoss and takeProfit, which must lie on their sides of the entry."""
    protective = []
    for key, reason, sign in (
        ("stopLoss", Reason.INVALID_STOP_LOSS, side),
        ("takeProfit", Reason.INVALID_TAKE_PROFIT, -side),
    ):
        price = _protective(instrument, key, payload.get(key), reason, entry_ticks, sign)
        if isinstance(price, Rejection):
            return price
        protective.append(price)
    return protective[0], protective[1]


def closing_intent(
    position: Position, instrument: Instrument, quote: Quote, quantity: str | None
) -> Intent | Rejection:
    """Size a close: the whole position, or a quantity of at most that."""
    size: int | Rejection = abs(position.size_steps)
    if quantity is not None:
        size = quantity_steps(instrument, quantity)
        if isinstance(size, int) and size > abs(position.size_steps):
            return Rejection(
                Reason.QUANTITY_TOO_LARGE,
                f"expected at most the open {_lots(instrument, abs(position.size_steps))} lots,"
                f" was {quantity}",
            )
    if isinstance(size, Rejection):
        return size
    side = -1 if position.size_steps > 0 else 1
    return Intent(instrument, quote, side, size, None, None, position.ticket)


def _lots(instrument: Instrument, steps: int) -> str:
    return format((steps * instrument.size_step).normalize(), "f")


def on_tick(instrument: Instrument, key: str, text: str) -> int | Rejection:
    """Read a price or a distance of price as ticks."""
    ticks = to_units(Decimal(text), instrument.tick)
    if ticks is not None and abs(ticks) < TICKS_MAX:
        return ticks
    return Rejection(
        Reason.PRICE_OFF_TICK, f"expected {key} on the tick of {instrument.tick}, was {text}"
    )


def _protective(
    instrument: Instrument, key: str, text: str | None, reason: Reason, entry_ticks: int, sign: int
) -> int | Rejection | None:
    """Read a protective price; with sign +1 it must lie below the entry, with -1 above."""
    if text is None:
        return None
    ticks = on_tick(instrument, key, text)
    if isinstance(ticks, Rejection):
        return ticks
    if (entry_ticks - ticks) * sign <= 0:
        place = "below" if sign > 0 else "above"
        entry = format(entry_ticks * instrument.tick, "f")
        return Rejection(reason, f"expected {key} {place} the entry of {entry}, was {text}")
    return ticks


def quantity_steps(instrument: Instrument, quantity: str) -> int | Rejection:
    """Read a quantity in lots as steps, within what the instrument takes."""
    steps = to_units(Decimal(quantity), instrument.size_step)
    if steps is None:
        return Rejection(
            Reason.QUANTITY_OFF_STEP,
            f"expected a multiple of {instrument.size_step} lots, was {quantity}",
        )
    return _within(instrument, steps)


def reversing_intent(
    position: Position,
    instrument: Instrument,
    quote: Quote,
    payload: Mapping[str, Any],
    model: FillModel,
) -> Intent | Rejection:
    """Size a reversal: twice the position the other way, with protective prices of the new one."""
    side = -BUY if position.size_steps > 0 else BUY
    protective = protective_prices(instrument, side, expected_price(model, quote, side), payload)
    if isinstance(protective, Rejection):
        return protective
    return Intent(instrument, quote, side, 2 * abs(position.size_steps), *protective)


def _within(instrument: Instrument, steps: int) -> int | Rejection:
    if steps < instrument.min_size_steps:
        least = _lots(instrument, instrument.min_size_steps)
        return Rejection(
            Reason.QUANTITY_TOO_SMALL,
            f"expected at least {least} lots, was {_lots(instrument, steps)}",
        )
    if steps > instrument.max_size_steps:
        most = _lots(instrument, instrument.max_size_steps)
        return Rejection(
            Reason.QUANTITY_TOO_LARGE,
            f"expected at most {most} lots, was {_lots(instrument, steps)}",
        )
    return steps


def _equity_size(
    account: Account, market: Market, instrument: Instrument, entry_ticks: int, percent: Decimal
) -> int | Rejection:
    """Return the steps whose value is the percent of the equity, rounded down."""
    equity_minor = equity_of(account, market)
    if isinstance(equity_minor, Rejection):
        return equity_minor
    value_micro = muldiv(entry_ticks, instrument.unit_num, instrument.unit_den)
    rate = market.rate(instrument, account.currency, value_micro)
    if isinstance(rate, Rejection):
        return rate
    value_micro = muldiv(value_micro, *rate)
    wanted_micro = to_units_floor(max(equity_minor, 0) * percent * MICRO, Decimal(100))
    return _within(instrument, wanted_micro // max(value_micro, 1))


def _risk_size(
    account: Account,
    market: Market,
    instrument: Instrument,
    entry_ticks: int,
    stop_loss_ticks: int | None,
    percent: Decimal,
    fees: Fees,
) -> int | Rejection:
    """Return the steps whose loss at the stop is the percent of the balance, rounded down."""
    if stop_loss_ticks is None:
        return Rejection(Reason.INVALID_STOP_LOSS, "expected a stopLoss with riskPercent, was none")
    rate = market.rate(instrument, account.currency, -1)
    if isinstance(rate, Rejection):
        return rate
    risk_micro = to_units_floor(account.balance_minor * percent * MICRO, Decimal(100))
    steps = risk_steps(
        risk_micro,
        abs(entry_ticks - stop_loss_ticks),
        entry_ticks,
        instrument.unit_num,
        instrument.unit_den,
        fees.step_num,
        fees.step_den,
        fees.notional_ppm,
        *rate,
    )
    return _within(instrument, steps)
