"""Strategies as the API shows them, and the sources that editors ask about."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from quantlab.kernel.instants import format_rfc3339
from quantlab.qls.limits import SOURCE_BYTES_MAX
from quantlab_app.ports.strategies import Strategy, VersionLine
from quantlab_app.use_cases.strategies import Kept, NotCompiled
from quantlab_edge.http import ApiModel
from quantlab_edge.parameters import Words
from quantlab_edge.problems import ERRORS_MAX, FieldError, ProblemError

Source = Annotated[str, Field(max_length=SOURCE_BYTES_MAX, description="A source in QLS.")]
Number = Annotated[int, Field(ge=1, lt=1 << 31)]
Offset = Annotated[
    int, Field(ge=0, le=SOURCE_BYTES_MAX, description="Unicode characters before the cursor.")
]
Value = bool | int | float | str


class NewStrategy(ApiModel):
    """A strategy to be saved; its owner has no other of that name."""

    name: Words
    source: Source


class StrategyEdit(ApiModel):
    """The next version. baseVersion is the one that was edited, where that shall be checked."""

    source: Source
    name: Words | None = None
    base_version: Number | None = None


class StrategyInput(ApiModel):
    """A typed input of a strategy, as a form shows it; options are those of a choice."""

    name: str
    type: Literal["int", "float", "bool", "choice", "string"]
    default: Value
    label: str
    unit: str = ""
    min: float | None = None
    max: float | None = None
    step: float | None = None
    options: tuple[str, ...] = ()


class StrategyTimeframe(ApiModel):
    """Bars that a strategy reads; (chart) is the symbol that it is put on."""

    symbol: str
    timeframe: str


class StrategyEvent(ApiModel):
    """An event that a strategy handles: its line, and the most instructions that it may cost."""

    event: str
    line: int
    cost_max: int


class StrategyDiagnostic(ApiModel):
    """What the compiler found; line and column count from 1, length is in characters."""

    line: int
    column: int
    length: int
    severity: Literal["error", "warning"]
    code: str
    message: str
    suggestion: str


class StrategyFacts(ApiModel):
    """What the compiler says of a strategy."""

    title: str
    timezone: str
    inputs: list[StrategyInput]
    symbols: list[str]
    timeframes: list[StrategyTimeframe]
    events: list[StrategyEvent]
    cost_per_event_max: int
    state_bytes: int
    orders: list[str]
    warnings: list[StrategyDiagnostic]


class StrategyLine(ApiModel):
    """A strategy in a list; userId is its owner, null for the firm."""

    strategy_id: str
    user_id: str | None
    name: str
    latest_version: int
    created_at: str
    updated_at: str
    archived_at: str | None


class StrategyOut(StrategyLine):
    """A strategy with one of its versions."""

    version: int
    source_hash: str
    source: str
    saved_by: str
    saved_at: str
    facts: StrategyFacts


class StrategyPage(ApiModel):
    """A page of strategies."""

    items: list[StrategyLine]
    next_cursor: str | None


class StrategyVersion(ApiModel):
    """A version of a strategy."""

    version: int
    source_hash: str
    saved_by: str
    saved_at: str


class StrategyVersionPage(ApiModel):
    """A page of versions, the newest first."""

    items: list[StrategyVersion]
    next_cursor: str | None


class SourceText(ApiModel):
    """A source that is not saved."""

    source: Source


class SourceCursor(SourceText):
    """A source and a place in it."""

    offset: Offset

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.offset > len(self.source):
            raise ValueError(f"an offset within the {len(self.source)} characters of the source")
        return self


class SourceRename(SourceCursor):
    """A source, a place at a name of it, and the name to come."""

    name: Annotated[str, Field(max_length=64)]


class SourceChecked(ApiModel):
    """What the compiler found; facts are null where there is an error."""

    ok: bool
    source_hash: str | None
    diagnostics: list[StrategyDiagnostic]
    facts: StrategyFacts | None


class SourceWord(ApiModel):
    """A word of the language or of the strategy: how it is written, its unit, what it is."""

    name: str
    kind: str
    signature: str
    unit: str
    doc: str


class SourceCompletion(ApiModel):
    """What may stand at the place."""

    items: list[SourceWord]


class SourceHover(ApiModel):
    """The word at the place; null where there is nothing to say."""

    item: SourceWord | None


class SourceEdit(ApiModel):
    """A replacement of the characters from start to end."""

    start: int
    end: int
    text: str


class SourceEdits(ApiModel):
    """Edits that belong together, in the order of their places."""

    edits: list[SourceEdit]


def shown_strategy(kept: Kept) -> StrategyOut:
    """Show a strategy with its version."""
    saved = kept.saved
    return StrategyOut(
        **shown_line(kept.strategy),
        version=saved.version,
        source_hash=saved.source_hash,
        source=saved.source,
        saved_by=saved.created_by,
        saved_at=format_rfc3339(saved.created_ns),
        facts=shown_facts(saved.facts),
    )


def shown_line(one: Strategy) -> dict[str, Any]:
    """Return the fields of a strategy's line."""
    return {
        "strategy_id": one.strategy_id,
        "user_id": one.user_id,
        "name": one.name,
        "latest_version": one.latest_version,
        "created_at": format_rfc3339(one.created_ns),
        "updated_at": format_rfc3339(one.updated_ns),
        "archived_at": None if one.archived_ns is None else format_rfc3339(one.archived_ns),
    }


def shown_version(one: VersionLine) -> StrategyVersion:
    """Show a version."""
    return StrategyVersion(
        version=one.version,
        source_hash=one.source_hash,
        saved_by=one.created_by,
        saved_at=format_rfc3339(one.created_ns),
    )


def shown_facts(facts: Mapping[str, Any]) -> StrategyFacts:
    """Show facts; of an event what its author wrote, of none what the compiler keeps beside."""
    return StrategyFacts(
        title=facts["name"],
        timezone=facts["timezone"],
        inputs=[StrategyInput(**one) for one in facts["inputs"]],
        symbols=facts["symbols"],
        timeframes=[StrategyTimeframe(**one) for one in facts["timeframes"]],
        events=[
            StrategyEvent(event=one["event"], line=one["line"], cost_max=one["costMax"])
            for one in facts["events"]
            if not one["keepsHistory"]
        ],
        cost_per_event_max=facts["costPerEventMax"],
        state_bytes=facts["stateBytes"],
        orders=facts["orders"],
        warnings=[StrategyDiagnostic(**one) for one in facts["warnings"]],
    )


def not_compiled(result: NotCompiled) -> ProblemError:
    """Word the problem of a source with errors: all findings, and the first errors as fields."""
    found = [one.as_json() for one in result.diagnostics]
    errors = [
        FieldError("/source", one["message"], f"line {one['line']}, column {one['column']}")
        for one in found
        if one["severity"] == "error"
    ]
    return ProblemError(
        "not_compiled",
        f"The source has {len(errors)} error(s); nothing was saved.",
        errors[:ERRORS_MAX],
        extra={"diagnostics": found},
    )
