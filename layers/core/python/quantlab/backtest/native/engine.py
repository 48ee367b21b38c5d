"""The kernels compiled by numba: the engine as object code, and the loop as bitcode to be joined.

It is the only module of a backtest that needs numba; what it makes is kept, and `joining` takes it
up without.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import extending
from numba import types as numba_types
from numba.core import config as numba_config

from quantlab.backtest import words
from quantlab.backtest.kernels import book, calls, clock, desk, fills, loop, quotes, run, worth
from quantlab.backtest.kernels import margin as margins
from quantlab.backtest.native.linking import linked_once
from quantlab.backtest.native.names import (
    ACT,
    ASK_EQUITY,
    ASK_FLOOR,
    ASK_FREE,
    ASK_VALUE,
    BARS,
    COLD,
    EVENT,
    LOOK,
    PASS_TIME,
    RUN,
    TICK,
    WORDS,
)
from quantlab.backtest.native.sources import KERNELS, SCALARS
from quantlab.engine import fill_models, margin
from quantlab.ledger import swap

_FILL_FUNCTIONS: Final = (
    fill_models.plan_fill, fill_models.slippage_ticks, fill_models.expected_ticks,
    fill_models.next_draw,
)  # fmt: skip
# What numba says of its types is not what it takes.
numba_: Any = numba
_MARGIN_FUNCTIONS: Final = (
    margin.margin_micro, margin.minor_above, margin.is_at_level, margin.needed_and_free,
    margin._opening, margin.reserved_value,  # noqa: SLF001 - what reserved_value calls
    swap.swap_micro,
)  # fmt: skip
types: Any = numba_types
intrinsic: Any = extending.intrinsic
overload: Any = extending.overload
register_jitable: Any = extending.register_jitable
_levels: Any = numba_config
_OPTIONS: Final = {
    "error_model": "numpy",
    "nogil": True,
    "boundscheck": False,
    "no_cfunc_wrapper": True,
}
_INLINED: Final = {**_OPTIONS, "forceinline": True}

# No kernel raises. Where numba thinks one may, as for a division by zero, the process stops.
_RAISES: Final = """
declare void @llvm.trap()
define ptr @numba_unpickle(ptr, i32, ptr) { call void @llvm.trap() unreachable }
define ptr @numba_runtime_build_excinfo_struct(ptr, ptr) { call void @llvm.trap() unreachable }
define void @numba_do_raise(ptr) { call void @llvm.trap() unreachable }
define void @numba_gil_ensure(ptr) { call void @llvm.trap() unreachable }
define void @numba_gil_release(ptr) { call void @llvm.trap() unreachable }
define void @NRT_Free(ptr) { call void @llvm.trap() unreachable }
"""
# So far ahead of the loop its quotes are fetched: the processor itself stops at the end of a page.
_AHEAD_WORDS: Final = 512
_WORD: Final = types.int64
_BLOCK: Final = types.CPointer(types.int64)


class EngineCode(NamedTuple):
    """The compiled engine: object code of all but the loop, and the loop's bitcode."""

    cold: bytes
    hot: bytes


def compile_engine() -> EngineCode:
    """Compile the kernels; it takes half a minute of a core."""
    # The whole is optimised once at the end; numba would do it again in every function.
    numba_.config.OPT = _levels._OptLevel(0)  # noqa: SLF001 - there is no other way to say it
    _register()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in (COLD, TICK, EVENT, WORDS, BARS):
        # numba resolves what it compiles; nothing is called before it is joined for good.
        llvm.add_symbol(name, 1)
    machine = target_machine()
    cold, hot = linked_once(
        lambda: (_module(_cold(), COLD, machine), _module(_hot(), RUN, machine))
    )
    return EngineCode(machine.emit_object(cold), hot.as_bitcode())


def target_machine() -> Any:
    """Return LLVM's description of the CPU at hand."""
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=_features(), opt=2, reloc="pic", codemodel="default"
    )


def optimise(module: Any, machine: Any) -> None:
    """Run LLVM's passes of O2 without its vectorisers."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def _features() -> str:
    features: str = llvm.get_host_cpu_features().flatten()
    return features


def _register() -> None:
    """Let numba compile the kernels and the scalar functions they share with live trading."""
    for module in SCALARS:
        for function in _functions(module):
            register_jitable(**_INLINED)(function)
    for function in _FILL_FUNCTIONS:
        register_jitable(**_INLINED)(function)
    for function in _MARGIN_FUNCTIONS:
        register_jitable(**_OPTIONS)(function)
    inlined = {
        *_functions(worth),
        clock.add_to_bars,
        book.order_at,
        fills.book_netted,
        fills.charge_fee,
        fills.fee_of,
        fills.meets,
        quotes.symbol_at,
        quotes.is_fresh,
        run.is_touched,
        run.is_quiet,
        run.pass_by,
        run.glide,
        run.take,
        run.has_ended,
    }
    for module in KERNELS:
        for function in _functions(module):
            register_jitable(**(_INLINED if function in inlined else _OPTIONS))(function)
    _register_words()
    _register_fetching()
    _register_calls()


def _functions(module: Any) -> list[Callable[..., Any]]:
    return [
        value
        for value in vars(module).values()
        if callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", "") == module.__name__
    ]


def _register_words() -> None:
    @intrinsic  # type: ignore[untyped-decorator]
    def as_double(_: Any, word: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return builder.bitcast(values[0], ir.DoubleType())

        return types.float64(word), generate

    @overload(words.double_of, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def double_of(word: Any) -> Any:
        del word
        return lambda word: as_double(word)  # noqa: PLW0108 - numba takes functions of Python


def _register_fetching() -> None:
    @intrinsic  # type: ignore[untyped-decorator]
    def prefetch(_: Any, words: Any, place: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            number = ir.IntType(32)
            function = builder.module.declare_intrinsic(
                "llvm.prefetch.p0",
                (),
                ir.FunctionType(ir.VoidType(), (values[0].type, number, number, number)),
            )
            builder.call(
                function,
                (builder.gep(values[0], (values[1],)), number(0), number(3), number(1)),
            )
            return None

        return types.void(words, place), generate

    @overload(calls.fetch_ahead, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def fetch_ahead(quotes: Any, q: Any) -> Any:
        del quotes, q
        return lambda quotes, q: prefetch(quotes, q + _AHEAD_WORDS)


def _register_calls() -> None:
    """Let the loop call the engine and the strategy by name."""
    words = types.ExternalFunction(WORDS, _WORD(_WORD))
    bars = types.ExternalFunction(BARS, _WORD(_WORD))
    engine = types.ExternalFunction(COLD, _WORD(_WORD, _BLOCK, _BLOCK, _WORD))
    tick = types.ExternalFunction(TICK, _WORD(_BLOCK, _BLOCK, _BLOCK, _WORD))
    event = types.ExternalFunction(EVENT, _WORD(_BLOCK, _BLOCK, _BLOCK, _WORD, _WORD))

    @overload(calls.words_of, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def words_of(m: Any, s: Any) -> Any:
        del m, s
        return lambda m, s: words(s)  # noqa: ARG005 - numba takes functions of Python

    @overload(calls.has_bars, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def has_bars(m: Any) -> Any:
        del m
        return lambda m: bars(0) != 0  # noqa: ARG005 - as above

    @overload(calls.look_at, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def look_at(m: Any, s: Any) -> Any:
        del m, s
        return lambda m, s: engine(LOOK, m, m, s)

    @overload(calls.pass_time_to, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def pass_time_to(m: Any, now: Any) -> Any:
        del m, now
        return lambda m, now: engine(PASS_TIME, m, m, now)

    @overload(calls.carry_out, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def carry_out(m: Any, out: Any) -> Any:
        del m, out
        return lambda m, out: engine(ACT, m, out, 0)

    @overload(calls.on_tick, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def on_tick(m: Any, out: Any, state: Any, s: Any) -> Any:
        del m, out, state, s
        return lambda m, out, state, s: tick(m, out, state, s)  # noqa: PLW0108 - as above

    @overload(calls.on_event, jit_options=_INLINED, strict=False)  # type: ignore[untyped-decorator]
    def on_event(m: Any, out: Any, state: Any, kind: Any, index: Any) -> Any:
        del m, out, state, kind, index
        return lambda m, out, state, kind, index: event(  # noqa: PLW0108 - as above
            m, out, state, kind, index
        )


def _cold() -> Any:
    look, pass_time, act = loop.look, clock.pass_time, desk.act
    equity, floor, value = worth.equity_now, worth.floor_of_kind, worth.held_value
    free = margins.free

    @numba_.cfunc(_WORD(_WORD, _BLOCK, _BLOCK, _WORD), **_cfunc_options())  # type: ignore[untyped-decorator]
    def engine(what: Any, m: Any, out: Any, argument: Any) -> Any:
        if what == ASK_EQUITY:
            return equity(m)
        if what == ASK_FLOOR:
            return floor(m, argument)
        if what == ASK_VALUE:
            return value(m, argument)
        if what == ASK_FREE:
            return free(m)
        if what == LOOK:
            look(m, argument)
        elif what == PASS_TIME:
            pass_time(m, argument)
        else:
            act(m, out)
        return 0

    return engine


def _hot() -> Any:
    take, single = run.run, run.single

    @numba_.cfunc(_WORD(_BLOCK, _BLOCK, _BLOCK, _BLOCK, _WORD, _WORD), **_cfunc_options())  # type: ignore[untyped-decorator]
    def loop_(m: Any, out: Any, state: Any, quotes: Any, start: Any, end: Any) -> Any:
        if end < 0:
            single(m, out, state, -1 - end, start)
            return 0
        return take(m, out, state, quotes, start, end)

    return loop_


def _cfunc_options() -> dict[str, Any]:
    return {"error_model": "numpy", "nopython": True}


def _apart(assembly: str) -> str:
    """Say of every function that block, orders, state and quotes are memory of their own."""
    return re.sub(
        r"^define .*$",
        lambda line: re.sub(r"ptr (%arg\.(?:m|out|state|quotes)\b)", r"ptr noalias \1", line[0]),
        assembly,
        flags=re.MULTILINE,
    )


def _module(function: Any, name: str, machine: Any) -> Any:
    """Return a compiled function's module with one entry of that name, optimised."""
    module = llvm.parse_assembly(_apart(function.inspect_llvm()))
    module.link_in(llvm.parse_assembly(_RAISES))
    for known in module.functions:
        if known.name == function.native_name:
            known.name, known.linkage = name, "external"
        elif not known.is_declaration:
            known.linkage = "internal"
    for known in module.global_variables:
        if not known.is_declaration:
            known.linkage = "internal"
    optimise(module, machine)
    return module
