"""A lock lasts until the reset, and on until what it had to close is closed."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import (
    EURUSD,
    account,
    catalog,
    command,
    profile,
    reason,
    run,
    trade,
    types,
)
from tests.support.rule_cases import percent, rule

from quantlab.engine.commands import LIQUIDATE, ROLL_DAY, Command, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.watch import Watch
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote

RULES = profile(rule("daily_loss", "soft", anchor="equity", loss=percent("1"), comparator="lt"))
OPENED = trade(account(RULES), rules=RULES, quantity="10").account
LOCKED = replace(OPENED, status="locked", status_reason="daily_loss", raised=("daily_loss",))
RESET_NS = LOCKED.day.next_reset_ns
AFTER_NS = RESET_NS + SECOND_NS
ROLL = command(ROLL_DAY, "schedule")
CLOSES_REST = command(LIQUIDATE, "watch", cause="rule:daily_loss", symbol="EURUSD")
BUYS = command(symbol="EURUSD", action="buy", quantity="0.10")


def good(fallen_ticks: int = 0) -> Quote:
    low_ticks = EURUSD.bid_ticks - fallen_ticks
    return replace(EURUSD, bid_ticks=low_ticks, ask_ticks=low_ticks + 2, ts_ns=AFTER_NS, seq=2)


def after_reset(state: Account, asked: Command, quote: Quote = EURUSD) -> Outcome:
    """Carry out a command a second after the reset; the quote of noon is stale by then."""
    known = Market(catalog(), {"EURUSD": quote}, AFTER_NS)
    return execute(state, asked, Context(known, RULES, frozenset({"EURUSD"}), AFTER_NS))


def payload_of(outcome: Outcome, event_type: str) -> dict[str, Any]:
    (found,) = (event for event in outcome.events if event.event_type == event_type)
    return dict(found.payload)


def test_a_reset_keeps_the_lock_of_an_account_with_a_position_left_to_close() -> None:
    rolled = after_reset(LOCKED, ROLL)
    assert (rolled.account.status, rolled.account.status_reason) == ("locked", "daily_loss")
    told = payload_of(rolled, "account.day_rolled")
    assert (told["unlocked"], told["closing"]) == (False, ["EURUSD"])
    assert reason(after_reset(rolled.account, BUYS, good())) == "account_locked"
    again = run(rolled.account, ROLL, rules=RULES, now_ns=rolled.account.day.next_reset_ns)
    assert again.account.status == "locked"


def test_a_flat_account_is_unlocked_at_the_reset() -> None:
    told = payload_of(after_reset(replace(LOCKED, positions={}), ROLL), "account.day_rolled")
    assert (told["unlocked"], told["closing"]) == (True, [])


def test_the_next_good_quote_closes_what_is_left_and_ends_the_lock() -> None:
    rolled = after_reset(LOCKED, ROLL).account
    watch = Watch(catalog())
    assert watch.put(rolled, RULES, AFTER_NS, AFTER_NS) == []
    (demand,) = watch.on_quote(good(), AFTER_NS, AFTER_NS)
    closed = after_reset(rolled, command(demand.name, "watch", **demand.payload), good())
    assert payload_of(closed, "order.filled")["cause"] == "rule:daily_loss"
    assert types(closed)[-2:] == ["position.closed", "account.updated"]
    assert payload_of(closed, "account.updated") == {"status": "active", "unlocked": True}
    assert (closed.account.status, closed.account.positions) == ("active", {})
    assert after_reset(closed.account, BUYS, good()).rejection is None


def test_the_trader_may_close_what_is_left() -> None:
    rolled = after_reset(LOCKED, ROLL).account
    closed = after_reset(rolled, command(symbol="EURUSD", action="close"), good())
    assert closed.account.status == "active"


def test_a_command_that_finds_the_day_over_closes_and_unlocks_at_once() -> None:
    closed = after_reset(LOCKED, CLOSES_REST, good())
    assert types(closed)[0] == "account.day_rolled"
    assert (closed.account.status, closed.account.positions) == ("active", {})


def test_closing_at_a_loss_beyond_the_new_day_s_limit_locks_anew() -> None:
    rolled = after_reset(LOCKED, ROLL).account
    # 10 lots that fall by 101 ticks lose 1,010.00 of the 1,000.00 that a day may lose.
    fallen = LOCKED.positions["EURUSD"].cost // LOCKED.positions["EURUSD"].size_steps
    closed = after_reset(rolled, CLOSES_REST, good(EURUSD.bid_ticks - fallen + 200))
    assert [one.rule for one in closed.violations] == ["daily_loss"]
    assert (closed.account.status, closed.account.positions) == ("locked", {})
    next_ns = closed.account.day.next_reset_ns
    assert run(closed.account, ROLL, rules=RULES, now_ns=next_ns).account.status == "active"


@pytest.mark.parametrize("left", [0, 5])
def test_a_lock_of_the_present_day_stays_when_its_position_closes(left: int) -> None:
    sized = replace(good(), ts_ns=EURUSD.ts_ns + 1, bid_size_steps=1000 - left)
    closed = run(LOCKED, CLOSES_REST, sized, rules=RULES)
    assert (closed.account.status, len(closed.account.positions)) == ("locked", int(left > 0))
