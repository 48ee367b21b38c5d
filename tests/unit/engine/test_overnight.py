"""Swap: nights by weekday, amounts in the account's currency, each rollover charged once."""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_cases import account, catalog, command, market, profile, quote
from tests.support.rule_cases import instant

from quantlab.engine import commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.life_records import Booking
from quantlab.ledger.state import Account, Position
from quantlab.ledger.swap import night_value, nights_of, swap_micro
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.costs import SwapTerms
from quantlab.market.quote import Quote
from quantlab.rules.calendar import day_of, night_of

ZONE = "Europe/Prague"
RULES = profile()
EURUSD = quote("EURUSD", "1.10000", "1.10010")
USDJPY = quote("USDJPY", "150.000", "150.000")
POINTS = {"unit": "points", "long": "-6.5", "short": "1.2", "tripleDay": "wed"}
MONEY = {"unit": "money", "long": "-1000", "short": "400"}


def holding(at: str, *positions: Position, **fields: Any) -> Account:
    """Return an account in the trading day that holds a moment in Prague."""
    held = day_of(instant(at, ZONE), "00:00", ZONE)
    made = account(**fields)
    day = replace(
        made.day, date=held.date, started_ns=held.started_ns, next_reset_ns=held.next_reset_ns
    )
    return replace(made, day=day, positions={one.symbol: one for one in positions})


def position(size_steps: int, symbol: str = "EURUSD", price: int = 110_000) -> Position:
    return Position(symbol, size_steps, size_steps * price, None, None, 0, 1)


def roll(
    state: Account,
    at: str,
    swaps: dict[str, Any],
    *quotes: Quote,
    reset: Market | None = None,
) -> Outcome:
    context = Context(
        market(*(quotes or (EURUSD,))),
        RULES,
        frozenset(catalog().instruments),
        instant(at, ZONE),
        reset,
        trading=read_trading_terms({"swaps": swaps}),
    )
    return execute(state, command(commands.ROLL_DAY, "schedule"), context)


def charged(outcome: Outcome) -> list[dict[str, Any]]:
    return [one.payload for one in outcome.events if one.event_type == "position.swap_charged"]


def booked(outcome: Outcome) -> list[Booking]:
    return [] if outcome.life is None else outcome.life.bookings


def test_points_are_ticks_of_a_lot_for_each_night() -> None:
    outcome = roll(holding("2026-03-03T12:00", position(250)), "2026-03-04T00:00", {"fx": POINTS})
    (told,) = charged(outcome)
    # 2.5 lots, 6.5 points of 1.00 dollar a lot: 16.25.
    assert (told["amount"], told["night"], told["nights"]) == ("-16.25", "2026-03-03", 1)
    assert outcome.account.balance_minor == account().balance_minor - 1625
    (booking,) = booked(outcome)
    assert (booking.entry.kind, booking.entry.amount_minor) == ("swap", -1625)
    (event,) = [one for one in outcome.events if one.seq == booking.event_seq]
    assert event.event_type == "position.swap_charged"


def test_a_short_earns_what_its_side_says() -> None:
    outcome = roll(holding("2026-03-03T12:00", position(-100)), "2026-03-04T00:00", {"fx": POINTS})
    assert [one["amount"] for one in charged(outcome)] == ["1.20"]
    assert outcome.account.day.start_balance_minor == outcome.account.balance_minor


def test_the_swap_is_of_the_day_that_ends() -> None:
    state = holding("2026-03-03T12:00", position(250))
    outcome = roll(state, "2026-03-04T00:00", {"fx": POINTS})
    (closed,) = outcome.closed_days
    assert (closed.date, closed.realised_minor) == ("2026-03-03", -1625)
    assert outcome.account.day.realised_minor == 0
    assert outcome.account.day.start_balance_minor == outcome.account.balance_minor
    types = [one.event_type for one in outcome.events]
    assert types == ["position.swap_charged", "account.day_rolled"]


def test_what_the_swap_breaks_is_told_of_the_ended_day_and_carried_out_in_the_new_one() -> None:
    """100,000 less 6,500 is below the floor of 95,000 that the ended day had."""
    state = holding("2026-03-03T12:00", position(250))
    reset_ns = instant("2026-03-04T00:00", ZONE)
    last = replace(EURUSD, ts_ns=reset_ns - 1)
    outcome = roll(
        state,
        "2026-03-04T00:00",
        {"fx": {**POINTS, "long": "-2600"}},
        reset=Market(catalog(), {"EURUSD": last}, reset_ns),
    )
    types = [one.event_type for one in outcome.events]
    told = ["position.swap_charged", "rule.violation.daily_loss", "account.day_rolled"]
    assert types[:4] == [*told, "account.disabled"]
    (violation,) = outcome.violations
    assert violation.verdict["at"] == "2026-03-03T22:59:59.999999Z"
    assert (violation.verdict["threshold"], violation.verdict["value"]) == ("95000.00", "93500.00")
    assert outcome.account.positions == {}


@pytest.mark.parametrize(
    ("at", "nights"),
    [
        ("2026-03-02", 1),  # Monday
        ("2026-03-03", 1),
        ("2026-03-04", 3),  # Wednesday
        ("2026-03-05", 1),
        ("2026-03-06", 1),
        ("2026-03-07", None),  # Saturday
        ("2026-03-08", None),
    ],
)
def test_the_triple_day_stands_for_the_weekend(at: str, nights: int | None) -> None:
    state = holding(f"{at}T12:00", position(100))
    after = f"{at[:-2]}{int(at[-2:]) + 1:02}T00:00"
    told = charged(roll(state, after, {"fx": POINTS}))
    assert [one["nights"] for one in told] == ([] if nights is None else [nights])
    every = {**POINTS}
    del every["tripleDay"]
    assert [one["nights"] for one in charged(roll(state, after, {"fx": every}))] == [1]


def test_every_rollover_passed_is_charged_once_whoever_comes_first() -> None:
    state = holding("2026-03-03T12:00", position(100))
    outcome = roll(state, "2026-03-06T09:00", {"fx": POINTS})
    told = [(one["night"], one["nights"]) for one in charged(outcome)]
    assert told == [("2026-03-03", 1), ("2026-03-04", 3), ("2026-03-05", 1)]
    assert len({booking.event_seq for booking in booked(outcome)}) == 3
    again = roll(outcome.account, "2026-03-06T09:01", {"fx": POINTS})
    assert (charged(again), booked(again)) == ([], [])
    assert again.account.balance_minor == outcome.account.balance_minor
    assert roll(state, "2026-03-06T09:00", {"fx": POINTS}).events == outcome.events


def test_daylight_saving_neither_drops_nor_doubles_a_night() -> None:
    state = holding("2026-03-27T12:00", position(100))
    del (every := {**POINTS})["tripleDay"]
    told = charged(roll(state, "2026-03-31T12:00", {"*": every}))
    nights = ["2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30"]
    assert [one["night"] for one in told] == nights


@pytest.mark.parametrize(
    ("reset", "zone", "triple"),
    [
        ("17:00", "America/New_York", "2026-03-11T17:00:00-04:00"),
        ("05:00", "Asia/Singapore", "2026-03-12T05:00:00+08:00"),
        ("00:00", "Europe/Athens", "2026-03-12T00:00:00+02:00"),
        ("00:30", "UTC", "2026-03-12T00:30:00+00:00"),
        ("12:00", "UTC", "2026-03-11T12:00:00+00:00"),
        ("11:59", "UTC", "2026-03-12T11:59:00+00:00"),
    ],
)
def test_the_same_night_is_triple_wherever_the_clock_stands(
    reset: str, zone: str, triple: str
) -> None:
    """Wednesday's, and in the weekend none: as at 17:00 in New York."""
    at_ns = int(datetime.fromisoformat(triple).timestamp()) * 10**9
    nights = []
    for _ in range(7):
        nights.append(nights_of(night_of(at_ns, zone).weekday(), 2))
        at_ns = day_of(at_ns, reset, zone).next_reset_ns
    assert nights == [3, 1, 1, 0, 0, 1, 1]


def test_a_reset_that_other_day_terms_moved_charges_no_night_twice() -> None:
    """New York's day ended at 17:00, and Prague's night that holds it ends two hours later."""
    moved = holding("2026-03-10T10:00:00", position(100))
    early_ns = instant("2026-03-10T22:00:00", ZONE)
    moved = replace(moved, day=replace(moved.day, date="2026-03-09", next_reset_ns=early_ns))
    first = roll(moved, "2026-03-10T22:00:00", {"EURUSD": POINTS})
    assert [one["night"] for one in charged(first)] == ["2026-03-10"]
    second = roll(first.account, "2026-03-11T00:00:00", {"EURUSD": POINTS})
    assert charged(second) == []
    third = roll(second.account, "2026-03-12T00:00:00", {"EURUSD": POINTS})
    assert [one["night"] for one in charged(third)] == ["2026-03-11"]


def test_money_is_converted_at_the_last_quotes_before_the_rollover() -> None:
    state = holding("2026-03-03T12:00", position(100, "USDJPY", 150_000))
    before = Market(catalog(), {"USDJPY": quote("USDJPY", "125.000", "125.000")}, 0)
    outcome = roll(state, "2026-03-04T08:00", {"USDJPY": MONEY}, USDJPY, reset=before)
    (told,) = charged(outcome)
    # 1,000 yen at 125 yen a dollar.
    assert (told["amount"], told["rate"]) == ("-8.00", "4/5")
    assert [one["symbol"] for one in told["quotes"]] == ["USDJPY"]
    later = roll(state, "2026-03-04T08:00", {"USDJPY": MONEY}, USDJPY)
    assert [one["amount"] for one in charged(later)] == ["-6.67"]
    assert later.account.carry_micro == 333_333, "6.666667 dollars"


def test_without_any_quote_to_convert_the_event_says_so_and_nothing_is_booked() -> None:
    state = holding("2026-03-03T12:00", position(100, "USDJPY", 150_000))
    outcome = roll(state, "2026-03-04T08:00", {"USDJPY": MONEY}, EURUSD)
    assert booked(outcome) == []
    told = next(one for one in outcome.events if one.event_type == "position.swap_not_charged")
    assert told.payload["reason"] == "no_conversion_quote"
    assert outcome.account.balance_minor == account().balance_minor


def test_half_cents_are_carried_over_nights() -> None:
    state = holding("2026-03-03T12:00", position(1))
    swaps = {"fx": {"unit": "points", "long": "-0.5", "short": "0"}}
    outcome = roll(state, "2026-04-12T09:00", swaps)
    nights = len(charged(outcome))
    assert nights == 40
    # A hundredth of a lot is 0.5 cents a night: 20 cents exactly.
    assert outcome.account.balance_minor == account().balance_minor - 20
    assert outcome.account.carry_micro == 0


def test_a_flat_account_and_one_without_swaps_are_left_alone() -> None:
    assert roll(holding("2026-03-03T12:00"), "2026-03-04T00:00", {"fx": POINTS}).life is None
    state = holding("2026-03-03T12:00", position(100))
    assert roll(state, "2026-03-04T00:00", {"crypto": POINTS}).life is None


@given(
    st.integers(-(10**6), 10**6).filter(bool),
    st.integers(1, 3),
    st.decimals("-1000", "1000", places=6),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.sampled_from(["points", "money"]),
    st.sampled_from(["EURUSD", "USDJPY", "BTCUSD"]),
)
def test_a_swap_is_within_two_millionths_of_the_exact_one(
    steps: int, nights: int, amount: Any, num: int, den: int, unit: str, symbol: str
) -> None:
    instrument = catalog().instruments[symbol]
    value = night_value(SwapTerms(unit, amount, amount), instrument, steps)
    lots = abs(steps) * Fraction(instrument.size_step)
    if unit == "points":
        a_lot = Fraction(instrument.tick) * Fraction(instrument.contract_size)
    else:
        a_lot = Fraction(1)
    exact = lots * nights * Fraction(amount) * a_lot * 10**instrument.quote_digits * 10**6
    exact *= Fraction(num, den)
    assert abs(swap_micro(steps, nights, *value, num, den) - exact) <= 1 + Fraction(num, den)


def test_nights_of_a_week_are_seven_either_way() -> None:
    assert sum(nights_of(weekday, 2) for weekday in range(7)) == 7
    assert sum(nights_of(weekday, None) for weekday in range(7)) == 7
