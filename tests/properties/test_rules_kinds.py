"""No unknown passes, trailing floors never fall, counts survive their writing."""

import json
from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.engine_cases import EURUSD, catalog, trade
from tests.support.engine_cases import account as trader
from tests.support.engine_cases import profile as rules_of
from tests.support.rule_cases import account, instant, profile, rule

from quantlab.ledger.fills import net
from quantlab.ledger.state import Account, Position, Tally, read_tally, write_tally
from quantlab.ledger.tally import begin_day, count_fill, pay_out
from quantlab.rules import terms
from quantlab.rules.consistency import best_day_share
from quantlab.rules.day import roll_day
from quantlab.rules.floors import drawdown_floor_minor, next_high_water
from quantlab.rules.status import rule_status

NOW = instant("2026-03-10T12:00:00")
UNKNOWN = [
    rule("hedging", "soft", accountsOf="any"),
    rule("copy_trading", "soft", withinMs=1, accountsOf="any"),
    rule(
        "news_window", "soft", secondsBefore=0, secondsAfter=0, instruments="targeted",
        reducingOrders="allowed", stopsCount=False,
    ),
]  # fmt: skip
moves = st.lists(st.tuples(st.integers(-500_000, 500_000), st.booleans()), max_size=30)
results = st.lists(st.integers(-1_000_000, 1_000_000), max_size=12)


def with_days(subject: Account, days: list[int]) -> Account:
    closed = tuple(
        replace(day, realised_minor=result)
        for day, result in zip(subject.closed_days, days, strict=True)
    )
    return replace(subject, closed_days=closed)


@pytest.mark.parametrize("asked", UNKNOWN, ids=lambda asked: asked["rule"])
@given(action=st.sampled_from(["buy", "sell"]), steps=st.integers(1, 500))
def test_no_order_opens_while_what_a_rule_needs_is_unknown(
    asked: dict[str, Any], action: str, steps: int
) -> None:
    rules = rules_of(asked)

    outcome = trade(
        trader(rules), EURUSD, rules=rules, action=action, quantity=f"{steps / 100:.2f}"
    )

    assert outcome.rejection is not None
    assert str(outcome.rejection.reason) == asked["rule"]
    assert outcome.account.positions == {}
    (status,) = rule_status(rules, outcome.account, outcome.account.balance_minor, NOW)
    assert status.state == "unknown"


@given(
    basis=st.sampled_from(["equity", "balance", "end_of_day_balance"]),
    of=st.sampled_from(["initial", "high_water"]), steps=moves,
    lock=st.none() | st.sampled_from(["0", "100"]), payout_floor=st.none() | st.just("0"),
    payouts=st.sets(st.integers(0, 29), max_size=3),
)  # fmt: skip
def test_a_trailing_floor_never_falls(
    basis: str, of: str, steps: list[tuple[int, bool]], lock: str | None,
    payout_floor: str | None, payouts: set[int],
) -> None:  # fmt: skip
    parameters: dict[str, Any] = {"loss": {"percent": "5", "of": of}, "comparator": "lt"}
    if lock is not None:
        parameters["lock"] = {"aboveInitial": lock}
    if payout_floor is not None:
        parameters["afterPayout"] = {"aboveInitial": payout_floor}
    rules = profile(rule("max_drawdown", mode="trailing", basis=basis, **parameters))
    (drawdown,) = rules.drawdowns
    subject, last = account(rules, NOW), None
    for number, (move, rolls) in enumerate(steps):
        equity = subject.balance_minor + move
        subject = replace(subject, balance_minor=subject.balance_minor + move // 2)
        if number in payouts:
            subject = pay_out(subject, 1_000, NOW)
        if rolls:
            moment = subject.day.next_reset_ns
            subject = roll_day(subject, rules, subject.balance_minor, equity, moment)
        mark = next_high_water(rules, subject, equity, at_day_end=False)
        subject = replace(subject, high_water_minor=mark)
        floor = drawdown_floor_minor(drawdown, subject, mark)
        assert last is None or floor >= last
        last = floor


@given(days=results, share=st.integers(1, 100))
def test_a_share_is_exceeded_or_passed_only_where_there_is_one(days: list[int], share: int) -> None:
    rules = profile(
        rule("consistency", "gate", maxSharePercent=str(share), comparator="gt",
             openDayCounts=False, total="net")
    )  # fmt: skip
    (terms_of,) = (r for r in rules.rules if isinstance(r, terms.Consistency))
    subject = with_days(account(rules, NOW, closed=["1"] * len(days)), days)

    found = best_day_share(terms_of, subject)

    total = sum(days)
    assert not (found.exceeded and found.passed)
    assert (found.exceeded or found.passed) == (total > 0)
    if total > 0:
        assert found.exceeded == (max(days) * 100 > total * share)


@given(days=results, share=st.integers(1, 100), target=st.integers(1, 10_000))
@example(days=[15_001, 15_001, -1], share=50, target=300)
def test_a_cut_day_never_counts_more_than_it_made(days: list[int], share: int, target: int) -> None:
    rules = profile(
        rule("consistency", "gate", measure="counted_profit", maxSharePercent=str(share),
             openDayCounts=False, target={"amount": str(target)})
    )  # fmt: skip
    (terms_of,) = (r for r in rules.rules if isinstance(r, terms.Consistency))
    subject = with_days(account(rules, NOW, closed=["1"] * len(days)), days)

    found = best_day_share(terms_of, subject)

    assert found.best_day_minor <= found.total_minor == sum(days)
    counted = Fraction(sum(days))
    if found.total_minor > 0:
        counted = sum((min(Fraction(day), counted * share / 100) for day in days), Fraction(0))
    assert found.best_day_minor == floor(counted)
    assert found.passed == (counted >= target * 100)


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 300), st.integers(-500, 500))))
def test_counts_add_up_and_survive_their_writing(
    fills: list[tuple[int, int, int]],
) -> None:
    instrument, tally, held = catalog().instruments["EURUSD"], Tally(opened_ns=NOW), 0
    booked = best = running = 0
    ended: list[int] = []
    for side, steps, realised in fills:
        position = None
        if held:
            position = Position("EURUSD", held, held, None, None, 0, 0)
        netted = net(position, side, steps, 1)
        gained = realised if netted.closed_steps else 0
        tally = count_fill(tally, instrument, "EURUSD", netted, gained, 3)
        booked, running = booked + 3, running + gained - 3
        if netted.closed_steps and (not netted.size_steps or netted.opened_steps):
            ended.append(running)
            running = 0
        held = netted.size_steps
        assert read_tally(json.loads(json.dumps(write_tally(tally)))) == tally
    best = max(ended, default=0)
    assert (tally.best_trade_minor or 0) == best or not ended
    assert tally.costs_minor == tally.day_costs_minor == booked
    assert dict(tally.running) == ({"EURUSD": running} if held else {})
    assert begin_day(tally, "").costs_minor == booked
    assert begin_day(tally, "").day_costs_minor == begin_day(tally, "").trades == 0
