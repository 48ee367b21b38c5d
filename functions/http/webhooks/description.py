"""What the OpenAPI document says of the routes in the handler; the Lambda never imports it."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from functions.http.webhooks import handler
from quantlab.webhooks.body import ACTIONS, EXITS
from quantlab.webhooks.order_fields import ORDER_TYPES, TIMES
from quantlab_edge.http import ApiModel, described
from quantlab_edge.order_requests import Bracket, Links
from quantlab_edge.raw import RawEndpoint


class SignalIn(ApiModel):
    """A signal. Decimals are text or JSON numbers, read exactly."""

    id: str | None = Field(None, max_length=128, description="The sender's idempotency key.")
    symbol: str | None = Field(None, max_length=64, description="A symbol or a mapped ticker.")
    action: str = Field(description=", ".join(ACTIONS) + ".")
    quantity: str | None = Field(None, description="Lots, contracts or coins.")
    risk_percent: str | None = Field(None, description="Percent of the balance lost at the stop.")
    equity_percent: str | None = Field(None, description="Value as a percent of the equity.")
    order_type: str = Field("market", description=", ".join(ORDER_TYPES) + ".")
    price: str | None = Field(None, description="The limit; of a market order only recorded.")
    trigger_price: str | None = Field(None, description="The stop or touch price.")
    trail_distance: str | None = Field(None, description="Of a trailing stop, in price.")
    trail_percent: str | None = Field(None, description="Of a trailing stop, of the best price.")
    time_in_force: str | None = Field(None, description=", ".join(TIMES) + ".")
    expire_at: str | None = Field(None, description="RFC 3339, with timeInForce gtd.")
    reduce_only: bool = False
    post_only: bool = False
    stop_loss: str | None = None
    take_profit: str | None = None
    links: Links = Field(None, description="Orders linked to this one.")
    bracket: Bracket = Field(None, description="The exits of this entry.")
    client_id: str | None = Field(None, max_length=64)
    order_id: str | None = Field(None, description="Which order to cancel or modify.")
    signal_id: str | None = Field(None, description="With exit, whose bracket to modify.")
    exit: str | None = Field(None, description=", ".join(EXITS) + ".")
    account_id: str | None = Field(None, description="Default: the bot's own account.")


class SignalByToken(SignalIn):
    """A signal of a sender without headers."""

    secret: str = Field(description="The bot's secret; removed before anything is stored.")
    timenow: str | None = Field(None, description="The sender's time, RFC 3339.")


class SignalOut(ApiModel):
    """The signal is durably queued; its outcome follows on the account's event stream."""

    __module__ = handler.__name__  # the name under which clients of the document know it

    signal_id: str
    status: str = "accepted"


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": SignalOut, "description": "A duplicate; the body is that of the first."},
    202: {"model": SignalOut, "description": "Durably queued."},
}
BODIES: Final[Mapping[RawEndpoint, type[ApiModel]]] = {
    handler.post_signal: SignalIn,
    handler.post_signal_by_token: SignalByToken,
}

router = described(handler.router, BODIES, tags=["webhooks"], status_code=202, responses=ANSWERS)
