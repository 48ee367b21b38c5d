"""Each operation on each edge value; what is expected is computed by the oracle's own functions."""

import dataclasses
import math
import re
import struct

import llvmlite.binding as llvm
import pytest
from tests.support.qls_ir import FLOATS, INTS, operand_type
from tests.support.qls_twins import exact

from quantlab.qls import ir
from quantlab.qls.ir import Ins
from quantlab.qls.native.lower import lower
from quantlab.qls.native.machine import (
    QUICK,
    TUNED,
    build,
    compile_object,
    optimise,
    target_machine,
)
from quantlab.qls.native.operations import UNARY
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab.qls.semantics import PURE, Trap

NUMBERS = (
    *FLOATS, 0.5, -0.5, 2.5, -2.5, 4503599627370495.5, -4503599627370496.0, 2.0**63, -(2.0**63),
    2.2250738585072014e-308, 1.7976931348623157e308,
)  # fmt: skip
WHOLES = (*INTS, 4, -3, -1022, -1023, 1023, 1024, 52, 2**53 + 1, -(2**63) + 1)
POOLS = {"f": NUMBERS, "i": WHOLES, "b": (False, True)}


def one_operation(op: str) -> ir.Program:
    """Return a program that stores op(state 0, state 1) in state 2."""
    of, (gives, _) = operand_type(op), PURE[op]
    count = 1 if op in UNARY else 2
    loads = tuple(Ins("load", number, (), number) for number in range(count))
    body = (*loads, Ins(op, 2, tuple(range(count))), Ins("store", -1, (2,), 2))
    handler = ir.Handler(
        kind="tick", symbol=0, stream=-1, period_ns=0, daily_ns=-1, types=of + of + gives,
        consts=(), reads=(), slots="", body=body, entry_cost=1, cost=1, line=1,
    )  # fmt: skip
    return ir.Program(
        name="", zone="", source_hash="", inputs=(), symbols=("",), streams=(), reads=(),
        strings=(), handlers=(handler,), state_words=3, fills=(), indicators=(), instructions=4,
    )  # fmt: skip


def expected(op: str, args: tuple[float, ...]) -> tuple[str, int]:
    try:
        return exact(PURE[op][1](*args))
    except Trap as trap:
        return trap.reason, 0


def given(native: NativeProgram, op: str, args: tuple[float, ...]) -> tuple[str, int]:
    strategy = NativeStrategy(native)
    ints, floats = (strategy.buffers.state.cast(form) for form in "qd")
    for word, value in enumerate(args):
        (floats if isinstance(value, float) else ints)[word] = value
    try:
        strategy.run("tick", None)  # type: ignore[arg-type]
    except Trap as trap:
        return trap.reason, 0
    gives = PURE[op][0]
    if gives == "f":
        return exact(floats[2])
    return exact(bool(ints[2])) if gives == "b" else exact(ints[2])


@pytest.mark.parametrize("tier", [QUICK, TUNED])
@pytest.mark.parametrize("op", PURE)
def test_an_operation_gives_what_the_oracle_gives(op: str, tier: str) -> None:
    native = NativeProgram(one_operation(op), tier=tier)
    pool = POOLS[operand_type(op)]
    cases = [(a,) for a in pool] if op in UNARY else [(a, b) for a in pool for b in pool]
    wrong = [
        (args, given(native, op, args), expected(op, args))
        for args in cases
        if given(native, op, args) != expected(op, args)
    ]
    assert wrong == []


def test_some_results_stand_here_in_numbers() -> None:
    cases = {
        ("fdiv", 1.0, -0.0): math.nan, ("fmin", math.nan, 1.0): math.nan, ("fsqrt", -1.0): math.nan,
        ("ffloor", -0.5): -1.0, ("f2i", 1e300): 2**63 - 1, ("f2i", math.nan): 0,
        ("idiv", -7, 2): -4, ("imod", -7, 2): 1, ("imod", 7, -2): -1, ("imod", -(2**63), -1): 0,
        ("pow2", 5000): 2.0**1023, ("exponent", 0.75): -1, ("wadd", 2**63 - 1, 1): -(2**63),
        ("fne", math.nan, 1.0): False,
    }  # fmt: skip
    for (op, *args), value in cases.items():
        assert given(NativeProgram(one_operation(op)), op, tuple(args)) == exact(value), op
    for op, a, b, reason in (
        ("idiv", 1, 0, "division_by_zero"), ("imod", 1, 0, "division_by_zero"),
        ("idiv", -(2**63), -1, "int_overflow"), ("iadd", 2**63 - 1, 1, "int_overflow"),
    ):  # fmt: skip
        assert given(NativeProgram(one_operation(op)), op, (a, b)) == (reason, 0)


def a_product_and_a_sum() -> ir.Program:
    """Return a program that stores state 0 * state 1 + state 0 in state 2: bait for a fused one."""
    program = one_operation("fmul")
    handler = program.handlers[0]
    body = (
        *handler.body[:3], Ins("fadd", 3, (2, 0)), Ins("store", -1, (3,), 2),
    )  # fmt: skip
    handler = dataclasses.replace(handler, body=body, types="ffff")
    return dataclasses.replace(program, handlers=(handler,))


def program_of(
    body: tuple[Ins, ...], types: str, consts: tuple[tuple[int, float], ...]
) -> ir.Program:
    program = one_operation("fadd")
    handler = dataclasses.replace(program.handlers[0], body=body, types=types, consts=consts)
    return dataclasses.replace(program, handlers=(handler,))


@pytest.mark.parametrize("tier", [QUICK, TUNED])
def test_every_na_is_shown_as_the_same_bits(tier: str) -> None:
    order = ir.OrderSpec(0, 0, 0, 0, 0, 0, 0, -1)
    body = (
        Ins("load", 2, (), 0), Ins("fsub", 3, (2, 2)), Ins("store", -1, (3,), 1),
        Ins("fneg", 4, (1,)), Ins("fadd", 5, (4, 2)), Ins("store", -1, (5,), 2),
        Ins("order", 6, (0, 0, 0, 0, 3, 5, 1, 3, 5, 3), order),
        Ins("output", -1, (3, 5), ir.OutputSpec("log", 0)),
    )  # fmt: skip
    program = program_of(body, "ifffffi", ((0, 0), (1, math.nan)))
    program = dataclasses.replace(program, strings=("{} {}",))
    strategy = NativeStrategy(NativeProgram(program, tier=tier))
    strategy.buffers.state.cast("d")[0] = math.inf
    effects = strategy.run("tick", None)  # type: ignore[arg-type]
    na = struct.pack("<Q", ir.CANONICAL_NAN_BITS)
    assert strategy.image()[8:] == na + na
    values = [effects.orders[0].args[name] for name in ir.ORDER_ARGS[4:]]
    values += effects.outputs[0].values
    assert {struct.pack("<d", value) for value in values} == {na}
    raw = set(strategy.buffers.state.cast("Q")[1:3])
    assert raw - {ir.CANONICAL_NAN_BITS}, "nothing here was worth making canonical"


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_stores_around_a_branch_in_a_branch_take_place_where_they_are_taken(
    outer: bool, inner: bool
) -> None:
    nested = Ins("if", -1, (3,), ((Ins("store", -1, (4,), 0),), (Ins("store", -1, (5,), 0),)))
    then = (nested, Ins("store", -1, (4,), 1))
    body = (Ins("if", -1, (2,), (then, (Ins("store", -1, (5,), 2),))),)
    consts = ((0, 0.0), (1, 0.0), (2, outer), (3, inner), (4, 1.0), (5, 2.0))
    strategy = NativeStrategy(NativeProgram(program_of(body, "ffbbff", consts)))
    strategy.run("tick", None)  # type: ignore[arg-type]
    words = strategy.buffers.state.cast("d").tolist()
    assert words == ([1.0 if inner else 2.0, 1.0, 0.0] if outer else [0.0, 0.0, 2.0])


@pytest.mark.parametrize("tier", [QUICK, TUNED])
def test_a_product_and_a_sum_are_never_fused(tier: str) -> None:
    strategy = NativeStrategy(NativeProgram(a_product_and_a_sum(), tier=tier))
    floats = strategy.buffers.state.cast("d")
    floats[0], floats[1] = 1.0 + 2.0**-30, 1.0 - 2.0**-30
    a, b = floats[0], floats[1]
    strategy.run("tick", None)  # type: ignore[arg-type]
    assert floats[2] == a * b + a
    machine = target_machine(tier)
    module = llvm.parse_assembly(lower(a_product_and_a_sum()))
    optimise(module, machine, tier)
    assert not re.search(r"v?fn?m(add|sub)", machine.emit_assembly(module))


def test_assembly_has_no_fast_mathematics_and_calls_intrinsics_only() -> None:
    for op in PURE:
        text = lower(one_operation(op))
        assert not re.search(r"\b(fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b", text)
        assert all(name.startswith("@llvm.") for name in re.findall(r"call .*?(@[\w.]+)", text))


def test_code_that_calls_out_cannot_be_built() -> None:
    text = "declare i64 @getpid()\ndefine i64 @h0() {\n%a = call i64 @getpid()\nret i64 %a\n}\n"
    with pytest.raises(ValueError, match="getpid"):
        build(text, ("h0",))


def test_the_same_program_gives_the_same_object() -> None:
    text = lower(one_operation("fdiv"))
    assert compile_object(text) == compile_object(text)
