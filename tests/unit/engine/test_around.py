"""What was looked at outside the account: recorded with a command, read back, decided on again."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support import engine_cases as cases
from tests.support.rule_cases import document, rule
from tests.unit.engine.test_replay import DOCUMENT, live_over, signal, ticks

from quantlab.engine.batch import BatchRun, given_commands, surroundings_seen
from quantlab.engine.inputs import Inputs, read_inputs
from quantlab.engine.replay import Recording, rules_for, verify
from quantlab.engine.replay_file import read_document, write_document
from quantlab.rules.surroundings import LinkedAccount, LinkedOrder, NewsEvent, Surroundings
from quantlab.tenancy.config import account_type_of

SECOND = 10**9
OTHER = "0190b5f0-0000-7000-8000-00000000000b"
LATE = cases.NOW + 3
RELEASE = NewsEvent(LATE, "A release", "high", frozenset({"USD", "EUR"}), frozenset({"GER40"}))
ORDER = LinkedOrder("EURUSD", -1, LATE)
SHORT = LinkedAccount(OTHER, same_owner=True, positions=(("EURUSD", -(2**60)),), orders=(ORDER,))
WATCHED = {
    **DOCUMENT,
    "profileContent": document(*cases.WIDE, rule("hedging", "soft", accountsOf="any")),
}
TYPES = {"demo": account_type_of(WATCHED)}


@pytest.mark.parametrize(
    "around",
    [
        Surroundings(),
        Surroundings(news=(), linked=()),
        Surroundings(news=(RELEASE,)),
        Surroundings(linked=(SHORT,)),
    ],
)
def test_surroundings_are_read_back_as_they_were_recorded(around: Surroundings) -> None:
    inputs = Inputs(LATE, LATE, 7, around=around)
    recorded = json.loads(json.dumps(inputs.recorded()))
    assert read_inputs(recorded, LATE, cases.catalog()) == inputs


def test_what_was_recorded_before_there_were_surroundings_knows_none() -> None:
    recorded = Inputs(LATE, LATE, 7).recorded()
    assert set(recorded) == {"feedNowNs", "feedSeq"}
    assert read_inputs(recorded, LATE, cases.catalog()).around == Surroundings()


def recorded(*around: Surroundings, **fields: Any) -> Recording:
    """Let an account buy behind some ticks, with what was known outside it each time."""
    asked = [signal(seq, **fields) for seq in range(1, len(around) + 1)]
    given = [
        (command, replace(inputs, around=one))
        for (command, inputs), one in zip(asked, around, strict=True)
    ]
    recording = live_over(ticks(), given, TYPES)
    arounds = {command.signal_id: inputs.around for command, inputs in given}
    decided = [
        replace(one, inputs=replace(one.inputs, around=arounds[one.command.signal_id]))
        if one.command.signal_id in arounds
        else one
        for one in recording.decided
    ]
    return replace(recording, decided=decided)


def test_a_replay_decides_on_the_linked_accounts_that_were_recorded() -> None:
    recording = recorded(Surroundings(linked=()), Surroundings(linked=(SHORT,)), Surroundings())
    assert [one.reason for one in recording.decided] == [None, "hedging", "hedging"]
    details = [str((one.result or {}).get("detail")) for one in recording.decided[1:]]
    assert f"account {OTHER} is short in EURUSD" in details[0]
    assert "is not known" in details[1]
    report = verify(recording)
    assert report.difference is None, str(report.difference)
    kinds = {recording.opening.config_version: [WATCHED]}
    written = json.loads(json.dumps(write_document(recording, kinds, report.trace_hash)))
    read, trace_hash = read_document(written)
    assert (verify(read).difference, verify(read).trace_hash) == (None, trace_hash)


def test_forged_surroundings_are_found() -> None:
    recording = recorded(Surroundings(linked=()), Surroundings(linked=(SHORT,)))
    first, second = recording.decided
    forged = replace(second, inputs=replace(second.inputs, around=first.inputs.around))
    difference = verify(replace(recording, decided=[first, forged])).difference
    assert difference is not None
    assert difference.table in {"event", "fill", "order"}


def test_a_batch_run_judges_its_own_commands_by_what_was_last_seen() -> None:
    limit = {"orderType": "limit", "price": "1.07970"}
    recording = recorded(Surroundings(linked=()), **limit)
    rules = rules_for(recording, recording.opening)

    def fills(seen: list[tuple[int, Surroundings]]) -> int:
        run = BatchRun(recording.opening, recording.catalog, rules, ticks(), seen=seen)
        return sum(len(outcome.fills) for outcome in run.run(given_commands(recording.decided)))

    assert fills(surroundings_seen(recording.decided[:1])) == 1
    assert fills([(0, Surroundings(linked=(SHORT,)))]) == 0
    assert fills([]) == 0
