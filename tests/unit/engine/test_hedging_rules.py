"""Hedging accounts: the margin of their legs, and the rules that judge them."""

from typing import Any

import pytest
from tests.support.engine_cases import reason
from tests.support.hedging_desk import Desk, told
from tests.support.rule_cases import percent, rule

from quantlab.engine import commands
from quantlab.engine.margin import Margin, margin_of

LEVERED = {"leverage": {"fx": "30"}, "stopOutPercent": "50"}


def known(desk: Desk) -> Margin:
    margin = margin_of(desk.account, desk.market(), desk.trading)
    assert isinstance(margin, Margin), margin
    return margin


def test_of_hedged_legs_the_larger_side_asks_for_margin() -> None:
    """The worked example of docs/rules.md."""
    desk = Desk(margin=LEVERED)
    desk.see("EURUSD", "1.10000", "1.10000")
    desk.open("buy", "1")
    assert known(desk).used_minor == 366_667
    desk.open("sell", "0.6")
    assert known(desk).used_minor == 366_667, "the smaller side costs nothing"
    desk.see("EURUSD", "1.20000", "1.20000")
    desk.open("sell", "0.9")
    assert known(desk).used_minor == -(-(66_000_00 + 108_000_00) // 30), "shorts are larger now"
    short = desk.account.legs()[1]
    desk.trade("close", ticket=short.ticket)
    assert known(desk).used_minor == 366_667, "110,000 long against 108,000 short"


def test_orders_reserve_what_they_add_to_the_larger_side() -> None:
    desk = Desk(margin=LEVERED)
    desk.see("EURUSD", "1.10000", "1.10000")
    desk.open("buy", "2")
    desk.trade("sell", "3", orderType="limit", price="1.20000")
    hedged = known(desk)
    assert hedged.used_minor == 733_334
    assert hedged.reserved_minor == -(-(360_000_00 - 220_000_00) // 30)
    desk.trade("buy", "1", orderType="limit", price="1.00000")
    assert known(desk).reserved_minor == hedged.reserved_minor, "320,000 long, 360,000 short"


def test_an_opposite_leg_needs_no_margin_and_a_larger_one_needs_the_rest() -> None:
    desk = Desk(margin=LEVERED)
    desk.see("EURUSD", "1.10000", "1.10000")
    desk.open("buy", "27")
    assert reason(desk.trade("buy", "1")) == "margin_insufficient"
    assert reason(desk.trade("sell", "27")) is None
    assert reason(desk.trade("sell", "1")) == "margin_insufficient"


def test_at_the_stop_out_the_leg_that_lost_most_closes_first() -> None:
    desk = Desk(rule("stop_loss_required", "warn"), margin=LEVERED)
    desk.see("EURUSD", "1.10000", "1.10000")
    first = desk.open("buy", "5")
    desk.see("EURUSD", "1.12000", "1.12000")
    second = desk.open("buy", "15")
    short = desk.open("sell", "2")
    watch = desk.watched()
    seen = desk.see("EURUSD", "1.07600", "1.07600")
    demands = watch.on_quote(seen, desk.now_ns, desk.now_ns)
    (asked,) = [one for one in demands if one.name == commands.STOP_OUT]
    outcome = desk.give(asked.name, "watch", **asked.payload)
    assert [one["ticket"] for one in told(outcome, "account.margin_stop_out")] == [second.ticket]
    assert set(desk.account.positions) == {first.ticket, short.ticket}


def hedging(owners: str = "any") -> dict[str, Any]:
    return rule("hedging", "soft", accountsOf=owners)


def test_the_ban_on_hedging_sees_the_legs_of_the_account_itself() -> None:
    desk = Desk(hedging())
    leg = desk.open("buy")
    outcome = desk.trade("sell", "0.1")
    assert reason(outcome) == "hedging"
    assert str(leg.ticket) in str(outcome.rejection)
    assert reason(desk.trade("buy", "0.1")) is None
    assert reason(desk.trade("close", ticket=leg.ticket)) is None
    others = Desk(hedging("other_owners"))
    others.open("buy"), others.open("sell")
    assert others.sizes()[1] < 0, "a rule on other owners looks at no leg of one's own"


@pytest.mark.parametrize("per", ["position", "account"])
def test_sizes_count_each_leg_or_all_legs_of_both_sides(per: str) -> None:
    desk = Desk(rule("position_size", "soft", maxLots="1", per=per))
    desk.open("buy", "0.7")
    assert reason(desk.trade("sell", "0.4")) == (None if per == "position" else "position_size")
    assert reason(desk.trade("sell", "1.1")) == "position_size"


def test_a_stop_loss_that_a_rule_asks_for_stays_with_its_leg() -> None:
    desk = Desk(rule("stop_loss_required", "soft"))
    placed = desk.trade("buy", "1", bracket={"stopLoss": "1.09000"})
    desk.open("sell", "1", stopLoss="1.11000")
    (stop,) = desk.account.working.values()
    assert stop.terms.ticket == placed.result["ticket"]
    assert reason(desk.trade("cancel", orderId=stop.order_id)) == "stop_loss_required"


def test_a_breach_closes_all_legs() -> None:
    desk = Desk(rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt"))
    desk.open("buy", "3"), desk.open("buy", "2"), desk.open("sell", "1")
    desk.see("EURUSD", "1.08000", "1.08010")
    desk.give(commands.CHECK_RULES, "schedule")
    assert (desk.account.status, desk.account.positions) == ("disabled", {})
