"""A tick's own prices are numbers for certain; what is made of them is so as far as it can be."""

from tests.support import backtest_runs as runs

from quantlab.backtest.running import Run
from quantlab.qls.native.lower import lower
from quantlab_edge.backtest import EngineFiles

GAPS = """strategy "Gaps"

on tick
    huge = (bid + ask) * 1e300 * 1e9
    far = bid * 1e200 * 1e200 - ask
    plot("price", na(mid - mid) ? 1 : 0)
    plot("half", na(0.5 * mid - 0.5 * mid) ? 1 : 0)
    plot("huge", na(huge - huge) ? 1 : 0)
    plot("far", na(far - far) ? 1 : 0)
    plot("mean", na(sma(huge, 3)) ? 1 : 0)
"""
ITSELF = 'strategy "Itself"\n\non tick\n    plot("gap", bid - bid)\n'


def test_a_number_that_outgrows_the_doubles_is_not_taken_for_one(engine: EngineFiles) -> None:
    program, quotes = runs.source_program(GAPS), runs.walk(50)
    outputs = Run(program, runs.account(), quotes, engine, keeps_outputs=True).finish().outputs
    shown = {plot.name: set(plot.values.tolist()) for plot in outputs.plots}
    assert shown == {"price": {0.0}, "half": {0.0}, "huge": {1.0}, "far": {1.0}, "mean": {1.0}}


def test_a_number_less_itself_is_nothing_only_where_the_host_says_it_is_one() -> None:
    program = runs.source_program(ITSELF)
    assert "fsub" in lower(program, inlined=True)
    assert "fsub" not in lower(program, inlined=True, numbers=(frozenset({0}),))


def test_the_widest_bounds_of_an_input_are_bounds_to_the_compiler(engine: EngineFiles) -> None:
    most = (1 << 63) - 1
    source = (
        f'strategy "Wide"\n\ninput n = int(5, min={-most}, max={most})\n\n'
        f'on tick\n    plot("n", n == {most} ? 1 : 0)\n'
    )
    program, quotes = runs.source_program(source), runs.walk(3)
    run = Run(program, runs.account(), quotes, engine, {"n": most}, keeps_outputs=True)
    (plot,) = run.finish().outputs.plots
    assert plot.values.tolist() == [1.0, 1.0, 1.0]
