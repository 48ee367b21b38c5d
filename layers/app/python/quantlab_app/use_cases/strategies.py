"""Strategies: saved by name in versions that compile, and what editors ask of a source."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import Diagnostic
from quantlab.qls.explain import duration_text, explain
from quantlab.qls.ir import Program
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.ports.strategies import SavedVersion, Strategy, VersionLine
from quantlab_app.use_cases.tenant_events import note

STRATEGIES_MAX: Final = 200
VERSIONS_MAX: Final = 2_000

# Sources are compiled one at a time and beside the event loop: a large one takes most of a second.
_COMPILING: Final = ThreadPoolExecutor(1, "qls")

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class NotCompiled:
    """Why a source was not saved: errors, and warnings beside them."""

    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """What the present state does not allow, by the slug of its problem."""

    slug: str
    detail: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A source as the compiler sees it; facts are None where it has errors."""

    source_hash: str
    facts: Mapping[str, Any] | None
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A strategy with one of its versions; fresh says that this version was made just now."""

    strategy: Strategy
    saved: SavedVersion
    fresh: bool = False


async def beside(ask: Callable[..., Found], *values: object) -> Found:
    """Ask something of a source without holding up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_COMPILING, ask, *values)


def check_source(source: str) -> Checked:
    """Compile a source and say what it is; never raises for what it holds."""
    compiled = compile_source(source)
    program = compiled.program
    if program is None:
        return Checked("", None, compiled.diagnostics)
    facts = {
        **explain(program),
        "timeframes": _timeframes(program),
        "warnings": [one.as_json() for one in compiled.diagnostics],
    }
    return Checked(program.source_hash, facts, compiled.diagnostics)


def _timeframes(program: Program) -> list[dict[str, str]]:
    return [
        {
            "symbol": program.symbols[stream.symbol] or "(chart)",
            "timeframe": duration_text(stream.period_ns),
        }
        for stream in program.streams
    ]


async def create_strategy(
    ports: Ports, scope: Scope, name: str, source: str
) -> Kept | NotCompiled | Refused:
    """Save a new strategy as the actor's own; nothing is saved of a source that has errors."""
    checked = await beside(check_source, source)
    if checked.facts is None:
        return NotCompiled(checked.diagnostics)
    now_ns = ports.clock.now_ns()
    strategy = Strategy(
        strategy_id=ports.ids.new_id(),
        user_id=scope.actor.id if scope.actor.kind == "user" else None,
        name=name,
        latest_version=1,
        created_ns=now_ns,
        updated_ns=now_ns,
    )
    first = _version(scope, 1, source, checked, now_ns)
    try:
        if not await ports.strategies.add(scope, strategy, first, STRATEGIES_MAX):
            return Refused("too_many_strategies", f"Expected at most {STRATEGIES_MAX} an owner.")
    except Conflict:
        return _name_taken(name)
    await _tell(ports, scope, "strategy.created", strategy.strategy_id, _named(name, first))
    return Kept(strategy, first, fresh=True)


async def list_strategies(
    ports: Ports, scope: Scope, *, archived: bool, after: str | None, limit: int
) -> Sequence[Strategy]:
    """Return strategies by identifier; to those who own, their own alone."""
    user_id = None
    if scope.owns_only:
        if scope.actor.kind != "user":
            return ()
        user_id = scope.actor.id
    return await ports.strategies.page(
        scope, user_id=user_id, archived=archived, after=after, limit=limit
    )


async def find_strategy(ports: Ports, scope: Scope, strategy_id: str) -> Strategy:
    """Return a strategy that the actor may see; NotFound otherwise."""
    found = await ports.strategies.find(scope, strategy_id)
    if found is None:
        raise NotFound("strategy")
    if scope.owns_only and (scope.actor.kind != "user" or found.user_id != scope.actor.id):
        raise NotFound("strategy")
    return found


async def read_strategy(
    ports: Ports, scope: Scope, strategy_id: str, version: int | None = None
) -> Kept:
    """Return a strategy with its latest version, or with a certain one; NotFound otherwise."""
    strategy = await find_strategy(ports, scope, strategy_id)
    wanted = strategy.latest_version if version is None else version
    saved = await ports.strategies.version(scope, strategy_id, wanted)
    if saved is None:
        raise NotFound("version")
    return Kept(strategy, saved)


async def list_versions(
    ports: Ports, scope: Scope, strategy_id: str, before: int | None, limit: int
) -> Sequence[VersionLine]:
    """Return a strategy's versions, the newest first."""
    await find_strategy(ports, scope, strategy_id)
    return await ports.strategies.versions(scope, strategy_id, before=before, limit=limit)


async def save_strategy(
    ports: Ports,
    scope: Scope,
    strategy_id: str,
    source: str,
    *,
    name: str | None = None,
    base_version: int | None = None,
) -> Kept | NotCompiled | Refused:
    """Save a source as the next version; the source of the latest one makes no other.

    base_version is the version that was edited: saving is refused where it is not the latest.
    """
    latest = await read_strategy(ports, scope, strategy_id)
    strategy = latest.strategy
    new_name = strategy.name if name is None else name
    if strategy.archived_ns is not None:
        return Refused("strategy_archived", "An archived strategy takes no version.")
    if base_version not in (None, strategy.latest_version):
        return _overtaken(strategy.latest_version)
    if source == latest.saved.source and new_name == strategy.name:
        return latest
    new = None
    if source != latest.saved.source:
        if strategy.latest_version >= VERSIONS_MAX:
            return Refused("too_many_versions", f"Expected at most {VERSIONS_MAX} a strategy.")
        checked = await beside(check_source, source)
        if checked.facts is None:
            return NotCompiled(checked.diagnostics)
        number = strategy.latest_version + 1
        new = _version(scope, number, source, checked, ports.clock.now_ns())
    return await _save(ports, scope, latest, new_name, new)


async def _save(
    ports: Ports, scope: Scope, latest: Kept, name: str, new: SavedVersion | None
) -> Kept | Refused:
    strategy_id, now_ns = latest.strategy.strategy_id, ports.clock.now_ns()
    try:
        done = await ports.strategies.save(scope, strategy_id, name, new, now_ns)
    except Conflict:
        return _name_taken(name)
    if not done:
        return _overtaken((await find_strategy(ports, scope, strategy_id)).latest_version)
    saved = new or latest.saved
    await _tell(ports, scope, "strategy.saved", strategy_id, _named(name, saved))
    strategy = await find_strategy(ports, scope, strategy_id)
    return Kept(strategy, saved, fresh=new is not None)


async def archive_strategy(ports: Ports, scope: Scope, strategy_id: str) -> None:
    """Take a strategy out of the lists; its versions stay, as evidence of what was run."""
    strategy = await find_strategy(ports, scope, strategy_id)
    if await ports.strategies.archive(scope, strategy_id, ports.clock.now_ns()):
        payload: dict[str, Json] = {"version": strategy.latest_version}
        await _tell(ports, scope, "strategy.archived", strategy_id, payload)


def _version(scope: Scope, number: int, source: str, checked: Checked, now_ns: int) -> SavedVersion:
    return SavedVersion(
        version=number,
        source_hash=checked.source_hash,
        source=source,
        facts=checked.facts or {},
        created_by=f"{scope.actor.kind}:{scope.actor.id}",
        created_ns=now_ns,
    )


def _named(name: str, saved: SavedVersion) -> dict[str, Json]:
    return {"name": name, "version": saved.version, "sourceHash": saved.source_hash}


def _name_taken(name: str) -> Refused:
    return Refused("conflict", f"Its owner has a strategy named {name} already.")


def _overtaken(latest_version: int) -> Refused:
    return Refused("conflict", f"The latest version is {latest_version}; read it before you save.")


async def _tell(
    ports: Ports, scope: Scope, event_type: str, strategy_id: str, what: dict[str, Json]
) -> None:
    by = f"{scope.actor.kind}:{scope.actor.id}"
    payload: dict[str, Json] = {"strategyId": strategy_id, "by": by, **what}
    await note(ports.inbox, ports.ids, scope, event_type, payload, now_ns=ports.clock.now_ns())
