"""Runs expressions of QLS over columns of bars in the interpreter."""

from collections.abc import Mapping, Sequence

from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import show
from quantlab.qls.interpreter import Interpreter
from quantlab.qls.ir import Program, Read

MINUTE_NS = 60 * 10**9
Columns = Mapping[str, Sequence[float]]


class BarHost:
    """Gives the bar of one row; what a file has no column for is na."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.row = 0
        self.time_ns = 0
        self.offset_ns = 0

    def read(self, read: Read) -> float | int:
        if read.scope == "clock":
            return self.time_ns if read.field == "time" else self.offset_ns
        if read.field == "index":
            return self.row
        column = self.columns.get(read.field)
        return float("nan") if column is None else float(column[self.row])


def compiled(source: str) -> Program:
    """Compile a source that must have no errors."""
    result = compile_source(source)
    assert result.program is not None, "\n".join(show(source, one) for one in result.diagnostics)
    return result.program


def series(expression: str, columns: Columns, outputs: int = 1) -> list[tuple[float, ...]]:
    """Return an expression's values on each bar, several where it gives several."""
    names = ", ".join(f"v{number}" for number in range(outputs))
    target = f"[{names}]" if outputs > 1 else names
    plots = "".join(f'    plot("{number}", v{number})\n' for number in range(outputs))
    program = compiled(f"on bar(1m)\n    {target} = {expression}\n{plots}")
    interpreter, host = Interpreter(program), BarHost(columns)
    found = []
    for row in range(len(next(iter(columns.values())))):
        host.row = row
        effects = interpreter.run("bar", host, stream=0)
        found.append(tuple(float(output.values[0]) for output in effects.outputs))
    return found
