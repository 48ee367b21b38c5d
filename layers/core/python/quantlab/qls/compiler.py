"""Source text to a checked program: `compile_source`."""

import hashlib
from collections.abc import Mapping

from quantlab.kernel.records import dataclass
from quantlab.qls import declarations, ir, limits, statements, tree
from quantlab.qls.builder import Code, Image, finished, straight_cost, worst_cost
from quantlab.qls.context import Context, Event, Scope
from quantlab.qls.diagnostics import Diagnostic, Findings, LimitReached, TooMany, place
from quantlab.qls.expressions import lower
from quantlab.qls.handlers import Draft, lower_handler, prologues, read_event, unused_functions
from quantlab.qls.lexer import check_text, tokens_of
from quantlab.qls.parse import parse

LANGUAGE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Compiled:
    """What comes of a source: the program where there is no error, and all diagnostics."""

    source: str
    program: ir.Program | None
    diagnostics: tuple[Diagnostic, ...]
    items: tuple[tree.Item, ...]


def compile_source(source: str, texts: Mapping[str, str] | None = None) -> Compiled:
    """Compile a strategy; never raises for what a source holds.

    texts sets inputs of kind string, which are fixed when compiled; other inputs are set at run
    time. The result depends on nothing else.
    """
    findings = Findings(source)
    items: tuple[tree.Item, ...] = ()
    program = None
    try:
        check_text(source)
        items = parse(tokens_of(source, findings), findings)
        findings.broken = findings.failed
        program = _Lowering(source, findings, dict(texts or {})).program(items)
    except LimitReached as limit:
        _say_limit(findings, limit)
    except TooMany:
        pass
    return Compiled(source, None if findings.failed else program, findings.sorted(), items)


def _say_limit(findings: Findings, limit: LimitReached) -> None:
    try:
        findings.error(
            limit.at, f"limit:{limit.limit}", limit.message, "Make the strategy smaller.", 1
        )
    except TooMany:
        return


def source_hash(source: str, texts: Mapping[str, str]) -> str:
    """Return the hash that compiled programs are cached by."""
    digest = hashlib.sha256(f"qls {LANGUAGE_VERSION}\n".encode())
    for part in (source, *(f"{name}={texts[name]}" for name in sorted(texts))):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class _Lowering:
    """Lowers the items of one source, in their order."""

    def __init__(self, source: str, findings: Findings, texts: dict[str, str]) -> None:
        self.source, self.findings, self.texts = source, findings, texts
        self.image = Image()
        self.inputs: list[ir.Input] = []
        self.drafts: list[Draft] = []
        self.name, self.zone = "", "UTC"
        self.first = Code(self.image)
        top = Scope(None)
        self.ctx = Context(
            findings, self.image, {}, top, top, self.first, Event("start"), lower, statements.body
        )

    def program(self, items: tuple[tree.Item, ...]) -> ir.Program:
        """Return the program; where there are errors it is of no use."""
        self._functions(items)
        for item in items:
            if not isinstance(item, tree.On):
                self._declaration(item)
        handlers = [item for item in items if isinstance(item, tree.On)]
        declarations.check_count(
            len(handlers), limits.HANDLERS_MAX, "HANDLERS_MAX", handlers[-1].at if handlers else 0,
            "handlers",
        )  # fmt: skip
        events = [(item, read_event(self.ctx, item)) for item in handlers]
        for item, event in events:
            if event is not None:
                self.drafts.append(lower_handler(self.ctx, item, event))
        if not handlers and not self.findings.broken:
            self.findings.error(
                0, "no-handler", "Nothing ever happens: no `on` handler.", "Add `on tick`."
            )
        unused_functions(self.ctx)
        statements.close_scope(self.ctx, self.ctx.top)
        return self._assembled()

    def _functions(self, items: tuple[tree.Item, ...]) -> None:
        for item in items:
            if isinstance(item, tree.Function):
                if item.name.name in self.ctx.functions:
                    self.findings.error(
                        item.name.at, "redeclared", f"There are two functions {item.name.name}."
                    )
                self.ctx.functions[item.name.name] = item

    def _declaration(self, item: tree.Item) -> None:
        self.ctx.code = self.first
        if isinstance(item, tree.InputItem):
            made = declarations.read_input(self.ctx, item, self.texts)
            if made is not None:
                self.inputs.append(made)
            declarations.check_count(
                len(self.inputs), limits.INPUTS_MAX, "INPUTS_MAX", item.at, "inputs"
            )
        elif isinstance(item, tree.Strategy):
            if self.name:
                self.findings.error(item.at, "strategy", "The strategy has a name already.")
            self.name, self.zone = declarations.read_strategy(self.ctx, item)
        elif isinstance(item, tree.Var):
            declarations.read_var(self.ctx, item)
        elif isinstance(item, tree.Let):
            declarations.read_constant(self.ctx, item)

    def _assembled(self) -> ir.Program:
        image = self.image
        drafts = [*prologues(image), *self.drafts]
        if self.first.block:
            drafts.insert(0, Draft("start", code=self.first))
        image.lay_out_histories()
        handlers = tuple(self._handler(draft) for draft in drafts)
        return ir.Program(
            name=self.name,
            zone=self.zone,
            source_hash=source_hash(self.source, self.texts),
            inputs=tuple(self.inputs),
            symbols=tuple(image.symbols),
            streams=tuple(image.streams),
            reads=tuple(image.reads),
            strings=tuple(image.strings),
            handlers=handlers,
            state_words=image.words,
            fills=tuple(image.fills),
            indicators=tuple(sorted(image.indicators)),
            instructions=image.instructions,
        )

    def _handler(self, draft: Draft) -> ir.Handler:
        code = draft.code
        body = finished(code.block)
        cost = worst_cost(body)
        if cost > limits.COST_PER_EVENT_MAX:
            self.findings.error(
                draft.at, "limit:COST_PER_EVENT_MAX",
                f"One event may cost {cost} instructions; at most {limits.COST_PER_EVENT_MAX} may.",
                "Make loops and lengths shorter.",
            )  # fmt: skip
        return ir.Handler(
            kind=draft.kind,
            symbol=draft.symbol,
            stream=draft.stream,
            period_ns=draft.period_ns,
            daily_ns=draft.daily_ns,
            types="".join(code.types),
            consts=tuple(code.consts.values()),
            reads=tuple((register, number) for number, register in code.reads.items()),
            slots="".join(code.slots),
            body=body,
            entry_cost=straight_cost(body),
            cost=cost,
            line=place(self.source, draft.at)[0] if draft.at >= 0 else 0,
        )
