"""Hostile programs in machine code: each is stopped by a named limit, as in the interpreter."""

import dataclasses
import math

import pytest
from tests.support.qls_bars import compiled
from tests.support.qls_ir import FLOATS, INTS
from tests.support.qls_twins import Twins

from quantlab.qls import ir, limits
from quantlab.qls.compiler import compile_source
from quantlab.qls.interpreter import Effects
from quantlab.qls.ir import Ins
from quantlab.qls.native.machine import QUICK, TUNED
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab.qls.semantics import Trap

NAN_SPREAD = "\n    ".join(
    f'x{n} = {call}\n    plot("{n}", x{n})'
    for n, call in enumerate(
        ("bid / 0", "sqrt(-1 * bid)", "bid * 1e308 * 10 - ask * 1e308 * 10", "sma(bid, 3)",
         "ema(bid, 3)", "rsi(ask, 3)", "stdev(bid, 4)", "exp(ask)", "sin(bid)", "pow(bid, ask)",
         "min(bid, ask)", "max(na, bid)", "bid[3]", "float(int(bid))", "float(int(ask * 1e300))")
    )
)  # fmt: skip
TRAPPED = {
    "an order flood": ("for i in 1..20\n        buy(1)", "order_limit"),
    "an order flood of nested loops": (
        "for i in 1..100\n        for j in 1..100\n            buy(1)", "order_limit",
    ),
    "an output flood": ('for i in 1..70\n        log("x {}", i)', "output_limit"),
    "a large product": (
        'x = bar_index * 9_223_372_036_854_775_807\n    log("{}", x)', "int_overflow",
    ),
    "a large sum in a loop": (
        'x = 1\n    for i in 1..100\n        x := x + x\n    log("{}", x)', "int_overflow",
    ),
    "a division by zero": ('x = idiv(5, bar_index - 2)\n    log("{}", x)', "division_by_zero"),
    "a remainder by zero": ('x = 5 % (bar_index - 2)\n    log("{}", x)', "division_by_zero"),
}  # fmt: skip


@pytest.mark.parametrize("tier", [QUICK, TUNED])
@pytest.mark.parametrize("what", TRAPPED)
def test_a_hostile_run_is_stopped_by_a_named_trap(what: str, tier: str) -> None:
    body, reason = TRAPPED[what]
    twins = Twins(compiled(f"on bar(1m)\n    {body}\n"), tier=tier)
    assert twins.run("bar", lambda read: 2 if read.type == "i" else 1.0, stream=0) == reason
    placed = twins.native.orders_placed
    assert twins.run("bar", lambda _: 1, stream=0) == reason  # it stays stopped
    assert twins.native.orders_placed == placed
    assert twins.native.effects() == Effects()


@pytest.mark.parametrize("tier", [QUICK, TUNED])
@pytest.mark.parametrize("fuel", [0, 1, 50, 777])
def test_a_long_loop_ends_with_its_fuel(fuel: int, tier: str) -> None:
    source = (
        "var s = 0.0\non tick\n    for i in 1..100\n        for j in 1..100\n"
        '            s += bid\n    plot("s", s)\n'
    )
    twins = Twins(compiled(source), fuel=fuel, tier=tier)
    assert twins.run("tick", lambda _: 1.0) == "fuel"
    cost = max(handler.cost for handler in twins.oracle.program.handlers)
    assert fuel < twins.native.fuel_used <= fuel + cost


def test_a_loop_beyond_its_turns_ends_with_their_limit() -> None:
    loop = ir.Loop((), 3, 1)
    program = handler_of(
        "ii", ((0, -(2**63)), (1, 2**63 - 1)), (Ins("loop", 2, (0, 1), loop),), "i"
    )
    assert Twins(program).run("tick", lambda _: 0) == "loop_limit"


@pytest.mark.parametrize("tier", [QUICK, TUNED])
def test_values_without_sense_everywhere_go_through_unharmed(tier: str) -> None:
    twins = Twins(compiled(f"on tick\n    {NAN_SPREAD}\n"), tier=tier)
    values = [*FLOATS, -math.nan, 1.0, 2.0]
    for bid in values:
        for ask in values:
            assert not twins.run("tick", lambda r, b=bid, a=ask: b if r.field == "bid" else a)


def handler_of(
    types: str, consts: tuple[tuple[int, float], ...], body: tuple[Ins, ...], rest: str = ""
) -> ir.Program:
    """Return a program of one handler on ticks with 16 words of state."""
    handler = ir.Handler(
        kind="tick", symbol=0, stream=-1, period_ns=0, daily_ns=-1, types=types + rest,
        consts=consts, reads=(), slots="", body=body, entry_cost=1, cost=1, line=1,
    )  # fmt: skip
    return ir.Program(
        name="", zone="", source_hash="", inputs=(), symbols=("",), streams=(), reads=(),
        strings=(), handlers=(handler,), state_words=16, fills=(), indicators=(), instructions=1,
    )  # fmt: skip


@pytest.mark.parametrize("tier", [QUICK, TUNED])
@pytest.mark.parametrize("index", INTS)
def test_a_wild_index_stays_in_its_ring(index: int, tier: str) -> None:
    ring, history = (4, 4), (9, 10, 4)
    body = (
        Ins("rput", -1, (0, 1), ring), Ins("rget", 2, (0,), ring), Ins("hpush", -1, (1,), history),
        Ins("hget", 3, (0,), history), Ins("store", -1, (2,), 14), Ins("store", -1, (3,), 15),
    )  # fmt: skip
    program = handler_of("if", ((0, index), (1, 7.5)), body, "ff")
    twins = Twins(program, tier=tier)
    assert not twins.run("tick", lambda _: 0)
    words = twins.native.buffers.state.cast("q")
    assert all(words[word] == 0 for word in (*range(4), 8))


def test_a_damaged_head_of_a_history_cannot_lead_outside() -> None:
    body = (Ins("hpush", -1, (0,), (9, 10, 4)), Ins("hget", 1, (2,), (9, 10, 4)))
    strategy = NativeStrategy(NativeProgram(handler_of("ffi", ((0, 7.5), (2, 0)), body)))
    words = strategy.buffers.state.cast("q")
    for head in INTS:
        words[9] = head
        strategy.run("tick", None)  # type: ignore[arg-type]
        assert 0 <= words[9] < 4
    assert not any(words[word] for word in (*range(9), 14, 15))


def test_deep_nesting_as_far_as_the_language_goes_is_built() -> None:
    depth = limits.BLOCKS_MAX - 1
    lines = ["    " * (n + 1) + f"if bid > {n}" for n in range(depth)]
    source = "on tick\n" + "\n".join(lines) + "\n" + "    " * (depth + 1) + "buy(1)\n"
    twins = Twins(compiled(source))
    for bid in (0.0, 5.0, 1000.0):
        assert not twins.run("tick", lambda _, b=bid: b)
    assert twins.native.orders_placed == 1


def test_state_as_large_as_allowed_is_used_and_more_is_refused() -> None:
    source = "on tick\n    " + "\n    ".join(
        f'x{n} = sma(bid, {limits.LENGTH_MAX - n})\n    plot("{n}", x{n})' for n in range(5)
    )  # fmt: skip
    twins = Twins(compiled(source + "\n"))
    assert twins.native.program.state_words > 5 * (limits.LENGTH_MAX - 5)
    for bid in (1.0, 2.0, math.nan):
        assert not twins.run("tick", lambda _, b=bid: b)
    refused = compile_source("on tick\n" + "".join(
        f'    y{n} = sma(bid, 9_{n + 900})\n    plot("{n}", y{n})\n' for n in range(20)
    ))  # fmt: skip
    assert refused.program is None
    assert "limit:STATE_WORDS_MAX" in {one.code for one in refused.diagnostics}


def test_a_trap_drops_orders_of_the_same_event_and_keeps_the_state() -> None:
    source = (
        "var n = 0\non tick\n    n += 1\n    buy(1)\n    x = idiv(1, n - 12)\n"
        '    n += 10\n    log("{}", x)\n'
    )
    twins = Twins(compiled(source))
    assert not twins.run("tick", lambda _: 1)
    assert twins.run("tick", lambda _: 1) == "division_by_zero"
    assert twins.native.orders_placed == 2
    with pytest.raises(Trap, match="division_by_zero"):
        twins.native.step([0])


def test_a_handler_that_is_only_a_trap_returns() -> None:
    body = (Ins("idiv", 1, (0, 0)), Ins("iadd", 2, (1, 0)))
    program = handler_of("i", ((0, 0),), body, "ii")
    assert Twins(program).run("tick", lambda _: 0) == "division_by_zero"
    changed = dataclasses.replace(program.handlers[0], entry_cost=limits.COST_PER_EVENT_MAX + 1)
    starved = dataclasses.replace(program, handlers=(changed,))
    assert Twins(starved).run("tick", lambda _: 0) == "fuel"
