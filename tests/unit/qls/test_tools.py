"""Formatter, explain, language service, reference, tables, and the command line."""

import json
import re
from pathlib import Path

import pytest
from tests.support.qls_programs import program_source, run_trace
from typer.testing import CliRunner

from quantlab.qls import calls, tables
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import Findings
from quantlab.qls.explain import explain
from quantlab.qls.formatter import format_source
from quantlab.qls.lexer import tokens_of
from quantlab.qls.reference import with_reference
from quantlab.qls.service import completion, hover, rename
from quantlab_server import qls_tables
from quantlab_server.backtests.given import program_of
from quantlab_server.cli.main import app
from quantlab_server.refusal import Refusal

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.qls"))
UGLY = """strategy   "x"( timezone = "UTC" )


input n=int( 3 ,min = 1,max=9 )// note
on bar( 1m )
  // why
  x=close [1]*-n+( 2-1 )
  if x>3 and not(x<2)
      flatten( )
  else   if x==1
      buy( 1,
        limit=x )
  switch   x
      1=>flatten( )
      2   =>
        x:=3
      =>buy( 1 )
  for i in 0 .. 3
        log( "{}",i )
"""


def _words(source: str) -> list[tuple[str, str]]:
    tokens = tokens_of(source, Findings(source))
    return [(kind, text) for kind, text, _ in tokens]


def test_the_formatter_writes_one_form() -> None:
    assert format_source(UGLY) == (
        'strategy "x"(timezone="UTC")\n\ninput n = int(3, min=1, max=9)  // note\non bar(1m)\n'
        "    // why\n    x = close[1] * -n + (2 - 1)\n    if x > 3 and not (x < 2)\n"
        "        flatten()\n    else if x == 1\n        buy(1,\n            limit=x)\n"
        "    switch x\n        1 => flatten()\n        2 =>\n            x := 3\n"
        "        => buy(1)\n"
        '    for i in 0..3\n        log("{}", i)\n'
    ).replace('"x"(', '"x" (')


@pytest.mark.parametrize("seed", range(40))
def test_formatting_keeps_every_word_and_is_done_once(seed: int) -> None:
    source = program_source(seed).replace(" = ", "=").replace(", ", " ,")
    once = format_source(source)
    assert _words(once) == _words(source)
    assert format_source(once) == once


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_clean_and_formatted(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert compile_source(source).diagnostics == ()
    assert format_source(source) == source


def test_there_are_examples() -> None:
    assert {"sma_cross", "quote", "macd", "barupdn", "slippage_basic"} <= {p.stem for p in EXAMPLES}


@pytest.mark.parametrize("seed", range(60))
def test_a_random_program_compiles_and_runs_the_same_twice(seed: int) -> None:
    first = compile_source(program_source(seed)).program
    second = compile_source(program_source(seed)).program
    assert first is not None
    assert repr(first) == repr(second)  # na is not equal to itself
    assert run_trace(first, seed, 25) == run_trace(first, seed, 25)


@pytest.mark.parametrize("seed", range(25))
def test_a_copied_library_body_does_what_a_lowered_one_does(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = program_source(seed)
    copied = compile_source(source).program
    monkeypatch.setattr(calls, "template", lambda *_: None)
    lowered = compile_source(source).program
    assert copied is not None
    assert lowered is not None
    assert copied.instructions == lowered.instructions
    assert [one.cost for one in copied.handlers] == [one.cost for one in lowered.handlers]
    assert _effects(copied, seed) == _effects(lowered, seed)


def _effects(program, seed: int) -> list[bytes]:
    from tests.support.qls_programs import RandomHost, effects_bytes, events_of

    from quantlab.qls.interpreter import Interpreter
    from quantlab.qls.semantics import Trap

    interpreter, host, found = Interpreter(program), RandomHost(seed), []
    for kind, symbol, stream in events_of(program, seed, 25):
        host.event += 1
        try:
            found.append(effects_bytes(interpreter.run(kind, host, symbol=symbol, stream=stream)))
        except Trap as trap:
            found.append(trap.reason.encode())
            break
    return found


def test_explain_says_what_the_author_wants_to_know() -> None:
    program = compile_source((ROOT / "examples" / "macd.qls").read_text(encoding="utf-8")).program
    assert program is not None
    facts = explain(program)
    assert [one["event"] for one in facts["events"]] == ["on bar(1h)"]
    assert facts["inputs"][0] == {
        "name": "fast", "type": "int", "default": 12, "min": 2, "max": 100, "label": "fast",
    }  # fmt: skip
    assert facts["costPerEventMax"] == program.cost > 50
    assert facts["stateBytes"] == 8 * program.state_words
    assert facts["indicators"][2]["warmUp"] == "slow + signal - 2"
    assert facts["orders"] == ["place market"]
    json.dumps(facts)


SOURCE = (
    'input fast = int(3, min=1, max=9, unit="bars")\nvar fastest = 0.0\n'
    "on bar(1m)\n    average = sma(close, fast)\n    fastest := average + fa\n"
    "    buy(1, limit=average)\n"
)


def test_completion_offers_own_names_and_the_languages() -> None:
    offered = [item.name for item in completion(SOURCE, SOURCE.index("+ fa") + 4)]
    assert offered[:2] == ["fast", "fastest"]
    assert "falling" in offered
    assert all(name.startswith("fa") for name in offered)
    assert {item.name for item in completion("on ", 3)} == {
        "start", "stop", "tick", "bar", "fill", "timer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "offered"),
    [
        ("on tick\n    buy(1, s", ["stop", "sl", "symbol"]),
        ("on tick\n    modify(id, abs(1), ex", ["expire", "exit_trail"]),
        ("on tick\n    cancel(abs(1), exi", []),
        ("on tick\n    x = 1 // cl", []),
        ('on tick\n    log("cl', []),
        ('on tick\n    log("a // b", clo', ["close", "close_position"]),
    ],
)
def test_completion_knows_terms_and_keeps_out_of_texts(source: str, offered: list[str]) -> None:
    found = [item for item in completion(source, len(source)) if item.kind != "function"]
    assert {item.name for item in found} >= set(offered)
    assert offered or not found
    assert len({item.name for item in found}) == len(found)


def test_hover_has_docs_and_units() -> None:
    sma = hover(SOURCE, SOURCE.index("sma") + 1)
    assert sma is not None
    assert sma.signature == "sma(float x, length n)"
    assert "Warm-up: n - 1." in sma.doc
    close = hover(SOURCE, SOURCE.index("close"))
    assert close is not None
    assert close.unit == "price"
    fast = hover(SOURCE, SOURCE.index("fast)"))
    assert fast is not None
    assert (fast.kind, fast.unit) == ("input", "bars")
    assert hover(SOURCE, SOURCE.index("(1m)") + 1) is None


def test_rename_changes_a_name_everywhere_and_nothing_else() -> None:
    edits = rename(SOURCE, SOURCE.index("fast ="), "quick")
    changed = SOURCE
    for edit in reversed(edits):
        changed = changed[: edit.start] + edit.text + changed[edit.end :]
    assert changed == re.sub(r"\bfast\b", "quick", SOURCE)
    for taken in ("close", "fastest", "if", "1x", "a b", "é"):
        with pytest.raises(ValueError, match="expected a new name"):
            rename(SOURCE, SOURCE.index("fast ="), taken)
    with pytest.raises(ValueError, match="expected a name of the strategy"):
        rename(SOURCE, SOURCE.index("sma"), "quick")


def renamed(source: str, place: str, name: str) -> str:
    """Rename what stands where | does."""
    offset = place.index("|")
    assert place.replace("|", "") == source
    for edit in reversed(rename(source, offset, name)):
        source = source[: edit.start] + edit.text + source[edit.end :]
    return source


def test_a_settings_name_is_not_renamed() -> None:
    source = "on tick\n    limit = bid\n    buy(1, limit=limit)\n"
    place = source.replace("limit = bid", "|limit = bid")
    changed = renamed(source, place, "price")
    assert changed == "on tick\n    price = bid\n    buy(1, limit=price)\n"


SCOPED = """\
input n = int(3, min=1, max=9)
def twice(n2, by = 2)
    half = n2 * by
    return half / by
on tick
    half = twice(bid, by=3) + n
    if half > 1
        more = half
        log("half {}", more) // half
    else
        more = 2
        half := more
    for i in 1..n
        plot("p", half[i])
on fill
    half = switch n
        1 => twice(n2=ask)
        => 2.0
    plot("half", half)
"""


@pytest.mark.parametrize(
    ("at", "name", "lines"),
    [
        # The half of `on tick` alone, also where it is changed and its past is read.
        ("    half = twice(bid, by=3)", "whole", {6, 7, 8, 12, 14}),
        ("    half = n2", "whole", {3, 4}),
        ("    half = switch", "whole", {16, 19}),
        ("        more = half", "less", {8, 9}),
        ("        more = 2", "less", {11, 12}),
        ("input n ", "count", {1, 6, 13, 16}),
        ("def twice", "double", {2, 6, 17}),
        ("n2 * by", "x", {2, 3, 17}),
        ("by=3", "factor", {2, 3, 4, 6}),
        ("i in 1", "k", {13, 14}),
    ],
)
def test_rename_follows_what_a_name_means(at: str, name: str, lines: set[int]) -> None:
    offset = SCOPED.index(at) + len(at) - len(at.lstrip())
    offset += {"input n ": 6, "def twice": 4}.get(at, 0)
    edits = rename(SCOPED, offset, name)
    assert {SCOPED.count("\n", 0, edit.start) + 1 for edit in edits} == lines
    changed = SCOPED
    for edit in reversed(edits):
        changed = changed[: edit.start] + edit.text + changed[edit.end :]
    before, after = compile_source(SCOPED), compile_source(changed)
    assert before.program is not None
    assert after.program is not None
    assert after.program.handlers == before.program.handlers


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("more", "line 8 has that name"), ("n", "line 1 has that name"), ("i", "line 13"),
        ("twice", "line 2 has that name"), ("close", "a name of the language"),
        ("sma", "a name of the language"), ("true", "a name of the language"),
        ("switch", "a word of the language"), ("and", "a word of the language"),
        ("two words", "letters, digits and _"), ("9a", "letters, digits and _"),
        ("a" * 65, "64 characters"), ("ha\u200blf", "letters, digits and _"),
    ],
)  # fmt: skip
def test_rename_refuses_a_name_that_is_taken(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rename(SCOPED, SCOPED.index("half = twice"), name)


def test_names_of_other_blocks_are_free() -> None:
    assert rename(SCOPED, SCOPED.index("more = half"), "i")
    assert rename(SCOPED, SCOPED.index("half = n2"), "more")


def test_rename_needs_a_source_that_can_be_read() -> None:
    broken = SCOPED + "on tick\n    half = = 2\n"
    with pytest.raises(ValueError, match="without syntax errors"):
        rename(broken, broken.index("half = twice"), "whole")


def test_the_reference_is_current() -> None:
    document = (ROOT / "docs" / "qls.md").read_text(encoding="utf-8")
    assert with_reference(document) == document, "run quantlab qls doc docs/qls.md"


def test_the_strategies_in_the_docs_compile() -> None:
    document = (ROOT / "docs" / "qls.md").read_text(encoding="utf-8")
    sources = re.findall(r"```\n(strategy.*?)```", document, re.DOTALL)
    assert sources
    for source in sources:
        assert [one for one in compile_source(source).diagnostics if one.severity == "error"] == []


def test_the_tables_are_those_of_the_grammar() -> None:
    path = Path(tables.__file__)
    assert path.read_text(encoding="utf-8") == qls_tables.rendered(), (
        "run python -m quantlab_server.qls_tables"
    )


def test_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    good, bad, ugly = (tmp_path / name for name in ("good.qls", "bad.qls", "ugly.qls"))
    good.write_text("on tick\n    buy(1)\n")
    bad.write_text("on tick\n    buy(x)\n")
    ugly.write_text("on tick\n  buy( 1 )\n")
    assert run(app, ["qls", "check", str(good)]).exit_code == 0
    failed = run(app, ["qls", "check", str(good), str(bad), "--json"])
    assert failed.exit_code == 1
    (found,) = json.loads(failed.stdout)["diagnostics"]
    assert (found["file"], found["line"], found["column"], found["code"]) == (
        str(bad), 2, 9, "unknown-name",
    )  # fmt: skip
    assert run(app, ["qls", "fmt", "--check", str(ugly)]).exit_code == 1
    assert run(app, ["qls", "fmt", str(ugly)]).exit_code == 0
    assert ugly.read_text() == good.read_text()
    facts = json.loads(run(app, ["qls", "explain", str(good), "--json"]).stdout)
    assert facts["orders"] == ["place market"]
    assert run(app, ["qls", "check", str(tmp_path / "none.qls")]).exit_code == 1


def test_a_source_that_is_too_long_is_refused_and_never_cut(tmp_path: Path) -> None:
    file = tmp_path / "long.qls"
    source = "on tick\n  flatten( )\n" + "// \u00e9\n" * 300_000
    file.write_text(source, encoding="utf-8")
    for command in (["check"], ["explain"], ["fmt"], ["fmt", "--check"], ["run", "--ticks", "no"]):
        result = CliRunner().invoke(app, ["qls", *command, str(file)])
        said = result.output + str(result.exception)
        assert result.exit_code == 1, command
        assert "SOURCE_BYTES_MAX" in said, command
    assert file.read_text(encoding="utf-8") == source
    with pytest.raises(Refusal, match="SOURCE_BYTES_MAX"):
        program_of(file)
