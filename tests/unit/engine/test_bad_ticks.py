"""What an account would be without a spike: fills, balance and breach, and nothing else."""

from dataclasses import replace
from typing import Any

from tests.support import engine_cases as cases
from tests.support.rule_cases import document, percent, rule
from tests.unit.engine.test_replay import DOCUMENT, GIVEN, SECOND, live_over

from quantlab.engine.bad_ticks import BadTicks, Undone, without
from quantlab.engine.bad_ticks_document import correction_subject, write_difference
from quantlab.engine.batch import BatchRun, given_commands
from quantlab.engine.commands import CORRECT
from quantlab.engine.replay import Recording, rules_for, verify
from quantlab.market.quote import Quote
from quantlab.tenancy.config import account_type_of

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


def test_closing_by_ticket_means_the_same_leg_without_the_spike() -> None:
    types = {"demo": account_type_of({**DOCUMENT, "positioning": "hedging"})}
    opening = [
        signal(2, quantity="0.10", stopLoss="1.07000"),
        signal(8, quantity="0.20"),
        signal(8, action="sell", quantity="0.30"),
    ]
    opening[2] = (replace(opening[2][0], signal_id="signal-8b"), opening[2][1])
    held = live_over(ticks(), opening, types).account.legs()
    assert [leg.size_steps > 0 for leg in held] == [True, False], "the first went with the spike"
    close = signal(9, action="close", ticket=held[0].ticket)
    recording = live_over(ticks(), [*opening, close], types)
    assert verify(recording).difference is None
    assert recording.account.legs() == [held[1]]
    found = without(recording, BadTicks("EURUSD", *SPIKES))
    sizes = [(leg.ticket, leg.size_steps) for leg in found.account_without.legs()]
    assert len(sizes) == 2
    assert sizes[0][1] == held[0].size_steps // 2, "the stop was not reached"
    assert sizes[1] == (held[1].ticket, held[1].size_steps)
    assert found.positions_differ
    document = write_difference(found, BadTicks("EURUSD", *SPIKES), (), recording.catalog)
    assert [one["ticket"] for one in document["positions"]] == [held[1].ticket]  # type: ignore[call-overload,index,union-attr]


def test_ticks_that_nothing_rested_on_change_nothing() -> None:
    recording = live_over(ticks(), [signal(9, quantity="0.10"), signal(10, action="close")])
    assert not without(recording, BadTicks("EURUSD", *SPIKES)).affected
    assert not without(recording, BadTicks("XAUUSD", 1, 100)).affected
    assert not without(recording, BadTicks("EURUSD", 100, 200)).affected


def test_the_amount_is_what_the_account_would_be_worth() -> None:
    """The position that the spike closed would still be held, at a price that has moved on."""
    quotes = ticks()
    last = quotes[-1]
    quotes[-1] = replace(last, bid_ticks=CALM + 500, ask_ticks=CALM + 510)
    recording = live_over(quotes, [signal(2, quantity="0.10", stopLoss="1.07000")])
    found = without(recording, BadTicks("EURUSD", *SPIKES))
    assert found.positions_differ
    assert found.amount_minor is not None
    bought = CALM + 2 + 10
    lost = -sum(fill.realised_minor for fill in found.fills_undone)
    worth = 10 * (CALM + 500 - bought)  # 0.10 lots: ten cents a tick
    assert found.amount_minor == lost + worth
    assert found.quotes == (quotes[-1],)
    assert (found.booked_with["realised"], found.booked_without["realised"]) == (-lost, 0)


def test_a_peak_that_was_none_is_found_though_nothing_else_differs() -> None:
    rules = (
        rule("max_drawdown", mode="trailing", basis="equity", loss=percent("10"), comparator="lt"),
    )
    kinds = {"demo": account_type_of({**DOCUMENT, "profileContent": document(*rules)})}
    quotes = [
        replace(one, bid_ticks=CALM + 2000, ask_ticks=CALM + 2010) if one.seq in SPIKES else one
        for one in ticks()
    ]
    recording = live_over(quotes, [signal(2, quantity="0.10")], kinds)
    found = without(recording, BadTicks("EURUSD", *SPIKES))
    assert found.affected
    assert (found.amount_minor, found.positions_differ, found.lifts_rule) == (0, False, None)
    assert found.account_with.high_water_minor > found.account_without.high_water_minor
    document_ = write_difference(found, BadTicks("EURUSD", *SPIKES), (), recording.catalog)
    subject = correction_subject(found, recording.account, document_)
    assert subject is not None
    assert subject["highWater"] == document_["highWaterWithout"]


def test_differences_of_ranges_add_up_to_that_of_all() -> None:
    """Either spike alone would have reached the stop: only without both does the position live."""
    recording = live_over(ticks(), [signal(2, quantity="0.10", stopLoss="1.07000")])
    one, two = (BadTicks("EURUSD", seq, seq) for seq in SPIKES)
    both = BadTicks("EURUSD", *SPIKES)
    first, then = without(recording, one), without(recording, two, (one,))
    assert [fill.quote_seq for fill in first.fills_undone] == [SPIKES[0]]
    assert [fill.quote_seq for fill in first.fills_instead] == [SPIKES[1]]
    assert [fill.quote_seq for fill in then.fills_undone] == [SPIKES[1]]
    total = without(recording, both).amount_minor
    assert total is not None
    assert (first.amount_minor or 0) + (then.amount_minor or 0) == total > 0
    again = without(recording, both, (one, two))
    assert (again.affected, again.amount_minor) == (False, 0)


def corrected(recording: Recording, bad: BadTicks, at_seq: int) -> tuple[Recording, Undone]:
    """Carry out the correction behind a tick, as its writer does, and record it."""
    found = without(recording, bad)
    document_ = write_difference(found, bad, (), recording.catalog)
    subject = correction_subject(found, recording.account, document_)
    assert subject is not None
    command, inputs = signal(at_seq)
    payload = {
        "rangeId": "r",
        "symbol": bad.symbol,
        "fromSeq": bad.from_seq,
        "toSeq": bad.to_seq,
        "reason": "spike",
        **subject,
        "approvalId": "a",
        "kind": "correction",
        "requestedBy": "user:a",
        "approvedBy": "user:b",
        "decisionReason": "seen",
    }
    command = replace(command, source_kind="operator", name=CORRECT, payload=payload)
    asked = [(one.command, one.inputs) for one in given_commands(recording.decided)]
    return live_over(recording.ticks, [*asked, (command, inputs)]), found


def test_a_correction_books_the_difference_lifts_the_breach_and_replays() -> None:
    bad = BadTicks("EURUSD", *SPIKES)
    before = live_over(ticks(), [signal(2, quantity="1.00")])
    assert (before.account.status, before.account.status_reason) == ("disabled", "daily_loss")
    after, found = corrected(before, bad, 10)
    assert found.lifts_rule == "daily_loss"
    assert found.amount_minor is not None
    account = after.account
    assert (account.status, account.status_reason, account.raised) == ("active", None, ())
    assert account.balance_minor == before.account.balance_minor + found.amount_minor
    assert account.positions == {}
    booked = [row for row in after.rows if row.table == "ledgerEntry"]
    assert booked[-1].key == "correction"
    assert sum(int(str(row.fields["amountMinor"])) for row in booked) == account.balance_minor
    assert verify(after).difference is None
    rules = rules_for(after, after.opening)
    run = BatchRun(after.opening, after.catalog, rules, after.ticks)
    assert run.trace_hash(given_commands(after.decided)) == verify(after).trace_hash
    # The correction itself belongs to neither run: what it put right is found the same again.
    assert without(after, bad).amount_minor == found.amount_minor


def test_a_changed_correction_is_named_by_the_replay() -> None:
    broken = live_over(ticks(), [signal(2, quantity="1.00")])
    after, _ = corrected(broken, BadTicks("EURUSD", *SPIKES), 10)
    last, last_seq = after.decided[-1], after.account.event_seq
    forged = replace(last.command, payload={**last.command.payload, "amount": "99999.00"})
    report = verify(replace(after, decided=[*after.decided[:-1], replace(last, command=forged)]))
    assert report.difference is not None
    assert (report.difference.table, report.difference.seq) == ("event", last_seq)
