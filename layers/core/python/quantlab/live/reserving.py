"""What the working orders of an account could open, as a run is told it."""

from collections.abc import Mapping

from quantlab.engine import lifecycle
from quantlab.engine.order_terms import LIMITED, trigger_of
from quantlab.ledger.state import Account
from quantlab.live.events import Resting


def resting(account: Account, numbers: Mapping[str, int]) -> list[Resting]:
    """Return the orders that reserve margin, by the rules of `engine.margin`; numbers by symbol.

    Raises KeyError for the symbol of one that has no number.
    """
    found = []
    for order in account.working.values():
        if order.status == lifecycle.PENDING_PARENT or order.terms.reduce_only:
            continue
        limited = order.order_type in LIMITED
        price_ticks = order.terms.limit_ticks if limited else trigger_of(order)
        number = numbers[order.symbol]
        found.append(Resting(number, order.side, order.remaining_steps, price_ticks or 0))
    return sorted(found)
