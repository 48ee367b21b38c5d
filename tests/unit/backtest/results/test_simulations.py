"""Trades in other orders, and challenges over days: against plain loops and known shares."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.finished_runs import DAY, START, run_of

from quantlab.backtest.results import challenge, draws
from quantlab.backtest.results.challenge import DayMoves, Terms, attempt, bootstrap, from_each_day
from quantlab.backtest.results.montecarlo import bootstrap_trades, distribution, shuffle_trades
from quantlab.backtest.results.run import Curve, NoResult, words
from quantlab.market.synthetic import SplitMix64
from quantlab.rules import scalars

LIKELY = 4.5  # standard errors


def test_numbers_are_those_of_the_generator_we_have() -> None:
    one = SplitMix64(77)
    assert draws.raw(77, 0, 50).tolist() == [one.below(1 << 64) for _ in range(50)]
    assert draws.raw(77, 10, 5).tolist() == draws.raw(77, 0, 15).tolist()[10:]


def test_drawn_numbers_are_even() -> None:
    counts = np.bincount(draws.below(3, 0, 60_000, 6), minlength=6)
    assert len(counts) == 6
    assert (abs(counts - 10_000) < LIKELY * (60_000 * 5 / 36) ** 0.5).all()


def test_shuffled_trades_end_where_they_did() -> None:
    profits = [30, -10, -20, 5]
    found = shuffle_trades(profits, 100, paths=4000, seed=5)
    assert (found.end.least, found.end.most, found.losing) == (105, 105, 0)
    falls = [deepest(order, 100) for order in itertools.permutations(profits)]
    assert (found.max_drawdown.least, found.max_drawdown.most) == (min(falls), max(falls))
    assert found == shuffle_trades(profits, 100, paths=4000, seed=5)
    assert found != shuffle_trades(profits, 100, paths=50, seed=6)


def deepest(order, initial) -> int:
    balance = peak = initial
    fall = 0
    for profit in order:
        balance += profit
        peak = max(peak, balance)
        fall = max(fall, peak - balance)
    return fall


def test_every_order_is_as_likely() -> None:
    profits, paths = [1, -2, 4], 12_000
    found = shuffle_trades(profits, 0, paths=paths, seed=9, ruin_minor=-1)
    # -2 leads to -1 or less where it comes first, or after the 1: three of six orders.
    assert abs(found.ruined - 0.5) < LIKELY * (0.25 / paths) ** 0.5


def test_bootstrapped_trades_have_the_shares_of_their_draws() -> None:
    paths = 12_000
    found = bootstrap_trades([10, -10], 100, paths=paths, seed=2, ruin_minor=80)
    assert (found.end.least, found.end.most) == (80, 120)
    for share in (found.losing, found.ruined):
        assert abs(share - 0.25) < LIKELY * (0.25 * 0.75 / paths) ** 0.5
    assert bootstrap_trades([1], 5, paths=3).ruined is None


def test_many_trades_are_simulated_in_parts_that_change_nothing(monkeypatch) -> None:
    profits = list(range(-50, 60))
    whole = [shuffle_trades(profits, 1000, 40), bootstrap_trades(profits, 1000, 40)]
    monkeypatch.setattr("quantlab.backtest.results.montecarlo.CELLS", 700)
    assert [shuffle_trades(profits, 1000, 40), bootstrap_trades(profits, 1000, 40)] == whole


def test_percentiles_are_values_of_the_sample() -> None:
    found = distribution(words(range(1, 101)))
    assert found.percentiles == {5: 5, 25: 25, 50: 50, 75: 75, 95: 95}
    assert distribution(words([7])).percentiles[5] == 7


def test_nothing_to_simulate_is_refused() -> None:
    with pytest.raises(NoResult, match="expected trades and paths, was 0 and 1000"):
        shuffle_trades([], 100)
    with pytest.raises(NoResult, match="expected days"):
        from_each_day(DayMoves(*(words([]),) * 4), Terms(1, 1, ()))
    with pytest.raises(NoResult, match="expected paths and days of a block"):
        bootstrap(DayMoves(*(words([1]),) * 4), Terms(1, 1, ()), block_days=0)


PPM = 1_000_000
DAILY = (scalars.DAILY_LOSS, scalars.ANCHOR_BALANCE, PPM, 50 * PPM, scalars.BELOW, -1, -1)
STATIC = (scalars.MAX_DRAWDOWN, scalars.BASIS_INITIAL, PPM, 100 * PPM, scalars.BELOW, -1, -1)
TRAIL = (scalars.MAX_DRAWDOWN, scalars.BASIS_EQUITY, PPM, 100 * PPM, scalars.AT_OR_BELOW, 1000, -1)


def moves(*days) -> DayMoves:
    return DayMoves(*(words(column) for column in zip(*days, strict=True)))


def outcomes(days, terms):
    found = attempt(days, terms, np.arange(len(days))[None, :])
    return challenge.OUTCOMES[int(found[0][0])], int(found[1][0])


def test_attempts_end_as_their_rules_say() -> None:
    up, down, touch = (40, -10, 40, 1), (-45, -45, 0, 1), (10, -51, 10, 1)
    terms = Terms(1000, 80, (DAILY, STATIC))
    assert outcomes(moves(up, up, up), terms) == ("passed", 2)
    assert outcomes(moves(up, touch, up), terms) == ("daily_loss", 2)
    assert outcomes(moves(down, down, down), terms) == ("max_drawdown", 3)
    assert outcomes(moves(up, down, up), terms) == ("out_of_time", 3)
    assert outcomes(moves((0, -50, 0, 1)), terms) == ("out_of_time", 1)
    idle = (0, 0, 0, 0)
    later = Terms(1000, 80, (DAILY, STATIC), min_days=3)
    assert outcomes(moves(up, up, idle, (0, -1, 0, 1)), later) == ("passed", 4)


def test_a_trailing_floor_follows_the_day_s_high_up_to_its_lock() -> None:
    terms = Terms(1000, 500, (TRAIL,))
    assert outcomes(moves((0, -49, 50, 1)), terms) == ("out_of_time", 1)
    assert outcomes(moves((0, -50, 50, 1)), terms) == ("max_drawdown", 1)
    up = (90, 0, 90, 1)
    assert outcomes(moves(up, up, (-179, -179, 0, 1)), terms) == ("out_of_time", 3)
    assert outcomes(moves(up, up, (-180, -180, 0, 1)), terms) == ("max_drawdown", 3)


def test_a_high_of_an_earlier_day_is_not_forgotten() -> None:
    """A high of 60 that the close gave back keeps the floor at 960 on the next day."""
    terms = Terms(1000, 500, ((*TRAIL[:5], -1, -1),))
    assert outcomes(moves((0, 0, 60, 1), (-39, -39, 0, 1)), terms) == ("out_of_time", 2)
    assert outcomes(moves((0, 0, 60, 1), (-40, -40, 0, 1)), terms) == ("max_drawdown", 2)


def test_a_judge_has_the_last_word_on_what_is_enough() -> None:
    asked = []

    def judge(row: int, days) -> bool:
        asked.append((row, days.tolist()))
        return len(days) == 3

    up = (40, 0, 40, 1)
    found = attempt(moves(up, up, up, up), Terms(1000, 80, ()), np.arange(4)[None, :], judge)
    assert (int(found[0][0]), int(found[1][0])) == (challenge.PASSED, 3)
    assert asked == [(0, [0, 1]), (0, [0, 1, 2])]


def test_of_two_broken_rules_the_higher_floor_is_the_cause() -> None:
    assert outcomes(moves((-120, -120, 0, 1)), Terms(1000, 80, (STATIC, DAILY))) == (
        "daily_loss",
        1,
    )


@given(
    st.sampled_from([scalars.DAILY_LOSS, scalars.MAX_DRAWDOWN]),
    st.integers(0, 4),
    st.integers(0, PPM),
    st.integers(0, 10**12),
    st.sampled_from([scalars.BELOW, scalars.AT_OR_BELOW]),
    st.sampled_from([-1, 900_000, 10**6]),
    st.sampled_from([-1, 0, 950_000]),
    st.lists(st.tuples(*[st.integers(1, 2 * 10**6)] * 2), min_size=1, max_size=5),
)
def test_floors_are_those_of_live_accounts(
    kind, code, keep, loss, comparator, lock, least, accounts
) -> None:
    code = min(code, 3) if kind == scalars.MAX_DRAWDOWN else code
    row = (kind, code, keep, loss, comparator, lock, least)
    start, extra = (words(column) for column in zip(*accounts, strict=True))
    mark, high = start + extra // 2, start + extra
    live = [
        scalars.floor_of(*row, 10**6, s, s, s, 0, scalars.next_mark(code, m, s, h, False))
        for s, m, h in zip(start.tolist(), mark.tolist(), high.tolist(), strict=True)
    ]
    assert challenge.floors(row, 10**6, start, mark, high).tolist() == live


def test_from_each_day_counts_attempts_that_the_data_cuts_off() -> None:
    up = (40, 0, 40, 1)
    found = from_each_day(moves(up, up, up), Terms(1000, 80, ()))
    assert found.outcomes == {"passed": 2, "daily_loss": 0, "max_drawdown": 0, "out_of_time": 1}
    assert (found.attempts, found.days_to_pass.most) == (3, 2)


def test_the_bootstrap_of_a_fair_coin() -> None:
    """Up or down 10 a day, from 30 to 0 or 60: the gambler's ruin is passed half of the time."""
    days = moves((10, 0, 10, 1), (-10, -10, 0, 1))
    floor = (
        scalars.MAX_DRAWDOWN,
        scalars.BASIS_INITIAL,
        PPM,
        30 * PPM,
        scalars.AT_OR_BELOW,
        -1,
        -1,
    )
    terms = Terms(1000, 30, (floor,), max_days=500)
    found = bootstrap(days, terms, paths=10_000, block_days=1, seed=4)
    assert found.outcomes["out_of_time"] == 0
    assert abs(found.pass_rate - 0.5) < LIKELY * 0.005
    assert found.low < found.pass_rate < found.high
    assert found == bootstrap(days, terms, paths=10_000, block_days=1, seed=4)
    assert bootstrap(days, terms, paths=100, block_days=2).outcomes["passed"] == 0


def test_wilson_interval() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    cases = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (passed, attempts), interval in cases.items():
        assert challenge.wilson(passed, attempts) == pytest.approx(interval, abs=5e-5)
    assert challenge.wilson(20, 20)[1] == 1


def test_days_of_a_run_have_their_lows_and_highs() -> None:
    run = run_of(closes=[1_000_100, 1_000_050])
    curve = Curve(
        words([START + DAY // 4, START + DAY // 2, START + DAY, START + DAY + 5]),
        words([999_000, 1_000_300, 1_000_090, 1_000_020]),
        words([0] * 4),
    )
    found = challenge.day_moves(replace(run, curve=curve))
    assert found.change.tolist() == [100, -50]
    assert found.low.tolist() == [-1000, -80]
    assert found.high.tolist() == [300, 0]
    assert found.traded.tolist() == [1, 1]
