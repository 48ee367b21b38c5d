"""Orders as rows: the columns of working orders and of those that ended are the same."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from quantlab.ledger.orders import Order, Terms


def order_of(values: Sequence[Any]) -> Order:
    """Read the columns of an order; terms are null for a plain market order."""
    order = Order(*values[:15])
    return order if values[15] is None else replace(order, terms=Terms(**values[15]))


def order_row(account_id: str, order: Order) -> tuple[Any, ...]:
    """Write an order as its account and the columns that order_of reads."""
    return (
        account_id,
        order.order_id,
        order.signal_id,
        order.client_id,
        order.source_kind,
        order.symbol,
        order.side,
        order.order_type,
        order.size_steps,
        order.filled_steps,
        order.stop_loss_ticks,
        order.take_profit_ticks,
        order.status,
        order.reason,
        order.event_seq,
        order.created_ns,
        terms_of(order),
    )


def terms_of(order: Order) -> dict[str, Any] | None:
    """Return an order's terms as JSON; a market order that was filled at once has none."""
    return None if order.is_plain else asdict(order.terms)
