"""The state table of docs/accounts.md is what the engine does, cell by cell."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.engine_cases import BALANCE, account, command, run, trade
from tests.support.life_cases import (
    DAYS,
    EVALUATION,
    FIRST,
    PASSED,
    PAYING,
    TERMS,
    ask,
    asked_override,
    kind,
)

from quantlab.engine import commands
from quantlab.engine.commands import Command, Outcome
from quantlab.engine.opening import Course, Start
from quantlab.ledger.state import Account

DOCS = Path(__file__).parents[3] / "docs" / "accounts.md"
STATES = {
    "active": ("active", None),
    "locked": ("locked", "daily_loss"),
    "disabled by a rule": ("disabled", "daily_loss"),
    "disabled by an operator": ("disabled", "news"),
    "closed": ("closed", "left"),
}
COURSE = Course(Start(kind("paid", TERMS), FIRST), target=PAYING.start)
REASON = {"reason": "why", "by": "user:a"}
PAYOUT = {"amount": "1.00", "splitPpm": TERMS.split_ppm, "sinceDate": None}
STRICT: dict[str, Any] = {"balance_minor": BALANCE - 500_001}
EARNED: dict[str, Any] = {"balance_minor": BALANCE + 500_000, "closed_days": DAYS}
HELD: dict[str, Any] = {"positions": trade(account(FIRST), rules=FIRST).account.positions}
WON: dict[str, Any] = {**EARNED, "closed_days": PASSED}

Row = tuple[Command, dict[str, Any], Course]
ROWS: dict[str, Row] = {
    "an order": (command(symbol="EURUSD", action="buy", quantity="0.10"), {}, COURSE),
    "the day ends": (command(commands.ROLL_DAY, "schedule"), {}, COURSE),
    "the day ends, a position is open": (command(commands.ROLL_DAY, "schedule"), HELD, COURSE),
    "a hard rule is broken": (
        command(commands.CHECK_RULES, "schedule", checkpoint="now"), STRICT, COURSE,
    ),
    "all goals are met, flat": (
        command(commands.CHECK_RULES, "schedule", checkpoint="now"), WON, EVALUATION,
    ),
    "disable": (command(commands.DISABLE, "operator", **REASON), {}, COURSE),
    "enable": (command(commands.ENABLE, "operator", **REASON), {}, COURSE),
    "close": (command(commands.CLOSE, "operator", **REASON), {}, COURSE),
    "payout, approved": (ask(commands.PAY_OUT, **PAYOUT), EARNED, COURSE),
    "override, approved": (asked_override(), {}, COURSE),
    "reset, approved": (ask(commands.RESET), {}, COURSE),
    "move to the newest configuration": (
        command(commands.MOVE_CONFIG, "operator", version="d", by="user:a"), {}, COURSE,
    ),
}  # fmt: skip


def carried_out(row: Row, state: str) -> tuple[Account, Outcome]:
    request, fields, course = row
    status, reason = STATES[state]
    before = account(FIRST, status=status, status_reason=reason, **fields)
    now_ns = before.day.next_reset_ns if request.name == commands.ROLL_DAY else None
    if now_ns is None:
        return before, run(before, request, rules=FIRST, course=course)
    return before, run(before, request, rules=FIRST, course=course, now_ns=now_ns)


def cell(row: Row, state: str) -> str:
    before, outcome = carried_out(row, state)
    after = outcome.account
    if outcome.rejection is not None:
        assert replace(after, event_seq=0) == replace(before, event_seq=0)
        return f"`{outcome.rejection.reason}`"
    if after.status == before.status:
        return "stays"
    opened = outcome.life is not None and bool(outcome.life.opened)
    return f"**{after.status}**" + (", another opens" if opened else "")


def table() -> str:
    head = ["What happens", *STATES]
    lines = [head, ["---"] * len(head)]
    lines += [[name, *(cell(row, state) for state in STATES)] for name, row in ROWS.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def test_the_documented_table_is_what_the_engine_does() -> None:
    assert table() in DOCS.read_text("utf-8"), "docs/accounts.md should have:\n" + table()
