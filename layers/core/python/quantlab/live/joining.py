"""A strategy joined with the loop of backtests, its orders handed out instead of carried out.

The loop, the clock and the code between them and the handlers are a backtest's, word for word. A
look at a quote, which is asked for where the high-water mark follows the equity, moves the mark and
does no more. What an event gave is copied into a tray behind the block `out`:

    TRAY_USED       words of the tray that are in use, these two not counted
    TRAY_FULL       1 where something did not fit: the run must end

    entries         as `tray.py` reads them
"""

import ctypes
import itertools
from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.native import names
from quantlab.backtest.native.glue import Glue
from quantlab.backtest.native.joining import Engine
from quantlab.live import events
from quantlab.live.tray import ENTRY_HEAD, ORDER_INTS, OUTPUT_HEAD, OUTPUT_WORDS
from quantlab.qls import ir, limits
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab.qls.native.lower import lower
from quantlab.qls.native.machine import (
    TUNED,
    ObjectCache,
    build,
    cache_key,
    linker,
    optimise,
    target_machine,
)

TRAY_USED: Final = abi.OUT_WORDS
TRAY_FULL: Final = TRAY_USED + 1
TRAY_AT: Final = TRAY_USED + 2
ENTRY_WORDS_MAX: Final = (
    ENTRY_HEAD
    + limits.ORDERS_PER_EVENT_MAX * ir.ORDER_WORDS
    + limits.OUTPUTS_PER_EVENT_MAX * abi.OUTPUT_WORDS
)
TRAY_WORDS: Final = ENTRY_WORDS_MAX * (limits.STREAMS_MAX + limits.HANDLERS_MAX + 2)
"""A quote can close every stream, ring every timer, and be a tick."""

_FEED: Final = "quantlab_live_feed"
_ENGINE: Final = "quantlab_live_engine"
_TICK: Final = "quantlab_live_tick"
_EVENT: Final = "quantlab_live_event"
_TAKE: Final = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_NUMBERS: Final = itertools.count()
_RARE: Final = '!0 = !{!"branch_weights", i32 1, i32 1000000}\n'
_HANDED_OUT: Final = f"""
declare i64 @{names.COLD}(i64, ptr, ptr, i64)
declare i64 @{_TICK}(ptr noalias, ptr noalias, ptr noalias, i64)
declare i64 @{_EVENT}(ptr noalias, ptr noalias, ptr noalias, i64, i64)
declare i64 @{names.RUN}(ptr, ptr, ptr, ptr, i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define i64 @{_ENGINE}(i64 %what, ptr %m, ptr %out, i64 %argument) nounwind {{
  switch i64 %what, label %asked [ i64 {names.LOOK}, label %look
                                   i64 {names.ACT}, label %nothing ]
nothing:
  ret i64 0
look:
  %equity = call i64 @{names.COLD}(i64 {names.ASK_EQUITY}, ptr %m, ptr %out, i64 0)
  %mark.at = getelementptr i64, ptr %m, i64 {at.MARK}
  %mark = load i64, ptr %mark.at
  %higher = call i64 @llvm.smax.i64(i64 %mark, i64 %equity)
  store i64 %higher, ptr %mark.at
  ret i64 0
asked:
  %answer = call i64 @{names.COLD}(i64 %what, ptr %m, ptr %out, i64 %argument)
  ret i64 %answer
}}

define i64 @{names.TICK}(ptr noalias %m, ptr noalias %out, ptr noalias %state, i64 %s) alwaysinline nounwind {{
  %given = call i64 @{_TICK}(ptr %m, ptr %out, ptr %state, i64 %s)
  call void @quantlab_live_keep(ptr %m, ptr %out, i64 %given)
  ret i64 %given
}}

define i64 @{names.EVENT}(ptr noalias %m, ptr noalias %out, ptr noalias %state, i64 %kind, i64 %index) nounwind {{
  %given = call i64 @{_EVENT}(ptr %m, ptr %out, ptr %state, i64 %kind, i64 %index)
  call void @quantlab_live_keep(ptr %m, ptr %out, i64 %given)
  ret i64 %given
}}

define i64 @{_FEED}(ptr %m, ptr %out, ptr %state, ptr %words, i64 %from, i64 %end) nounwind {{
  %now.at = getelementptr i64, ptr %m, i64 {at.NOW}
  %ended.at = getelementptr i64, ptr %m, i64 {at.END}
  %symbols.at = getelementptr i64, ptr %m, i64 {at.SYMBOLS}
  br label %next
next:
  %place = phi i64 [ %from, %0 ], [ %after, %take ]
  %after = add i64 %place, {events.QUOTE_WORDS}
  %whole = icmp sle i64 %after, %end
  br i1 %whole, label %look, label %stop
look:
  %event = getelementptr i64, ptr %words, i64 %place
  %kind = load i64, ptr %event
  %quote = icmp eq i64 %kind, {events.QUOTE}
  %ended = load i64, ptr %ended.at
  %runs = icmp eq i64 %ended, {at.RUNNING}
  %both = and i1 %quote, %runs
  %row = getelementptr i64, ptr %event, i64 1
  %symbol.at = getelementptr i64, ptr %row, i64 {at.Q_SYMBOL}
  %symbol = load i64, ptr %symbol.at
  %symbols = load i64, ptr %symbols.at
  %known = icmp ult i64 %symbol, %symbols
  %go = and i1 %both, %known
  br i1 %go, label %take, label %stop
take:
  %ns = load i64, ptr %row
  %now = load i64, ptr %now.at
  %later = call i64 @llvm.smax.i64(i64 %ns, i64 %now)
  store i64 %later, ptr %row
  %taken = call i64 @{names.RUN}(ptr %m, ptr %out, ptr %state, ptr %row, i64 0, i64 1)
  br label %next
stop:
  ret i64 %place
}}

define void @quantlab_live_keep(ptr %m, ptr %out, i64 %given) nounwind {{
  %outputs.at = getelementptr i64, ptr %out, i64 {abi.OUTPUTS}
  %outputs = load i64, ptr %outputs.at
  %trapped = icmp slt i64 %given, 0
  %any = or i64 %given, %outputs
  %none = icmp eq i64 %any, 0
  %skip = or i1 %trapped, %none
  br i1 %skip, label %done, label %room
room:
  %used.at = getelementptr i64, ptr %out, i64 {TRAY_USED}
  %used = load i64, ptr %used.at
  %order.words = mul i64 %given, {ir.ORDER_WORDS}
  %output.words = mul i64 %outputs, {abi.OUTPUT_WORDS}
  %both = add i64 %order.words, %output.words
  %size = add i64 %both, {ENTRY_HEAD}
  %after = add i64 %used, %size
  %fits = icmp ule i64 %after, {TRAY_WORDS}
  br i1 %fits, label %keep, label %full
full:
  %full.at = getelementptr i64, ptr %out, i64 {TRAY_FULL}
  store i64 1, ptr %full.at
  br label %done
keep:
  %tray = getelementptr i64, ptr %out, i64 {TRAY_AT}
  %entry = getelementptr i64, ptr %tray, i64 %used
  %now.at = getelementptr i64, ptr %m, i64 {at.NOW}
  %now = load i64, ptr %now.at
  store i64 %now, ptr %entry
  %placed.at = getelementptr i64, ptr %out, i64 {abi.PLACED}
  %placed = load i64, ptr %placed.at
  %before = sub i64 %placed, %given
  %first = add i64 %before, 1
  %first.at = getelementptr i64, ptr %entry, i64 1
  store i64 %first, ptr %first.at
  %orders.at = getelementptr i64, ptr %entry, i64 2
  store i64 %given, ptr %orders.at
  %count.at = getelementptr i64, ptr %entry, i64 3
  store i64 %outputs, ptr %count.at
  %to = getelementptr i64, ptr %entry, i64 {ENTRY_HEAD}
  %from = getelementptr i64, ptr %out, i64 {abi.ORDERS_AT}
  %order.bytes = mul i64 %order.words, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %order.bytes, i1 false)
  %to2 = getelementptr i64, ptr %to, i64 %order.words
  %from2 = getelementptr i64, ptr %out, i64 {abi.OUTPUTS_AT}
  %output.bytes = mul i64 %output.words, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %to2, ptr %from2, i64 %output.bytes, i1 false)
  store i64 %after, ptr %used.at
  br label %done
done:
  ret void
}}
"""  # noqa: E501 - one signature a line


class JoinedLive:
    """The machine code of one live run on its memory. It lives while this does.

    blocks are the addresses of block, tray and state, and of the words events come in.
    """

    def __init__(self, tracker: Any, blocks: tuple[int, int, int, int]) -> None:
        self._tracker = tracker
        self._calls = build(_calls(tracker, blocks), ("feed", "tell", "pass_time"))
        addresses = self._calls.addresses
        self.feed: Callable[[int, int], int] = _TAKE(addresses["feed"])
        """Take the quotes from a word on; return the first word not taken, the second at most."""
        self.tell: Callable[[int, int], int] = _TAKE(addresses["tell"])
        """Run the handlers of an event by its kind and index."""
        self.pass_time: Callable[[int, int], int] = _TAKE(addresses["pass_time"])
        """Do what is due by an instant; the second argument says nothing."""


def _calls(tracker: Any, blocks: tuple[int, int, int, int]) -> str:
    """Return what is called from Python, with all addresses in it: a call costs only the call."""
    m, out, state, words = (f"ptr inttoptr (i64 {one} to ptr)" for one in blocks)
    feed, run, cold = (
        f"inttoptr (i64 {tracker[name]} to ptr)" for name in (_FEED, names.RUN, names.COLD)
    )
    return f"""
define i64 @feed(i64 %from, i64 %end) nounwind {{
  %place = call i64 {feed}({m}, {out}, {state}, {words}, i64 %from, i64 %end)
  ret i64 %place
}}
define i64 @tell(i64 %kind, i64 %index) nounwind {{
  %single = sub i64 -1, %kind
  %done = call i64 {run}({m}, {out}, {state}, {words}, i64 %index, i64 %single)
  ret i64 %done
}}
define i64 @pass_time(i64 %ns, i64 %none) nounwind {{
  %done = call i64 {cold}(i64 {names.PASS_TIME}, {m}, {m}, i64 %ns)
  ret i64 %done
}}
"""


def join_live(
    program: Program,
    account: BacktestAccount,
    block: Any,
    engine: Engine,
    blocks: tuple[int, int, int, int],
    fuel_per_event: int,
    tier: str = TUNED,
    objects: ObjectCache | None = None,
) -> JoinedLive:
    """Compile a program into the loop over a block, or take up what was compiled of the same."""
    glue = Glue(program, account, block, fuel=fuel_per_event).text()
    texts = lower(program, inlined=tier == TUNED), glue + _RARE, _HANDED_OUT
    key = ""
    if objects is not None:
        key = cache_key("live" + engine.hot.hex() + "".join(texts), tier)
    code = objects.get(key) if objects is not None else None
    if code is None:
        code = _compiled(engine.hot, texts, tier)
        if objects is not None:
            objects.put(key, code)
    library = llvm.JITLibraryBuilder()
    library.add_object_img(engine.cold)
    library.add_object_img(code)
    library.add_current_process()
    for name in (names.RUN, names.COLD, _FEED):
        library.export_symbol(name)
    return JoinedLive(library.link(linker(), f"live{next(_NUMBERS)}"), blocks)


def _compiled(hot: bytes, texts: tuple[str, str, str], tier: str) -> bytes:
    """Put what hands out between the loop and what it calls: only names move."""
    machine = target_machine(tier)
    module = llvm.parse_bitcode(hot)
    _rename(module, {names.COLD: _ENGINE})
    handlers, glue, between = texts
    renamed = {names.TICK: _TICK, names.EVENT: _EVENT, names.COLD: _ENGINE}
    for text, moves in ((handlers, {}), (glue, renamed), (between, {})):
        part = llvm.parse_assembly(text)
        _rename(part, moves)
        part.triple, part.data_layout = module.triple, module.data_layout
        part.verify()
        module.link_in(part)
    for function in module.functions:
        if not function.is_declaration and function.name not in (names.RUN, _FEED):
            function.linkage = "internal"
    module.verify()
    optimise(module, machine, tier)
    code: bytes = machine.emit_object(module)
    return code


def _rename(module: Any, moves: dict[str, str]) -> None:
    for function in module.functions:
        if function.name in moves:
            function.name = moves[function.name]


def tray_words() -> Any:
    """Return the block a strategy writes into, with the tray behind it."""
    return np.zeros(TRAY_AT + TRAY_WORDS, np.int64)


# Two rooms say how a record is laid out: who reads entries does without a compiler.
assert (ORDER_INTS, OUTPUT_HEAD, OUTPUT_WORDS) == (  # noqa: S101
    abi.ORDER_INTS,
    abi.OUTPUT_HEAD,
    abi.OUTPUT_WORDS,
)
