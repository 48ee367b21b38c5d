"""What the account's writer makes of what account_watch saw, and of a reset with an open loss."""

from dataclasses import replace

import pytest
from tests.support import rule_cases
from tests.support.engine_cases import types
from tests.support.watch_cases import (
    ENTRY,
    NOW,
    SECOND,
    command,
    context,
    daily_loss,
    holding,
    position,
    quote,
    trailing,
    watching,
)

from quantlab.engine.commands import Outcome
from quantlab.engine.execute import execute
from quantlab.engine.watch import Demand, Watch
from quantlab.kernel.canonical import canonical_json
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote


def demanded(watch: Watch, found: Quote, now_ns: int = NOW) -> Demand:
    (demand,) = watch.on_quote(found, found.ts_ns, now_ns)
    assert canonical_json(demand.payload)
    return demand


def test_a_breach_counts_although_the_price_has_come_back() -> None:
    profile = daily_loss()
    account = holding(profile, position())
    demand = demanded(watching(account, profile), quote(ENTRY - 5001, seq=5))
    back = context(profile, [quote(ENTRY, seq=6)])
    outcome = execute(account, command(demand.name, demand.payload), back)
    assert outcome.account.status == "disabled"
    assert outcome.account.positions == {}
    assert [fill.price_ticks for fill in outcome.fills] == [ENTRY], "closed at the present quote"
    (violation,) = outcome.violations
    assert violation.verdict["value"] == "94999.00"
    assert violation.verdict["quotes"] == demand.payload["quotes"]


@pytest.mark.parametrize("change", ["position", "balance", "day"])
def test_a_breach_of_another_state_is_judged_at_present_quotes_only(change: str) -> None:
    profile = daily_loss()
    account = holding(profile, position())
    demand = demanded(watching(account, profile), quote(ENTRY - 5001, seq=5))
    if change == "position":
        account = replace(account, positions={"EURUSD": position(50)})
    elif change == "balance":
        account = replace(account, balance_minor=account.balance_minor + 1)
    else:
        day = replace(account.day, started_ns=account.day.started_ns + 1)
        account = replace(account, day=day)
    calm = context(profile, [quote(ENTRY, seq=6)])
    outcome = execute(account, command(demand.name, demand.payload), calm)
    assert outcome.account.status == "active"
    fallen = context(profile, [quote(ENTRY - 12_000, seq=6)])
    assert execute(account, command(demand.name, demand.payload), fallen).violations


def test_a_breach_rests_on_the_peak_that_was_seen_with_it() -> None:
    profile = trailing()
    account = holding(profile, position())
    watch = watching(account, profile)
    watch.on_quote(quote(ENTRY + 2000, seq=1), NOW, NOW + SECOND)
    demand = demanded(watch, quote(ENTRY - 2001, seq=2), NOW + SECOND)
    outcome = execute(
        account, command(demand.name, demand.payload), context(profile, [quote(ENTRY, seq=3)])
    )
    assert types(outcome)[:2] == ["account.updated", "rule.violation.max_drawdown"]
    assert outcome.account.high_water_minor == 10_200_000


def test_a_peak_is_taken_over_once() -> None:
    profile = trailing()
    account = holding(profile, position())
    watch = watching(account, profile)
    demand = demanded(watch, quote(ENTRY + 2000, seq=1), NOW + SECOND)
    given = command(demand.name, demand.payload)
    after = execute(account, given, context(profile, [quote(ENTRY, seq=3)]))
    assert types(after) == ["account.updated"]
    assert after.account.high_water_minor == 10_200_000
    again = execute(after.account, given, context(profile, [quote(ENTRY, seq=3)]))
    assert (again.events, again.account) == ([], after.account)


def test_a_protective_command_closes_at_the_present_quote() -> None:
    profile = daily_loss()
    account = holding(profile, position(stop=ENTRY - 50))
    demand = demanded(watching(account, profile), quote(ENTRY - 50, seq=5))
    outcome = execute(
        account,
        command(demand.name, demand.payload),
        context(profile, [quote(ENTRY - 57, seq=6)]),
    )
    assert types(outcome) == [
        "order.triggered",
        "order.accepted",
        "order.filled",
        "position.closed",
    ]
    assert outcome.fills[0].price_ticks == ENTRY - 57
    for event in outcome.events:
        assert canonical_json(event.payload)


def after_midnight(
    account: Account, reset_bid: int, present_bid: int, name: str = "roll_day", age_s: int = 1
) -> Outcome:
    """Carry out the first command after the reset."""
    reset_ns = account.day.next_reset_ns
    before = replace(quote(reset_bid, seq=8), ts_ns=reset_ns - age_s * SECOND)
    present = replace(quote(present_bid, seq=9), ts_ns=reset_ns + 20 * SECOND)
    moment = context(
        daily_loss(),
        [present],
        now_ns=reset_ns + 20 * SECOND,
        reset_quotes=[before],
        reset_ns=reset_ns,
    )
    payload = {"action": "buy", "symbol": "EURUSD", "quantity": "1"} if name == "trade" else {}
    return execute(account, command(name, payload, "schedule"), moment)


def midnight_account() -> Account:
    """Up 6,000 today by closed trades, down 8,000 on an open one: legal until the reset.

    Before it the floor is 95,000, from the balance of 100,000 the day began with, and the equity
    is 98,000. The reset starts from a balance of 106,000, so that the floor is 101,000.
    """
    return replace(holding(daily_loss(), position()), balance_minor=rule_cases.minor("106,000"))


@pytest.mark.parametrize("name", ["roll_day", "check_rules", "trade"])
def test_an_open_loss_legal_before_midnight_breaks_the_floor_at_midnight(name: str) -> None:
    account = midnight_account()
    before = execute(
        account,
        command("check_rules", {}, "schedule"),
        context(daily_loss(), [quote(ENTRY - 8000)]),
    )
    assert before.violations == []
    outcome = after_midnight(account, ENTRY - 8000, ENTRY - 8000, name)
    assert types(outcome)[:3] == [
        "account.day_rolled",
        "rule.violation.daily_loss",
        "account.disabled",
    ]
    assert outcome.account.positions == {}
    verdict = outcome.violations[0].verdict
    assert (verdict["threshold"], verdict["value"]) == ("101000.00", "98000.00")
    if name == "trade":
        assert outcome.rejection is not None
        assert outcome.rejection.reason == "account_disabled"


def test_a_price_that_came_back_after_midnight_does_not_undo_the_breach_at_it() -> None:
    outcome = after_midnight(midnight_account(), ENTRY - 8000, ENTRY)
    assert outcome.account.status == "disabled"
    assert outcome.violations[0].verdict["value"] == "98000.00"


def test_a_loss_within_the_new_floor_lives_on() -> None:
    outcome = after_midnight(midnight_account(), ENTRY - 5000, ENTRY - 5000)
    assert types(outcome) == ["account.day_rolled"]
    assert outcome.account.status == "active"


def test_quotes_stale_at_the_reset_break_nothing_but_the_next_good_one_does() -> None:
    weekend_s = 2 * 86_400
    calm = after_midnight(midnight_account(), ENTRY - 8000, ENTRY - 5000, age_s=weekend_s)
    assert calm.violations == []
    fallen = after_midnight(midnight_account(), ENTRY - 8000, ENTRY - 5001, age_s=weekend_s)
    assert fallen.violations[0].verdict["value"] == "100999.00"
