"""A run from its first quote to its last: the loop is resumed as its logs fill up."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount, NotRun
from quantlab.backtest.block import new_block
from quantlab.backtest.kernels.worth import equity_now, note_equity, note_worst
from quantlab.backtest.native.joining import (
    Engine,
    Joined,
    first_words,
    join,
    out_words,
    pointer,
)
from quantlab.backtest.native.keeping import QUOTES_AT_ONCE, log_words, take_rows
from quantlab.backtest.outputs import NO_OUTPUTS, OutputLog, Outputs
from quantlab.backtest.rows import Rows
from quantlab.backtest.span import Span
from quantlab.kernel.records import dataclass
from quantlab.qls.ir import Program
from quantlab.qls.limits import ROWS_PER_RUN_MAX
from quantlab.qls.native import abi
from quantlab.qls.native.machine import ObjectCache

TRACE_VERSION: Final = b"quantlab backtest trace 2\n"


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run leaves: the block, and all rows of its logs as arrays of words.

    taken is how many quotes were looked at; what the run did not need is left unread.
    """

    block: Any
    fills: Any
    orders: Any
    days: Any
    samples: Any
    taken: int
    state: Any
    program: Program
    account: BacktestAccount
    outputs: Outputs = NO_OUTPUTS

    @property
    def end(self) -> str:
        """Return why the run ended."""
        return ("end_of_data", "rule_broken", "trap", "endless_events")[self.block[at.END]]

    @property
    def trap(self) -> str:
        """Return the trap that stopped the strategy, "" without one."""
        return abi.TRAPS[self.block[at.TRAP]]

    def trace_hash(self) -> str:
        """Return the SHA-256 over every fill, every order's end, days, and the final state."""
        digest = hashlib.sha256(TRACE_VERSION)
        for rows in (self.fills, self.orders, self.days):
            digest.update(len(rows).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(rows, "<i8").data)
        digest.update(np.ascontiguousarray(self.block[list(at.TRACED)], "<i8").data)
        for s in range(len(self.account.instruments)):
            w = self.block[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
            digest.update(np.ascontiguousarray(self.block[w + at.SIZE : w + at.VALUE], "<i8").data)
        legs = self.block[at.LEGS_AT], self.block[at.LEGS] * at.LEG_WORDS
        digest.update(np.ascontiguousarray(self.block[legs[0] : sum(legs)], "<i8").data)
        digest.update(self.state.image())
        return digest.hexdigest()


@dataclass(slots=True)
class State:
    """A strategy's words, and which of them are doubles."""

    words: Any
    floats: tuple[int, ...]

    def image(self) -> bytes:
        """Return the words as bytes, every NaN as the canonical one."""
        copy = self.words.copy()
        doubles = copy.view(np.float64)
        places = [word for word in self.floats if np.isnan(doubles[word])]
        doubles[places] = np.nan
        return bytes(np.ascontiguousarray(copy, "<i8").data)


class Run:
    """One strategy over one set of quotes: made, it is compiled; `finish` runs it.

    joined is the code of another run of the same program for the same account, which is taken up
    whatever the quotes and the inputs are; both keep outputs or neither. One that keeps no rows has
    no fills and orders to show, one that keeps no outputs no plots, markers, alerts and log.
    """

    def __init__(
        self,
        program: Program,
        account: BacktestAccount,
        quotes: Any,
        engine: Engine,
        inputs: Mapping[str, Any] | None = None,
        objects: ObjectCache | None = None,
        joined: Joined | None = None,
        *,
        keeps_rows: bool = True,
        keeps_outputs: bool = False,
    ) -> None:
        if len(quotes) == 0:
            raise NotRun("expected at least one quote, was none")
        self.program, self.account, self.quotes = program, account, quotes
        self.span = Span(int(quotes[0, at.Q_NS]), int(quotes[-1, at.Q_NS]))
        self.state = State(first_words(program, dict(inputs or {})), abi.float_words(program))
        self.block = new_block(
            account, program, self.span, at.MANY_ROWS if keeps_rows else at.FEW_ROWS
        )
        self.block[at.ROWS_MOST] = ROWS_PER_RUN_MAX
        keeps = keeps_outputs and bool(abi.output_sites(program))
        self.log = OutputLog(program) if keeps else None
        self.out = log_words() if keeps else out_words()
        self.joined = joined or join(
            program, account, self.block, engine, objects, keeps_outputs=keeps
        )
        self.taken = 0
        self._keeps_rows = keeps_rows
        self._kept = {"fills": Rows(at.FILL_WORDS), "ends": Rows(at.END_WORDS)}

    @property
    def is_over(self) -> bool:
        """Say whether the run has ended before its data."""
        return self.block[at.END] not in (at.RUNNING, at.ROOM)

    def take(self, end: int) -> None:
        """Take the quotes before a place of the data, or to where the run ends."""
        m = self.block
        if m[at.NOW] == 0:
            m[at.NOW] = self.span.first_ns
            self._single(at.START_EVENT)
        while self.taken < end and not self.is_over:
            m[at.END] = at.RUNNING
            self.taken = self._call(self.taken, self._until(end))
            if m[at.END] == at.RUNNING and self.taken < end:
                continue
            if m[at.END] == at.ROOM and m[at.FILLS_SEEN] == m[at.FILLS]:
                self._empty()
            if m[at.FILLS_TOTAL] + m[at.ENDS_TOTAL] > m[at.ROWS_MOST] and not self.is_over:
                m[at.END], m[at.TRAP] = at.TRAPPED, abi.TRAPS.index("rows_limit")

    def _until(self, end: int) -> int:
        """Return up to which quote to go: a log of outputs is emptied before it can be full."""
        return end if self.log is None else min(end, self.taken + QUOTES_AT_ONCE)

    def fills(self, begin: int = 0) -> Any:
        """Return the fills so far, from one of them on."""
        return self._since("fills", self._rows(at.FILLS_AT, at.FILLS, at.FILL_WORDS), begin)

    def orders(self, begin: int = 0) -> Any:
        """Return the orders that have ended so far, from one of them on."""
        return self._since("ends", self._rows(at.ENDS_AT, at.ENDS, at.END_WORDS), begin)

    def _since(self, log: str, present: Any, begin: int) -> Any:
        """Return the rows of a log from one on: those kept, then those still in the block."""
        kept = self._kept[log].since(begin)
        left = present[max(begin - self._kept[log].count, 0) :]
        if len(kept) == 0:
            return left
        return np.concatenate((kept, left)) if len(left) else kept

    def finish(self) -> Finished:
        """Run to the end, once."""
        m = self.block
        self.take(len(self.quotes))
        if m[at.END] in (at.RUNNING, at.ROOM, at.BREACHED):
            ended = m[at.END]
            m[at.END] = at.RUNNING
            self._single(at.STOP_EVENT)
            m[at.END] = ended if m[at.END] in (at.RUNNING, at.ROOM) else m[at.END]
        if m[at.END] == at.ROOM:
            m[at.END] = at.RUNNING
        note_worst(m)
        note_equity(m, equity_now(m))
        return self._finished()

    def _call(self, begin: int, end: int) -> int:
        taken = self.joined.run(
            pointer(self.block),
            pointer(self.out),
            pointer(self.state.words),
            pointer(self.quotes),
            begin,
            end,
        )
        if self.log is not None:
            self.log.take(*take_rows(self.out))
        return taken

    def _single(self, kind: int) -> None:
        self._call(0, -1 - kind)

    def _rows(self, first: int, count: int, words: int) -> Any:
        begin = self.block[first]
        return self.block[begin : begin + self.block[count] * words].reshape(-1, words)

    def _empty(self) -> None:
        """Take the rows out of the logs that a run may fill many times over."""
        m = self.block
        if self._keeps_rows:
            self._kept["fills"].add(self._rows(at.FILLS_AT, at.FILLS, at.FILL_WORDS))
            self._kept["ends"].add(self._rows(at.ENDS_AT, at.ENDS, at.END_WORDS))
        m[at.FILLS] = m[at.FILLS_SEEN] = m[at.ENDS] = 0

    def _finished(self) -> Finished:
        if not self._keeps_rows:
            self._empty()
        return Finished(
            block=self.block,
            fills=self.fills(),
            orders=self.orders(),
            days=self._rows(at.ROLLS_AT, at.ROLLS, at.ROLL_WORDS).copy(),
            samples=self._rows(at.SAMPLES_AT, at.SAMPLES, at.SAMPLE_WORDS).copy(),
            taken=self.taken,
            state=self.state,
            program=self.program,
            account=self.account,
            outputs=NO_OUTPUTS if self.log is None else self.log.outputs(),
        )
