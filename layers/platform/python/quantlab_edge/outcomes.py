"""What became of a submitted command, as an answer: its delivery, or the problem that names why.

It must not know what the command was about.
"""

from typing import Final

from quantlab_app.ports.inbox import Delivery
from quantlab_app.use_cases.submission import KeyTaken, Submitted
from quantlab_edge.http import ApiModel
from quantlab_edge.problems import PROBLEMS, FieldError, ProblemError

_POINTERS: Final = {
    "unknown_instrument": "/symbol",
    "ticket_needed": "/ticket",
    "invalid_stop_loss": "/stopLoss",
    "invalid_take_profit": "/takeProfit",
    "expired_already": "/expireAt",
    "trigger_reached": "/triggerPrice",
    "would_trade": "/price",
    "quantity_off_step": "/quantity",
    "quantity_too_small": "/quantity",
    "quantity_too_large": "/quantity",
}


class Pending(ApiModel):
    """The command is durably queued and not carried out yet; GET /signals/{signalId} follows it."""

    signal_id: str
    status: str = "accepted"


def settled(submitted: Submitted | KeyTaken) -> Delivery:
    """Return the executed or still pending command; raise the problem of any other end."""
    if isinstance(submitted, KeyTaken):
        raise ProblemError("body_conflict", "The key was used before for another request.")
    delivery = submitted.delivery
    if delivery.status == "rejected":
        raise rejection_problem(delivery)
    if delivery.status == "dead":
        detail = f"It waits among the dead letters as {delivery.signal_id}."
        raise ProblemError("command_failed", detail, extra={"signalId": delivery.signal_id})
    return delivery


def rejection_problem(delivery: Delivery) -> ProblemError:
    """Word a rejection: its reason is the slug."""
    slug = delivery.reason or "conflict"
    detail = str((delivery.result or {}).get("detail") or "The command was refused.")
    extra = {"signalId": delivery.signal_id}
    if PROBLEMS[slug][0] != 422:
        return ProblemError(slug, detail, extra=extra)
    expected, _, got = detail.removeprefix("expected ").partition(", was ")
    pointer = _POINTERS.get(slug) or f"/{expected.split(' ')[0]}"
    if pointer.removeprefix("/") in delivery.payload.get("bracket", {}):
        pointer = f"/bracket{pointer}"
    return ProblemError(slug, detail, [FieldError(pointer, expected, got or "absent")], extra=extra)
