"""Nasty sources go through every tool: each answers, and says what is wrong by its name."""

import json
import random

import pytest
from tests.support.qls_programs import program_source

from quantlab.qls import limits, service
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import did_you_mean, show
from quantlab.qls.explain import explain
from quantlab.qls.formatter import format_source
from quantlab.qls.native.lower import lower

T = "on tick\n"
FLATTEN = T + "    flatten()\n"
FINE = ""


def rows(count: int, line: str) -> str:
    return T + "".join(f"    {line}\n".replace("#", str(k)) for k in range(count))


NASTY = {
    "nothing": ("", "no-handler"),
    "line ends": ("\n" * limits.SOURCE_BYTES_MAX, "no-handler"),
    "spaces": ((" " * 900 + "\n") * 290, "no-handler"),
    "comments": (("//" + "x" * 900 + "\n") * 280, "no-handler"),
    "one character too many": (FLATTEN + "/" * limits.SOURCE_BYTES_MAX, "limit:SOURCE_BYTES_MAX"),
    "stairs": (
        "on tick\n" + "".join(" " * k + "if bid > 1\n" for k in range(1, 40)), "limit:BLOCKS_MAX",
    ),
    "a chain of else if": (
        T + "    if bid > 0\n        flatten()\n"
        + "    else if bid > 1\n        flatten()\n" * 3000, "limit:NESTING_MAX",
    ),
    "the past of the past": (T + "    x = bid" + "[1]" * 300, "limit:NESTING_MAX"),
    "functions one below the other": (
        "def f0(x)\n    return x\n"
        + "".join(f"def f{k}(x)\n    return f{k - 1}(x)\n" for k in range(1, 900))
        + T + '    plot("a", f899(bid))\n', "limit:NESTING_MAX",
    ),
    "a default that calls itself": (
        "def a(x = a())\n    return x\n" + T + '    plot("a", a())\n', "limit:NESTING_MAX",
    ),
    "texts in texts": (T + "    x = " + "[" * 31 + "1" + "]" * 31, "type"),
    "switches in switches": (
        T + "".join(
            "    " * (2 * k + 1) + "switch\n" + "    " * (2 * k + 2) + "bid > 1 =>\n"
            for k in range(14)
        ), "limit:BLOCKS_MAX",
    ),
    "a switch of many arms": (
        T + "    switch int(bid)\n" + "".join(f"        {k} => flatten()\n" for k in range(70)),
        "limit:ARMS_MAX",
    ),
    "a switch without arms": (T + "    switch bid\n    flatten()\n", "syntax"),
    "many functions": (
        "".join(f"def f{k}(x)\n    return x\n" for k in range(3000)) + FLATTEN, FINE,
    ),
    "many arguments": (
        "def f(" + ",\n    ".join(f"p{k}" for k in range(5000)) + ")\n    return p1\n" + T
        + "    x = f(" + ",\n        ".join(["1"] * 5000) + ')\n    plot("a", x)\n', FINE,
    ),
    "one parameter twice": ("def f(x, x)\n    return x\n" + T + "    y = f(1, 2)\n", "arguments"),
    "unused names": (rows(900, "x# = bid + #"), FINE),
    "many vars": (rows(900, "var v# = bid"), FINE),
    "many texts": (rows(3000, 'log("#")'), FINE),
    "a return in a branch": (
        "def f(x)\n    if x > 1\n        return 2\n    return x\n" + T + '    plot("a", f(bid))\n',
        "return",
    ),
    "an infinite input": ("input x = float(1e308 * 10)\n" + T + '    plot("a", x)\n', "input"),
    "an input without value": ("input x = float(na)\n" + T + '    plot("a", x)\n', "input"),
    "an infinite bound": (
        "input x = float(1, max=1e308 * 10)\n" + T + '    plot("a", x)\n', "input",
    ),
    "a step of nothing": ("input x = int(5, step=0)\n" + T + '    plot("a", x)\n', "input"),
    "a step back": ("input x = float(5, step=-1)\n" + T + '    plot("a", x)\n', "input"),
    "a zone of files": ('strategy "a" (timezone="../../etc/passwd")\n' + FLATTEN, "timezone"),
    "a zone of Mars": ('strategy "a" (timezone="Mars/Base")\n' + FLATTEN, "timezone"),
    "a folder of zones": ('strategy "a" (timezone="Europe")\n' + FLATTEN, "timezone"),
    "the longest bar": ("on bar(9000000000000000000ns)\n    flatten()\n", FINE),
    "a bar of nothing": ("on bar(0s)\n    flatten()\n", "event"),
    "a timer too fast": ("on timer(1ns)\n    flatten()\n", "event"),
    "rings": (T + "    ring r(5)\n    put(r, 1, 2)\n", "ring"),
    "the library's own": (T + "    x = _ema(bid, 5)\n", "unknown-function"),
    "tag characters": (T + '    log("a\U000e0041b")\n', "forbidden-character"),
    "a soft hyphen": (T + '    log("a\u00adb")\n', "forbidden-character"),
    "a filler": (T + '    log("a\u3164b")\n', "forbidden-character"),
    "a variation selector": (T + '    log("a\ufe0f")\n', "forbidden-character"),
    "a carriage return": (T + "    x = 1 \r y = 2\n", "character"),
    "a comment turned round": ("// \u202e abc\n" + FLATTEN, "forbidden-character"),
    "marks upon marks": (T + '    log("a' + "\u0301" * 190 + '")\n', FINE),
    "words as names": (T + "    switch = 3\n", "syntax"),
    "the language changed": (T + "    close := 1\n    buy := 2\n    true := 5\n", "assign"),
    "the least int": (
        T + "    x = -9223372036854775807 - 1\n"
        '    log("{} {}", idiv(x, -1), abs(x))\n', FINE,
    ),
    "a past without end": ("input n = int(0)\n" + T + '    plot("a", bid[n])\n', "look-ahead"),
    "a loop without end": (
        T + "    for i in -9223372036854775807..9223372036854775807\n        flatten()\n", "loop",
    ),
    "a loop by inputs": (
        "input a = int(0)\ninput b = int(5)\n" + T + "    for i in a..b\n        flatten()\n",
        "loop",
    ),
    "a long time": (T + '    log("{}", 99999999999w)\n', "number"),
    "numbers of elsewhere": (T + "    x = 0x10\n", "syntax"),
    "an open text": (T + '    log("abc\n    flatten()\n', "character"),
    "many places": (T + '    log("' + "{}" * 90 + '")\n', "arguments"),
    "less and less": ("on tick\n        flatten()\n    flatten()\n  flatten()\n", "indentation"),
    "brackets": ("([)]\n" * 20_000, "limit:TOKENS_MAX"),
    "quotes": (('"' * 900 + "\n") * 60, "syntax"),
    "equals": (T + "    a " + "= " * 400 + "1\n", "syntax"),
    "arrows": (T + "    " + "=> " * 300 + "\n", "syntax"),
}  # fmt: skip


@pytest.mark.parametrize("what", NASTY)
def test_every_tool_answers_and_names_what_is_wrong(what: str) -> None:
    source, code = NASTY[what]
    compiled = compile_source(source)
    errors = {one.code for one in compiled.diagnostics if one.severity == "error"}
    assert (compiled.program is None) == bool(errors)
    assert not errors if code == FINE else code in errors
    if compiled.program is not None:
        json.dumps(explain(compiled.program), allow_nan=False)
        lower(compiled.program)
    answered(source)


def answered(source: str, offset: int = 30) -> None:
    """Ask every tool; only a renaming may refuse."""
    offset = min(offset, len(source))
    for one in service.diagnostics(source):
        assert one.line >= 1
        shown = show(source, one, "file")
        assert "\r" not in shown
        assert "\u202e" not in shown
    formatted = format_source(source)
    assert format_source(formatted) == formatted
    kept = [text.replace("\r\n", "\n").replace(" ", "") for text in (source, formatted)]
    assert kept[0].replace("\n", "") == kept[1].replace("\n", "")
    service.completion(source, offset)
    service.hover(source, offset)
    try:
        service.rename(source, offset, "another")
    except ValueError as error:
        assert str(error).startswith("expected")  # noqa: PT017 - nothing may be raised as well


@pytest.mark.parametrize("seed", range(200))
def test_garbage_is_answered(seed: int) -> None:
    words = (
        "on tick", "\n", "\n    ", "\n  ", "\r\n", "if ", "else", "x", "=", "(", ")", "[", "]",
        "switch", "=>", "1", "..", "for i in 0..3", "buy", "+", "-", "?", ":", "def f(x)", '"a"',
        "return ", '"', " ", "//c", "/", "\t", "é", "\x00", "\u202e", "1.5", "1m", "1.", ".5",
        ":=", "==", "not", "~", "'", "\\", "\x85", "\u2028",
    )  # fmt: skip
    rng = random.Random(seed)
    if seed % 2:
        source = "".join(rng.choice(words) for _ in range(rng.randint(1, 60)))
    else:
        signs = list(program_source(seed))
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(signs))
            signs[place : place + rng.randint(0, 3)] = rng.choice(words)
        source = "".join(signs)
    compiled = compile_source(source)
    failed = any(one.severity == "error" for one in compiled.diagnostics)
    assert (compiled.program is None) == failed
    answered(source, rng.randrange(len(source) + 1))


def test_what_is_formatted_means_the_same() -> None:
    for seed in range(40):
        source = program_source(seed)
        ugly = source.replace(" = ", "=").replace(", ", " ,").replace("    ", "  ")
        bodies = [
            [handler.body for handler in compiled.handlers]
            for text in (source, format_source(ugly))
            if (compiled := compile_source(text).program) is not None
        ]
        assert bodies[0] == bodies[1]


def test_fifty_warnings_are_no_error() -> None:
    compiled = compile_source(rows(200, "x# = bid"))
    assert compiled.program is not None
    assert len(compiled.diagnostics) == limits.DIAGNOSTICS_MAX


def test_errors_behind_many_warnings_are_said() -> None:
    compiled = compile_source(
        "def f(x)\n    return x\n" * 1 + rows(200, "x# = bid") + "    y = q\n"
    )
    assert "unknown-name" in {one.code for one in compiled.diagnostics}


@pytest.mark.timeout(120)  # without its bound it compares for an hour
def test_thousands_of_like_names_are_not_all_compared() -> None:
    rng = random.Random(1)
    known = ["n" + "".join(rng.choice("ab") for _ in range(60)) for _ in range(20_000)]
    for name in known[:20]:
        assert did_you_mean(name[:-9] + "zzzzzzzzz", known) == ""
