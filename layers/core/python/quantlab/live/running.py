"""A live run: fed one event after the other, it hands out what the strategy wants done."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.native.joining import Engine, first_words, pointer
from quantlab.backtest.running import State
from quantlab.live import events
from quantlab.live.block import (
    know_quote,
    last_ns,
    live_account,
    live_block,
    put_on,
    shown_words,
    take_account,
    take_orders,
)
from quantlab.live.joining import (
    TRAY_AT,
    TRAY_FULL,
    TRAY_USED,
    join_live,
    tray_words,
)
from quantlab.live.terms import LiveTerms
from quantlab.live.tray import Given, Tray
from quantlab.qls import limits
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab.qls.native.lower import lower
from quantlab.qls.native.machine import TUNED, ObjectCache

INTAKE_WORDS: Final = 1 << 17
TRAY_OVERFLOW: Final = "output_limit"
_NOTHING: Final = 99
"""No event: after it what is due is told."""
_MORE: Final = {events.START: at.START_EVENT, events.STOP: at.STOP_EVENT}


def layout_hash(program: Program) -> bytes:
    """Return the SHA-256, 32 bytes, of what says where everything of a run's state stands."""
    names = sorted((name, value) for name, value in vars(at).items() if isinstance(value, int))
    digest = hashlib.sha256(repr((abi.ABI_VERSION, names)).encode())
    digest.update(lower(program, inlined=False).encode())
    return digest.digest()


class LiveRun:
    """One strategy on one account: its state lasts from event to event.

    began_ns is the instant its timers count from. Raises ValueError for an input that does not fit,
    NotRun for symbols the terms do not have.
    """

    def __init__(
        self,
        program: Program,
        terms: LiveTerms,
        engine: Engine,
        began_ns: int,
        inputs: Mapping[str, Any] | None = None,
        *,
        fuel_per_event: int = limits.COST_PER_EVENT_MAX,
        tier: str = TUNED,
        objects: ObjectCache | None = None,
    ) -> None:
        program = put_on(program, terms.symbol)
        self.program, self.terms = program, terms
        account = live_account(terms)
        self.state = State(first_words(program, dict(inputs or {})), abi.float_words(program))
        self.block = live_block(program, account, terms, began_ns)
        self.block[at.NOW] = began_ns
        self._m = memoryview(self.block)
        self._out = tray_words()
        self._tray = memoryview(self._out)
        taken = np.zeros(INTAKE_WORDS, np.int64)
        self.intake = memoryview(taken.data).cast("B").cast("q")
        """Where events stand while they are taken: whoever reads them from a pipe may fill it."""
        blocks = (
            pointer(self.block), pointer(self._out), pointer(self.state.words), pointer(taken),
        )  # fmt: skip
        self._code = join_live(
            program, account, self.block, engine, blocks, fuel_per_event, tier, objects
        )
        self._feed = self._code.feed
        self._bytes = memoryview(self._out).cast("B")
        self._reader = Tray(abi.output_sites(program), program.strings)
        self._last_ns = last_ns(began_ns)
        self._head = layout_hash(program)

    @property
    def trapped(self) -> str:
        """Return the reason of the trap that stopped the strategy, "" while it runs."""
        if self._tray[TRAY_FULL]:
            return TRAY_OVERFLOW
        return abi.TRAPS[self._m[at.TRAP]]

    @property
    def is_over(self) -> bool:
        """Say whether the run takes no more events: trapped, or older than a run may become."""
        ended: bool = self._m[at.END] != at.RUNNING or self._m[at.NOW] > self._last_ns
        return ended or bool(self._tray[TRAY_FULL])

    @property
    def next_due_ns(self) -> int:
        """Return when time has something to do again: a bar to close, a timer to ring."""
        due: int = self._m[at.NEXT]
        return due

    @property
    def orders_placed(self) -> int:
        """Return the number of the last order."""
        placed: int = self._tray[abi.PLACED]
        return placed

    def feed(self, words: Sequence[int]) -> bool:
        """Take events, oldest first; say whether the strategy gave anything: `taken` has it.

        words are those of `events`, `INTAKE_WORDS` at most. Raises Malformed for words that are
        no events. What comes after a trap is not taken.
        """
        count = len(words)
        self.intake[:count] = memoryview(events.as_bytes(words)).cast("q")
        return self.take(count)

    def take(self, count: int) -> bool:
        """Take the events that stand in the first words of `intake`, as `feed` does."""
        place = self._feed(0, count)
        while place < count:
            size = events.size_at(self.intake[:count], place)
            self._take_other(place, size)
            place = self._feed(place + size, count)
        return bool(self._tray[TRAY_USED])

    def taken(self) -> list[Given]:
        """Return what was given since the last time, in order, and empty the tray."""
        return self.read(self.emptied())

    def read(self, entries: bytes) -> list[Given]:
        """Read what `emptied` has returned."""
        return self._reader.read(entries)

    def emptied(self) -> bytes:
        """Return the tray's entries as bytes, as `tray.Tray` reads them, and empty the tray."""
        end = TRAY_AT + self._tray[TRAY_USED]
        self._tray[TRAY_USED] = 0
        return bytes(self._bytes[8 * TRAY_AT : 8 * end])

    def image(self) -> bytes:
        """Return the strategy's state as bytes, every NaN as the canonical one."""
        return self.state.image()

    def digest(self) -> str:
        """Return the SHA-256 of all that the next event could look at."""
        digest = hashlib.sha256(self.image())
        digest.update(self.orders_placed.to_bytes(8, "little"))
        for words in shown_words(self.block):
            digest.update(np.ascontiguousarray(self.block[words], "<i8").data)
        return digest.hexdigest()

    @property
    def snapshot_bytes(self) -> int:
        """Return how long a snapshot is."""
        return len(self._head) + 8 * sum(len(part) for part in self._parts())

    def snapshot(self) -> bytes:
        """Return all that the run is; what has been given must have been taken."""
        return self._head + b"".join(np.ascontiguousarray(one, "<i8").data for one in self._parts())

    def restore(self, image: bytes) -> bool:
        """Become what another run of the same program was; False, and nothing, for another."""
        if len(image) != self.snapshot_bytes or not image.startswith(self._head):
            return False
        words, place = np.frombuffer(image, "<i8", offset=len(self._head)), 0
        for part in self._parts():
            part[:] = words[place : place + len(part)]
            place += len(part)
        return True

    def _parts(self) -> tuple[Any, Any, Any]:
        return self.state.words, self.block, self._out[:TRAY_AT]

    def _take_other(self, place: int, size: int) -> None:
        """Take an event that is no quote of a running strategy."""
        kind, *body = self.intake[place : place + size].tolist()
        if kind == events.QUOTE:
            self._check_symbol(body[at.Q_SYMBOL])
        elif kind == events.ACCOUNT:
            self._take_account(body[1:])
        elif kind == events.KNOWN:
            self._check_symbol(body[at.Q_SYMBOL])
            know_quote(self.block, body)
        elif kind == events.ORDERS:
            self._take_orders(body[1:])
        elif self.trapped:
            return
        elif kind == events.FILL:
            self._take_fill(events.FillSeen(*body))
        else:
            self._move_clock(max(body[0], self._m[at.NOW]))
            if kind in _MORE and not self.trapped:
                self._code.tell(_MORE[kind], 0)

    def _take_account(self, body: list[int]) -> None:
        fixed, held = body[: events.ACCOUNT_FIXED], body[events.ACCOUNT_FIXED :]
        places = range(0, len(held), events.POSITION_WORDS)
        positions = tuple(events.Held(*held[one : one + events.POSITION_WORDS]) for one in places)
        for position in positions:
            self._check_symbol(position.symbol)
        if self.terms.hedging and len(positions) > at.LEGS_MAX:
            raise events.Malformed(f"expected at most {at.LEGS_MAX} legs, was {len(positions)}")
        seen = events.AccountSeen._make((*fixed, positions))
        take_account(self.block, self.terms, seen)

    def _take_orders(self, body: list[int]) -> None:
        places = range(0, len(body), events.RESTING_WORDS)
        orders = [events.Resting(*body[one : one + events.RESTING_WORDS]) for one in places]
        if len(orders) > at.ORDERS_MAX:
            raise events.Malformed(f"expected at most {at.ORDERS_MAX} orders, was {len(orders)}")
        for one in orders:
            self._check_symbol(one.symbol)
        take_orders(self.block, orders)

    def _take_fill(self, fill: events.FillSeen) -> None:
        self._check_symbol(fill.symbol)
        m = self._m
        m[at.FILL_OWNER], m[at.FILL_SIDE], m[at.FILL_STEPS] = fill.order, fill.side, fill.steps
        m[at.FILL_TICKS], m[at.FILL_PROFIT] = fill.price_ticks, fill.profit
        m[at.FILL_LEFT], m[at.FILL_SYMBOL] = fill.left_steps, fill.symbol
        self._code.tell(at.FILL_EVENT, fill.symbol)

    def _move_clock(self, ns: int) -> None:
        """Let time pass without a quote: bars close and timers ring that are due."""
        if ns >= self._m[at.NEXT]:
            self._code.pass_time(ns, 0)
        self._m[at.NOW] = ns
        if self._m[at.PENDING]:
            self._code.tell(_NOTHING, 0)

    def _check_symbol(self, symbol: int) -> None:
        if not 0 <= symbol < len(self.terms.instruments):
            raise events.Malformed(f"expected a symbol of the run, was {symbol}")
