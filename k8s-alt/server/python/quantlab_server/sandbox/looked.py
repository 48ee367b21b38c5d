"""What a strategy does on the rows of a file, line by line: `quantlab qls run`."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quantlab.qls import ir
from quantlab.qls.interpreter import Effects, Order, Output
from quantlab.qls.semantics import Trap
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox.rows import RowHost, rows
from quantlab_server.sandbox.strategy import SandboxedStrategy


class Done(NamedTuple):
    """One order, plot, marker, alert or log line, or the trap that ended the run."""

    row: int
    time_ns: int
    kind: str
    facts: dict[str, Any]

    def __str__(self) -> str:
        shown = " ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.row} {self.kind} {shown}"

    def as_json(self) -> str:
        """Return one line of JSON; na is null, infinities are texts."""
        facts = {name: _plain(value) for name, value in self.facts.items()}
        return json.dumps({"row": self.row, "timeNs": self.time_ns, "kind": self.kind, **facts})


class Looked(SandboxedStrategy):
    """A sandboxed strategy that runs over the rows of a file."""

    def __init__(
        self, source: str, inputs: dict[str, Any], *, may_lack: Collection[str] = ()
    ) -> None:
        super().__init__(source, inputs, may_lack=may_lack)

    def events(self, kind: str, path: Path) -> Iterator[Done]:
        """Yield what the strategy does on start, on each row as a tick or a bar, and on stop.

        Raises Refusal where the strategy has no handler for such rows, or bars of several lengths.
        """
        streams = {one.stream for one in self.handlers if one.kind == "bar"}
        if not any(one.kind == kind for one in self.handlers):
            raise Refusal(f"the strategy has no `on {kind}`, so this file would do nothing.")
        if kind == "bar" and len(streams) > 1:
            raise Refusal("the strategy takes bars of several symbols or lengths; one file is one.")
        stream = streams.pop() if kind == "bar" else -1
        host = RowHost(kind)
        try:
            yield from self._shown(self.run("start", host), host)
            for host in rows(path, kind):
                yield from self._shown(self.run(kind, host, stream=stream), host)
            yield from self._shown(self.run("stop", host), host)
        except Trap as trap:
            yield Done(host.row, host.time_ns, "trap", {"reason": trap.reason})

    def _shown(self, effects: Effects, host: RowHost) -> Iterator[Done]:
        for order in effects.orders:
            yield Done(host.row, host.time_ns, "order", self._order(order))
        for output in effects.outputs:
            yield Done(host.row, host.time_ns, output.kind, _output(output))

    def _order(self, order: Order) -> dict[str, Any]:
        spec = order.spec
        facts: dict[str, Any] = {"id": order.order_id, "verb": ir.ORDER_VERBS[spec.verb]}
        if facts["verb"] == "place":
            facts["type"] = ir.ORDER_TYPES[spec.order_type]
            facts["sizeUnit"] = ir.SIZE_UNITS[spec.size_unit]
        if self.symbols[spec.symbol]:
            facts["symbol"] = self.symbols[spec.symbol]
        given = {
            name: value
            for name, value in order.args.items()
            if not math.isnan(value) and value != 0
        }
        return {**facts, **given}


def _output(output: Output) -> dict[str, Any]:
    if output.kind in {"plot", "marker"}:
        return {"name": output.text, "value": output.values[0]}
    parts = output.text.split("{}")
    texts = (*(str(value) for value in output.values), "")
    return {"text": "".join(f"{part}{text}" for part, text in zip(parts, texts, strict=True))}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Return inputs of INPUT=VALUE: a number, true, false, or a text. Raises Refusal."""
    found: dict[str, Any] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise Refusal(f"--set {one}: expected INPUT=VALUE.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
        if not isinstance(found[name], bool | int | float | str):
            found[name] = value
    return found
