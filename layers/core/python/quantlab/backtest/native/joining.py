"""A strategy joined with the engine: its handlers become part of the loop. It needs no numba."""

import ctypes
import itertools
from collections.abc import Callable
from typing import Any, Final, Protocol

import llvmlite.binding as llvm
import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.native.glue import Glue
from quantlab.backtest.native.names import RUN
from quantlab.qls.interpreter import first_state
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab.qls.native.lower import lower
from quantlab.qls.native.machine import (
    TUNED,
    ObjectCache,
    cache_key,
    linker,
    optimise,
    target_machine,
)

_WORDS: Final = ctypes.CFUNCTYPE(
    ctypes.c_int64, *([ctypes.c_void_p] * 4), ctypes.c_int64, ctypes.c_int64
)
_NUMBERS: Final = itertools.count()
_RARE: Final = '!0 = !{!"branch_weights", i32 1, i32 1000000}\n'


class Engine(Protocol):
    """The compiled engine: see `engine.EngineCode`."""

    @property
    def cold(self) -> bytes:
        """Return the object code of all but the loop."""
        ...

    @property
    def hot(self) -> bytes:
        """Return the loop's bitcode."""
        ...


class Joined:
    """The machine code of one run: the loop with a strategy in it. It lives while this does."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self.run: Callable[..., int] = _WORDS(tracker[RUN])


def join(
    program: Program,
    account: BacktestAccount,
    block: Any,
    engine: Engine,
    objects: ObjectCache | None = None,
    *,
    keeps_outputs: bool = False,
) -> Joined:
    """Compile a program into the loop over a block, or take up what was compiled of the same."""
    glue = Glue(program, account, block, keeps_outputs=keeps_outputs)
    text = lower(program, inlined=True, numbers=glue.numbers()), glue.text() + _RARE
    key = cache_key(engine.hot.hex() + "".join(text), TUNED) if objects is not None else ""
    code = objects.get(key) if objects is not None else None
    if code is None:
        code = _compiled(engine.hot, text)
        if objects is not None:
            objects.put(key, code)
    library = llvm.JITLibraryBuilder()
    library.add_object_img(engine.cold)
    library.add_object_img(code)
    library.add_current_process()
    library.export_symbol(RUN)
    return Joined(library.link(linker(), f"backtest{next(_NUMBERS)}"))


def _compiled(hot: bytes, texts: tuple[str, ...]) -> bytes:
    machine = target_machine(TUNED)
    module = llvm.parse_bitcode(hot)
    for text in texts:
        part = llvm.parse_assembly(text)
        part.triple, part.data_layout = module.triple, module.data_layout
        part.verify()
        module.link_in(part)
    for function in module.functions:
        if not function.is_declaration and function.name != RUN:
            function.linkage = "internal"
    module.verify()
    optimise(module, machine, TUNED)
    code: bytes = machine.emit_object(module)
    return code


def first_words(program: Program, inputs: dict[str, Any]) -> Any:
    """Return the state a strategy begins with, as words; ValueError for a wrong input."""
    words = np.zeros(max(program.state_words, 1), np.int64)
    doubles = words.view(np.float64)
    for place, value in enumerate(first_state(program, inputs)):
        if isinstance(value, float):
            doubles[place] = value
        else:
            words[place] = int(value)
    return words


def out_words() -> Any:
    """Return the block a strategy writes its orders into."""
    return np.zeros(abi.OUT_WORDS, np.int64)


def pointer(words: Any) -> int:
    """Return the address of an array."""
    address: int = words.ctypes.data
    return address


assert abi.ORDERS_AT == at.OUT_FIRST  # noqa: S101 - two rooms say where orders begin
