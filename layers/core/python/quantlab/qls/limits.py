"""The named limits that stop a hostile or mistaken program, with their reasons."""

from typing import Final

SOURCE_BYTES_MAX: Final = 256 * 1024
TOKENS_MAX: Final = 60_000
LINE_LENGTH_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 64
NUMBER_LENGTH_MAX: Final = 32
TEXT_LENGTH_MAX: Final = 200
BRACKETS_MAX: Final = 32
BLOCKS_MAX: Final = 24
ARMS_MAX: Final = 64
NESTING_MAX: Final = 100
"""Levels of expressions, blocks and inlined calls within one another."""

DIAGNOSTICS_MAX: Final = 50
INPUTS_MAX: Final = 64
HANDLERS_MAX: Final = 64
SYMBOLS_MAX: Final = 32
STREAMS_MAX: Final = 64
INSTRUCTIONS_MAX: Final = 60_000
"""Instructions of a whole program after inlining: it bounds compile time and code size."""

CALLS_MAX: Final = 10_000
"""Inlined calls of a whole program: functions that call one another double with each level."""

STATE_WORDS_MAX: Final = 131_072
"""Eight-byte words of state: one MiB a strategy."""

LENGTH_MAX: Final = 10_000
"""The longest ring, history or loop."""

COST_PER_EVENT_MAX: Final = 200_000
"""Instructions one event may cost at worst; a compile error beyond it."""

ORDERS_PER_EVENT_MAX: Final = 16
OUTPUTS_PER_EVENT_MAX: Final = 64
ROWS_PER_RUN_MAX: Final = 5_000_000
"""Fills and ended orders of one backtest together, which stay in memory to its end."""

LINES_PER_RUN_MAX: Final = 10_000
"""Lines of the log, alerts and markers of one backtest that are kept, each: the last ones."""

PLOT_POINTS_MAX: Final = 4_000
"""Points of one plot that a backtest keeps, thinned evenly."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
