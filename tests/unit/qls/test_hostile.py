"""Hostile sources are stopped by a named limit, and hostile values by a named trap."""

import pytest
from tests.support.qls_bars import BarHost, compiled

from quantlab.qls import limits
from quantlab.qls.compiler import compile_source
from quantlab.qls.interpreter import Interpreter
from quantlab.qls.semantics import Trap

TICK = "on tick\n    "
HUGE = "x = " + "+".join(["bid"] * 200)
DOUBLING = "\n".join(
    ["def f0(x)", "    return x + bid"]
    + [f"def f{n}(x)\n    return f{n - 1}(x) + f{n - 1}(x)" for n in range(1, 30)]
)
HOSTILE = {
    "a source of 10 MB": ("x" * 10_000_000, "SOURCE_BYTES_MAX"),
    "a long line": (TICK + "x = " + "1 + " * 1000 + "1\n", "LINE_LENGTH_MAX"),
    "many words": ((TICK + "flatten()\n" + "    flatten()\n" * 20_000)[:250_000], "TOKENS_MAX"),
    "brackets": (TICK + "x = " + "(" * 300 + "1" + ")" * 300, "BRACKETS_MAX"),
    "calls": (TICK + "x = " + "abs(" * 100 + "1" + ")" * 100, "BRACKETS_MAX"),
    "prefixes": (TICK + "x = " + "-" * 800 + "bid", "NESTING_MAX"),
    "choices": (TICK + "x = (" + "bid > 1 ? 1 :\n        " * 200 + "2)", "NESTING_MAX"),
    "blocks": (
        TICK + "\n".join("    " * n + "if bid > 1" for n in range(1, 40)), "BLOCKS_MAX",
    ),
    "a long name": (TICK + "x" * 100 + " = 1", "NAME_LENGTH_MAX"),
    "a giant literal": (TICK + "x = " + "9" * 500, "NUMBER_LENGTH_MAX"),
    "a giant text": (TICK + 'log("' + "a" * 500 + '")', "TEXT_LENGTH_MAX"),
    "doubling functions": (DOUBLING + "\n" + TICK + "x = f29(1)", "CALLS_MAX"),
    "much code": (
        TICK + "\n    ".join(f"x{n} = pow(sin(bid), exp(ask))" for n in range(300)),
        "INSTRUCTIONS_MAX",
    ),
    "long loops": (
        TICK + "for i in 1..9999\n        for j in 1..9999\n            flatten()",
        "COST_PER_EVENT_MAX",
    ),
    "much memory": (
        TICK + "\n    ".join(f"x{n} = sma(bid, 9999)" for n in range(20)), "STATE_WORDS_MAX",
    ),
    "many inputs": ("\n".join(f"input x{n} = int(1)" for n in range(100)), "INPUTS_MAX"),
    "many handlers": ("on tick\n    flatten()\n" * 100, "HANDLERS_MAX"),
    "many symbols": (
        TICK + "\n    ".join(f'x{n} = bid("S{n}")' for n in range(50)), "SYMBOLS_MAX",
    ),
    "many series": (
        TICK + "\n    ".join(f"x{n} = close({n}m)" for n in range(1, 99)), "STREAMS_MAX",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_source_is_stopped_by_a_named_limit(what: str) -> None:
    source, limit = HOSTILE[what]
    result = compile_source(source)
    assert result.program is None
    assert f"limit:{limit}" in {one.code for one in result.diagnostics}


@pytest.mark.parametrize(
    "source",
    [
        "\x00on tick", "on tick\n    \u202ex = 1", "on tick\n    b\u0456d = 1", "\ufeffon tick",
        "on tick\n    x = \u0661", "on tick\n    x\u200b = 1", "\ud800", "on tick\n\tx = 1",
        'on tick\n    x = "\u2066"', "\u00a0on tick",
    ],
)  # fmt: skip
def test_deceiving_characters_are_refused(source: str) -> None:
    result = compile_source(source)
    assert result.program is None
    assert {one.code for one in result.diagnostics} & {"forbidden-character", "character"}


@pytest.mark.parametrize("end", range(0, 700, 7))
def test_any_beginning_of_a_source_gives_diagnostics_and_no_exception(end: int) -> None:
    source = (
        'strategy "x" (timezone="UTC")\ninput n = int(5, min=1, max=9)\nvar s = 0.0\n'
        "def f(float x, length k = 3)\n    return sma(x, k) - x[2]\n"
        "on bar(1m)\n    [a, b, c] = macd(close, 3, 5, 2)\n    for i in 0..3\n        s += a[i]\n"
        '    if f(close, n) > 0 and not na(b)\n        id = buy(1, limit=low, sl=low - 1)\n'
        "        cancel(id)\n    else if c < 0\n        flatten()\n    else\n"
        '        log("s {}", s)\non timer("16:55")\n    close_position()\n'
    ) * 2  # fmt: skip
    compile_source(source[:end])
    compile_source(source[end:])


def test_recursion_is_refused_by_name() -> None:
    source = (
        'def a(x)\n    return b(x)\ndef b(x)\n    return a(x)\non tick\n    plot("a", a(bid))\n'
    )
    codes = {one.code for one in compile_source(source).diagnostics}
    assert "recursion" in codes


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("for i in 1..20\n        buy(1)", "order_limit"),
        ('for i in 1..70\n        log("x")', "output_limit"),
        ('x = bar_index * 9_223_372_036_854_775_807\n    plot("x", x)', "int_overflow"),
        ('x = 5 % (bar_index - 2)\n    plot("x", x)', "division_by_zero"),
        ('x = idiv(5, bar_index - 2)\n    plot("x", x)', "division_by_zero"),
    ],
)  # fmt: skip
def test_a_hostile_run_is_stopped_by_a_named_trap(body: str, reason: str) -> None:
    interpreter = Interpreter(compiled(f"on bar(1m)\n    {body}\n"))
    host = BarHost({"close": [1.0] * 5})
    host.row = 2
    with pytest.raises(Trap) as caught:
        interpreter.run("bar", host, stream=0)
    assert caught.value.reason == reason
    with pytest.raises(Trap, match=reason):  # it stays stopped
        interpreter.run("bar", host, stream=0)


def test_fuel_is_counted_and_ends_a_run() -> None:
    program = compiled(
        'on bar(1m)\n    x = 0.0\n    for i in 1..50\n        x += close[1]\n    plot("x", x)\n'
    )
    handler = program.handlers[-1]
    host = BarHost({"close": [1.0]})
    enough = Interpreter(program, fuel_per_event=handler.cost)
    enough.run("bar", host, stream=0)
    assert enough.fuel_used == sum(one.cost for one in program.handlers)
    short = Interpreter(program, fuel_per_event=handler.cost - 1)
    with pytest.raises(Trap, match="fuel"):
        short.run("bar", host, stream=0)


def test_limits_are_below_what_python_survives() -> None:
    assert limits.NESTING_MAX <= 100
