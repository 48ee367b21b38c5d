"""What the engine's object code, the loop and a strategy call each other."""

from typing import Final

COLD: Final = "quantlab_backtest_engine"
RUN: Final = "quantlab_backtest_run"
TICK: Final = "quantlab_strategy_tick"
EVENT: Final = "quantlab_strategy_event"
WORDS: Final = "quantlab_run_words"
BARS: Final = "quantlab_run_bars"

# What the engine's one entry is asked for.
(LOOK, PASS_TIME, ACT, ASK_EQUITY, ASK_FLOOR, ASK_VALUE, ASK_FREE) = range(7)
