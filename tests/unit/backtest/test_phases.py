"""Phases in a row: where each begins, what ends it, and what the whole comes to."""

from typing import Any

from tests.support import backtest_runs as runs
from tests.support.engine_cases import BALANCE, profile
from tests.unit.backtest.test_attempts import HOUR, LOSS, PAID, START, TARGET, plan, quotes_of
from tests.unit.backtest.test_challenge import EACH_DAY, days_of

from quantlab_adapters.backtest_data.records import Records
from quantlab_edge.backtest import EngineFiles, KeptCode
from quantlab_server.backtests.accounts import Configured
from quantlab_server.backtests.drawn import drawn_of
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.paths import paths_of, without_rules
from quantlab_server.backtests.phases import Course, Courses, Phase

EVALUATION = Phase("t", "Evaluation", "evaluation", runs.account(profile(LOSS, TARGET)), None)
VERIFICATION = Phase("t/v", "Verification", "verification", EVALUATION.account, None)
FUNDED = Phase("t/f", "Funded", "funded", runs.account(profile(LOSS)), PAID)
ROW = (EVALUATION, VERIFICATION, FUNDED)
DAY_HOURS = 24


def bench_of(engine: EngineFiles, code: KeptCode, quotes: Any, program: Any) -> Bench:
    return Bench(program, Configured(EVALUATION.account, {}), Records(quotes, 0, ""), engine, code)


def courses(
    engine: EngineFiles, code: KeptCode, quotes: Any, program: Any, *phases: Phase
) -> list[Course]:
    bench = bench_of(engine, code, quotes, program)
    return Courses(bench, phases or ROW, {}).all(lambda _done, _of: None)


def steps(course: Course) -> list[tuple[str, float, float, int]]:
    return [
        (one.outcome, (one.start_ns - START) / HOUR, (one.end_ns - START) / HOUR, one.days)
        for one in course.phases
    ]


def test_each_phase_begins_on_the_quote_behind_the_passing_of_the_one_before(
    engine: EngineFiles, code: KeptCode
) -> None:
    # Every account buys on its first quote and closes on its second, a strategy begun anew.
    quotes = quotes_of(
        (0, 0), (1, 1000), (2, 0), (3, 1000),
        (24, 0), (25, 800), (48, 0), (49, 0), (72, 0),
    )  # fmt: skip
    found = courses(engine, code, quotes, plan("buy(1)", "close_position()", "buy(1)"))
    assert steps(found[0]) == [
        ("passed", 0, 1, 1),
        ("passed", 2, 3, 1),
        ("out_of_data", 24, 72, 3),
    ]
    whole = found[0].whole
    assert (whole.outcome, whole.days, whole.balance_minor) == ("out_of_data", 4, BALANCE + 80_000)
    # From the second day on the target of 1,000 is never reached.
    assert [one.whole.outcome for one in found[1:]] == ["out_of_data"] * 3
    assert all(len(one.phases) == 1 for one in found[1:])


def test_a_first_payout_passes_the_last_phase(engine: EngineFiles, code: KeptCode) -> None:
    trades = plan("buy(1)", "close_position()", "buy(1)", "close_position()")
    quotes = quotes_of(
        (0, 0), (1, 1000), (2, 0), (3, 1000),
        (4, 0), (5, 500), (24, 0), (25, 500), (48, 0),
    )  # fmt: skip
    whole = courses(engine, code, quotes, trades)[0].whole
    # 80 % of 1,000 less 500, after two traded days; it is asked for at the reset at hour 38.
    assert (whole.outcome, whole.days, (whole.end_ns - START) / HOUR) == ("passed", 2, 38)
    assert whole.payout is not None
    assert (whole.payout.trader_minor, whole.payout.days) == (80_000, 2)


def test_a_later_phase_fails_by_its_own_rule(engine: EngineFiles, code: KeptCode) -> None:
    quotes = quotes_of((0, 0), (1, 1000), (2, 0), (3, -9000), (4, -9000))
    found = courses(engine, code, quotes, plan("buy(1)", "close_position()"))[0]
    assert [one.outcome for one in found.phases] == ["passed", "failed"]
    assert (found.whole.outcome, found.whole.cause) == ("failed", "max_drawdown")


def test_a_phase_that_no_quote_is_left_for_is_out_of_data(
    engine: EngineFiles, code: KeptCode
) -> None:
    quotes = quotes_of((0, 0), (1, 1000))
    found = courses(engine, code, quotes, plan("buy(1)", "close_position()"))[0]
    assert [(one.outcome, one.days) for one in found.phases] == [("passed", 1), ("out_of_data", 0)]
    assert (found.whole.outcome, found.whole.days) == ("out_of_data", 1)


def test_paths_go_on_in_the_next_phase_with_days_of_their_own(
    engine: EngineFiles, code: KeptCode
) -> None:
    gains = [900, -900, 700, 550, -1300, 400]
    bench = bench_of(engine, code, days_of(*gains), runs.source_program(EACH_DAY))
    asked = {"paths": 300, "block_days": 2, "max_days": 30, "seed": 7}
    found = drawn_of(bench, ROW, {}, **asked)
    assert found is not None
    used, left = 0, 300
    for phase, drawn in zip(ROW, found.phases, strict=True):
        run = bench.runner(without_rules(phase.account))(bench.records.words, {})
        alone = paths_of(
            run, phase.account, phase.payouts, **(asked | {"paths": left}), drawn_before=used
        )
        assert drawn == alone
        used, left = used + left * 15, drawn.found.outcomes["passed"]
    assert 0 < left < found.phases[1].found.attempts < 300
    assert found.whole.outcomes["passed"] == left
    assert found.whole.attempts == 300
    assert found.whole.days_to_pass is not None
    assert found.whole.days_to_pass.least >= len(ROW)
    assert found.payout_minor == sum(found.phases[2].paid.values()) / 300
