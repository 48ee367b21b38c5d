"""The kernels as plain Python: slow, without a compiler, and what the compiled loop must equal."""

from collections.abc import Callable
from typing import Any

from quantlab.backtest.kernels import clock, desk, loop, run

Strategy = Callable[[list[int], int, int], int]


class PlainBlock(list[int]):
    """A run's block as Python integers, with the strategy the loop calls.

    words are an array of int64. strategy takes (out, event, index) and returns how many orders it
    has written into out; a tick is the event -1 with the symbol as its index.
    """

    def __init__(self, words: Any, strategy: Strategy) -> None:
        super().__init__(words.tolist())
        self.host = self
        self._strategy = strategy

    def look_at(self, m: Any, s: int) -> int:
        """Do what a symbol's new quote calls for."""
        loop.look(m, s)
        return 0

    def pass_time_to(self, m: Any, now: int) -> int:
        """Do what is due."""
        clock.pass_time(m, now)
        return 0

    def carry_out(self, m: Any, out: Any) -> int:
        """Carry out the orders of an event."""
        desk.act(m, out)
        return 0

    def on_tick(self, _m: Any, out: Any, _state: Any, s: int) -> int:
        """Let the strategy answer a tick."""
        return self._strategy(out, -1, s)

    def on_event(self, _m: Any, out: Any, _state: Any, kind: int, index: int) -> int:
        """Let the strategy answer another event."""
        return self._strategy(out, kind, index)


def run_plain(block: PlainBlock, out: list[int], quotes: list[int], count: int) -> int:
    """Take count quotes; return the first not taken."""
    return run.run(block, out, [], quotes, 0, count)
