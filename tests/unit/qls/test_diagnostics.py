"""What the compiler says: goldens of whole sources, and the promises behind them.

QLS_GOLDENS=write writes the goldens anew; read the difference before committing it.
"""

import os
from pathlib import Path

import pytest

from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import did_you_mean, show
from quantlab.qls.service import diagnostics

GOLDENS = Path(__file__).parents[2] / "golden" / "qls"
SOURCES = sorted(GOLDENS.glob("*.qls"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_source_gives_its_golden_diagnostics(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    text = "\n".join(show(source, one, path.name) for one in diagnostics(source)) + "\n"
    golden = path.with_suffix(".txt")
    if os.environ.get("QLS_GOLDENS") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_there_are_goldens() -> None:
    assert {path.stem for path in SOURCES} >= {"syntax", "types", "warnings"}


def test_several_errors_come_in_one_pass_in_the_order_of_the_source() -> None:
    found = diagnostics((GOLDENS / "types.qls").read_text(encoding="utf-8"))
    assert len([one for one in found if one.severity == "error"]) > 20
    assert [one.line for one in found] == sorted(one.line for one in found)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("closee", ("close", "open"), "close"), ("crosover", ("crossover", "cross"), "crossover"),
        ("emma", ("ema", "sma"), "ema"), ("abc", ("xyz",), ""), ("colse", ("close",), "close"),
    ],
)  # fmt: skip
def test_did_you_mean(name: str, known: tuple[str, ...], meant: str) -> None:
    assert did_you_mean(name, known) == (f"Did you mean {meant}?" if meant else "")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("inptu fast = int(10)\non tick\n    flatten()\n", "Did you mean input?"),
        ("on tick\n    fro i in 1..3\n        flatten()\n", "Did you mean for?"),
        ("def f(x)\n    retrun 3\non tick\n    flatten()\n", "Did you mean return?"),
        ("on tick\n    if bid = 1\n        flatten()\n", "Compare with ==."),
        ("on tick\n    while true\n        flatten()\n", "Loops have fixed bounds"),
        ("on tick\n    f(1 2)\n", "Expected ), , or =, found `2`."),
    ],
)
def test_what_is_mistyped_is_guessed_and_only_what_can_follow_is_expected(
    source: str, said: str
) -> None:
    first = diagnostics(source)[0]
    assert said in f"{first.message} {first.suggestion}"


@pytest.mark.parametrize("body", ["\tbuy(1)", "    b\u0443y(1)", "    while true", "    x = ("])
def test_a_handler_that_cannot_be_read_is_not_missed(body: str) -> None:
    codes = {one.code for one in diagnostics(f"on tick\n{body}\n")}
    assert codes
    assert "no-handler" not in codes


def test_a_good_source_has_none() -> None:
    compiled = compile_source("on tick\n    if bid > 1.5\n        buy(1)\n")
    assert compiled.diagnostics == ()
    assert compiled.program is not None
