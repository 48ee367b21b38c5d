"""Attempts at an account type: where they end, by hand-made quotes; and runs taken in parts."""

from typing import Any

import numpy as np
import pytest
from tests.support import backtest_runs as runs
from tests.support.engine_cases import BALANCE, profile
from tests.support.rule_cases import instant, percent
from tests.support.rule_cases import rule as made_rule

from quantlab.backtest.block import new_block
from quantlab.backtest.native.glue import Glue
from quantlab.backtest.running import Run
from quantlab.backtest.span import Span
from quantlab.tenancy.programs import PayoutTerms
from quantlab_edge.backtest import EngineFiles, KeptCode
from quantlab_server.backtests.attempts import Attempt, attempt, day_places

HOUR = 3_600 * 10**9
START = instant("2026-03-02T10:00:00", "Europe/Prague")  # days begin at midnight there
TARGET = made_rule("profit_target", "gate", target={"percent": "1"}, flatRequired=True)
LOSS = made_rule("max_drawdown", mode="static", loss=percent("2"), comparator="lt")
PAID = PayoutTerms(800_000, 50_000, 2, None, 0)


def quotes_of(*moves: tuple[float, int]) -> Any:
    """Return quotes (hours after the start, ticks over 1.10000), a spread of none."""
    words = np.zeros((len(moves), 6), np.int64)
    words[:, 0] = [START + int(hours * HOUR) for hours, _ in moves]
    words[:, 1] = [110_000 + ticks for _, ticks in moves]
    words[:, 2] = words[:, 1]
    return words


def plan(*steps: str) -> Any:
    """Return a strategy that does one thing on each tick, the first on the first."""
    branches = "".join(
        f"    if n == {number}\n        {step}\n" for number, step in enumerate(steps, 1) if step
    )
    return runs.source_program(f'strategy "Plan"\n\nvar n = 0\n\non tick\n    n += 1\n{branches}')


def tried(
    engine: EngineFiles,
    code: KeptCode,
    quotes: Any,
    program: Any,
    *rules: Any,
    payouts: Any = None,
) -> Attempt:
    owner = runs.account(profile(*rules))
    run = Run(program, owner, quotes, engine, objects=code)
    ends = [*day_places(owner, quotes)[1:], len(quotes)]
    return attempt(run, ends, payouts)


def ended(found: Attempt) -> tuple[str, str, int, float]:
    return found.outcome, found.cause, found.days, (found.end_ns - START) / HOUR


def test_it_passes_at_the_fill_that_leaves_it_flat_whatever_comes_later(
    engine: EngineFiles, code: KeptCode
) -> None:
    quotes = quotes_of((0, 0), (1, 1000), (2, 1000), (3, -9000))
    program = plan("buy(1)", "close_position()", "buy(1)")
    found = tried(engine, code, quotes, program, LOSS, TARGET)
    assert ended(found) == ("passed", "", 1, 1)
    assert found.balance_minor == BALANCE + 100_000
    short = quotes_of((0, 0), (1, 999), (2, 999), (3, -9000))
    assert ended(tried(engine, code, short, program, LOSS, TARGET)) == (
        "failed",
        "max_drawdown",
        1,
        3,
    )


def test_a_position_turned_in_one_command_is_never_flat(
    engine: EngineFiles, code: KeptCode
) -> None:
    quotes = quotes_of((0, 0), (1, 1000), (2, 1000), (3, 1000))
    turned = tried(engine, code, quotes, plan("buy(1)", "reverse()"), LOSS, TARGET)
    assert ended(turned) == ("out_of_data", "", 1, 3)
    again = tried(
        engine, code, quotes, plan("buy(1)", "close_position()\n        sell(1)"), LOSS, TARGET
    )
    assert ended(again) == ("passed", "", 1, 1)


def test_a_working_order_is_in_the_market_until_it_ends(
    engine: EngineFiles, code: KeptCode
) -> None:
    quotes = quotes_of((0, 0), (1, 1000), (2, 1000), (3, 1000))
    waits = "buy(1, limit=1.0)"
    stays = tried(
        engine, code, quotes, plan(f"buy(1)\n        {waits}", "close_position()"), TARGET
    )
    assert ended(stays) == ("out_of_data", "", 1, 3)
    goes = plan(f"buy(1)\n        {waits}", "close_position()", "cancel_all()")
    assert ended(tried(engine, code, quotes, goes, TARGET)) == ("passed", "", 1, 2)
    before = plan("buy(1)", f"{waits}\n        close_position()")
    assert ended(tried(engine, code, quotes, before, TARGET)) == ("out_of_data", "", 1, 3)
    after = plan("buy(1)", f"close_position()\n        {waits}")
    assert ended(tried(engine, code, quotes, after, TARGET)) == ("passed", "", 1, 1)


def test_an_exit_cancelled_by_the_other_is_out_of_the_market(
    engine: EngineFiles, code: KeptCode
) -> None:
    quotes = quotes_of((0, 0), (1, 1200), (2, 1200))
    bracket = plan("buy(1, sl=1.0, tp=1.11)")
    assert ended(tried(engine, code, quotes, bracket, TARGET)) == ("passed", "", 1, 1)


def test_an_order_of_the_day_is_gone_at_the_reset(engine: EngineFiles, code: KeptCode) -> None:
    quotes = quotes_of((0, 0), (1, 1000), (20, 1000), (21, 1000))
    waits = 'buy(1, limit=1.0, tif="day")'
    found = tried(
        engine, code, quotes, plan(f"buy(1)\n        {waits}", "close_position()"), TARGET
    )
    assert ended(found) == ("passed", "", 1, 14)


def test_days_are_counted_as_the_rules_count_them(engine: EngineFiles, code: KeptCode) -> None:
    quotes = quotes_of((0, 0), (1, 2000), (24, 2000), (25, 2000), (48, 2000))
    trades = plan("buy(1)", "close_position()", "buy(1)", "close_position()")

    def days(*, open_day: bool) -> Any:
        counted = {"days": 2, "counting": "opened", "openDayCounts": open_day}
        return made_rule("min_trading_days", "gate", **counted)

    at_once = tried(engine, code, quotes, trades, TARGET, days(open_day=True))
    assert ended(at_once) == ("passed", "", 2, 25)
    at_reset = tried(engine, code, quotes, trades, TARGET, days(open_day=False))
    assert ended(at_reset) == ("passed", "", 2, 38)


def test_a_locked_account_passes_at_its_reset(engine: EngineFiles, code: KeptCode) -> None:
    lock = made_rule(
        "daily_loss", "soft", action="lock_until_reset", anchor="balance", loss=percent("1"),
        comparator="lt",
    )  # fmt: skip
    days = made_rule("min_trading_days", "gate", days=2, counting="opened", openDayCounts=True)
    trades = plan("buy(1)", "close_position()", "buy(1)", "", "close_position()")
    # Both days leave more than the target; the second one's loss of 1,100 locks until its reset.
    locks = quotes_of((0, 0), (1, 3000), (24, 3000), (25, 1900), (26, 1900), (48, 1900))
    assert ended(tried(engine, code, locks, trades, lock, TARGET, days)) == ("passed", "", 2, 38)
    spares = quotes_of((0, 0), (1, 3000), (24, 3000), (25, 2100), (26, 2100), (48, 2100))
    assert ended(tried(engine, code, spares, trades, lock, TARGET, days)) == ("passed", "", 2, 26)


def test_a_first_payout_passes_where_nothing_else_does(engine: EngineFiles, code: KeptCode) -> None:
    quotes = quotes_of((0, 0), (1, 1000), (24, 1000), (25, 500), (48, 500), (49, 500))
    trades = plan("buy(1)", "close_position()", "buy(1)", "close_position()")
    found = tried(engine, code, quotes, trades, LOSS, payouts=PAID)
    assert ended(found) == ("passed", "", 2, 38)
    assert found.payout is not None
    # 80 % of a profit of 1,000 less 500, when two finished days are traded.
    assert (found.payout.trader_minor, found.payout.days) == (40_000, 2)


def test_best_trades_are_counted_as_live_trading_counts_them(
    engine: EngineFiles, code: KeptCode
) -> None:
    even = made_rule(
        "consistency", "gate", measure="best_trade", maxSharePercent="60", comparator="gt",
        openDayCounts=True,
    )  # fmt: skip
    quotes = quotes_of((0, 0), (1, 1000), (2, 1000), (3, 1600), (4, 1600), (5, 1900))
    trades = plan(*["buy(1)", "close_position()"] * 3)
    found = tried(engine, code, quotes, trades, TARGET, even)
    # 1,000 is all of 1,000 and over 60 % of 1,600, and under that of 1,900.
    assert ended(found) == ("passed", "", 1, 5)


def test_a_strategy_that_traps_has_neither_passed_nor_failed(
    engine: EngineFiles, code: KeptCode
) -> None:
    trap = runs.source_program('strategy "Trap"\n\nvar n = 1\n\non tick\n    n := n % (n - n)\n')
    found = tried(engine, code, quotes_of((0, 0), (1, 0)), trap, TARGET)
    assert ended(found) == ("strategy_stopped", "division_by_zero", 1, 0)


@pytest.mark.parametrize("parts", [(1, 2, 3, 4_999, 5_000), (2_500, 5_000)])
def test_a_run_in_parts_with_code_of_another_is_the_same(
    engine: EngineFiles, parts: tuple[int, ...]
) -> None:
    quotes, program = runs.walk(5_000), runs.program("sma_cross")
    whole = Run(program, runs.account(), quotes, engine)
    wanted = whole.finish()
    run = Run(program, runs.account(), quotes, engine, joined=whole.joined)
    for end in parts:
        run.take(end)
        assert (run.fills() == wanted.fills[: len(run.fills())]).all()
    assert run.finish().trace_hash() == wanted.trace_hash()


def test_code_depends_on_no_span_of_the_data() -> None:
    owner, program = runs.account(profile(LOSS)), runs.program("barupdn")
    texts = set()
    for days in (1, 400):
        block = new_block(owner, program, Span(START, START + days * 24 * HOUR))
        texts.add(Glue(program, owner, block).text())
    assert len(texts) == 1
