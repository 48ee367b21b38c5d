"""Every state with every action: a legal step with its event, or a named refusal."""

import re
from pathlib import Path

import pytest

from quantlab.engine import lifecycle as life
from quantlab.engine.lifecycle import ACTIONS, FINAL_STATES, OPEN_STATES, STATES, STEPS, step
from quantlab.engine.rejections import Reason, Rejection

CONTRACT_EVENTS = {
    "order.accepted", "order.rejected", "order.triggered", "order.partially_filled",
    "order.filled", "order.cancelled", "order.expired", "order.modified",
}  # fmt: skip
LIVE = (life.WORKING, life.TRIGGERED, life.PARTIALLY_FILLED)
# One letter a cell, in the order of ACTIONS: the state it leads to, or the refusal.
#            accept hold reject release trigger part fill modify cancel expire
MATRIX = {
    "new":              "W P R i i i i i i i",
    "pending_parent":   "p p p W p p p S C E",
    "working":          "i i i i T A F S C E",
    "triggered":        "i i i i t A F S C E",
    "partially_filled": "i i i i t A F S C E",
    "filled":           "n n n n n n n n n n",
    "cancelled":        "n n n n n n n n n n",
    "expired":          "n n n n n n n n n n",
    "rejected":         "n n n n n n n n n n",
}  # fmt: skip
LEADS = {
    "W": life.WORKING, "P": life.PENDING_PARENT, "R": life.REJECTED, "T": life.TRIGGERED,
    "A": life.PARTIALLY_FILLED, "F": life.FILLED, "C": life.CANCELLED, "E": life.EXPIRED,
}  # fmt: skip
REFUSALS = {
    "i": Reason.ILLEGAL_STEP,
    "n": Reason.ORDER_NOT_WORKING,
    "p": Reason.ORDER_PENDING,
    "t": Reason.ALREADY_TRIGGERED,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_the_whole_matrix(state: str, action: str) -> None:
    cell = MATRIX[state].split()[ACTIONS.index(action)]
    found = step(state, action)
    if isinstance(found, Rejection):
        assert found.reason == REFUSALS.get(cell)
    else:
        assert found.state == (state if cell == "S" else LEADS.get(cell))


def test_final_states_end_and_open_ones_can() -> None:
    assert set(STATES) == {life.NEW, *OPEN_STATES, *FINAL_STATES} == set(MATRIX)
    assert not [state for state, _ in STEPS if state in FINAL_STATES]
    for state in OPEN_STATES:
        assert {STEPS[state, life.CANCEL].state, STEPS[state, life.EXPIRE].state} == {
            life.CANCELLED,
            life.EXPIRED,
        }
    assert {state for state, action in STEPS if action == life.FILL} == set(LIVE)


def test_each_step_is_one_event_of_the_contract() -> None:
    assert {found.event_type for found in STEPS.values()} == CONTRACT_EVENTS


def test_the_documented_table_is_that_of_the_code() -> None:
    text = (Path(__file__).parents[3] / "docs/orders.md").read_text(encoding="utf-8")
    documented = re.search(r"<!-- states -->\n(.*?)<!-- /states -->", text, re.DOTALL)
    assert documented is not None
    assert documented.group(1) == life.table_text()
