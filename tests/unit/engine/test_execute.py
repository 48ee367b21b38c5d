from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.engine_cases import (
    BALANCE,
    EURUSD,
    NOW,
    account,
    command,
    market,
    profile,
    quote,
    reason,
    run,
    trade,
    types,
)
from tests.support.fill_models import MODELS
from tests.support.rule_cases import percent, rule

from quantlab.engine.commands import (
    CHECK_RULES,
    DISABLE,
    OBSERVE_EQUITY,
    ROLL_DAY,
    Command,
    Outcome,
)
from quantlab.engine.context import Context, exposure_id, write_quotes
from quantlab.engine.execute import execute
from quantlab.kernel.check import InvariantBroken
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote

FEE_PER_STEP = {
    symbol: instrument.commission_micro_per_step
    for symbol, instrument in market().catalog.instruments.items()
}


def test_buy_fills_at_the_ask_and_records_its_inputs() -> None:
    outcome = trade(account(), stopLoss="1.08000", takeProfit="1.09000", clientId="mine")
    assert reason(outcome) is None
    assert types(outcome) == [
        "webhook.received",
        "webhook.validated",
        "order.accepted",
        "order.filled",
        "position.opened",
        "webhook.trade_executed",
    ]
    fill = outcome.fills[0]
    assert (fill.price_ticks, fill.bid_ticks, fill.ask_ticks) == (108125, 108123, 108125)
    position = outcome.account.positions["EURUSD"]
    assert (position.size_steps, position.cost) == (10, 10 * 108125)
    assert (position.stop_loss_ticks, position.take_profit_ticks) == (108000, 109000)
    assert [event.seq for event in outcome.events] == list(range(2, 8))
    assert outcome.account.event_seq == 7
    assert outcome.orders[0].client_id == "mine"


def test_round_trip_books_the_gain_exactly() -> None:
    opened = trade(account(), quantity="1")
    later = quote("EURUSD", "1.08325", "1.08327", seq=2)
    closed = trade(opened.account, later, action="close", quantity=None)
    fees = -(-2 * 100 * FEE_PER_STEP["EURUSD"]) // 1_000_000
    assert closed.account.balance_minor == 10_000_000 + 20_000 - fees
    assert closed.account.positions == {}
    assert closed.account.day.realised_minor == 20_000 - fees
    assert types(closed)[-2:] == ["position.closed", "webhook.trade_executed"]


def test_yen_gain_is_converted_at_the_recorded_rate() -> None:
    first = quote("USDJPY", "150.000", "150.002")
    opened = trade(account(), first, symbol="USDJPY", quantity="1")
    later = quote("USDJPY", "151.002", "151.004", seq=2)
    closed = trade(opened.account, later, symbol="USDJPY", action="close", quantity=None)
    fill = closed.fills[0]
    assert (fill.rate_num, fill.rate_den) == (25_000, 37_751)  # 100 * 1000 / 151004, reduced
    assert fill.realised_minor == 66_223  # 100,000 yen at 151.004


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"symbol": "NOPE"}, "unknown_instrument"),
        ({"symbol": "GBPUSD"}, "no_quote"),
        ({"quantity": "0.105"}, "quantity_off_step"),
        ({"quantity": "0.00"}, "quantity_too_small"),
        ({"quantity": "1000000"}, "quantity_too_large"),
        ({"stopLoss": "1.080001"}, "price_off_tick"),
        ({"stopLoss": "1.08125"}, "invalid_stop_loss"),
        ({"takeProfit": "1.08125"}, "invalid_take_profit"),
        ({"action": "sell", "stopLoss": "1.08123"}, "invalid_stop_loss"),
        ({"action": "sell", "takeProfit": "1.08123"}, "invalid_take_profit"),
        ({"action": "close", "quantity": None}, "no_position"),
        ({"action": "flat", "quantity": None, "symbol": None}, "no_position"),
        (
            {"quantity": None, "riskPercent": "0.000001", "stopLoss": "1.00000"},
            "quantity_too_small",
        ),
    ],
)
def test_rejections_leave_the_account_as_it_was(fields: dict[str, Any], expected: str) -> None:
    before = account()
    outcome = trade(before, **fields)
    assert reason(outcome) == expected
    assert types(outcome)[-1] == "webhook.rejected"
    assert outcome.fills == []
    after = replace(outcome.account, event_seq=before.event_seq)
    assert after == before


@pytest.mark.parametrize(
    ("status", "opens", "closes"),
    [
        ("locked", "account_locked", None),
        ("disabled", "account_disabled", "account_disabled"),
        ("closed", "account_closed", "account_closed"),
    ],
)
def test_status_comes_before_everything_else(status: str, opens: str, closes: str | None) -> None:
    state = replace(trade(account()).account, status=status, status_reason="daily_loss")
    assert reason(trade(state, symbol="NOPE")) == opens
    assert reason(trade(state, action="close", quantity=None)) == closes


def test_stale_quote_neither_fills_nor_closes() -> None:
    opened = trade(account()).account
    stale = quote("EURUSD", "1.08123", "1.08125", age_s=100_000)
    suspended = replace(EURUSD, suspended=True)
    for bad in (stale, suspended):
        assert reason(trade(opened, bad)) == "quote_stale"
        assert reason(trade(opened, bad, action="close", quantity=None)) == "quote_stale"


def test_risk_percent_sizes_to_the_stop_and_rounds_down() -> None:
    outcome = trade(account(), quantity=None, riskPercent="1", stopLoss="1.07125")
    fee = FEE_PER_STEP["EURUSD"]
    per_step = 1000 * 10**6 + fee  # 1000 ticks at one cent a step
    assert outcome.fills[0].size_steps == 100_000 * 10**6 // per_step


def test_protective_prices_follow_the_order_that_adds_never_the_one_that_reduces() -> None:
    opened = trade(account(), quantity="0.30", stopLoss="1.08000", takeProfit="1.09000").account
    reduced = trade(
        opened, action="sell", quantity="0.10", stopLoss="1.08500", takeProfit="1.07000"
    ).account
    added = trade(reduced, quantity="0.10", stopLoss="1.08100").account
    turned = trade(added, action="sell", quantity="1", stopLoss="1.08900").account
    held = [state.positions["EURUSD"] for state in (reduced, added, turned)]
    assert [(item.stop_loss_ticks, item.take_profit_ticks) for item in held] == [
        (108000, 109000),
        (108100, 109000),
        (108900, None),
    ]
    assert held[1].opened_seq == opened.positions["EURUSD"].opened_seq != held[2].opened_seq


def test_foreign_instrument_is_refused_by_the_account_type() -> None:
    asked = command(symbol="EURUSD", action="buy", quantity="0.10")
    outcome = run(account(), asked, symbols=frozenset({"GBPUSD"}))
    assert reason(outcome) == "instrument_allowlist"


def test_breach_on_the_fill_ends_the_account_with_its_evidence() -> None:
    tight = profile(rule("daily_loss", anchor="balance", loss={"amount": "15.00"}, comparator="lt"))
    wide_spread = quote("EURUSD", "1.08100", "1.08120")
    outcome = trade(account(tight), wide_spread, quantity="1", rules=tight)
    assert types(outcome) == [
        "webhook.received",
        "webhook.validated",
        "order.accepted",
        "order.filled",
        "position.opened",
        "rule.violation.daily_loss",
        "account.disabled",
        "order.accepted",
        "order.filled",
        "position.closed",
        "account.snapshot_taken",
        "webhook.trade_executed",
    ]
    assert (outcome.account.status, outcome.account.positions) == ("disabled", {})
    verdict = outcome.violations[0].verdict
    assert verdict["violated"] is True
    assert verdict["profileVersion"] == tight.version
    assert "is below" in str(verdict["arithmetic"])
    assert reason(trade(outcome.account, rules=tight)) == "account_disabled"


def test_what_the_closing_of_a_locked_account_costs_is_judged_too() -> None:
    soft = rule("daily_loss", "soft", anchor="balance", loss={"amount": "15.00"}, comparator="lt")
    hard = rule("max_drawdown", mode="static", loss={"amount": "24.00"}, comparator="lt")
    tight = profile(soft, hard)
    wide_spread = quote("EURUSD", "1.08100", "1.08120")
    slips = {"*": MODELS["unlimited fixed"]}
    outcome = trade(account(tight), wide_spread, quantity="1", rules=tight, models=slips)
    assert [one.rule for one in outcome.violations] == ["daily_loss", "max_drawdown"]
    assert (outcome.account.status, outcome.account.positions) == ("disabled", {})


def test_an_account_ends_for_the_rule_that_ends_it_not_for_a_softer_one_broken_with_it() -> None:
    soft = rule("daily_loss", "soft", anchor="balance", loss=percent("1"), comparator="le")
    hard = rule("max_drawdown", mode="static", loss=percent("3"), comparator="lt")
    tight = profile(soft, hard)
    opened = trade(account(tight), rules=tight, quantity="10").account
    # 10 lots from 1.08125 to 1.04125 lose 40,000.00 of 100,000.00: beyond 1 % and beyond 3 %.
    check = command(CHECK_RULES, "schedule", checkpoint="now")
    ended = run(opened, check, quote("EURUSD", "1.04125", "1.04127"), rules=tight)
    assert [one.rule for one in ended.violations] == ["daily_loss", "max_drawdown"]
    assert (ended.account.status, ended.account.status_reason) == ("disabled", "max_drawdown")
    said = {event.event_type: event.payload for event in ended.events}
    assert said["account.disabled"]["rule"] == "max_drawdown"
    assert said["order.filled"]["cause"] == "rule:max_drawdown"


class Overdue:
    """An account that would break its old day's floor at a low quote, decided after the reset.

    The balance has fallen, so the new day's floor would spare what the old one ends.
    """

    def __init__(self) -> None:
        self.rules = profile(
            rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt"),
            rule("max_drawdown", mode="static", loss=percent("8"), comparator="lt"),
        )
        state = account(self.rules, balance_minor=BALANCE - 400_000)
        state = replace(state, day=replace(state.day, realised_minor=-400_000))
        entry = quote("EURUSD", "1.06000", "1.06000")
        self.opened = trade(state, entry, rules=self.rules, quantity="1").account
        self.reset_ns = self.opened.day.next_reset_ns

    def at(self, price: str, seq: int, after_reset_ns: int) -> Quote:
        made = quote("EURUSD", price, price, seq=seq)
        return replace(made, ts_ns=self.reset_ns + after_reset_ns)

    def seen(self, low: Quote) -> Command:
        return command(
            CHECK_RULES,
            "watch",
            peakMinor=str(self.opened.high_water_minor),
            knownMarkMinor=str(self.opened.high_water_minor),
            feedSeq=low.seq,
            dayStartedNs=str(self.opened.day.started_ns),
            exposureId=exposure_id(self.opened),
            quotes=write_quotes([low]),
        )

    def decide(self, asked: Command, last: Quote, present: Quote) -> Outcome:
        now_ns = self.reset_ns + 5
        context = Context(
            replace(market(present), feed_now_ns=now_ns),
            self.rules,
            frozenset({"EURUSD"}),
            now_ns,
            replace(market(last), feed_now_ns=self.reset_ns),
        )
        return execute(self.opened, asked, context)


@pytest.mark.parametrize("seen_by", ["watch", "reset"])
def test_what_broke_in_a_day_stays_broken_when_it_is_decided_after_the_reset(seen_by: str) -> None:
    case = Overdue()
    low, high = case.at("1.04000", 2, -7), case.at("1.08000", 3, -6)
    if seen_by == "watch":
        outcome = case.decide(case.seen(low), high, high)
    else:
        outcome = case.decide(command(ROLL_DAY, "schedule"), low, high)

    # 96,000.00 less 2,000.00 for a lot from 1.06000 to 1.04000.
    assert [one.rule for one in outcome.violations] == ["daily_loss"]
    verdict = outcome.violations[0].verdict
    assert (verdict["threshold"], verdict["value"]) == ("95000.00", "94000.00")
    assert verdict["at"] == format_rfc3339(case.reset_ns - 1)
    assert (outcome.account.status, outcome.account.positions) == ("disabled", {})
    assert types(outcome)[-2:] == ["account.day_rolled", "account.snapshot_taken"]


def test_a_day_that_is_over_is_not_judged_by_quotes_after_it() -> None:
    case = Overdue()
    high, low = case.at("1.08000", 2, -6), case.at("1.04000", 3, 1)
    outcome = case.decide(case.seen(low), high, case.at("1.08000", 4, 3))
    assert outcome.violations == []
    assert outcome.account.status == "active"
    assert outcome.account.day.start_equity_minor == BALANCE - 400_000 + 200_000


def test_a_mark_of_balances_rises_though_a_stale_quote_hides_the_equity() -> None:
    trailing = profile(
        rule("max_drawdown", mode="trailing", basis="balance", loss=percent("5"), comparator="lt")
    )
    pound = quote("GBPUSD", "1.26500", "1.26502")
    opened = trade(account(trailing), pound, symbol="GBPUSD", rules=trailing).account
    opened = trade(opened, quote("EURUSD", "1.08123", "1.08125"), pound, rules=trailing).account
    stale = quote("GBPUSD", "1.26500", "1.26502", age_s=3600)
    closed = trade(
        opened, quote("EURUSD", "1.09123", "1.09125"), stale, action="close", rules=trailing
    )
    assert closed.account.balance_minor > BALANCE
    assert closed.account.high_water_minor == closed.account.balance_minor


def test_only_a_moved_status_or_configuration_is_told_to_the_accepting_path() -> None:
    trailing = profile(
        rule("max_drawdown", mode="trailing", basis="equity", loss=percent("5"), comparator="lt")
    )
    seen = {"peakMinor": str(BALANCE + 100), "knownMarkMinor": str(BALANCE), "feedSeq": 1}
    risen = run(account(trailing), command(OBSERVE_EQUITY, "watch", **seen), rules=trailing)
    assert types(risen) == ["account.updated"]
    assert not risen.touched_status
    assert not trade(account()).touched_status
    disabled = run(account(), command(DISABLE, "user", reason="r", by="u"))
    assert disabled.touched_status


def test_market_hours_refuse_before_the_quote_is_looked_at() -> None:
    shut = profile(
        rule(
            "trading_hours", "soft", reducingOrders="allowed", timeZone="UTC",
            windows=[{"days": ["mon"], "open": "09:00", "close": "17:00"}],
        )
    )  # fmt: skip
    outcome = trade(account(shut), quote("GBPUSD", "1.2", "1.2"), rules=shut)
    assert reason(outcome) == "trading_hours"
    assert "rule.violation.trading_hours" in types(outcome)
    assert outcome.account.status == "active"


def test_position_that_would_leave_exact_arithmetic_is_refused() -> None:
    instrument = market().catalog.instruments["BTCUSD"]
    held = trade(account(), quote("BTCUSD", "100000.00", "100001.00"), symbol="BTCUSD",
                 quantity="1").account.positions["BTCUSD"]  # fmt: skip
    huge = replace(held, size_steps=1 << 61, cost=1 << 61)
    state = account(positions={"BTCUSD": huge})
    outcome = trade(state, quote("BTCUSD", "100000.00", "100001.00"), symbol="BTCUSD", quantity="1")
    assert instrument.unit_num
    assert reason(outcome) == "position_too_large"


def test_unknown_command_is_a_bug_not_a_silence() -> None:
    with pytest.raises(InvariantBroken, match="no such command"):
        run(account(), command("teleport"))
    with pytest.raises(InvariantBroken, match="another account"):
        run(replace(account(), account_id="other"), command(symbol="EURUSD", action="buy"))


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("buy", "sell", "close", "flat")),
        st.integers(1, 300),
        st.integers(100_000, 120_000),
        st.integers(0, 30),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(ACTIONS)
def test_any_sequence_conserves_money_and_size(actions: list[tuple[str, int, int, int]]) -> None:
    """The ledger sums to the balance, positions to the fills; seqs are gapless."""
    state: Account = account()
    booked, size, seq = state.balance_minor, 0, state.event_seq
    for action, steps, bid, spread in actions:
        tick = replace(EURUSD, bid_ticks=bid, ask_ticks=bid + spread)
        quantity = f"{steps / 100:.2f}" if action in ("buy", "sell") else None
        outcome = trade(state, tick, action=action, quantity=quantity)
        for event in outcome.events:
            seq += 1
            assert event.seq == seq
        for fill in outcome.fills:
            size += fill.side * fill.size_steps
            booked += sum(entry.amount_minor for entry in fill.entries)
            expected = tick.ask_ticks if fill.side > 0 else tick.bid_ticks
            assert fill.price_ticks == expected + fill.side * fill.slippage_ticks
        state = outcome.account
        held = state.positions.get("EURUSD")
        assert state.balance_minor == booked
        assert (held.size_steps if held else 0) == size
        assert abs(state.carry_micro) <= 500_000
        if state.status != "active":
            assert state.positions == {}
    assert state.day.started_ns <= NOW < state.day.next_reset_ns
