"""Handlers linked into an engine: nothing is left of them but their work."""

import ctypes
import dataclasses

import llvmlite.binding as llvm
import pytest
from tests.support.qls_bars import compiled

from quantlab.qls import limits
from quantlab.qls.ir import Ins
from quantlab.qls.native import abi
from quantlab.qls.native.lower import lower
from quantlab.qls.native.machine import TUNED, optimise, target_machine
from quantlab.qls.native.regions import regions
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy

SOURCE = (
    "input n = int(3, min=2, max=50)\nvar trades = 0\non tick\n    x = sma(mid, n)\n"
    "    if mid > x and position == 0\n        buy(1)\n        trades += 1\n"
    "    else if mid < x and position > 0\n        close_position()\n"
)
ENGINE = """\
declare i64 @h0(ptr, ptr, ptr)
define i64 @engine(ptr noalias %prices, i64 %count, ptr noalias %state, ptr noalias %reads,
                   ptr noalias %out) {{
entry:
  br label %tick
tick:
  %i = phi i64 [0, %entry], [%next, %more]
  %sum = phi i64 [0, %entry], [%total, %more]
  %at = getelementptr double, ptr %prices, i64 %i
  %price = load double, ptr %at
  {reads}
  store i64 0, ptr %out
  %outputs = getelementptr i64, ptr %out, i64 {outputs}
  store i64 0, ptr %outputs
  %fuel = getelementptr i64, ptr %out, i64 {fuel}
  store i64 {budget}, ptr %fuel
  %orders = call i64 @h0(ptr %state, ptr %reads, ptr %out)
  %bad = icmp slt i64 %orders, 0
  br i1 %bad, label %end, label %more
more:
  %total = add i64 %sum, %orders
  %next = add i64 %i, 1
  %left = icmp slt i64 %next, %count
  br i1 %left, label %tick, label %end
end:
  %result = phi i64 [%orders, %tick], [%total, %more]
  ret i64 %result
}}
"""


def linked(program, engine: str):
    machine = target_machine(TUNED)
    module = llvm.parse_assembly(engine)
    strategy = llvm.parse_assembly(lower(program, inlined=True))
    for one in (module, strategy):
        one.triple, one.data_layout = machine.triple, str(machine.target_data)
    module.link_in(strategy)
    for function in module.functions:
        if not function.is_declaration and function.name != "engine":
            function.linkage = "internal"
    module.verify()
    optimise(module, machine, TUNED)
    return module, machine.emit_object(module)


def test_a_linked_strategy_is_inlined_and_does_the_same() -> None:
    program = compiled(SOURCE)
    fields = [read.field for read in program.reads]
    stores = "\n".join(
        f"%w{k} = getelementptr i64, ptr %reads, i64 {k}\nstore double %price, ptr %w{k}"
        for k, field in enumerate(fields)
        if field in {"bid", "ask"}
    )
    engine = ENGINE.format(
        reads=stores, outputs=abi.OUTPUTS, fuel=abi.FUEL, budget=limits.COST_PER_EVENT_MAX
    )
    module, code = linked(program, engine)
    defined = [one.name for one in module.functions if not one.is_declaration]
    assert defined == ["engine"]
    library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol("engine")
    kept = library.link(llvm.create_lljit_compiler(target_machine(TUNED)), "engine")
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 3)
    prices = [100.0 + (k * 37 % 11) for k in range(500)]
    native = NativeProgram(program)
    one, other = NativeStrategy(native), NativeStrategy(native)
    block = (ctypes.c_double * len(prices))(*prices)
    total = call(kept["engine"])(ctypes.addressof(block), len(prices), *one.buffers.addresses)
    placed = 0
    for price in prices:
        for number, field in enumerate(fields):
            other.put(number, price if field in {"bid", "ask"} else 0.0)
        other.step([0])
        placed += len(other.effects().orders)
    assert total == placed > 50
    assert one.image() == other.image()
    assert one.orders_placed == other.orders_placed


def test_rings_that_overlap_are_refused() -> None:
    program = compiled(SOURCE)
    assert regions(program)
    (first, words), *_ = regions(program)
    handler = program.handlers[0]
    for wrong in (
        Ins("rget", len(handler.types), (0,), (first + 1, words)),
        Ins("load", len(handler.types), (), first),
    ):
        changed = dataclasses.replace(
            handler, types=handler.types + "f", body=(*handler.body, wrong)
        )
        overlapping = dataclasses.replace(program, handlers=(changed,))
        with pytest.raises(ValueError, match="expected a ring of its own"):
            lower(overlapping, inlined=True)


def test_handlers_are_named_by_their_place_and_stay_visible() -> None:
    program = compiled(SOURCE + "on start\n    trades := 1\non stop\n    trades := 2\n")
    for inlined in (False, True):
        module = llvm.parse_assembly(lower(program, inlined=inlined))
        names = {one.name for one in module.functions if not one.is_declaration}
        assert names == {f"h{k}" for k in range(len(program.handlers))}
        linkages = {one.linkage.name for one in module.functions if not one.is_declaration}
        assert linkages == {"external"}
