"""Backtests: asked for, shown, cancelled; a worker carries them out (`backtest_work`)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import SECOND_NS
from quantlab.qls.compiler import compile_source
from quantlab.qls.interpreter import input_value
from quantlab.qls.ir import Program
from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.backtests import Backtest, BacktestStatus
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.use_cases import strategies
from quantlab_app.use_cases.strategies import NotCompiled, Refused
from quantlab_app.use_cases.tenant_events import note

OPEN_A_USER_MAX: Final = 5
OPEN_A_TENANT_MAX: Final = 50
TICKS_MAX: Final = 10_000_000
SYMBOLS_MAX: Final = 8
# What the feed's clock has passed by this much is in the log.
LOGGED_AFTER_NS: Final = SECOND_NS


@dataclass(frozen=True, slots=True)
class Wrong:
    """A field that does not hold: its pointer, what was expected, and what was got."""

    pointer: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A run as it is asked for: of a saved strategy, its latest version or one, or of a source.

    The range [from_ns, to_ns) is of recorded ticks; without an end it goes to the newest.
    """

    strategy_id: str | None = None
    version: int | None = None
    source: str | None = None
    symbols: tuple[str, ...]
    from_ns: int
    to_ns: int | None = None
    account_type: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is to be run, and its program."""

    source: str
    program: Program
    version: int | None


async def submit(
    ports: Ports, scope: Scope, wish: Wish
) -> Backtest | Wrong | NotCompiled | Refused:
    """Queue a run of a strategy that the actor may see; NotFound otherwise."""
    chosen = await _chosen(ports, scope, wish)
    if isinstance(chosen, NotCompiled):
        return chosen
    config = await ports.tenant_configs.current(scope)
    wrong = _wrong(wish, chosen.program, config)
    if wrong is not None:
        return wrong
    to_ns = await _end(ports, wish)
    if isinstance(to_ns, Wrong):
        return to_ns
    wrong = await _wrong_ticks(ports, wish.symbols, wish.from_ns, to_ns)
    if wrong is not None:
        return wrong
    backtest = Backtest(
        backtest_id=ports.ids.new_id(),
        user_id=scope.actor.id if scope.actor.kind == "user" else None,
        created_by=f"{scope.actor.kind}:{scope.actor.id}",
        strategy_id=wish.strategy_id,
        version=chosen.version,
        source_hash=chosen.program.source_hash,
        symbols=tuple(sorted(wish.symbols)),
        from_ns=wish.from_ns,
        to_ns=to_ns,
        account_type=wish.account_type,
        config_version=None if wish.account_type is None else config.version,
        inputs=wish.inputs,
        seed=wish.seed,
        created_ns=ports.clock.now_ns(),
    )
    return await _queued(ports, scope, backtest, None if wish.strategy_id else chosen.source)


async def _queued(
    ports: Ports, scope: Scope, backtest: Backtest, source: str | None
) -> Backtest | Refused:
    full = await ports.backtests.add(scope, backtest, source, OPEN_A_USER_MAX, OPEN_A_TENANT_MAX)
    if full == "user":
        return Refused("too_many_backtests", f"Expected at most {OPEN_A_USER_MAX} of an owner.")
    if full == "tenant":
        return Refused("too_many_backtests", f"Expected at most {OPEN_A_TENANT_MAX} of a tenant.")
    payload: dict[str, Json] = {
        "backtestId": backtest.backtest_id,
        "by": backtest.created_by,
        "strategyId": backtest.strategy_id,
        "sourceHash": backtest.source_hash,
    }
    now_ns = backtest.created_ns
    await note(ports.inbox, ports.ids, scope, "backtest.submitted", payload, now_ns=now_ns)
    return backtest


async def list_backtests(
    ports: Ports,
    scope: Scope,
    status: BacktestStatus | None,
    before: tuple[int, str] | None,
    limit: int,
) -> Sequence[Backtest]:
    """Return runs, the newest first; to those who own, their own alone."""
    user_id = None
    if scope.owns_only:
        if scope.actor.kind != "user":
            return ()
        user_id = scope.actor.id
    return await ports.backtests.page(
        scope, user_id=user_id, status=status, before=before, limit=limit
    )


async def read_backtest(ports: Ports, scope: Scope, backtest_id: str) -> Backtest:
    """Return a run that the actor may see; NotFound otherwise."""
    found = await ports.backtests.find(scope, backtest_id)
    if found is None:
        raise NotFound("backtest")
    if scope.owns_only and (scope.actor.kind != "user" or found.user_id != scope.actor.id):
        raise NotFound("backtest")
    return found


async def cancel_backtest(ports: Ports, scope: Scope, backtest_id: str) -> Backtest | Refused:
    """End a run that waits at once, and one that runs within seconds."""
    await read_backtest(ports, scope, backtest_id)
    if not await ports.backtests.cancel(scope, backtest_id, ports.clock.now_ns()):
        return Refused("backtest_ended", "There is nothing to cancel any more.")
    return await read_backtest(ports, scope, backtest_id)


async def read_results(ports: Ports, scope: Scope, backtest_id: str, file: str) -> bytes | Refused:
    """Return a file of a finished run: result.json, details.json or report.html."""
    backtest = await read_backtest(ports, scope, backtest_id)
    if backtest.result_key is None:
        return Refused("backtest_not_done", f"Its status is {backtest.status}.")
    return await ports.result_files.load(f"{backtest.result_key}/{file}")


async def _chosen(ports: Ports, scope: Scope, wish: Wish) -> _Chosen | NotCompiled:
    version = None
    source = wish.source or ""
    if wish.strategy_id is not None:
        kept = await strategies.read_strategy(ports, scope, wish.strategy_id, wish.version)
        source, version = kept.saved.source, kept.saved.version
    texts = {name: value for name, value in wish.inputs.items() if isinstance(value, str)}
    compiled = await strategies.beside(compile_source, source)
    if compiled.program is not None and texts:
        known = {one.name for one in compiled.program.inputs if one.kind == "string"} & set(texts)
        fixed = {name: texts[name] for name in known}
        compiled = await strategies.beside(compile_source, source, fixed)
    if compiled.program is None:
        return NotCompiled(compiled.diagnostics)
    return _Chosen(source, compiled.program, version)


def _wrong(wish: Wish, program: Program, config: TenantConfig) -> Wrong | None:
    """Say what of a wish the strategy or the tenant does not have."""
    if len(set(wish.symbols)) != len(wish.symbols):
        return Wrong("/symbols", "each symbol once", "one twice")
    for place, symbol in enumerate(wish.symbols):
        if symbol not in config.instruments:
            return Wrong(f"/symbols/{place}", "an instrument of the tenant", symbol)
    for symbol in program.symbols:
        if symbol and symbol not in wish.symbols:
            return Wrong("/symbols", f"{symbol}, which the strategy names, among them", "none")
    if wish.account_type is not None and wish.account_type not in config.account_types:
        known = ", ".join(config.account_types)
        return Wrong("/accountType", f"one of {known}", wish.account_type)
    return _wrong_inputs(wish.inputs, program)


def _wrong_inputs(inputs: Mapping[str, Any], program: Program) -> Wrong | None:
    known = {one.name: one for one in program.inputs}
    for name, value in inputs.items():
        if name not in known:
            wanted = f"one of {', '.join(known)}" if known else "no input"
            return Wrong("/inputs", wanted, name)
        if known[name].kind == "string":
            if not isinstance(value, str):
                return Wrong(f"/inputs/{name}", "a text", str(value))
            continue
        try:
            input_value(known[name], value)
        except ValueError as error:
            return Wrong(f"/inputs/{name}", str(error), str(value))
    return None


async def _end(ports: Ports, wish: Wish) -> int | Wrong:
    """Return where the range ends: not behind what is surely recorded, so that no run differs."""
    clock = await ports.quotes.feed_clock()
    newest_ns = ports.clock.now_ns() if clock is None else clock.feed_ts_ns
    newest_ns -= LOGGED_AFTER_NS
    if wish.to_ns is None:
        to_ns = newest_ns
    elif wish.to_ns > newest_ns:
        return Wrong("/to", "an instant that the feed has passed, or none", "a later one")
    else:
        to_ns = wish.to_ns
    if wish.from_ns >= to_ns:
        return Wrong("/from", "an instant before the end of the range", "a later one")
    return to_ns


async def _wrong_ticks(
    ports: Ports, symbols: Sequence[str], from_ns: int, to_ns: int
) -> Wrong | None:
    counts = await asyncio.gather(
        *(count_recorded(ports, symbol, from_ns, to_ns) for symbol in symbols)
    )
    for place, count in enumerate(counts):
        if count == 0:
            return Wrong(f"/symbols/{place}", "a symbol with recorded ticks in the range", "none")
    if sum(counts) > TICKS_MAX:
        return Wrong("/from", f"a range of at most {TICKS_MAX} ticks", f"about {sum(counts)}")
    return None


async def count_recorded(ports: Ports, symbol: str, from_ns: int, to_ns: int) -> int:
    """Count the recorded ticks of a range, whole segments at its ends; no further than needed."""
    segments = await ports.tick_segments.between(symbol, from_ns, to_ns)
    sealed = sum(segment.rows for segment in segments)
    after_seq = segments[-1].to_seq if segments else 0
    left = max(TICKS_MAX + 1 - sealed, 0)
    return sealed + await ports.tick_log.count(symbol, from_ns, to_ns, after_seq, left)
