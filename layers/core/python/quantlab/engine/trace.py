"""What decisions led to, as rows that compare, and the hash over what must never differ.

Every integer is written as text: JSON numbers end at 2^53.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from quantlab.engine.commands import Event, Fill, Outcome, Violation
from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fills import LedgerEntry
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.rules.floors import floors
from quantlab.rules.terms import Profile

EVENT, FILL, LEDGER, ORDER, VIOLATION = "event", "fill", "ledgerEntry", "order", "violation"
# The moment of a decision and the command that led to it differ between two runs of the same
# history; what was decided may not.
_MOMENTS = frozenset(("occurredNs", "createdNs", "signalId", "at"))
_APART = frozenset(("seq", "eventSeq", "entries"))


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One record of an account: its table, the event it came with, and its fields.

    key tells records of one table and event apart.
    """

    seq: int
    table: str
    key: str
    fields: dict[str, Json]


def event_row(event: Event) -> Row:
    """Write an event."""
    return _row(event.seq, EVENT, "", event)


def fill_row(fill: Fill) -> Row:
    """Write a fill without its bookings, which are rows of their own."""
    return _row(fill.event_seq, FILL, "", fill)


def ledger_row(seq: int, entry: LedgerEntry) -> Row:
    """Write a booking of the event with that seq."""
    return _row(seq, LEDGER, entry.kind, entry)


def order_row(order: Order) -> Row:
    """Write an order that has ended."""
    row = _row(order.event_seq, ORDER, order.order_id, order)
    return replace(row, fields={**row.fields, "terms": None}) if order.is_plain else row


def violation_row(violation: Violation) -> Row:
    """Write a broken rule with its verdict."""
    return _row(violation.event_seq, VIOLATION, "", violation)


def outcome_rows(outcome: Outcome) -> list[Row]:
    """Return all that one command led to, in the order of its events."""
    rows = [event_row(event) for event in outcome.events]
    rows += [fill_row(fill) for fill in outcome.fills]
    rows += [ledger_row(f.event_seq, entry) for f in outcome.fills for entry in f.entries]
    bookings = outcome.life.bookings if outcome.life is not None else ()
    rows += [ledger_row(booking.event_seq, booking.entry) for booking in bookings]
    rows += [order_row(order) for order in outcome.orders]
    rows += [violation_row(violation) for violation in outcome.violations]
    return in_order(rows)


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Sort rows by their event, table and key."""
    return sorted(rows, key=_place)


def account_fields(account: Account) -> dict[str, Json]:
    """Write an account's state as comparable fields."""
    fields_: dict[str, Json] = _plain(account)
    return fields_


def _place(row: Row) -> tuple[int, str, str]:
    return row.seq, row.table, row.key


def _row(seq: int, table: str, key: str, value: Any) -> Row:
    written = {
        name: _plain(getattr(value, field.name))
        for field in fields(value)
        if (name := _camel(field.name)) not in _APART
    }
    return Row(seq, table, key, written)


def _plain(value: Any) -> Any:
    """Write a value of ours as JSON; payloads, which are JSON already, keep their integers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(field.name): _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        held = value.values()
        records = any(is_dataclass(item) for item in held)
        return {k: _plain(v) for k, v in sorted(value.items())} if records else dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class TraceHash:
    """SHA-256 over fills, floors, verdicts, orders and bookings of an account, in order.

    One line of RFC 8785 JSON a record; a floor is a record when it changes. Two runs with the same
    hash decided the same; moments and identifiers of commands are not in it.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._floors: list[Json] = []
        self.lines = 0

    def add(self, outcome: Outcome, profile: Profile) -> None:
        """Take in what the next command led to."""
        for line in _decided_lines(outcome_rows(outcome)):
            self._write(line)
        account = outcome.account
        held: list[Json] = [
            {"rule": floor.rule_id, "floorMinor": str(floor.floor_minor), "if": floor.comparator}
            for floor in floors(profile, account, account.high_water_minor)
        ]
        if held != self._floors:
            self._floors = held
            self._write({"table": "floors", "floors": held})

    def hexdigest(self) -> str:
        """Return the hash of what was taken in."""
        return self._digest.hexdigest()

    def _write(self, line: dict[str, Json]) -> None:
        self._digest.update(canonical_json(line) + b"\n")
        self.lines += 1


def _decided_lines(rows: Sequence[Row]) -> Iterator[dict[str, Json]]:
    for row in rows:
        if row.table == EVENT:
            if str(row.fields["eventType"]).startswith("rule."):
                verdict = _timeless(row.fields["payload"])
                yield {"seq": str(row.seq), "table": "verdict", "verdict": verdict}
        elif row.table != VIOLATION:
            yield {"seq": str(row.seq), "table": row.table, **_timeless(row.fields)}


def _timeless(fields_: Any) -> dict[str, Json]:
    return {name: value for name, value in fields_.items() if name not in _MOMENTS}


def trace_hash(outcomes: Iterable[tuple[Outcome, Profile]]) -> str:
    """Return the hash of a whole run."""
    trace = TraceHash()
    for outcome, profile in outcomes:
        trace.add(outcome, profile)
    return trace.hexdigest()
