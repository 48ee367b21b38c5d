"""The states of an order and every legal step between them, as data.

docs/orders.md holds the same table, written by `table_text`.
"""

from typing import Final

from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.records import dataclass

NEW: Final = "new"
PENDING_PARENT: Final = "pending_parent"
WORKING: Final = "working"
TRIGGERED: Final = "triggered"
PARTIALLY_FILLED: Final = "partially_filled"
FILLED: Final = "filled"
CANCELLED: Final = "cancelled"
EXPIRED: Final = "expired"
REJECTED: Final = "rejected"

OPEN_STATES: Final = (PENDING_PARENT, WORKING, TRIGGERED, PARTIALLY_FILLED)
FINAL_STATES: Final = (FILLED, CANCELLED, EXPIRED, REJECTED)
STATES: Final = (NEW, *OPEN_STATES, *FINAL_STATES)

ACCEPT: Final = "accept"
HOLD: Final = "hold"
REJECT: Final = "reject"
RELEASE: Final = "release"
TRIGGER: Final = "trigger"
FILL_PART: Final = "fill_part"
FILL: Final = "fill"
MODIFY: Final = "modify"
CANCEL: Final = "cancel"
EXPIRE: Final = "expire"
ACTIONS: Final = (
    ACCEPT, HOLD, REJECT, RELEASE, TRIGGER, FILL_PART, FILL, MODIFY, CANCEL, EXPIRE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """Where an action leads, and the event that tells of it."""

    state: str
    event_type: str


def _live(state: str) -> dict[tuple[str, str], Step]:
    """Return the steps of an order that may fill."""
    return {
        (state, FILL_PART): Step(PARTIALLY_FILLED, "order.partially_filled"),
        (state, FILL): Step(FILLED, "order.filled"),
        **_open(state),
    }


def _open(state: str) -> dict[tuple[str, str], Step]:
    """Return the steps of any order that has not ended."""
    return {
        (state, MODIFY): Step(state, "order.modified"),
        (state, CANCEL): Step(CANCELLED, "order.cancelled"),
        (state, EXPIRE): Step(EXPIRED, "order.expired"),
    }


STEPS: Final[dict[tuple[str, str], Step]] = {
    (NEW, ACCEPT): Step(WORKING, "order.accepted"),
    (NEW, HOLD): Step(PENDING_PARENT, "order.accepted"),
    (NEW, REJECT): Step(REJECTED, "order.rejected"),
    (PENDING_PARENT, RELEASE): Step(WORKING, "order.modified"),
    **_open(PENDING_PARENT),
    (WORKING, TRIGGER): Step(TRIGGERED, "order.triggered"),
    **_live(WORKING),
    **_live(TRIGGERED),
    **_live(PARTIALLY_FILLED),
}


def step(state: str, action: str) -> Step | Rejection:
    """Return where an action leads from a state, or the named reason why it may not happen."""
    found = STEPS.get((state, action))
    if found is not None:
        return found
    if state in FINAL_STATES:
        return Rejection(Reason.ORDER_NOT_WORKING, f"the order is {state}")
    if state == PENDING_PARENT:
        return Rejection(Reason.ORDER_PENDING, f"the order waits for its parent: no {action}")
    if action == TRIGGER and state != NEW:
        return Rejection(Reason.ALREADY_TRIGGERED, f"the order is {state}")
    return Rejection(Reason.ILLEGAL_STEP, f"no {action} of an order that is {state}")


def table_text() -> str:
    """Write the steps as a Markdown table: a row a state, a column an action."""
    rows = [("state", *ACTIONS), ("---",) * (len(ACTIONS) + 1)]
    rows += [(f"`{state}`", *(_cell(state, action) for action in ACTIONS)) for state in STATES]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _cell(state: str, action: str) -> str:
    found = step(state, action)
    if isinstance(found, Rejection):
        return f"*{found.reason}*"
    return f"`{found.state}` {found.event_type}"
