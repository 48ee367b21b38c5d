"""What an account would have become under other rules, on the same commands and ticks."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support import engine_cases as cases
from tests.support.rule_cases import document, percent, rule
from tests.unit.engine.test_bad_ticks import SPIKES, signal, ticks
from tests.unit.engine.test_replay import DOCUMENT, KIND, live_over

from quantlab.engine.bad_ticks import BadTicks
from quantlab.engine.batch import BatchRun, given_commands
from quantlab.engine.other_rules import Compared, first_seq, under, write_compared
from quantlab.engine.replay import Recording, rules_for
from quantlab.tenancy.config import AccountType, account_type_of


def type_with(*rules: dict[str, Any], **changed: Any) -> dict[str, AccountType]:
    return {"demo": account_type_of({**DOCUMENT, "profileContent": document(*rules), **changed})}


def recorded() -> Recording:
    """Break the account's daily loss at the spike, and ask for two more trades."""
    asked = [signal(2, quantity="1.00"), signal(9, quantity="0.50"), signal(11, action="close")]
    recording = live_over(ticks(), asked)
    assert recording.account.status == "disabled"
    return recording


def test_its_own_rules_lead_where_it_is() -> None:
    recording = recorded()
    compared = under(recording, {"demo": KIND})
    assert compared.own == compared.other
    assert compared.own.account == recording.account
    assert [one.violation.rule for one in compared.own.broken] == ["daily_loss"]
    spike = next(tick for tick in ticks() if tick.seq == SPIKES[0])
    assert [one.at_ns for one in compared.own.broken] == [spike.ts_ns]
    assert compared.own.rejected == {"account_disabled": 2}
    assert (compared.ticks, compared.commands) == (9, 3)


def test_looser_rules_let_it_trade_on() -> None:
    recording = recorded()
    loose = rule("daily_loss", anchor="balance", loss=percent("90"), comparator="lt")
    compared = under(recording, type_with(loose))
    assert (compared.own.account.status, compared.other.account.status) == ("disabled", "active")
    assert compared.other.broken == ()
    assert compared.other.rejected == {}
    assert compared.other.account.positions == {}, "closed by its own last order"
    assert compared.other.equity_minor == compared.other.account.balance_minor


def test_stricter_rules_refuse_what_was_filled() -> None:
    recording = live_over(ticks(), [signal(1, quantity="1.00"), signal(3, action="close")])
    small = rule("position_size", per="order", maxLots="0.5")
    compared = under(recording, type_with(*cases.WIDE, small))
    assert compared.own.rejected == {}
    assert compared.own.account == recording.account
    assert sum(compared.other.rejected.values()) == 2
    assert compared.other.account.balance_minor == compared.other.account.initial_balance_minor


def test_bad_ticks_are_in_neither_run() -> None:
    compared = under(recorded(), {"demo": KIND}, known=[BadTicks("EURUSD", *SPIKES)])
    assert compared.own.account.status == "active"
    assert compared.own.broken == ()


def test_the_initial_balance_stays_its_own() -> None:
    recording = recorded()
    compared = under(recording, type_with(*cases.WIDE, initialBalance="50000.00"))
    assert compared.own == compared.other
    assert compared.other.account.initial_balance_minor == 100_000_00


def test_an_account_that_was_never_asked_for_anything_stays_as_it_opened() -> None:
    recording = live_over(ticks(), [])
    assert first_seq(recording) is None
    assert under(replace(recording, ticks=[]), {"demo": KIND}).other.account == recording.opening


def test_a_type_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="demo"):
        under(recorded(), {})


def test_the_run_under_other_rules_is_the_batch_run_under_them() -> None:
    recording = recorded()
    types = type_with(
        rule("max_drawdown", mode="static", loss={"amount": "100.00"}, comparator="lt")
    )
    other = replace(recording, types={recording.opening.config_version: types})
    batch = BatchRun(
        recording.opening, recording.catalog, rules_for(other, recording.opening), ticks(), 2
    )
    led_to = list(batch.run(given_commands(recording.decided)))
    found = under(recording, types)
    assert found.other.account == batch.account
    assert [one.violation for one in found.other.broken] == [
        violation for outcome in led_to for violation in outcome.violations
    ]


def test_it_is_written_with_money_as_text() -> None:
    found: Compared = under(recorded(), {"demo": KIND})
    written: Any = write_compared(found)
    assert written["own"] == written["other"]
    assert written["own"]["status"] == "disabled"
    assert written["own"]["broken"][0]["at"].endswith("Z")
    assert "floor" in written["own"]["broken"][0]["arithmetic"]
    assert written["own"]["equity"] == written["own"]["balance"]
