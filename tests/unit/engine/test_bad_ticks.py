"""What an account would be without a spike: fills, balance and breach, and nothing else."""

from dataclasses import replace
from typing import Any

from tests.support import engine_cases as cases
from tests.unit.engine.test_replay import GIVEN, SECOND, live_over

from quantlab.engine.bad_ticks import BadTicks, without
from quantlab.market.quote import Quote

CALM, SPIKE = 108_000, 100_000
SPIKES = (6, 7)


def ticks() -> list[Quote]:
    prices = [CALM + seq % 3 for seq in range(1, 12)]
    for seq in SPIKES:
        prices[seq - 1] = SPIKE
    return [
        Quote("EURUSD", bid, bid + 10, cases.NOW + seq * SECOND, seq)
        for seq, bid in enumerate(prices, 1)
    ]


def signal(seq: int, **payload: Any) -> Any:
    command, inputs = GIVEN[0]
    body = {"symbol": "EURUSD", "action": "buy", **payload}
    moment = cases.NOW + seq * SECOND
    return (
        replace(command, signal_id=f"signal-{seq}", payload=body, received_ns=moment - 1),
        replace(inputs, now_ns=moment, feed_now_ns=moment, feed_seq=seq),
    )


def test_a_spike_that_broke_a_rule_is_undone() -> None:
    recording = live_over(ticks(), [signal(2, quantity="1.00"), signal(9, action="close")])
    assert recording.account.status == "disabled"
    found = without(recording, BadTicks("EURUSD", *SPIKES))
    assert found.affected
    assert (found.account_with.status, found.account_without.status) == ("disabled", "active")
    assert found.account_with == recording.account
    assert [fill.quote_seq for fill in found.fills_undone] == [SPIKES[0]]
    assert [fill.quote_seq for fill in found.fills_instead] == [9]
    assert {violation.rule for violation in found.violations_undone} == {"daily_loss"}
    lost = sum(fill.realised_minor for fill in found.fills_undone)
    kept = sum(fill.realised_minor for fill in found.fills_instead)
    assert found.balance_minor == kept - lost > 0


def test_a_stop_that_a_spike_reached_is_undone_and_the_position_lives() -> None:
    recording = live_over(ticks(), [signal(2, quantity="0.10", stopLoss="1.07000")])
    assert recording.account.positions == {}
    found = without(recording, BadTicks("EURUSD", *SPIKES))
    assert [fill.quote_seq for fill in found.fills_undone] == [SPIKES[0]]
    assert found.fills_instead == ()
    assert list(found.account_without.positions) == ["EURUSD"]
    assert found.balance_minor == -sum(fill.realised_minor for fill in found.fills_undone)


def test_an_order_filled_at_a_bad_tick_would_have_filled_at_the_last_good_one() -> None:
    recording = live_over(ticks(), [signal(6, quantity="0.10")])
    found = without(recording, BadTicks("EURUSD", *SPIKES))
    assert [fill.quote_seq for fill in found.fills_undone] == [6]
    assert [fill.quote_seq for fill in found.fills_instead] == [5]


def test_ticks_that_nothing_rested_on_change_nothing() -> None:
    recording = live_over(ticks(), [signal(9, quantity="0.10"), signal(10, action="close")])
    assert not without(recording, BadTicks("EURUSD", *SPIKES)).affected
    assert not without(recording, BadTicks("XAUUSD", 1, 100)).affected
    assert not without(recording, BadTicks("EURUSD", 100, 200)).affected
