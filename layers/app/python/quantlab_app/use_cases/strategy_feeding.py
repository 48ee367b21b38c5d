"""One live strategy: fed in order, journalled with what comes of it, rebuilt by the same journal.

What it was fed is kept in the transaction that puts its orders into the inbox, so that an order
without its cause, or a cause without its order, cannot be. ADR 13 says why.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import structlog

from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.state import Account
from quantlab.live import events
from quantlab.live.events import AccountSeen, FillSeen, Held, as_bytes
from quantlab.live.terms import read_terms
from quantlab.live.tray import Given
from quantlab.market.quote import FeedClock, Quote
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.accounts import Row
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.ports.live_strategies import (
    Answer,
    Line,
    LiveProgram,
    Program,
    RunEnded,
    RunStatus,
    Step,
    StrategyRun,
)
from quantlab_app.use_cases.strategy_orders import OrderDesk
from quantlab_app.use_cases.tenant_events import note

FLUSH_NS: Final = SECOND_NS
GRACE_NS: Final = 2 * SECOND_NS
"""So long after its time a bar closes, or a timer rings, where no quote has come to say so."""

EARLIER_NS: Final = 60 * SECOND_NS
WORD: Final = 8
FRAME_EVENTS: Final = 2_000
STEP_WORDS: Final = 256_000
PAGE: Final = 500
TICKS: Final = 5_000
FILLS: Final = 200
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

    async def give_up(self) -> None:
        """End the run over an error of ours: it must not trade on, nor begin again for ever."""
        await self._end("failed", "internal_error", "an error of the platform ended it")

    async def close(self) -> None:
        """End the sandbox."""
        if self._program is not None:
            await self._program.close()

    async def _begin(self) -> None:
        run = self.run
        saved = await self._ports.strategies.version(self._scope, run.strategy_id, run.version)
        if saved is None or saved.source_hash != run.source_hash:
            raise RunEnded("source_gone", "its version has another source, or none")
        self._program = await self._ports.strategy_sandbox.open(
            Program(
                source=saved.source,
                inputs=run.inputs,
                terms=run.terms,
                began_ns=run.began_ns,
                fuel_per_event=run.limits["fuelPerEvent"],
                memory_bytes=run.limits["memoryBytes"],
            )
        )
        self._desk = OrderDesk(run, self._terms, self._program.symbols)
        self.clock = await self._ports.quotes.feed_clock()
        if run.events:
            await self._replay()
        else:
            await self._start()
        self._woken.set()

    async def _replay(self) -> None:
        """Feed what was fed before: what comes of it was sent before."""
        step, answer = 0, None
        while page := await self._ports.strategy_runs.journal(
            self._tenant_id, self.run.run_id, step, PAGE
        ):
            for number, words in page:
                step = number
                for frame in events.frames(words):
                    answer = await self._asked(frame, hashed=False)
                    self._desk.remember(answer.given)
        answer = await self._asked(b"", hashed=True)
        if (answer.state_hash, answer.orders) != (self.run.state_hash, self.run.orders):
            raise RunEnded("replay_mismatch", "its state could not be rebuilt from its journal")
        if answer.trap:
            raise RunEnded(answer.trap, f"it was stopped by its limit {answer.trap}")

    async def _catch_up(self) -> None:
        """Take the ticks nobody told from the log; orders that come of old ones are not sent.

        A tick is logged before it is published: what was held is in the log, or follows.
        """
        missed: list[Quote] = []
        for symbol in self._terms.symbols:
            seq = self._heard.get(symbol, 0)
            while page := await self._ports.tick_log.page(
                symbol, self.run.began_ns - EARLIER_NS, seq, TICKS
            ):
                missed += page
                seq = page[-1].seq
        held, self._held = self._held or [], None
        for quote in (*sorted(missed, key=lambda one: one.seq), *held):
            self.on_quote(quote)

    async def _start(self) -> None:
        """Tell the account, the quotes there are, and the start."""
        known = await self._ports.quotes.latest(self._terms.symbols)
        await self._take_account()
        for symbol, quote in known.items():
            self._heard[symbol] = quote.seq
            words = [events.KNOWN, *self._quote_words(quote)[1:]]
            self._waiting.insert(0, _Event(words, symbol, quote.seq))
        self._waiting.append(_Event([events.START, max(self._feed_now(), self.run.began_ns)]))
        await self._feed()
        await self._tell("strategy.started", "started", {"symbol": self.run.symbol})

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
        commands, ended = self._commands(answer.given)
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
        answer = await self._asked(b"", hashed=True)
        step = Step(
            words=bytes(self._fed),
            events=max(self._fed_events, 1),
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
        self._fed.clear()
        self._lines.clear()
        self._fed_events = self._refused = 0
        self._kept_ns = self._ports.clock.now_ns()
        if commands:
            await self._ports.wakes.wake("orders", self._tenant_id, self.run.account_id)

    async def _asked(self, words: bytes, *, hashed: bool) -> Answer:
        if self._program is None:
            raise RunEnded("child_lost", "it has no sandbox")
        return await self._program.feed(words, hashed=hashed)

    async def _take_account(self) -> None:
        """Feed what the account has become, then its new fills of the strategy's orders."""
        run = self.run
        owned = await self._ports.accounts.find(self._scope, run.account_id)
        if owned is None:
            raise RunEnded("account_gone", "there is no such account")
        account = owned.account
        if account.event_seq > self._seen_seq or not self._told_account:
            fills = await self._new_fills()
            words = self._seen(account).words()
            self._waiting.append(_Event(words, account_seq=account.event_seq))
            self._waiting += [_Event(fill.words()) for fill in fills]
            self._seen_seq, self._told_account = account.event_seq, True
        if account.status != "active":
            await self._feed()
            await self._keep(())
            raise RunEnded(f"account_{account.status}", account.status_reason or account.status)

    def _seen(self, account: Account) -> AccountSeen:
        held = []
        for one in account.legs():
            if one.symbol in self.numbers:
                held.append(Held(self.numbers[one.symbol], one.size_steps, one.cost))
            elif self.run.limits.get("seesEquity"):
                raise RunEnded("unknown_symbol", f"its account holds {one.symbol}, of which it"
                               " is told no quotes, and it asks for the equity")  # fmt: skip
        day = account.day
        return AccountSeen(
            account.balance_minor, account.carry_micro, account.high_water_minor,
            day.start_balance_minor, day.start_equity_minor, day.realised_minor,
            account.tally.day_costs_minor, account.tally.payouts,
            self._desk.count_working(account), tuple(held),
        )  # fmt: skip

    async def _new_fills(self) -> list[FillSeen]:
        """Return the fills since the last look that are the strategy's, oldest first."""
        rows: list[Row] = []
        before: int | None = None
        while True:
            page = await self._ports.accounts.fills(self._scope, self.run.account_id, before, FILLS)
            new = [row for row in page if row["event_seq"] > self._seen_seq]
            rows += new
            if len(new) < FILLS:
                break
            before = new[-1]["event_seq"]
        if not rows:
            return []
        ids = list({str(row["order_id"]) for row in rows})
        orders = await self._ports.accounts.orders_named(self._scope, self.run.account_id, ids)
        known = {str(order["order_id"]): order for order in orders}
        found = []
        for row in reversed(rows):
            order = known.get(str(row["order_id"]))
            number = 0 if order is None else self._desk.number_of(order)
            if order is not None and number and row["symbol"] in self.numbers:
                left = order["size_steps"] - order["filled_steps"]
                profit = row["realised_minor"] - row["commission_minor"]
                symbol = self.numbers[row["symbol"]]
                found.append(FillSeen(number, row["side"], row["size_steps"], row["price_ticks"],
                                      profit, left, symbol))  # fmt: skip
        return found

    def _quote_words(self, quote: Quote) -> list[int]:
        return events.quote_words(
            quote.ts_ns, quote.bid_ticks, quote.ask_ticks, quote.bid_size_steps,
            quote.ask_size_steps, self.numbers[quote.symbol],
        )  # fmt: skip

    def _feed_now(self) -> int:
        now_ns = self._ports.clock.now_ns()
        return now_ns if self.clock is None else self.clock.at(now_ns)

    async def _end(self, status: RunStatus, reason: str, detail: str) -> None:
        now_ns = self._ports.clock.now_ns()
        if await self._ports.strategy_runs.end(
            self._tenant_id, self.run, status, reason, detail[:4000], now_ns
        ):
            self.run = replace(self.run, status=status, reason=reason)
            said: dict[str, Json] = {"reason": reason, "detail": detail[:400]}
            await self._tell(f"strategy.{status}", status, said)

    async def _tell(self, event_type: str, key: str, what: dict[str, Json]) -> None:
        run = self.run
        payload: dict[str, Json] = {
            "runId": run.run_id, "accountId": run.account_id, "strategyId": run.strategy_id,
            "version": run.version, "sourceHash": run.source_hash, **what,
        }  # fmt: skip
        await note(
            self._ports.inbox, self._ports.ids, self._scope, event_type, payload,
            now_ns=self._ports.clock.now_ns(), key=f"{run.run_id}:{key}",
        )  # fmt: skip
