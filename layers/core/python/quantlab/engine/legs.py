"""Which positions an order or a close means: one a symbol, or the legs of a hedging account.

A leg is named by its ticket, which the order that opens it gets when it is accepted.
"""

from collections.abc import Mapping
from typing import Any, Final

from quantlab.engine.draft import Draft
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.trading import side_name
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Position

POSITIONS_MAX: Final = 200
_NETS: Final = Rejection(Reason.HEDGING_ONLY, "expected no ticket: the account nets")


def refused_leg(draft: Draft, order: Order) -> Rejection | None:
    """Say why an order has no position that it may reduce, or may open."""
    terms, hedging = order.terms, draft.context.trading.hedging
    if terms.ticket is not None and not hedging:
        return _NETS
    if terms.reduce_only and hedging and terms.ticket is None:
        words = "expected the ticket of the leg that the order reduces, was none"
        return Rejection(Reason.TICKET_NEEDED, words)
    if terms.reduce_only and not draft.account.reducible_steps(order):
        side, named = side_name(order.side), _named(order.symbol, terms.ticket)
        words = f"no position of {named} that a {side} makes smaller"
        return Rejection(Reason.WOULD_NOT_REDUCE, words)
    count = len(draft.account.positions)
    if hedging and not terms.reduce_only and count >= POSITIONS_MAX:
        words = f"expected fewer than {POSITIONS_MAX} open positions, was {count}"
        return Rejection(Reason.TOO_MANY_POSITIONS, words)
    return None


def named_positions(
    draft: Draft, symbol: str, payload: Mapping[str, Any]
) -> list[Position] | Rejection:
    """Return what a close or reverse means: a leg by its ticket, else all of the symbol.

    Those opened first come first.
    """
    hedging, ticket = draft.context.trading.hedging, payload.get("ticket")
    if ticket is not None and not hedging:
        return _NETS
    if hedging and payload["action"] == "reverse":
        words = "an account that hedges turns nothing round: close the leg and open another"
        return Rejection(Reason.NETTING_ONLY, words)
    if hedging and ticket is None and "quantity" in payload:
        words = "expected the ticket of the leg that the quantity is of, was none"
        return Rejection(Reason.TICKET_NEEDED, words)
    found = [one for one in draft.account.legs(symbol) if ticket in (None, one.ticket)]
    named = _named(symbol, ticket)
    return found or Rejection(Reason.NO_POSITION, f"no open position of {named}")


def _named(symbol: str, ticket: str | None) -> str:
    return symbol if ticket is None else f"{symbol} with ticket {ticket}"
