"""An account decided again from what was recorded, held against what was recorded.

The recorded commands with their recorded inputs go through the same execute, from the account's
opening on. Nothing of the record is taken over but commands, inputs and ticks.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from quantlab.engine.commands import MOVE_CONFIG, Command, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.inputs import Inputs
from quantlab.engine.opening import Rules, fresh_account, rules_of, start_of
from quantlab.engine.tape import Tape
from quantlab.engine.trace import (
    LEDGER,
    Row,
    TraceHash,
    account_fields,
    in_order,
    ledger_row,
    outcome_rows,
)
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import InvariantBroken
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fills import LedgerEntry
from quantlab.ledger.state import Account
from quantlab.market.catalog import Catalog
from quantlab.market.halts import Halt
from quantlab.market.quote import Quote
from quantlab.rules.surroundings import NOTHING_KNOWN, Surroundings
from quantlab.tenancy.config import AccountType

ABSENT = "nothing"


@dataclass(frozen=True, slots=True)
class Decided:
    """A command that was carried out: its recorded inputs, and how it was answered."""

    command: Command
    inputs: Inputs
    outcome: str
    reason: str | None
    result: dict[str, Json] | None


@dataclass(frozen=True, slots=True)
class Recording:
    """All that was recorded of an account, and what its commands were decided on.

    types and documents of fill models are those of each configuration version that the account was
    under or was to be moved to.
    decided are in the order in which they were carried out, rows in order of seq; account is the
    state they ended in. halts are for runs on ticks; a decision's own are among its inputs.
    """

    opening: Account
    account: Account
    catalog: Catalog
    types: Mapping[str, Mapping[str, AccountType]]
    fill_models: Mapping[str, Mapping[str, Mapping[str, Any]]]
    decided: Sequence[Decided]
    ticks: Sequence[Quote]
    rows: Sequence[Row]
    halts: Sequence[Halt] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the record and the replay part first: recorded is what stands, replayed what follows.

    seq is the account's event; table and key name the record, field what of it.
    """

    seq: int
    table: str
    key: str
    field: str
    recorded: Json
    replayed: Json

    def __str__(self) -> str:
        name = f"{self.table} {self.key}".strip()
        return (
            f"event {self.seq}, {name}, {self.field}:"
            f" recorded {self.recorded!r}, replayed {self.replayed!r}"
        )


@dataclass(slots=True)
class Report:
    """What a replay found: the hash of all it decided, and the first difference, if any."""

    trace_hash: str = ""
    commands: int = 0
    difference: Difference | None = None
    account: Account | None = field(default=None, repr=False)

    @property
    def matches(self) -> bool:
        """Say whether every record followed from its inputs."""
        return self.difference is None


def opening_of(account: Account, types: Mapping[str, AccountType], opened_ns: int) -> Account:
    """Return the account as it was opened under the configuration it names."""
    start = start_of(types[account.account_type], account.initial_balance_minor)
    version = account.config_version
    return fresh_account(account.tenant_id, account.account_id, start, version, opened_ns)


def outcomes(recording: Recording) -> Iterator[Outcome]:
    """Decide every recorded command again, each on its recorded inputs."""
    tape, account = Tape(recording.ticks), recording.opening
    for decided in recording.decided:
        context = _context(recording, tape, account, decided)
        outcome = execute(account, decided.command, context)
        account = outcome.account
        yield outcome


def rules_for(recording: Recording, account: Account) -> Rules:
    """Return the rules an account is pinned to."""
    version = account.config_version
    return rules_of(recording.types[version], account, recording.fill_models.get(version))


def context_of(
    rules: Rules,
    market: Market,
    now_ns: int,
    reset_market: Market | None = None,
    around: Surroundings = NOTHING_KNOWN,
) -> Context:
    """Return what a command is decided on."""
    return Context(
        market,
        rules.profile,
        rules.instruments,
        now_ns,
        reset_market,
        fill_models=rules.fill_models,
        around=around,
        course=rules.course,
        trading=rules.trading,
    )


def _context(recording: Recording, tape: Tape, account: Account, decided: Decided) -> Context:
    inputs, command = decided.inputs, decided.command
    market = inputs.market(recording.catalog, tape)
    rules = rules_for(recording, account)
    if command.name == MOVE_CONFIG:
        types = recording.types.get(command.payload["version"], {})
        kind = types.get(account.account_type)
        if kind is not None:
            target = start_of(kind, account.initial_balance_minor)
            rules = replace(rules, course=replace(rules.course, target=target))
    reset_market = inputs.reset_market(recording.catalog)
    return context_of(rules, market, inputs.now_ns, reset_market, inputs.around)


def verify(recording: Recording) -> Report:
    """Replay an account to its end and name the first difference from the record.

    The hash is that of the whole replay, whatever the record says. A command that cannot be
    decided any more is a difference as well, and ends the replay.
    """
    report, trace, tape = Report(), TraceHash(), Tape(recording.ticks)
    account, rows, start = recording.opening, in_order(recording.rows), 0
    opened = [row for row in rows if row.seq <= account.event_seq and row.table == LEDGER]
    report.difference = first_difference(opened, [_deposit(account)])
    rows = [row for row in rows if row.seq > account.event_seq]
    run = outcomes(recording)
    for decided in recording.decided:
        profile = rules_for(recording, account).profile
        try:
            outcome = next(run)
        except (InvariantBroken, KeyError, TypeError, ValueError) as fault:
            undecided = Difference(
                *(account.event_seq, "command", decided.command.signal_id, "decision"),
                *(decided.outcome, f"{type(fault).__name__}: {fault}"),
            )
            report.difference = report.difference or undecided
            break
        trace.add(outcome, profile)
        account = outcome.account
        end = bisect_right(rows, account.event_seq, start, key=_seq)
        report.difference = (
            report.difference
            or _quote_difference(decided.command, tape, account.event_seq)
            or first_difference(rows[start:end], outcome_rows(outcome))
            or _answer_difference(decided, outcome)
        )
        report.commands, start = report.commands + 1, end
    report.difference = report.difference or first_difference(rows[start:], ())
    report.difference = report.difference or _state_difference(recording.account, account)
    report.trace_hash, report.account = trace.hexdigest(), account
    return report


def _deposit(opening: Account) -> Row:
    balance = opening.initial_balance_minor
    return ledger_row(opening.event_seq, LedgerEntry("deposit", balance, 0, balance))


def _seq(row: Row) -> int:
    return row.seq


def first_difference(recorded: Iterable[Row], replayed: Iterable[Row]) -> Difference | None:
    """Return the first field of the first record in which two histories differ."""
    stands = {(row.seq, row.table, row.key): row for row in recorded}
    follows = {(row.seq, row.table, row.key): row for row in replayed}
    for row in in_order({**stands, **follows}.values()):
        place = (row.seq, row.table, row.key)
        here, there = stands.get(place), follows.get(place)
        if here is None or there is None:
            found = "record", _written(here), _written(there)
        elif here.fields == there.fields:
            continue
        else:
            found = _first_field(here.fields, there.fields)
        return Difference(*place, *found)
    return None


def _written(row: Row | None) -> Json:
    return ABSENT if row is None else row.fields


def _first_field(here: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[str, Json, Json]:
    """Name the first field that differs, of nested ones the innermost."""
    for name in sorted({*here, *there}):
        stands, follows = here.get(name, ABSENT), there.get(name, ABSENT)
        if stands == follows and (name in here) == (name in there):
            continue
        if isinstance(stands, dict) and isinstance(follows, dict):
            inner, *values = _first_field(stands, follows)
            return f"{name}.{inner}", values[0], values[1]
        return name, stands, follows
    return "record", dict(here), dict(there)


def _answer_difference(decided: Decided, outcome: Outcome) -> Difference | None:
    rejection = outcome.rejection
    stands = {"outcome": decided.outcome, "reason": decided.reason, "result": decided.result}
    follows = {
        "outcome": "executed" if rejection is None else "rejected",
        "reason": None if rejection is None else str(rejection.reason),
        "result": outcome.result if rejection is None else {"detail": rejection.detail},
    }
    if stands == follows:
        return None
    seq, name = outcome.account.event_seq, decided.command.signal_id
    return Difference(seq, "command", name, *_first_field(stands, follows))


def _state_difference(recorded: Account, replayed: Account) -> Difference | None:
    stands, follows = account_fields(recorded), account_fields(replayed)
    if stands == follows:
        return None
    return Difference(replayed.event_seq, "account", "", *_first_field(stands, follows))


def _quote_difference(command: Command, tape: Tape, seq: int) -> Difference | None:
    """Hold the quotes that a command was recorded with against the ticks."""
    for quote in carried_quotes(command):
        tick = tape.at(quote["symbol"], quote["seq"])
        follows = ABSENT if tick is None else _prices(tick.bid_ticks, tick.ask_ticks)
        stands = _prices(quote["bidTicks"], quote["askTicks"])
        if stands != follows:
            name = f"{quote['symbol']} {quote['seq']}"
            return Difference(seq, "tick", name, "bid/ask", stands, follows)
    return None


def _prices(bid_ticks: int, ask_ticks: int) -> str:
    return f"{bid_ticks}/{ask_ticks}"


def carried_quotes(command: Command) -> list[dict[str, Any]]:
    """Return the quotes that a command of the watch says it was called for by."""
    payload = command.payload
    if command.source_kind != "watch":
        return []
    quotes = list(payload.get("quotes", ()))
    if "bidTicks" in payload:
        own = ("symbol", "bidTicks", "askTicks")
        quotes.append({name: payload[name] for name in own} | {"seq": payload["feedSeq"]})
    return quotes
