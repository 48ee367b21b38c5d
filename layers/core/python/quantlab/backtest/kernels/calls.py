"""What the loop calls by name: the rest of the engine, and the strategy.

The loop is compiled anew with each strategy, so that the handler of a tick becomes part of it; the
rest is compiled once. In plain Python the block has a `host` that does all of it.
"""

from typing import Any

from quantlab.backtest import layout as at


def words_of(m: Any, s: int) -> int:
    """Return where the words of a quote's symbol begin: a constant where a run has one symbol."""
    begin: int = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
    return begin


def has_bars(m: Any) -> bool:
    """Say whether the strategy has streams of bars: a constant of the run."""
    return m[at.STREAMS] != 0


def fetch_ahead(quotes: Any, q: int) -> None:
    """Have the processor fetch what the loop comes to in a while; it changes nothing else."""


def look_at(m: Any, s: int) -> int:
    """Do what a symbol's new quote calls for: `loop.look`."""
    done: int = m.host.look_at(m, s)
    return done


def pass_time_to(m: Any, now: int) -> int:
    """Do what is due: `clock.pass_time`."""
    done: int = m.host.pass_time_to(m, now)
    return done


def carry_out(m: Any, out: Any) -> int:
    """Carry out the orders of an event: `desk.act`."""
    done: int = m.host.carry_out(m, out)
    return done


def on_tick(m: Any, out: Any, state: Any, s: int) -> int:
    """Run the handlers of a symbol's tick; return how many orders they gave, or a trap below 0."""
    done: int = m.host.on_tick(m, out, state, s)
    return done


def on_event(m: Any, out: Any, state: Any, kind: int, index: int) -> int:
    """Run the handlers of another event; return as `on_tick` does."""
    done: int = m.host.on_event(m, out, state, kind, index)
    return done
