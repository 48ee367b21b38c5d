"""Replays of a small history: the same again, and every tampering named."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.support import engine_cases as cases
from tests.support.rule_cases import document

from quantlab.engine.batch import BatchRun, given_commands
from quantlab.engine.commands import Command
from quantlab.engine.context import Market
from quantlab.engine.execute import execute
from quantlab.engine.inputs import Inputs, inputs_of, read_inputs, with_reset
from quantlab.engine.opening import rules_of
from quantlab.engine.replay import (
    Decided,
    Difference,
    Recording,
    context_of,
    opening_of,
    outcomes,
    verify,
)
from quantlab.engine.replay_file import ReplayFileError, read_document, write_document
from quantlab.engine.tape import Tape
from quantlab.engine.trace import ledger_row, outcome_rows, trace_hash
from quantlab.ledger.fills import LedgerEntry
from quantlab.market.halts import Halt, halted_at
from quantlab.market.quote import Quote
from quantlab.rules.calendar import day_of
from quantlab.tenancy.config import AccountType, account_type_of

SECOND = 10**9
PROFILE = cases.profile()
DOCUMENT: dict[str, Any] = {
    "id": "demo",
    "name": "Demo",
    "currency": "USD",
    "currencyDigits": 2,
    "initialBalance": "100000.00",
    "profile": "a-profile",
    "profileContent": document(*cases.WIDE),
    "instruments": sorted(cases.catalog().instruments),
    "retentionDays": 90,
}
KIND = account_type_of(DOCUMENT)
TYPES = {"demo": KIND}
RULES = rules_of(TYPES, cases.account())
PRICES = (108_000, 108_020, 108_010, 107_950, 107_900, 107_890, 108_100, 108_200)


def ticks() -> list[Quote]:
    return [
        Quote("EURUSD", bid, bid + 10, cases.NOW + seq * SECOND, seq)
        for seq, bid in enumerate(PRICES, 1)
    ]


def signal(seq: int, **payload: Any) -> tuple[Command, Inputs]:
    moment = cases.NOW + seq * SECOND
    body = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10", **payload}
    command = Command(
        seq, f"signal-{seq}", cases.ACCOUNT_ID, "bot", "bot", "trade", body, moment - 1
    )
    missing = frozenset(cases.catalog().instruments) - {"EURUSD"}
    return command, Inputs(moment, moment, seq, missing=missing)


GIVEN = (
    signal(1, stopLoss="1.07900"),
    signal(2, orderType="limit", price="1.07970", quantity="0.20"),
    signal(7, action="sell", quantity="0.05"),
)


def live() -> Recording:
    return live_over(ticks(), GIVEN)


def live_over(
    quotes: Sequence[Quote],
    asked: Sequence[tuple[Command, Inputs]],
    types: Mapping[str, AccountType] = TYPES,
    halts: Sequence[Halt] = (),
) -> Recording:
    """Let the batch run stand for the live path: it decides, this records."""
    opening, tape = opening_of(cases.account(), types, cases.NOW), Tape(quotes)
    rules = rules_of(types, opening)
    given = [Decided(command, inputs, "", None, None) for command, inputs in asked]
    account, rows, decided = opening, [_deposit(opening.initial_balance_minor)], []
    for outcome in BatchRun(opening, cases.catalog(), rules, quotes, halts=halts).run(given):
        command, now_ns = outcome.command, outcome.decided_ns
        seq = max(t.seq for t in quotes if t.ts_ns <= now_ns)
        missing = GIVEN[0][1].missing
        inputs = Inputs(now_ns, now_ns, seq, missing=missing, halted=halted_at(halts, now_ns))
        if now_ns >= account.day.next_reset_ns and account.positions:
            reset_ns = day_of(now_ns, PROFILE.day.reset, PROFILE.day.time_zone).started_ns
            before = Market(cases.catalog(), tape.before(reset_ns), reset_ns)
            inputs = with_reset(inputs, before)
        refused = outcome.rejection
        decided.append(
            Decided(
                command,
                inputs,
                "rejected" if refused else "executed",
                str(refused.reason) if refused else None,
                {"detail": refused.detail} if refused else outcome.result,
            )
        )
        account = outcome.account
        rows += outcome_rows(outcome)
    versions = {opening.config_version: types}
    return Recording(opening, account, cases.catalog(), versions, {}, decided, quotes, rows, halts)


def _deposit(balance: int) -> Any:
    return ledger_row(1, LedgerEntry("deposit", balance, 0, balance))


def test_a_history_decides_itself_again() -> None:
    recording = live()
    names = [one.command.name for one in recording.decided]
    assert {"trade", "work_order", "protect"} <= set(names)
    report = verify(recording)
    assert report.difference is None, str(report.difference)
    assert report.account == recording.account
    profiles = ((outcome, PROFILE) for outcome in outcomes(recording))
    assert trace_hash(profiles) == report.trace_hash
    run = BatchRun(recording.opening, recording.catalog, RULES, recording.ticks)
    assert run.trace_hash(given_commands(recording.decided)) == report.trace_hash


def test_costs_nights_and_a_stop_out_are_decided_again() -> None:
    document = {
        **DOCUMENT,
        "commissions": {"EURUSD": {"commissionMinorPerLot": "277.7"}},
        "swaps": {"*": {"unit": "points", "long": "-6.35", "short": "1.07"}},
        "margin": {"leverage": {"*": "30"}, "stopOutPercent": "100"},
    }
    day = 86_400 * SECOND
    prices = ((1, 108_000, 0), (2, 108_010, 0), (3, 107_990, day), (4, 107_600, day))
    quotes = [
        Quote("EURUSD", bid, bid + 10, cases.NOW + later + seq * SECOND, seq)
        for seq, bid, later in prices
    ]
    asked = [signal(1, quantity="27"), signal(2, quantity="5")]
    recording = live_over(quotes, asked, {"demo": account_type_of(document)})
    report = verify(recording)
    assert report.difference is None, str(report.difference)
    booked = {row.key for row in recording.rows if row.table == "ledgerEntry"}
    assert booked == {"deposit", "realised", "commission", "swap"}
    assert "stop_out" in {one.command.name for one in recording.decided}
    assert [one.reason for one in recording.decided if one.command.name == "trade"] == [
        None,
        "margin_insufficient",
    ]
    kinds = {recording.opening.config_version: [document]}
    written = json.loads(json.dumps(write_document(recording, kinds, report.trace_hash)))
    assert verify(read_document(written)[0]).trace_hash == report.trace_hash
    free = {**recording.types, recording.opening.config_version: TYPES}
    found = verify(replace(recording, types=free)).difference
    assert found is not None, "without the terms of the type nothing follows"


def test_legs_are_decided_again_also_from_a_file() -> None:
    document = {**DOCUMENT, "positioning": "hedging"}
    asked = [
        signal(1, stopLoss="1.07900"),
        signal(2, action="sell", quantity="0.20"),
        signal(3, bracket={"stopLoss": "1.07895", "takeProfit": "1.09000"}),
    ]
    recording = live_over(ticks(), asked, {"demo": account_type_of(document)})
    assert [one.size_steps < 0 for one in recording.account.legs()] == [True]
    report = verify(recording)
    assert report.difference is None, str(report.difference)
    kinds = {recording.opening.config_version: [document]}
    written = json.loads(json.dumps(write_document(recording, kinds, report.trace_hash)))
    read, _ = read_document(written)
    assert read.account == recording.account
    assert verify(read).trace_hash == report.trace_hash


def tampered_row(recording: Recording, table: str, **fields: Any) -> Recording:
    number = next(i for i, row in enumerate(recording.rows) if row.table == table and row.seq > 1)
    rows = list(recording.rows)
    rows[number] = replace(rows[number], fields={**rows[number].fields, **fields})
    return replace(recording, rows=rows)


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("fill", "priceTicks", "107999"),
        ("fill", "quoteSeq", "2"),
        ("ledgerEntry", "amountMinor", "5"),
        ("order", "filledSteps", "11"),
        ("event", "occurredNs", "1"),
    ],
)
def test_a_tampered_record_is_named(table: str, field: str, value: str) -> None:
    recording = live()
    found = verify(tampered_row(recording, table, **{field: value})).difference
    assert found is not None
    assert (found.table, found.field, found.recorded) == (table, field, value)
    own = next(r for r in recording.rows if r.table == table and r.seq > 1)
    assert (found.seq, found.replayed) == (own.seq, own.fields[field])


def test_a_tampered_deposit_is_named() -> None:
    recording = live()
    rows = [_deposit(1), *recording.rows[1:]]
    found = verify(replace(recording, rows=rows)).difference
    assert found is not None
    assert (found.seq, found.table, found.field) == (1, "ledgerEntry", "amountMinor")


def test_a_tampered_tick_is_named() -> None:
    """Whether a trader's order was filled at it, or the watch was called by it."""
    recording = live()
    for seq in (1, 7):
        moved = [replace(t, bid_ticks=t.bid_ticks - 3) if t.seq == seq else t for t in ticks()]
        found = verify(replace(recording, ticks=moved)).difference
        assert found is not None, seq
        assert "quote" in found.field or found.field in ("bidTicks", "payload.price"), found
    reached = next(d.command.payload["feedSeq"] for d in recording.decided
                   if d.command.name == "work_order")  # fmt: skip
    moved = [replace(t, ask_ticks=t.ask_ticks + 1) if t.seq == reached else t for t in ticks()]
    found = verify(replace(recording, ticks=moved)).difference
    assert found is not None
    assert (found.table, found.key) == ("tick", f"EURUSD {reached}")
    gone = [t for t in ticks() if t.seq != reached]
    found = verify(replace(recording, ticks=gone)).difference
    assert found is not None
    assert found.replayed == "nothing"


def test_a_tampered_or_missing_command_is_named() -> None:
    recording = live()
    first, *rest = recording.decided
    bigger = replace(first.command, payload={**first.command.payload, "quantity": "0.11"})
    found = verify(replace(recording, decided=[replace(first, command=bigger), *rest])).difference
    assert found is not None
    assert (found.seq, found.table, found.field) == (2, "event", "payload.signal.quantity")
    unknown = replace(first, command=replace(first.command, name="gift"))
    found = verify(replace(recording, decided=[unknown, *rest])).difference
    assert found is not None
    assert (found.table, found.key, found.field) == ("command", "signal-1", "decision")
    found = verify(replace(recording, decided=recording.decided[:-1])).difference
    assert found is not None
    assert found.field == "record"
    later = replace(first.inputs, now_ns=first.inputs.now_ns + 1)
    found = verify(replace(recording, decided=[replace(first, inputs=later), *rest])).difference
    assert found is not None


def test_a_tampered_answer_and_balance_are_named() -> None:
    recording = live()
    first, *rest = recording.decided
    denied = replace(first, outcome="rejected")
    found = verify(replace(recording, decided=[denied, *rest])).difference
    assert found == Difference(
        found.seq if found else 0, "command", "signal-1", "outcome", "rejected", "executed"
    )
    richer = replace(recording.account, balance_minor=recording.account.balance_minor + 1)
    found = verify(replace(recording, account=richer)).difference
    assert found is not None
    assert (found.table, found.field) == ("account", "balanceMinor")


def test_a_file_holds_all_that_is_needed() -> None:
    recording = live()
    report = verify(recording)
    kinds = {recording.opening.config_version: [DOCUMENT]}
    written = json.loads(json.dumps(write_document(recording, kinds, report.trace_hash)))
    read, hash_ = read_document(written)
    assert hash_ == report.trace_hash
    again = verify(read)
    assert again.difference is None, str(again.difference)
    assert again.trace_hash == report.trace_hash
    for broken in ({}, [], {**written, "format": 2}, {**written, "engineVersion": "other"},
                   {**written, "opening": {}}, {**written, "ticks": [["EURUSD"]]},
                   {**written, "commands": [{}]}, {**written, "instruments": {}}):  # fmt: skip
        with pytest.raises(ReplayFileError):
            read_document(broken)


def test_inputs_read_back_as_they_were_written() -> None:
    quote = replace(cases.EURUSD, suspended=True)
    market = cases.market(quote, cases.quote("GBPUSD", "1.30000", "1.30010", seq=9))
    inputs = with_reset(inputs_of(market, cases.NOW), cases.market(cases.EURUSD))
    assert inputs.feed_seq == 9
    assert inputs.suspended == {"EURUSD"}
    assert "XAUUSD" in inputs.missing
    read = read_inputs(json.loads(json.dumps(inputs.recorded())), cases.NOW, cases.catalog())
    assert read == inputs
    tape = Tape([cases.EURUSD, *market.quotes.values()])
    assert read.market(cases.catalog(), Tape(t for t in tape.ticks() if not t.suspended)) == market


def test_what_executed_is_not_changed_by_how_orders_are_held() -> None:
    """Orders leave a command in the order a store reads them back in, whatever came first."""
    state = cases.account()
    for price in ("1.07000", "1.06000", "1.06500"):
        state = cases.trade(state, orderType="limit", price=price).account
    turned = replace(state, working=dict(reversed(state.working.items())))
    left = execute(
        turned,
        cases.command("roll_day", "schedule"),
        context_of(RULES, cases.market(cases.EURUSD), cases.NOW),
    ).account
    assert list(left.working) == list(state.working)
