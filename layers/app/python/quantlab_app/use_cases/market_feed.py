"""The market feed: from a tick source through the gate to the tick log, then to the public.

A tick is in the log before anybody sees it; what is refused is counted and never used.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from quantlab.kernel.instants import SECOND_NS
from quantlab.market.bars import MINUTE_NS, Bar, add_quote
from quantlab.market.catalog import Catalog
from quantlab.market.gate import GateState, Verdict, judge, resume
from quantlab.market.quote import FeedClock, Quote
from quantlab_app.ports.clock import Clock
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.market import Bars, FeedBatch, QuoteRefusals, QuoteSink, TickLog, TickSource
from quantlab_app.use_cases.waiting import wait_at_most

WAIT_S = 0.5
RETRY_S = 0.25
BAR_GRACE_NS = SECOND_NS
REBUILD_PAGE = 5000
# An abrupt end of PostgreSQL may lose the last ticks it had not flushed, whose numbers orders may
# already have recorded; a restart skips more numbers than can have been drawn in that time.
SEQ_GAP = 1_000_000

CountQuotes = Callable[[str, str, int], None]
NoteRefusals = Callable[[Sequence[QuoteRefusals]], Awaitable[None]]


def _uncounted(_symbol: str, _verdict: str, _count: int) -> None:
    return None


async def _ignore(_refusals: Sequence[QuoteRefusals]) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPorts:
    """What the feed reaches.

    count_quotes gets (symbol, verdict, number) of each batch, note_refusals sums per symbol,
    reason and minute.
    """

    source: TickSource
    log: TickLog
    bars: Bars
    sink: QuoteSink
    clock: Clock
    count_quotes: CountQuotes = _uncounted
    note_refusals: NoteRefusals = _ignore


@dataclass(slots=True)
class FeedState:
    """What the feed remembers between two batches."""

    next_seq: int
    gates: dict[str, GateState]
    last: dict[str, Quote]
    bars: dict[str, Bar] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    pending_refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    keeps_hours: bool = False
    heartbeat_ns: int = 0
    noted_ns: int = 0


@dataclass(slots=True)
class Judged:
    """One batch after the gate."""

    accepted: list[Quote] = field(default_factory=list)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed_bars: list[Bar] = field(default_factory=list)


async def run_market_feed(ports: FeedPorts, catalog: Catalog, stop: asyncio.Event) -> None:
    """Feed until told to stop; after a restart, go on from what the tick log holds."""
    await _patiently(ports.log.open, stop)
    try:
        state = await start_feed(ports, catalog)
        while not stop.is_set():
            quotes = await ports.source.next_batch(WAIT_S)
            await feed_batch(ports, catalog, state, quotes or (), stop)
            if quotes is None:
                await wait_at_most(stop, WAIT_S)
        await _note(ports, state)
    finally:
        await ports.log.close()


async def start_feed(ports: FeedPorts, catalog: Catalog) -> FeedState:
    """Read where the last run ended, rebuild its open bars and open the source after it."""
    symbols = tuple(catalog.instruments)
    last = await ports.log.last_quotes(symbols)
    end = max(last.values(), key=lambda quote: quote.seq, default=None)
    state = FeedState(
        next_seq=1 if end is None else end.seq + SEQ_GAP,
        gates={symbol: resume(quote) for symbol, quote in last.items()},
        last=dict(last),
        # What happened while no feed ran is unknown.
        suspended=set(last),
        keeps_hours=ports.source.keeps_hours,
    )
    await _rebuild_bars(ports, state)
    newest_ns = max((quote.ts_ns for quote in last.values()), default=0)
    await ports.source.open(max(ports.clock.now_ns(), newest_ns + 1), last)
    return state


async def feed_batch(
    ports: FeedPorts,
    catalog: Catalog,
    state: FeedState,
    quotes: Sequence[Quote],
    stop: asyncio.Event,
) -> None:
    """Judge one batch, log it, publish it; wait out a store that is away."""
    source = ports.source
    now_ns = source.now_ns()
    clock = FeedClock(now_ns, ports.clock.now_ns(), source.speed_ppm, source.keeps_hours)
    judged = judge_batch(state, catalog, quotes)
    for symbol, accepted in Counter(quote.symbol for quote in judged.accepted).items():
        ports.count_quotes(symbol, Verdict.ACCEPTED.value, accepted)
    for (symbol, reason), refused in judged.refusals.items():
        ports.count_quotes(symbol, reason, refused)
    beat = clock.wall_ts_ns - state.heartbeat_ns >= SECOND_NS
    if beat:
        judged.closed_bars += _overdue_bars(state, clock.feed_ts_ns)
    if judged.accepted:
        await _patiently(lambda: ports.log.append(judged.accepted), stop)
    if judged.closed_bars:
        await _patiently(lambda: ports.bars.upsert(judged.closed_bars), stop)
    if beat or quotes:
        batch = FeedBatch(
            clock=clock,
            accepted=judged.accepted,
            latest=_latest(state, state.last if beat else {s for s, _ in judged.refusals}),
            refusals=judged.refusals,
            closed_bars=judged.closed_bars,
            open_bars=[state.bars[symbol] for symbol in sorted(state.dirty)] if beat else (),
        )
        await _patiently(lambda: ports.sink.publish(batch), stop)
    if beat:
        state.heartbeat_ns = clock.wall_ts_ns
        await _note_each_minute(ports, state, clock.wall_ts_ns)


def judge_batch(state: FeedState, catalog: Catalog, quotes: Sequence[Quote]) -> Judged:
    """Pass quotes through their gates, number the accepted ones and add them to their bars."""
    judged = Judged()
    for quote in quotes:
        symbol = quote.symbol
        instrument = catalog.instruments[symbol]
        if state.keeps_hours and not catalog.is_open(instrument, quote.ts_ns):
            verdict = Verdict.OUT_OF_SESSION
        else:
            gate = state.gates.get(symbol, GateState())
            state.gates[symbol], verdict = judge(gate, quote, instrument.gate)
        if verdict is Verdict.ACCEPTED:
            _accept(state, judged, quote)
        else:
            if verdict.suspends:
                state.suspended.add(symbol)
            judged.refusals[symbol, verdict.value] += 1
    state.pending_refusals += judged.refusals
    return judged


def _latest(state: FeedState, symbols: Iterable[str]) -> list[Quote]:
    """Return the last accepted quotes of some symbols, each saying whether it is suspended."""
    return [
        replace(state.last[symbol], suspended=symbol in state.suspended)
        for symbol in sorted(symbols)
        if symbol in state.last
    ]


def _accept(state: FeedState, judged: Judged, quote: Quote) -> None:
    numbered = replace(quote, seq=state.next_seq)
    state.next_seq += 1
    judged.accepted.append(numbered)
    symbol = quote.symbol
    state.last[symbol] = numbered
    state.suspended.discard(symbol)
    unclosed = symbol in state.dirty
    state.bars[symbol], closed = add_quote(state.bars.get(symbol), numbered)
    state.dirty.add(symbol)
    if closed is not None and unclosed:
        judged.closed_bars.append(closed)


def _overdue_bars(state: FeedState, feed_now_ns: int) -> list[Bar]:
    """Take the bars whose minute is over although no later quote has come to close them."""
    over_ns = feed_now_ns - MINUTE_NS - BAR_GRACE_NS
    overdue = [s for s in sorted(state.dirty) if state.bars[s].start_ns <= over_ns]
    state.dirty.difference_update(overdue)
    return [state.bars[symbol] for symbol in overdue]


async def _rebuild_bars(ports: FeedPorts, state: FeedState) -> None:
    """Redo from the tick log the bars that the last run had open or had not yet written."""
    starts = await ports.bars.last_starts(tuple(state.last))
    for symbol in state.last:
        from_ns = starts[symbol] + MINUTE_NS if symbol in starts else 0
        closed: list[Bar] = []
        after_seq = 0
        while page := await ports.log.page(symbol, from_ns, after_seq, REBUILD_PAGE):
            for quote in page:
                state.bars[symbol], bar = add_quote(state.bars.get(symbol), quote)
                closed += [] if bar is None else [bar]
            state.dirty.add(symbol)
            from_ns, after_seq = page[-1].ts_ns, page[-1].seq
        await ports.bars.upsert(closed)


async def _note_each_minute(ports: FeedPorts, state: FeedState, wall_ns: int) -> None:
    if wall_ns - state.noted_ns >= MINUTE_NS:
        state.noted_ns = wall_ns
        await _note(ports, state)


async def _note(ports: FeedPorts, state: FeedState) -> None:
    sums = [
        QuoteRefusals(symbol, reason, count, ports.source.now_ns())
        for (symbol, reason), count in sorted(state.pending_refusals.items())
    ]
    if not sums:
        return
    try:
        await ports.note_refusals(sums)
    except StoreUnavailable:
        return
    state.pending_refusals.clear()


async def _patiently(action: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Repeat an action that may be repeated until the store answers or the feed is stopped."""
    while True:
        try:
            return await action()
        except StoreUnavailable:
            if stop.is_set():
                raise
            await wait_at_most(stop, RETRY_S)
