"""What is given on the command line, read: quotes, a strategy, its inputs; and all a run needs."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantlab.backtest.account import BacktestAccount, NotRun
from quantlab.backtest.native.joining import Joined
from quantlab.backtest.running import Run
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import show
from quantlab.qls.interpreter import input_value
from quantlab.qls.ir import Input, Program
from quantlab.qls.limits import SOURCE_BYTES_MAX
from quantlab_edge import backtest as machine
from quantlab_server.backtests.accounts import Configured, account_for
from quantlab_server.refusal import Refusal

CONFIGS: Final = Path("agent/configs")
FOLDER: Final = "QUANTLAB_NATIVE_FOLDER"
Runner = Callable[[Any, Mapping[str, Any]], Run]
_TRUTHS: Final = {"true": True, "false": False}


def native_folder() -> Path:
    """Return the folder of compiled code and of quotes as records."""
    return Path(os.environ.get(FOLDER) or Path.home() / ".cache" / "quantlab" / "native")


def say(line: str) -> None:
    """Say something beside the results."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def sources_of(
    ticks: Sequence[str] | None, bars: Sequence[str] | None
) -> dict[str, machine.Source]:
    """Read SYMBOL=FILE of both options."""
    found = {}
    for option, given, is_bars in (("--ticks", ticks, False), ("--bars", bars, True)):
        for text in given or ():
            symbol, _, file = text.partition("=")
            if not symbol or not file:
                raise Refusal(f"{option}: expected SYMBOL=FILE, was {text!r}")
            if symbol in found:
                raise Refusal(f"{option}: expected one file of {symbol}, was a second: {file}")
            found[symbol] = machine.Source(Path(file), is_bars)
    if not found:
        raise Refusal("expected --ticks SYMBOL=FILE or --bars SYMBOL=FILE at least once")
    return found


def program_of(file: Path) -> Program:
    """Compile the source of a strategy."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            source = opened.read(SOURCE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{file} cannot be read: {error}") from error
    compiled = compile_source(source)
    if compiled.program is None:
        shown = "\n\n".join(show(source, one, str(file)) for one in compiled.diagnostics)
        raise Refusal(shown)
    return compiled.program


def inputs_of(program: Program, given: Sequence[str] | None) -> dict[str, Any]:
    """Read input=value."""
    values = {}
    for text in given or ():
        name, _, value = text.partition("=")
        known = input_named(program, name, "--set")
        if name in values:
            raise Refusal(f"--set: expected one value of {name}, was a second: {value!r}")
        values[name] = value_of(known, value, "--set")
    return values


def fixed_of(program: Program, given: Sequence[str] | None) -> dict[str, Any]:
    """Read input=value, each within the bounds of its input."""
    fixed = inputs_of(program, given)
    for name, value in fixed.items():
        check_value(input_named(program, name, "--set"), value, "--set")
    return fixed


def input_named(program: Program, name: str, option: str) -> Input:
    """Return an input of a program."""
    known = {one.name: one for one in program.inputs}
    if name not in known:
        wanted = f"one of {', '.join(known)}" if known else "no input"
        raise Refusal(f"{option}: expected {wanted}, was {name!r}")
    return known[name]


def value_of(known: Input, text: str, option: str) -> Any:
    """Read the text of an input's value."""
    kinds: dict[str, Any] = {"int": int, "float": float, "bool": _TRUTHS.__getitem__}
    try:
        return kinds.get(known.kind, str)(text)
    except (ValueError, KeyError) as error:
        raise Refusal(f"{option}: {known.name}: expected {known.kind}, was {text!r}") from error


def check_value(known: Input, value: Any, option: str) -> None:
    """Refuse a value outside an input's bounds."""
    try:
        input_value(known, value)
    except ValueError as error:
        raise Refusal(f"{option}: {error}") from error


@dataclass(frozen=True, slots=True)
class Bench:
    """A strategy, its account and its quotes, ready to be run any number of times."""

    program: Program
    configured: Configured
    records: machine.Records
    engine: machine.EngineFiles
    code: machine.KeptCode

    @property
    def account(self) -> BacktestAccount:
        """Return the account."""
        return self.configured.account

    def runner(self, account: BacktestAccount | None = None) -> Runner:
        """Return what makes a run of quotes and inputs; the code is compiled once, at its first."""
        owner = account or self.account
        joined: list[Joined] = []

        def made(quotes: Any, inputs: Mapping[str, Any]) -> Run:
            known = joined[0] if joined else None
            run = Run(self.program, owner, quotes, self.engine, inputs, self.code, known)
            joined[:] = [run.joined]
            return run

        return made


def bench_of(
    strategy: Path,
    ticks: Sequence[str] | None,
    bars: Sequence[str] | None,
    profile: str | None,
    configs: Path,
    news: Path | None = None,
) -> Bench:
    """Read all that runs of a strategy need, or raise Refusal."""
    try:
        sources = sources_of(ticks, bars)
        program = program_of(strategy)
        configured = account_for(configs, profile, sources, news=news)
        configured.account.check()
        folder = native_folder()
        engine = machine.engine(folder, say)
        records = machine.quotes(sources, configured.instruments, folder / "quotes")
    except (NotRun, ModuleNotFoundError, machine.UnreadableQuotes) as error:
        raise Refusal(str(error)) from error
    if records.refused:
        say(f"{records.refused} quotes were left out: no gate would have believed them")
    if len(records.words) == 0:
        raise Refusal("expected at least one quote, was none")
    return Bench(program, configured, records, engine, machine.KeptCode(folder))
