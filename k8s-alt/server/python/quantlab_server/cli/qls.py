"""`quantlab qls`: check, format, explain and run strategies."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from quantlab.qls.compiler import Compiled, compile_source
from quantlab.qls.diagnostics import show
from quantlab.qls.explain import explain as explained
from quantlab.qls.formatter import format_source
from quantlab.qls.limits import SOURCE_BYTES_MAX
from quantlab.qls.reference import with_reference
from quantlab_server.cli.printing import Json, print_facts, print_json, refuse
from quantlab_server.sandbox.looked import Looked, settings

app = typer.Typer(no_args_is_help=True, help="Check, format, explain and run QLS strategies.")
Files = Annotated[list[Path], typer.Argument(help="Files of strategies (.qls).")]
File = Annotated[Path, typer.Argument(help="The file of a strategy (.qls).")]


@app.command()
def check(files: Files, *, json: Json = False, strict: bool = False) -> None:
    """Compile strategies and print what is wrong; exit code 1 on errors (--strict: warnings)."""
    found: list[dict[str, Any]] = []
    failed = False
    for file in files:
        compiled = compile_source(_read(file))
        failed |= compiled.program is None or (strict and bool(compiled.diagnostics))
        found += [{"file": str(file), **one.as_json()} for one in compiled.diagnostics]
        if not json:
            _print(compiled, file)
    if json:
        print_json({"ok": not failed, "diagnostics": found})
    if failed:
        raise typer.Exit(1)


@app.command()
def fmt(
    files: Files,
    *,
    only_check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 where a file would change.")
    ] = False,
    json: Json = False,
) -> None:
    """Write strategies in their one canonical form."""
    changed = []
    for file in files:
        source = _read(file)
        if len(source) > SOURCE_BYTES_MAX:
            refuse(f"{file}: longer than SOURCE_BYTES_MAX, {SOURCE_BYTES_MAX} characters.")
        formatted = format_source(source)
        if formatted != source:
            changed.append(str(file))
            if not only_check:
                _write(file, formatted)
    if json:
        print_json({"changed": changed})
    else:
        for name in changed:
            sys.stdout.write(
                f"{name}: {'would be' if only_check else ''} formatted\n".replace("  ", " ")
            )
    if only_check and changed:
        raise typer.Exit(1)


@app.command()
def explain(file: File, *, json: Json = False) -> None:
    """Say what a strategy takes, when it runs, what an event may cost, and what it remembers."""
    compiled = compile_source(_read(file))
    if compiled.program is None:
        if json:
            print_json(
                {"ok": False, "diagnostics": [one.as_json() for one in compiled.diagnostics]}
            )
        else:
            _print(compiled, file)
        raise typer.Exit(1)
    facts = explained(compiled.program)
    if json:
        print_json(facts)
        return
    print_facts({key: _shown(value) for key, value in facts.items()}, as_json=False)


@app.command()
def run(
    file: File,
    *,
    ticks: Annotated[Path | None, typer.Option(help="CSV with bid and ask.")] = None,
    bars: Annotated[Path | None, typer.Option(help="CSV with open, high, low and close.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="INPUT=VALUE", help="Set an input.")
    ] = None,
    may_lack: Annotated[
        list[str] | None, typer.Option(help="A wall of the sandbox this system may lack.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a strategy over a file in the sandbox and print what it does; no order is filled."""
    if (ticks is None) == (bars is None):
        refuse("Give one file: --ticks FILE or --bars FILE.")
    lack = tuple(may_lack or ())
    with Looked(_read(file), settings(given or ()), may_lack=lack) as looked:
        path = ticks or bars
        done = looked.events("tick" if ticks else "bar", path) if path else iter(())
        for one in done:
            sys.stdout.write((one.as_json() if json else str(one)) + "\n")


def _shown(value: Any) -> str:
    """Write a fact for people; escaped, as definitions hold brackets that rich would read."""
    if not isinstance(value, list):
        return escape(str(value))
    return "\n".join(escape(_one(item)) for item in value)


def _one(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return ", ".join(f"{key} {inner}" for key, inner in item.items())


def _print(compiled: Compiled, file: Path) -> None:
    for one in compiled.diagnostics:
        sys.stdout.write(show(compiled.source, one, str(file)) + "\n")
    if not compiled.diagnostics:
        sys.stdout.write(f"{file}: no errors, no warnings\n")


def _read(file: Path) -> str:
    """Read a source, at most one character more than the compiler takes."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return opened.read(SOURCE_BYTES_MAX + 1)
    except OSError as error:
        refuse(f"{file}: {error.strerror}.")
    except UnicodeDecodeError:
        refuse(f"{file}: expected UTF-8 text.")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        refuse(f"{file}: {error.strerror}.")


@app.command()
def doc(file: Annotated[Path, typer.Argument(help="The language's page.")]) -> None:
    """Make the reference tables of docs/qls.md anew."""
    try:
        _write(file, with_reference(file.read_text(encoding="utf-8")))
    except OSError as error:
        refuse(f"{file}: {error.strerror}.")
    except ValueError as error:
        refuse(f"{file}: {error}.")
