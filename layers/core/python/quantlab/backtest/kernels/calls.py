"""What the loop calls by name: the rest of the engine, and the strategy. Only compiled code has it.

The loop is compiled anew with each strategy, so that the handler of a tick becomes part of it; the
rest is compiled once.
"""

from typing import Any


def look_at(m: Any, s: int) -> int:
    """Do what a symbol's new quote calls for: `loop.look`."""
    raise NotImplementedError


def pass_time_to(m: Any, now: int) -> int:
    """Do what is due: `clock.pass_time`."""
    raise NotImplementedError


def carry_out(m: Any, out: Any) -> int:
    """Carry out the orders of an event: `desk.act`."""
    raise NotImplementedError


def on_tick(m: Any, out: Any, state: Any, s: int) -> int:
    """Run the handlers of a symbol's tick; return how many orders they gave, or a trap below 0."""
    raise NotImplementedError


def on_event(m: Any, out: Any, state: Any, kind: int, index: int) -> int:
    """Run the handlers of another event; return as `on_tick` does."""
    raise NotImplementedError
