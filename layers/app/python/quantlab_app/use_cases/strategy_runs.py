"""Starting, stopping and killing strategies on accounts, and what they have done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quantlab.kernel.instants import SECOND_NS
from quantlab.live.asked import sees_equity, sees_margin
from quantlab.live.terms import LiveTerms, NotLive, terms_of
from quantlab.qls.compiler import compile_source
from quantlab.qls.interpreter import input_value
from quantlab.qls.ir import Program
from quantlab.qls.limits import COST_PER_EVENT_MAX
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import OwnedAccount
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.live_strategies import TOPIC, Line, StrategyRun
from quantlab_app.use_cases.strategies import Kept, beside, read_strategy
from quantlab_app.use_cases.strategy_ending import cancelling, tell
from quantlab_app.use_cases.visibility import visible_account

RUNS_PER_ACCOUNT: Final = 5
LINES_MAX: Final = 200
WARM_UP_S_MAX: Final = 30 * 24 * 3600
MIB: Final = 1024 * 1024
LIMITS: Final[Mapping[str, tuple[int, int, int]]] = {
    "ordersPerMinute": (1, 60, 600),
    "openOrders": (1, 50, 200),
    "fuelPerEvent": (1, COST_PER_EVENT_MAX, COST_PER_EVENT_MAX),
    "memoryBytes": (512 * MIB, 1_024 * MIB, 2_048 * MIB),
}
"""The least, the usual and the most of what a run may take."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a run was not started: the slug of its problem, the field, what was expected."""

    slug: str
    detail: str
    pointer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A version of a strategy to be put on a symbol; None is the latest version."""

    strategy_id: str
    version: int | None
    symbol: str
    inputs: Mapping[str, Any]
    limits: Mapping[str, int]
    cancels_orders: bool
    warm_up_s: int = 0


async def start_run(
    ports: Ports, scope: Scope, account_id: str, new: NewRun
) -> StrategyRun | Refused:
    """Start a version of a strategy on an account; the runner takes it up within moments."""
    owned = await visible_account(ports, scope, account_id)
    kept = await read_strategy(ports, scope, new.strategy_id, new.version)
    if owned.account.status != "active":
        status = owned.account.status
        return Refused(f"account_{status}", f"the account is {status}")
    program = (await beside(compile_source, kept.saved.source)).program
    if program is None:
        return Refused("not_compiled", "the language has changed since the version was saved")
    terms = _wrong_input(program, new.inputs) or await _terms(ports, owned, program, new.symbol)
    if isinstance(terms, Refused):
        return terms
    run = await _run(ports, scope, owned, kept, new, terms, program)
    if not await ports.strategy_runs.add(scope, run, RUNS_PER_ACCOUNT):
        return Refused("too_many_runs", f"expected at most {RUNS_PER_ACCOUNT} runs an account")
    await _wake(ports, scope)
    return run


async def _terms(
    ports: Ports, owned: OwnedAccount, program: Program, symbol: str
) -> LiveTerms | Refused:
    rulebook = await ports.rulebooks.of(owned.account)
    symbols = _symbols(ports, program, symbol, rulebook.instruments)
    if isinstance(symbols, Refused):
        return symbols
    try:
        return terms_of(owned.account, rulebook.profile, ports.catalog, symbols, rulebook.trading)
    except NotLive as error:
        return Refused("conflict", str(error))


async def _run(
    ports: Ports,
    scope: Scope,
    owned: OwnedAccount,
    kept: Kept,
    new: NewRun,
    terms: LiveTerms,
    program: Program,
) -> StrategyRun:
    now_ns = ports.clock.now_ns()
    clock = await ports.quotes.feed_clock()
    live_ns = now_ns if clock is None else clock.at(now_ns)
    return StrategyRun(
        run_id=ports.ids.new_id(),
        account_id=owned.account.account_id,
        strategy_id=kept.strategy.strategy_id,
        version=kept.saved.version,
        source_hash=kept.saved.source_hash,
        user_id=owned.user_id,
        created_by=f"{scope.actor.kind}:{scope.actor.id}",
        symbol=terms.symbol,
        inputs=dict(new.inputs),
        terms=terms.document(),
        limits={
            **{name: new.limits.get(name, usual) for name, (_, usual, _) in LIMITS.items()},
            "seesEquity": int(sees_equity(program)),
            "seesMargin": int(sees_margin(program)),
        },
        status="starting",
        reason=None,
        detail=None,
        holder_id=None,
        cancels_orders=new.cancels_orders,
        began_ns=live_ns - new.warm_up_s * SECOND_NS,
        live_ns=live_ns,
        ended_ns=None,
        events=0,
        orders=0,
        orders_sent=0,
        orders_refused=0,
        state_hash=None,
        feed_seqs={},
        account_seq=owned.account.event_seq,
    )


def _wrong_input(program: Program, inputs: Mapping[str, Any]) -> Refused | None:
    known = {one.name: one for one in program.inputs}
    for name, value in inputs.items():
        if name not in known:
            return Refused("invalid_fields", f"no input {name}", f"/inputs/{name}")
        try:
            if known[name].kind != "string":
                input_value(known[name], value)
        except ValueError as error:
            return Refused("invalid_fields", str(error), f"/inputs/{name}")
    return None


def _symbols(
    ports: Ports, program: Program, on: str, offered: frozenset[str]
) -> list[str] | Refused:
    """Return the symbols a run is fed: its own first, then those it names, and all it may hold."""
    found = []
    for name in (on, *program.symbols[1:]):
        instrument = ports.catalog.find(name)
        if instrument is None or (offered and instrument.symbol not in offered):
            return Refused("invalid_fields", f"expected an instrument of the account, was {name}",
                           "/symbol" if name == on else "/strategyId")  # fmt: skip
        found.append(instrument.symbol)
    if sees_equity(program):
        found += sorted(offered or ports.catalog.instruments)
    return list(dict.fromkeys(found))


async def list_runs(
    ports: Ports, scope: Scope, account_id: str, before: str | None, limit: int
) -> Sequence[StrategyRun]:
    """Return an account's runs, the newest first."""
    await visible_account(ports, scope, account_id)
    return await ports.strategy_runs.page(scope, account_id, before=before, limit=limit)


async def read_run(
    ports: Ports, scope: Scope, account_id: str, run_id: str
) -> tuple[StrategyRun, Sequence[Line]]:
    """Return one run with the last lines of its log; NotFound otherwise."""
    await visible_account(ports, scope, account_id)
    run = await ports.strategy_runs.find(scope, account_id, run_id)
    if run is None:
        raise NotFound("run")
    return run, await ports.strategy_runs.lines(scope, run_id, LINES_MAX)


async def end_runs(
    ports: Ports, scope: Scope, account_id: str | None, run_id: str | None, *, kill: bool
) -> Sequence[StrategyRun]:
    """Stop or kill a run, an account's runs, or for None the tenant's; return which.

    A run that is stopped ends with its `on stop`. A killed one has ended when this returns: no
    order of it is accepted any more, and those that work are cancelled where it was started so.
    """
    if account_id is not None:
        await visible_account(ports, scope, account_id)
        if run_id is not None:
            await read_run(ports, scope, account_id, run_id)
    now_ns = ports.clock.now_ns()
    ended = await ports.strategy_runs.ask_to_stop(
        scope, account_id, run_id, kill=kill, now_ns=now_ns
    )
    await _wake(ports, scope)
    if kill:
        for run in ended:
            await _killed(ports, scope, run)
    return ended


async def _killed(ports: Ports, scope: Scope, run: StrategyRun) -> None:
    for command in await cancelling(ports, scope, run):
        await ports.inbox.accept(scope, command)
    await tell(ports, scope, run, "killed", {"by": f"{scope.actor.kind}:{scope.actor.id}"})


async def _wake(ports: Ports, scope: Scope) -> None:
    await ports.event_bus.publish(TOPIC, orjson.dumps({"tenantId": scope.tenant_id}))
