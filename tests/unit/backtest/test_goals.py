"""Whether a run has met the goals of its profile, and when: by hand-made quotes."""

from typing import Any

from tests.support import backtest_runs as runs
from tests.support.engine_cases import profile
from tests.unit.backtest.test_attempts import HOUR, LOSS, START, TARGET, plan, quotes_of

from quantlab.backtest.results.goals import Passing, passing
from quantlab_edge.backtest import EngineFiles


def judged(engine: EngineFiles, program: Any, quotes: Any, *rules: Any) -> Passing:
    return passing(runs.finished(engine, program, quotes, runs.account(profile(*rules))))


def test_a_goal_is_met_at_the_fill_that_leaves_nothing_held(engine: EngineFiles) -> None:
    program = plan("buy(1)", "", "close_position()", "buy(1)")
    quotes = quotes_of((0, 0), (1, 1000), (2, 1000), (3, 1000), (4, -9000))
    found = judged(engine, program, quotes, LOSS, TARGET)
    assert found.passed_ns == START + 2 * HOUR
    assert [(goal.rule, goal.met) for goal in found.goals] == [("profit_target", False)]


def test_a_step_short_of_the_target_never_passes(engine: EngineFiles) -> None:
    program = plan("buy(1)", "close_position()")
    found = judged(engine, program, quotes_of((0, 0), (1, 999), (2, 999)), LOSS, TARGET)
    assert (found.passed_ns, found.goals[0].met) == (None, False)


def test_what_is_held_does_not_pass_and_nothing_asked_is_never_passed(engine: EngineFiles) -> None:
    quotes = quotes_of((0, 0), (1, 2000), (2, 2000))
    assert judged(engine, plan("buy(1)"), quotes, LOSS, TARGET).passed_ns is None
    assert judged(engine, plan("buy(1)", "close_position()"), quotes, LOSS) == Passing()
