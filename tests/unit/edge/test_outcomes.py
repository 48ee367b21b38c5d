"""A rejected command becomes a problem whose errors point at the field that is meant."""

from typing import Any

import pytest

from quantlab_app.ports.inbox import Delivery
from quantlab_edge.outcomes import rejection_problem
from quantlab_edge.problems import FieldError

EXITS = {"stopLoss": "1.2", "takeProfit": "1.3"}


def rejected(reason: str, detail: str, payload: dict[str, Any]) -> Delivery:
    return Delivery(
        inbox_id=1, signal_id="s", account_id="a", source_kind="user", source_id="u",
        name="trade", payload=payload, received_ns=0, status="rejected", reason=reason,
        result={"detail": detail}, attempts=1, duplicates=0, done_ns=1, from_seq=None, to_seq=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "detail", "payload", "error"),
    [
        (
            "ticket_needed",
            "expected the ticket of the leg that the order reduces, was none",
            {},
            FieldError("/ticket", "the ticket of the leg that the order reduces", "none"),
        ),
        (
            "not_of_order_type",
            "expected triggerPrice absent for a limit order, was given",
            {},
            FieldError("/triggerPrice", "triggerPrice absent for a limit order", "given"),
        ),
        (
            "unknown_instrument",
            "expected an instrument, was NOPE",
            {"symbol": "NOPE"},
            FieldError("/symbol", "an instrument", "NOPE"),
        ),
        (
            "invalid_stop_loss",
            "expected stopLoss below the entry of 1.1, was 1.2",
            EXITS,
            FieldError("/stopLoss", "stopLoss below the entry of 1.1", "1.2"),
        ),
        (
            "invalid_stop_loss",
            "expected stopLoss below the entry of 1.1, was 1.2",
            {"bracket": EXITS},
            FieldError("/bracket/stopLoss", "stopLoss below the entry of 1.1", "1.2"),
        ),
    ],
)
def test_a_rejection_points_at_its_field(
    reason: str, detail: str, payload: dict[str, Any], error: FieldError
) -> None:
    problem = rejection_problem(rejected(reason, detail, payload))

    assert (problem.status, problem.errors) == (422, (error,))


def test_a_rejection_that_no_field_caused_names_none() -> None:
    problem = rejection_problem(rejected("no_position", "no open position", {}))

    assert (problem.status, problem.errors, problem.extra) == (409, (), {"signalId": "s"})
