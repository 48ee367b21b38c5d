"""Orders as the API and signals ask for them."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

from quantlab.webhooks.body import ACTIONS, EXITS
from quantlab.webhooks.order_fields import BRACKET, LINK_TYPES, ORDER_TYPES, TIMES
from quantlab_edge.http import ApiModel

_EXACT = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_TERMS: dict[str, Any] = {
    "orderType": {"type": "string", "enum": list(ORDER_TYPES)},
    "price": _EXACT,
    "triggerPrice": _EXACT,
    "trailDistance": _EXACT,
    "trailPercent": _EXACT,
    "timeInForce": {"type": "string", "enum": list(TIMES)},
    "expireAt": {"type": "string", "format": "date-time"},
    "reduceOnly": {"type": "boolean"},
    "postOnly": {"type": "boolean"},
    "stopLoss": _EXACT,
    "takeProfit": _EXACT,
    "ticket": {"type": "string", "format": "uuid"},
}
_LEG = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ["buy", "sell"]},
        "quantity": _EXACT,
        "clientId": {"type": "string"},
        **_TERMS,
    },
}
# Checked by the signal's own reader, which names every problem and knows no floats.
Exact = Annotated[Any, WithJsonSchema(_EXACT)]
Text = Annotated[Any, WithJsonSchema({"type": "string"})]
Flag = Annotated[Any, WithJsonSchema({"type": "boolean"})]
Moment = Annotated[Any, WithJsonSchema(_TERMS["expireAt"])]
Links = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "required": ["type", "orders"],
            "properties": {
                "type": {"type": "string", "enum": list(LINK_TYPES)},
                "orders": {"type": "array", "items": _LEG},
            },
        }
    ),
]
Bracket = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "properties": dict.fromkeys(BRACKET, _EXACT),
        }
    ),
]


class NewOrder(ApiModel):
    """An order, read like a signal. Give side (buy, sell) or action; numbers are exact.

    ticket names the leg of a hedging account that a close, or an order that only reduces, is for.
    """

    symbol: Text = None
    action: Annotated[Any, WithJsonSchema({"type": "string", "enum": list(ACTIONS)})] = None
    side: Annotated[Any, WithJsonSchema({"type": "string", "enum": ["buy", "sell"]})] = None
    order_type: Annotated[Any, WithJsonSchema(_TERMS["orderType"])] = None
    quantity: Exact = None
    risk_percent: Exact = None
    equity_percent: Exact = None
    price: Exact = None
    trigger_price: Exact = None
    trail_distance: Exact = None
    trail_percent: Exact = None
    time_in_force: Annotated[Any, WithJsonSchema(_TERMS["timeInForce"])] = None
    expire_at: Moment = None
    reduce_only: Flag = None
    post_only: Flag = None
    stop_loss: Exact = None
    take_profit: Exact = None
    links: Links = None
    bracket: Bracket = None
    ticket: Annotated[Any, WithJsonSchema(_TERMS["ticket"])] = None
    client_id: Text = None
    order_id: Text = None
    signal_id: Text = None
    exit: Annotated[Any, WithJsonSchema({"type": "string", "enum": list(EXITS)})] = None


class OrderChange(ApiModel):
    """What to change of a working order; what is not named stays. quantity is the new total."""

    quantity: Exact = None
    price: Exact = None
    trigger_price: Exact = None
    trail_distance: Exact = None
    trail_percent: Exact = None
    expire_at: Moment = None
