"""The queue of orders: pending commands of a tenant become outcomes, in one transaction a batch."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from quantlab.audit.chain import TENANT_STREAM
from quantlab.engine.commands import MOVE_CONFIG, REFUSE_SIGNAL, Event, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.inputs import Inputs, Recorded, inputs_of, with_reset
from quantlab.engine.life_records import Opened
from quantlab.engine.opening import Start
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import check
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.rules.day import last_reset_ns
from quantlab.rules.surroundings import NOTHING_KNOWN
from quantlab_app.ports.accounts import Rulebook
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound, StoreUnavailable
from quantlab_app.ports.execution import Batch, BatchFailed, Notes, Ran, ReadLinked
from quantlab_app.ports.sockets import EVENTS
from quantlab_app.use_cases.publishing import ACCOUNTS_TOPIC, accounts_message, events_message
from quantlab_app.use_cases.surroundings import Outside, account_of, read_outside

BATCH_MAX: Final = 64
ATTEMPTS_MAX: Final = 3
AUDIT_QUEUE: Final = "audit"

_log = structlog.get_logger("quantlab.execution")


async def execute_pending(
    ports: Ports, tenant_ids: Sequence[str], account_ids: Sequence[str] | None = None
) -> int:
    """Carry out one batch of commands a tenant; return how many rows that settled.

    One transaction serves them all. Where it fails, each tenant gets one of its own, so that
    nobody is held up by another's command; where that fails, each command. With accounts named it
    waits for those and settles theirs only; a command of theirs that fails and is not dead yet is
    raised, so that whoever named them tries again.
    """
    try:
        rans = await _run(ports, tenant_ids, BATCH_MAX, account_ids)
    except BatchFailed as failure:
        _log.warning("batch_failed", tenant_ids=list(tenant_ids), cause=str(failure))
        if len(tenant_ids) > 1:
            return sum([await execute_pending(ports, [one], account_ids) for one in tenant_ids])
        return await _one_by_one(ports, tenant_ids[0], len(failure.inbox_ids), account_ids)
    settled = sum(len(ran.outcomes) for ran in rans)
    for ran in rans:
        if ran.notes_pending:
            settled += await _record_notes(ports, ran.tenant_id)
    return settled


async def _one_by_one(
    ports: Ports, tenant_id: str, count: int, account_ids: Sequence[str] | None
) -> int:
    """Give each command a transaction of its own; one that fails again is counted and buried."""
    for _ in range(count):
        try:
            if not any(ran.outcomes for ran in await _run(ports, [tenant_id], 1, account_ids)):
                break
        except BatchFailed as failure:
            _log.error("command_failed", tenant_id=tenant_id, cause=str(failure))
            reason = f"{type(failure.cause).__name__}: {failure.cause}"
            inbox_id = failure.inbox_ids[0]
            dead = await ports.execution.bury(tenant_id, inbox_id, reason, ATTEMPTS_MAX)
            if account_ids is not None and not dead:
                raise
    return count


async def _run(
    ports: Ports, tenant_ids: Sequence[str], limit: int, account_ids: Sequence[str] | None
) -> Sequence[Ran]:
    async def decide(batches: Sequence[Batch], read_linked: ReadLinked) -> list[list[Outcome]]:
        turns = [await _turn(ports, batch, read_linked) for batch in batches]
        market, now_ns = await market_now(ports)
        return [
            await _decide(ports, turn, replace(market, halted=turn.batch.halted), now_ns)
            for turn in turns
        ]

    rans = await ports.execution.run(tenant_ids, limit, decide, account_ids)
    await asyncio.gather(
        *(_tell(ports, ran.tenant_id, ran.outcomes) for ran in rans if ran.outcomes)
    )
    return rans


async def _tell(ports: Ports, tenant_id: str, outcomes: Sequence[Outcome]) -> None:
    telling = [_publish(ports, tenant_id, outcomes)]
    if any(outcome.events for outcome in outcomes):
        telling.append(ports.wakes.wake(AUDIT_QUEUE, tenant_id))
    await asyncio.gather(*telling)


async def market_now(ports: Ports) -> tuple[Market, int]:
    """Read the market of this moment; without a living feed nothing in it can be traded."""
    catalog = ports.catalog
    quotes, clock = await ports.quotes.latest_with_clock(tuple(catalog.instruments))
    now_ns = ports.clock.now_ns()
    if clock is None:
        return Market(catalog, quotes, now_ns).suspended(), now_ns
    market = Market(catalog, quotes, clock.at(now_ns), clock.keeps_hours)
    return market.suspended() if clock.is_silent(now_ns) else market, now_ns


@dataclass(frozen=True, slots=True)
class Turn:
    """A batch with all that its decisions look at besides the market."""

    batch: Batch
    rulebooks: Mapping[str, Rulebook]
    outside: Outside


async def _turn(ports: Ports, batch: Batch, read_linked: ReadLinked) -> Turn:
    rulebooks = {
        account_id: await ports.rulebooks.of(account)
        for account_id, account in batch.accounts.items()
    }
    outside = await read_outside(ports, batch, rulebooks, read_linked)
    return Turn(batch, rulebooks, outside)


async def _decide(ports: Ports, turn: Turn, market: Market, now_ns: int) -> list[Outcome]:
    """Carry out the commands in order, each account's state carried on."""
    accounts, rulebooks, outside = dict(turn.batch.accounts), dict(turn.rulebooks), turn.outside
    contexts: dict[str, Context] = {}
    read = inputs_of(market, now_ns)
    recorded = read.recorded()
    outcomes = []
    for command in turn.batch.commands:
        account_id = account_of(command)
        account = accounts[account_id]
        context = contexts.get(account_id)
        if context is None:
            rulebook = rulebooks.pop(account_id, None) or await ports.rulebooks.of(account)
            context = await _context(ports, account, rulebook, market, now_ns)
            contexts[account_id] = context
        if command.name == MOVE_CONFIG:
            del contexts[account_id]
            context = await _with_target(ports, account, context, command.payload["version"])
        around = outside.of(account_id, command, context.profile, now_ns)
        if around is not NOTHING_KNOWN:
            context = replace(context, around=around)
        outcome = execute(account, command, context)
        outside.note(outcome)
        outcome.inputs = _recorded(read, context) or recorded
        accounts[account_id] = outcome.account
        outcomes.append(outcome)
    return outcomes


def _recorded(read: Inputs, context: Context) -> Recorded | None:
    """Write what a command alone was decided on; None where it is what all were decided on."""
    if context.reset_market is None and context.around is NOTHING_KNOWN:
        return None
    return with_reset(replace(read, around=context.around), context.reset_market).recorded()


async def _context(
    ports: Ports, account: Account, rulebook: Rulebook, market: Market, now_ns: int
) -> Context:
    reset_market = None
    if now_ns >= account.day.next_reset_ns and account.positions:
        reset_ns = last_reset_ns(account, rulebook.profile, now_ns)
        reset_market = await _market_before(ports, market, reset_ns)
    return Context(
        market,
        rulebook.profile,
        rulebook.instruments,
        now_ns,
        reset_market,
        fill_models=rulebook.fill_models,
        course=rulebook.course,
        trading=rulebook.trading,
    )


async def _with_target(ports: Ports, account: Account, context: Context, version: str) -> Context:
    """Say what the account would be under another version; nothing where it has no such type."""
    try:
        book = await ports.rulebooks.of(replace(account, config_version=version))
    except NotFound:
        return context
    course = context.course
    check(course is not None, "expected the course of an account's rulebook")
    target = Start(book.course.start.kind, book.profile)
    return replace(context, course=None if course is None else replace(course, target=target))


async def _market_before(ports: Ports, market: Market, moment_ns: int) -> Market:
    """Return the last accepted quotes before a moment."""
    found: dict[str, Quote] = {}
    for symbol in market.catalog.instruments:
        quote = await ports.bars.last_quote_before(symbol, moment_ns)
        if quote is not None:
            found[symbol] = quote
    return Market(market.catalog, found, moment_ns)


async def _publish(ports: Ports, tenant_id: str, outcomes: Sequence[Outcome]) -> None:
    """Tell the sockets and account_watch what was committed; what is lost is swept up later."""
    streams: dict[str, list[Event]] = {}
    for outcome in outcomes:
        if outcome.events:
            streams.setdefault(outcome.account.account_id, []).extend(outcome.events)
    last = {outcome.account.account_id: outcome.account for outcome in outcomes}
    for opened in (new for outcome in outcomes if outcome.life for new in outcome.life.opened):
        last[opened.account.account_id] = opened.account
        streams[opened.account.account_id] = [created_event(opened, outcomes[-1].decided_ns)]
    messages = [(ACCOUNTS_TOPIC, accounts_message(last))]
    if streams:
        messages.insert(0, (EVENTS, events_message(tenant_id, streams)))
    try:
        await asyncio.gather(*(ports.event_bus.publish(*message) for message in messages))
        if any(outcome.touched_status for outcome in outcomes):
            await ports.stamps.renew(tenant_id)
    except StoreUnavailable as fault:
        _log.warning("publish_failed", tenant_id=tenant_id, cause=str(fault))
        return
    await ports.execution.published(
        tenant_id, [(stream, events[0].seq, events[-1].seq) for stream, events in streams.items()]
    )


def created_event(opened: Opened, decided_ns: int) -> Event:
    """Return the first event of an account that took over from another one."""
    return Event(1, "account.created", decided_ns, dict(opened.payload))


async def _record_notes(ports: Ports, tenant_id: str) -> int:
    """Append to the tenant's own stream what concerns no account."""
    settled = 0

    def record(notes: Notes) -> list[Event]:
        nonlocal settled
        settled = len(notes.commands)
        return _note_events(notes, ports.clock.now_ns())

    events = await ports.execution.run_notes(tenant_id, BATCH_MAX, record)
    if events:
        message = events_message(tenant_id, {TENANT_STREAM: list(events)})
        try:
            await ports.event_bus.publish(EVENTS, message)
        except StoreUnavailable as fault:
            _log.warning("publish_failed", tenant_id=tenant_id, cause=str(fault))
        else:
            await ports.execution.published(
                tenant_id, [(TENANT_STREAM, events[0].seq, events[-1].seq)]
            )
        await ports.wakes.wake(AUDIT_QUEUE, tenant_id)
    return settled


def _note_events(notes: Notes, now_ns: int) -> list[Event]:
    """Two events a refused signal; any other note is one event of its own name."""
    events: list[Event] = []
    seq = notes.event_seq
    for command, reason in zip(notes.commands, notes.reasons, strict=True):
        if command.name == REFUSE_SIGNAL:
            known: dict[str, Json] = {"signalId": command.signal_id, "botId": command.source_id}
            received = {**known, "receivedAt": format_rfc3339(command.received_ns)}
            seq += 1
            events.append(Event(seq, "webhook.received", command.received_ns, received))
            seq += 1
            refused = {**known, "reason": reason, **command.payload}
            events.append(Event(seq, "webhook.rejected", now_ns, refused))
        else:
            seq += 1
            events.append(Event(seq, command.name, command.received_ns, command.payload))
    return events
