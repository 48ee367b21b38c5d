"""One live strategy: fed in order, journalled with what comes of it, rebuilt by the same journal.

What it was fed is kept in the transaction that puts its orders into the inbox, so that an order
without its cause, or a cause without its order, cannot be. ADR 13 says why.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog

from quantlab.kernel.instants import SECOND_NS
from quantlab.live import events
from quantlab.live.events import as_bytes
from quantlab.live.terms import read_terms
from quantlab.live.tray import Given
from quantlab.market.quote import FeedClock, Quote
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.accounts import OwnedAccount
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.ports.live_strategies import (
    Answer,
    Line,
    LiveProgram,
    NewSnapshot,
    Program,
    RunEnded,
    RunStatus,
    Step,
    StrategyRun,
)
from quantlab_app.use_cases.strategy_account import account_seen, new_fills, orders_seen
from quantlab_app.use_cases.strategy_ending import end_run, tell
from quantlab_app.use_cases.strategy_history import history
from quantlab_app.use_cases.strategy_orders import OrderDesk, live_only
from quantlab_app.use_cases.strategy_rebuilding import rebuild

FLUSH_NS: Final = SECOND_NS
GRACE_NS: Final = 2 * SECOND_NS
"""So long after its time a bar closes, or a timer rings, where no quote has come to say so."""

EARLIER_NS: Final = 60 * SECOND_NS
WORD: Final = 8
FRAME_EVENTS: Final = 2_000
STEP_WORDS: Final = 256_000
TICKS: Final = 5_000
WARM_UP_TICKS_MAX: Final = 2_000_000
SNAPSHOT_EVENTS: Final = 100_000
ACTOR: Final = "strategy_runner"

_log = structlog.get_logger("quantlab.strategy")


class _Event(NamedTuple):
    """An event that waits to be fed, and how far quotes or the account have come with it."""

    words: list[int]
    symbol: str = ""
    seq: int = 0
    account_seq: int = 0


class Lost(Exception):
    """Somebody else holds the run, or it has ended elsewhere: nothing more may be done with it."""


class LiveStrategy:
    """A run that this process holds. Quotes are told as they come; `live` does the rest."""

    def __init__(self, ports: Ports, tenant_id: str, run: StrategyRun) -> None:
        self._ports, self._tenant_id, self.run = ports, tenant_id, run
        self._scope = system_scope(tenant_id, ACTOR, run.run_id)
        self._terms = read_terms(run.terms)
        self.numbers = {symbol: place for place, symbol in enumerate(self._terms.symbols)}
        self._program: LiveProgram | None = None
        self._heard = dict(run.feed_seqs)
        self._fed_seqs = dict(run.feed_seqs)
        self._seen_seq = self._account_seq = run.account_seq
        self._told_account = False
        self._waiting: list[_Event] = []
        self._fed = bytearray()
        self._fed_events = 0
        self._orders = run.orders
        self._warming = run.status == "starting" and run.live_ns > run.began_ns
        self._since_snapshot = 0
        self._lines: list[Line] = []
        self._refused = 0
        self._next_due_ns = 0
        # Quotes that came after a gap, until the log has closed it; None where there is none.
        self._held: list[Quote] | None = []
        self._woken = asyncio.Event()
        self._account_moved = True
        self._stop_asked = run.status == "stopping"
        self.clock: FeedClock | None = None
        self._kept_ns = ports.clock.now_ns()

    def on_quote(self, quote: Quote) -> None:
        """Take a quote of one of the run's symbols, unless it has been taken before."""
        if self._held is not None:
            self._held.append(quote)
        elif quote.suspended or quote.seq <= self._heard.get(quote.symbol, 0):
            return
        else:
            self._heard[quote.symbol] = quote.seq
            self._waiting.append(_Event(self._quote_words(quote), quote.symbol, quote.seq))
            self._woken.set()

    def on_gap(self) -> None:
        """Take note that quotes were missed: the log has them, and comes before what is next."""
        if self._held is None:
            self._held = []
        self._woken.set()

    def on_account(self) -> None:
        """Take note that the account may have changed."""
        self._account_moved = True
        self._woken.set()

    def on_pulse(self, clock: FeedClock | None) -> None:
        """Follow the feed's clock: what is due without a quote, and what is not kept yet."""
        self.clock = clock
        due = self._next_due_ns + GRACE_NS <= self._feed_now() < 1 << 62
        if (due and not self._waiting and self._next_due_ns > 0) or self._fed:
            self._woken.set()

    def ask_to_stop(self) -> None:
        """Run `on stop` and end."""
        self._stop_asked = True
        self._woken.set()

    async def live(self) -> None:
        """Rebuild the state, catch up, and go on until the run ends; leave it where we are told."""
        try:
            await self._begin()
            while not self._stop_asked:
                await self._woken.wait()
                self._woken.clear()
                await self._turn()
            await self._stop()
        except RunEnded as ended:
            await self._end("failed", ended.slug, str(ended))
        except Lost:
            _log.info("run_lost", run_id=self.run.run_id)
        finally:
            await self.close()

    async def close(self) -> None:
        """End the sandbox."""
        if self._program is not None:
            await self._program.close()

    async def _begin(self) -> None:
        run = self.run
        saved = await self._ports.strategies.version(self._scope, run.strategy_id, run.version)
        if saved is None or saved.source_hash != run.source_hash:
            raise RunEnded("source_gone", "its version has another source, or none")
        self._source = saved.source
        self.clock = await self._ports.quotes.feed_clock()
        if run.events:
            self._since_snapshot = await rebuild(self._ports, self._tenant_id, run, self._open)
        else:
            await self._open()
        if not run.events or run.status == "starting":
            await self._start()
        self._woken.set()

    async def _open(self) -> tuple[LiveProgram, OrderDesk]:
        """Begin the program from nothing, in place of the one there is."""
        await self.close()
        run = self.run
        self._program = await self._ports.strategy_sandbox.open(
            Program(
                source=self._source,
                inputs=run.inputs,
                terms=run.terms,
                began_ns=run.began_ns,
                fuel_per_event=run.limits["fuelPerEvent"],
                memory_bytes=run.limits["memoryBytes"],
            )
        )
        self._desk = OrderDesk(run, self._terms, self._program.symbols)
        return self._program, self._desk

    async def _catch_up(self) -> None:
        """Take the ticks nobody told from the log; orders that come of old ones are not sent.

        A tick is logged before it is published: what was held is in the log, or follows.
        """
        missed: list[Quote] = []
        for symbol in self._terms.symbols:
            seq = self._heard.get(symbol, 0)
            while page := await self._ports.tick_log.page(
                symbol, self.run.live_ns - EARLIER_NS, seq, TICKS
            ):
                missed += page
                seq = page[-1].seq
        held, self._held = self._held or [], None
        for quote in (*sorted(missed, key=lambda one: one.seq), *held):
            self.on_quote(quote)

    async def _start(self) -> None:
        """Warm up where that was asked for; tell the account, the quotes there are, the start."""
        run = self.run
        warms_up = run.live_ns > run.began_ns
        if warms_up and not await self._warm_up():
            return
        known = await self._ports.quotes.latest(self._terms.symbols)
        await self._take_account()
        for symbol, quote in known.items():
            if symbol not in self._heard:
                self._heard[symbol] = quote.seq
                words = [events.KNOWN, *self._quote_words(quote)[1:]]
                self._waiting.insert(0, _Event(words, symbol, quote.seq))
        if not warms_up:
            self._waiting.append(_Event([events.START, max(self._feed_now(), run.began_ns)]))
        await self._feed()
        self._warming = False
        if self._fed:
            await self._keep(())
        await tell(self._ports, self._scope, run, "started", {"symbol": run.symbol})

    async def _warm_up(self) -> bool:
        """Feed the recorded ticks of before the run is live; say whether it came to their end.

        The account has its money and holds nothing then: what it holds is not valued at old
        prices. It is kept in steps as what is fed live is, and goes on after the last of them.
        """
        run = self.run
        if not run.events:
            account = (await self._account()).account
            flat = account_seen(account, run, self.numbers, 0)._replace(positions=())
            self._waiting.append(_Event(flat.words()))
            self._waiting.append(_Event([events.START, run.began_ns]))
            await self._feed()
        symbols, count = self._terms.symbols, run.events
        async for page in history(
            self._ports, symbols, run.began_ns, run.live_ns, dict(self._heard)
        ):
            count += len(page)
            if count > WARM_UP_TICKS_MAX:
                raise RunEnded("warm_up_limit", f"it would warm up over more than"
                               f" {WARM_UP_TICKS_MAX} ticks")  # fmt: skip
            for quote in page:
                self._heard[quote.symbol] = quote.seq
                self._waiting.append(_Event(self._quote_words(quote), quote.symbol, quote.seq))
            await self._feed()
            await self._keep_when_due()
            if self._stop_asked:
                return False
        self._waiting.append(_Event([events.TIME, run.live_ns - 1]))
        await self._feed()
        return True

    async def _stop(self) -> None:
        await self._take_account()
        self._waiting.append(_Event([events.STOP, self._feed_now()]))
        await self._feed()
        await self._keep(())
        await self._end("stopped", "stopped_by_request", "")

    async def _turn(self) -> None:
        """Feed what has gathered; keep it at once where orders come of it, else once a second."""
        if self._held is not None:
            await self._catch_up()
        if self._account_moved:
            self._account_moved = False
            await self._take_account()
        now_ns = self._feed_now()
        if not self._waiting and 0 < self._next_due_ns + GRACE_NS <= now_ns:
            self._waiting.append(_Event([events.TIME, now_ns]))
        await self._feed()
        await self._keep_when_due()

    async def _keep_when_due(self) -> None:
        since_ns = self._ports.clock.now_ns() - self._kept_ns
        if self._fed and (since_ns >= FLUSH_NS or len(self._fed) >= STEP_WORDS * WORD):
            await self._keep(())

    async def _feed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), FRAME_EVENTS):
            frame = waiting[first : first + FRAME_EVENTS]
            words = as_bytes([word for one in frame for word in one.words])
            answer = await self._asked(words, hashed=False)
            self._fed += words
            self._fed_events += len(frame)
            for one in frame:
                if one.symbol:
                    self._fed_seqs[one.symbol] = one.seq
                self._account_seq = max(self._account_seq, one.account_seq)
            await self._take(answer)

    async def _take(self, answer: Answer) -> None:
        """Send what an answer asks for, with all that it comes of."""
        self._orders, self._next_due_ns = answer.orders, answer.next_due_ns
        commands, ended = self._commands(live_only(answer.given, self.run))
        if commands or ended is not None or answer.trap:
            await self._keep(commands)
        if ended is not None:
            raise ended
        if answer.trap:
            raise RunEnded(answer.trap, f"it was stopped by its limit {answer.trap}")

    def _commands(self, given: Sequence[Given]) -> tuple[list[NewCommand], RunEnded | None]:
        now_ns = self._ports.clock.now_ns()
        commands, lines, ended = self._desk.commands(given, self._feed_now(), now_ns)
        self._lines += lines
        self._refused += sum(1 for line in lines if line.kind == "refused")
        return commands, ended

    async def _keep(self, commands: Sequence[NewCommand]) -> None:
        """Make what was fed durable, and the commands with it; raises Lost."""
        answer, snapshot = await self._state()
        step = Step(
            words=bytes(self._fed),
            events=max(self._fed_events, 1),
            warming=self._warming,
            snapshot=snapshot,
            orders=answer.orders,
            state_hash=answer.state_hash,
            feed_seqs=dict(self._fed_seqs),
            account_seq=self._account_seq,
            commands=commands,
            refused=self._refused,
            lines=tuple(self._lines),
        )
        if not await self._ports.strategy_runs.keep(self._tenant_id, self.run, step):
            raise Lost
        self._since_snapshot += step.events
        if snapshot is not None:
            self._since_snapshot = 0
        self._fed.clear()
        self._lines.clear()
        self._fed_events = self._refused = 0
        self._kept_ns = self._ports.clock.now_ns()
        if commands:
            await self._ports.wakes.wake("orders", self._tenant_id, self.run.account_id)

    async def _state(self) -> tuple[Answer, NewSnapshot | None]:
        """Return the state's hash, and from time to time all of the state."""
        if self._since_snapshot + self._fed_events < SNAPSHOT_EVENTS or self._program is None:
            return await self._asked(b"", hashed=True), None
        answer, image = await self._program.snapshot()
        image_hash = hashlib.sha256(image).hexdigest()
        return answer, NewSnapshot(image, image_hash, self._desk.kept())

    async def _asked(self, words: bytes, *, hashed: bool) -> Answer:
        if self._program is None:
            raise RunEnded("child_lost", "it has no sandbox")
        return await self._program.feed(words, hashed=hashed)

    async def _take_account(self) -> None:
        """Feed what the account has become, then its new fills of the strategy's orders."""
        run, account = self.run, (await self._account()).account
        if account.event_seq > self._seen_seq or not self._told_account:
            fills = await new_fills(
                self._ports, self._scope, run, self._desk, self.numbers, self._seen_seq
            )
            working = self._desk.count_working(account)
            words = account_seen(account, run, self.numbers, working).words()
            if run.limits.get("seesMargin"):
                orders = events.orders_words(orders_seen(account, self.numbers))
                self._waiting.append(_Event(orders))
            self._waiting.append(_Event(words, account_seq=account.event_seq))
            self._waiting += [_Event(fill.words()) for fill in fills]
            self._seen_seq, self._told_account = account.event_seq, True
        if account.status != "active":
            await self._feed()
            await self._keep(())
            raise RunEnded(f"account_{account.status}", account.status_reason or account.status)

    async def _account(self) -> OwnedAccount:
        owned = await self._ports.accounts.find(self._scope, self.run.account_id)
        if owned is None:
            raise RunEnded("account_gone", "there is no such account")
        return owned

    def _quote_words(self, quote: Quote) -> list[int]:
        return events.quote_words(
            quote.ts_ns, quote.bid_ticks, quote.ask_ticks, quote.bid_size_steps,
            quote.ask_size_steps, self.numbers[quote.symbol],
        )  # fmt: skip

    def _feed_now(self) -> int:
        now_ns = self._ports.clock.now_ns()
        return now_ns if self.clock is None else self.clock.at(now_ns)

    async def _end(self, status: RunStatus, reason: str, detail: str) -> None:
        self.run = await end_run(self._ports, self._scope, self.run, status, reason, detail)
