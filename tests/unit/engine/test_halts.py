"""While an instrument is halted nothing of it fills, nothing is taken, and what stands waits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support import engine_cases as cases
from tests.support.engine_cases import reason
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    LOT,
    NOW,
    daily_loss,
    holding,
    position,
    quote,
    trailing,
)
from tests.unit.engine.test_replay import SECOND, live_over
from tests.unit.engine.test_replay import signal as signal_at

from quantlab.engine import commands
from quantlab.engine.batch import BatchRun, given_commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context
from quantlab.engine.execute import execute
from quantlab.engine.inputs import Inputs, inputs_of, read_inputs
from quantlab.engine.native.chosen import INTERPRETED
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.replay import rules_for, verify
from quantlab.engine.watch import Watch
from quantlab.ledger.state import Account
from quantlab.market.halts import Halt, halted_at
from quantlab.market.quote import Quote
from quantlab.rules.terms import Profile

HALTED = {"EURUSD": "disorderly"}


def halted(
    state: Account,
    name: str = commands.TRADE,
    source: str = "bot",
    on: Mapping[str, str] = HALTED,
    rules: Profile | None = None,
    at: tuple[Quote, ...] = (cases.EURUSD,),
    **payload: Any,
) -> Outcome:
    market = replace(cases.market(*at), halted=on)
    offered = frozenset(cases.catalog().instruments)
    context = Context(market, rules or cases.profile(), offered, cases.NOW)
    return execute(state, cases.command(name, source, **payload), context)


@pytest.mark.parametrize(
    "asked",
    [
        {"action": "buy", "quantity": "0.10"},
        {"action": "buy", "quantity": "0.10", "orderType": "limit", "price": "1.05000"},
        {"action": "sell", "quantity": "0.10", "orderType": "stop", "triggerPrice": "1.05000"},
        {"action": "close"},
        {"action": "reverse"},
        {"action": "flat"},
    ],
)
def test_no_order_of_it_is_taken(asked: dict[str, Any]) -> None:
    held = cases.trade(cases.account()).account
    outcome = halted(held, symbol="EURUSD", **asked)
    assert reason(outcome) == "instrument_halted"
    assert outcome.rejection is not None
    assert "disorderly" in outcome.rejection.detail
    assert outcome.fills == []
    assert outcome.account.positions == held.positions
    free = halted(held, on={"GBPUSD": "x"}, symbol="EURUSD", **asked)
    assert free.rejection is None


def test_working_orders_stay_can_be_cancelled_and_fill_after_it() -> None:
    limit = {"orderType": "limit", "price": "1.05000"}
    state = cases.trade(cases.account(), **limit).account
    (order_id,) = state.working
    reached = cases.quote("EURUSD", "1.04990", "1.05000", seq=2)
    payload = {
        "orderId": order_id, "peakTicks": None, "feedSeq": 2,
        "quotes": [{"symbol": "EURUSD", "bidTicks": 104990, "askTicks": 105000,
                    "tsNs": str(cases.NOW), "seq": 2}],
    }  # fmt: skip
    waiting = halted(state, commands.WORK_ORDER, "watch", at=(reached,), **payload)
    assert reason(waiting) == "instrument_halted"
    assert waiting.account.working == state.working
    cancelled = halted(state, action="cancel", orderId=order_id)
    assert (cancelled.rejection, cancelled.account.working) == (None, {})
    filled = halted(state, commands.WORK_ORDER, "watch", on={}, at=(reached,), **payload)
    assert [fill.price_ticks for fill in filled.fills] == [105000]


def test_a_breach_of_another_symbol_closes_it_later_and_says_so() -> None:
    rules = cases.profile()
    calm = cases.quote("GBPUSD", "1.30000", "1.30010")
    held = cases.trade(cases.account(rules)).account
    held = cases.trade(held, cases.EURUSD, calm, symbol="GBPUSD").account
    low = replace(held, balance_minor=held.balance_minor - 600_000)
    checked = halted(low, commands.CHECK_RULES, "schedule", at=(cases.EURUSD, calm))
    # With one symbol halted the equity is not known, so nothing is judged by it.
    assert checked.account.status == "active"
    assert checked.result == {"equity": None}
    disabled = replace(low, status="disabled", status_reason="daily_loss")
    asked = {"cause": "rule:daily_loss"}
    closed = halted(disabled, commands.LIQUIDATE, "watch", at=(cases.EURUSD, calm), **asked)
    assert closed.result == {"waiting": ["EURUSD"]}
    assert list(closed.account.positions) == ["EURUSD"]


def test_a_rule_that_closes_records_what_waits() -> None:
    rules = cases.profile(
        cases.rule("flat_by", "hard", timeZone="Europe/Prague",
                   windows=[{"days": ["wed"], "at": "00:00", "until": "23:59"}])
    )  # fmt: skip
    held = cases.trade(cases.account()).account
    outcome = halted(held, commands.CHECK_RULES, "schedule", rules=rules)
    told = [e.payload for e in outcome.events if e.event_type == "position.close_waiting"]
    assert told == [
        {"rule": "flat_by", "positions": [{"symbol": "EURUSD", "reason": "instrument_halted"}]}
    ]
    assert list(outcome.account.positions) == ["EURUSD"]


def test_halts_are_recorded_inputs() -> None:
    market = replace(cases.market(cases.EURUSD), halted=HALTED)
    inputs = inputs_of(market, cases.NOW)
    assert inputs.recorded()["halted"] == HALTED
    read = read_inputs(inputs.recorded(), cases.NOW, cases.catalog())
    assert (read.halted, read) == (HALTED, inputs)
    assert "halted" not in inputs_of(cases.market(cases.EURUSD), cases.NOW).recorded()
    assert Inputs(1, 1, 1).halted == {}


def test_a_halt_holds_after_its_beginning_and_up_to_its_end() -> None:
    halts = (Halt("EURUSD", "a", 10, 20), Halt("GBPUSD", "b", 15))
    found = {now: sorted(halted_at(halts, now)) for now in (10, 11, 16, 20, 21)}
    assert found == {10: [], 11: ["EURUSD"], 16: ["EURUSD", "GBPUSD"],
                     20: ["EURUSD", "GBPUSD"], 21: ["GBPUSD"]}  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "arrays"])
def test_the_watch_asks_nothing_of_what_is_halted_and_keeps_no_peak(kind: str) -> None:
    profile = trailing()
    watch = Watch(CATALOG) if kind == "plain" else ArrayWatch(CATALOG, INTERPRETED)
    account = holding(profile, position(LOT, stop=ENTRY - 50))
    watch.put(account, profile, NOW, NOW)
    watch.set_halts(account.tenant_id, HALTED)
    for seq, bid in enumerate((ENTRY + 900, ENTRY - 9000), 1):
        assert watch.on_quote(quote(bid, seq=seq), NOW + seq, NOW + seq) == []
    assert watch.unstored_peaks(NOW + 9 * SECOND, leaving=True) == []
    watch.set_halts(account.tenant_id, {})
    # The stop was not touched while it was halted: a good quote after it leaves it alone.
    assert watch.on_quote(quote(ENTRY, seq=3), NOW + 3, NOW + 3) == []
    names = [one.name for one in watch.on_quote(quote(ENTRY - 50, seq=4), NOW + 4, NOW + 4)]
    assert commands.PROTECT in names


def test_another_tenants_halt_is_none_of_ours() -> None:
    profile = daily_loss()
    watch = Watch(CATALOG)
    account = holding(profile, position(LOT, stop=ENTRY))
    watch.put(account, profile, NOW, NOW)
    watch.set_halts("somebody-else", HALTED)
    names = [one.name for one in watch.on_quote(quote(ENTRY - 10, seq=1), NOW + 1, NOW + 1)]
    assert commands.PROTECT in names


def test_a_run_on_ticks_halts_where_the_record_says() -> None:
    """The stop of the position lies under the ticks of the halt: it waits and is not reached."""
    prices = (108_000, 108_010, 107_000, 107_000, 108_000, 108_010)
    quotes = [
        Quote("EURUSD", bid, bid + 10, cases.NOW + seq * SECOND, seq)
        for seq, bid in enumerate(prices, 1)
    ]
    asked = [signal_at(1, stopLoss="1.07500")]
    halts = (Halt("EURUSD", "spike", cases.NOW + 2 * SECOND, cases.NOW + 4 * SECOND),)
    free, kept = (live_over(quotes, asked, halts=halts_) for halts_ in ((), halts))
    assert free.account.positions == {}
    assert list(kept.account.positions) == ["EURUSD"]
    assert verify(kept).difference is None
    rules = rules_for(kept, kept.opening)
    run = BatchRun(kept.opening, kept.catalog, rules, kept.ticks, halts=kept.halts)
    assert run.trace_hash(given_commands(kept.decided)) == verify(kept).trace_hash
