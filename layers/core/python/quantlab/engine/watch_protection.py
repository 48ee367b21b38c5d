"""Stop-loss and take-profit of a position under watch: which a quote has reached."""

from typing import Final

from quantlab.engine import commands
from quantlab.engine.watched import Name
from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Position
from quantlab.market.quote import Quote

STOP_LOSS: Final = "stop_loss"
TAKE_PROFIT: Final = "take_profit"


def touched(position: Position, quote: Quote) -> str | None:
    """Return which protective price a quote has reached; the stop-loss comes first."""
    stop, target = position.stop_loss_ticks, position.take_profit_ticks
    sign, price = (1, quote.bid_ticks) if position.size_steps > 0 else (-1, quote.ask_ticks)
    if stop is not None and sign * (price - stop) <= 0:
        return STOP_LOSS
    if target is not None and sign * (price - target) >= 0:
        return TAKE_PROFIT
    return None


def protection(position: Position, kind: str, quote: Quote) -> tuple[Name, dict[str, Json]]:
    """Name what a quote calls for of a position's protective price, and record it."""
    price_ticks = position.stop_loss_ticks if kind == STOP_LOSS else position.take_profit_ticks
    payload: dict[str, Json] = {
        **position.named,
        "openedSeq": position.opened_seq,
        "kind": kind,
        "priceTicks": price_ticks,
        "feedSeq": quote.seq,
        "bidTicks": quote.bid_ticks,
        "askTicks": quote.ask_ticks,
        "quoteTime": format_rfc3339(quote.ts_ns),
    }
    about = (commands.PROTECT, position.symbol, position.opened_seq, kind, price_ticks or 0)
    return about, payload


def stop_name(position: Position) -> Name:
    """Name a position's stop: the same name, the same stop."""
    return (position.symbol, position.opened_seq, position.stop_loss_ticks or 0)
