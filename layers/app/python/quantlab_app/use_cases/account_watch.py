"""The worker between ticks and accounts: it hears both and puts what follows into the inbox.

What it misses while a store is away it makes up for in the plain way: it reads the accounts
again and judges the latest quotes. It never decides anything; the account's writer does.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import structlog

from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand
from quantlab.ledger.orders import Order, Terms
from quantlab.ledger.state import Account, ClosedDay, Day, Position, read_tally
from quantlab.market.quote import PPM, FeedClock
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases.halts import HALTS_TOPIC
from quantlab_app.use_cases.own_commands import OwnCommand, accept_all, own_command
from quantlab_app.use_cases.publishing import ACCOUNTS_TOPIC
from quantlab_app.use_cases.waiting import end_all, run_until, wait_at_most

RECONCILE_S: Final = 10.0
PULSE_S: Final = 1.0
RETRY_S: Final = 0.25
LEAVE_S: Final = 2.0
PAGE: Final = 200
# For so many holders the plain watch takes a fifth of a millisecond a quote (`make bench-watch`).
PLAIN_ACCOUNTS_MAX: Final = 16

TOPICS: Final = (ACCOUNTS_TOPIC, HALTS_TOPIC)

NoteDetection = Callable[[str, float], None]
NoteWatched = Callable[[int, int], None]

_log = structlog.get_logger("quantlab.account_watch")


def read_accounts(message: bytes) -> list[Account]:
    """Read a message of topic `accounts`."""
    return [_account(fields) for fields in orjson.loads(message)]


def _account(fields: dict[str, Any]) -> Account:
    return Account(
        **{
            **fields,
            "day": Day(**fields["day"]),
            "closed_days": tuple(ClosedDay(**day) for day in fields["closed_days"]),
            "raised": tuple(fields["raised"]),
            "tally": read_tally(fields["tally"]),
            "positions": {
                key: Position(**position) for key, position in fields["positions"].items()
            },
            "working": {
                order_id: Order(**{**order, "terms": Terms(**order["terms"])})
                for order_id, order in fields["working"].items()
            },
        }
    )


class AccountWatch:
    """One running watch.

    note_detection gets a command's name and the seconds from the tick to its acceptance,
    note_watched how many accounts and positions are under watch.
    """

    def __init__(
        self, ports: Ports, note_detection: NoteDetection, note_watched: NoteWatched
    ) -> None:
        self._ports = ports
        self._note_detection = note_detection
        self._note_watched = note_watched
        self._watch = Watch(ports.catalog)
        self._feed: FeedClock | None = None
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._demands: asyncio.Queue[Demand] = asyncio.Queue()
        self._unsent: list[OwnCommand] = []
        self._reload_wanted = asyncio.Event()
        self._missed = True
        self._crowded = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until told to stop, then hand on the peaks nobody else knows."""
        quickening = asyncio.create_task(self._quicken())
        works = (
            self._ports.event_bus.listen(TOPICS, self._hear, self._attached),
            self._update(),
            self._reload(),
            self._follow_quotes(),
            self._pulse(),
            self._send(),
        )
        try:
            await run_until(stop, works)
        finally:
            await end_all((quickening,))
            await self._leave()

    async def _quicken(self) -> None:
        """Change to the compiled watch once that pays and is ready; until then the plain one does.

        A process without it starts in half the time and takes a third of the memory.
        """
        await self._crowded.wait()
        try:
            self._watch = await self._ports.quicken_watch(self._watch)
        except Exception:  # noqa: BLE001 - whatever a compiler may say, the watch goes on
            _log.exception("watch_not_compiled")

    def _hear(self, topic: str, message: bytes) -> None:
        if topic == HALTS_TOPIC:
            self._reload_wanted.set()
        else:
            self._heard.put_nowait(message)

    def _attached(self) -> None:
        """Make up for what was published while nobody listened; quotes come the same way."""
        self._missed = True
        self._reload_wanted.set()

    async def _update(self) -> None:
        """Take over accounts as their writer publishes them."""
        while True:
            message = await self._heard.get()
            try:
                for account in read_accounts(message):
                    if self._ports.shard.holds(account.account_id):
                        await self._put(account)
            except StoreUnavailable as fault:
                _log.warning("account_not_taken_over", cause=str(fault))
                self._reload_wanted.set()

    async def _put(self, account: Account) -> None:
        try:
            rulebook = await self._ports.rulebooks.of(account)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with its rules, others are watched
            about = {"tenant_id": account.tenant_id, "account_id": account.account_id}
            _log.exception("account_not_watched", **about)
            return
        now_ns = self._ports.clock.now_ns()
        self._demand(
            self._watch.put(
                account,
                rulebook.profile,
                self._feed_now(now_ns),
                now_ns,
                rulebook.trading,
                rulebook.fill_models,
            )
        )
        if self._watch.count > PLAIN_ACCOUNTS_MAX:
            self._crowded.set()

    async def _reload(self) -> None:
        """Read every account with positions or working orders, on attaching and now and then."""
        while True:
            self._reload_wanted.clear()
            try:
                await self._load()
                wait_s = RECONCILE_S
            except StoreUnavailable as fault:
                _log.warning("accounts_not_read", cause=str(fault))
                wait_s = RETRY_S
            await wait_at_most(self._reload_wanted, wait_s)

    async def _load(self) -> None:
        if self._missed:
            await self._read_quotes()
        round_number = self._watch.begin_reload()
        for tenant_id in await self._ports.tenants.active():
            await self._load_tenant(tenant_id)
        self._watch.end_reload(round_number)
        if self._missed:
            self._missed = False
            await self._judge_latest()
        self._note_watched(self._watch.count, self._watch.positions)

    async def _load_tenant(self, tenant_id: str) -> None:
        """Read halts, and accounts that have moved; by pages, so that quotes are judged between."""
        self._watch.set_halts(tenant_id, await self._ports.halts.present(tenant_id))
        accounts = self._ports.accounts
        holds = self._ports.shard.holds
        seqs = await accounts.watched_seqs(tenant_id)
        ours = ((id_, seq) for id_, seq in seqs.items() if holds(id_))
        moved = [id_ for id_, seq in ours if not self._watch.confirm(id_, seq)]
        for first in range(0, len(moved), PAGE):
            for owned in await accounts.many(tenant_id, moved[first : first + PAGE]):
                await self._put(owned.account)

    async def _follow_quotes(self) -> None:
        """Judge every quote; after each new start of listening judge the latest ones first."""
        while True:
            try:
                await self._judge_latest()
                fresh = True
                async for quote in self._ports.quotes.subscribe():
                    if fresh:
                        # Listening has begun by now: nothing lies between this and what follows.
                        await self._judge_latest()
                        fresh = False
                    now_ns = self._ports.clock.now_ns()
                    self._demand(self._watch.on_quote(quote, self._feed_now(now_ns), now_ns))
            except StoreUnavailable as fault:
                _log.warning("quotes_lost", cause=str(fault))
            await asyncio.sleep(RETRY_S)

    async def _judge_latest(self) -> None:
        await self._read_quotes()
        now_ns = self._ports.clock.now_ns()
        self._demand(self._watch.judge_all(self._feed_now(now_ns), now_ns))

    async def _read_quotes(self) -> None:
        symbols = tuple(self._ports.catalog.instruments)
        quotes, self._feed = await self._ports.quotes.latest_with_clock(symbols)
        self._watch.set_quotes(quotes.values())
        if self._is_silent():
            self._watch.silence()

    async def _pulse(self) -> None:
        """Follow the feed's clock, ask for what is due, hand on peaks no later quote carried."""
        silent = False
        while True:
            await asyncio.sleep(PULSE_S)
            try:
                self._feed = await self._ports.quotes.feed_clock()
                was_silent, silent = silent, self._is_silent()
                if silent:
                    self._watch.silence()
                elif was_silent:
                    await self._judge_latest()
            except StoreUnavailable as fault:
                _log.warning("feed_clock_not_read", cause=str(fault))
            now_ns = self._ports.clock.now_ns()
            self._demand(self._watch.overdue(now_ns))
            self._demand(self._watch.overstayed(now_ns))
            self._demand(self._watch.unstored_peaks(now_ns))

    def _is_silent(self) -> bool:
        return self._feed is None or self._feed.is_silent(self._ports.clock.now_ns())

    def _feed_now(self, now_ns: int) -> int:
        if self._feed is None:
            return now_ns
        self._watch.keeps_hours = self._feed.keeps_hours
        return self._feed.at(now_ns)

    def _demand(self, demands: Sequence[Demand]) -> None:
        for demand in demands:
            self._demands.put_nowait(demand)

    async def _send(self) -> None:
        """Put demands into the inbox, what has gathered at once; wait for a store that is away."""
        while True:
            batch = [await self._demands.get(), *self._take_demands()]
            self._unsent = [self._command(demand) for demand in batch]
            while self._unsent:
                try:
                    await accept_all(self._ports.inbox, self._unsent)
                    self._unsent = []
                except StoreUnavailable as fault:
                    _log.warning("commands_not_accepted", count=len(batch), cause=str(fault))
                    await asyncio.sleep(RETRY_S)
            self._note(batch)

    def _take_demands(self) -> list[Demand]:
        taken = []
        while not self._demands.empty():
            taken.append(self._demands.get_nowait())
        return taken

    def _command(self, demand: Demand) -> OwnCommand:
        return own_command(
            self._ports.clock,
            self._ports.ids,
            "watch",
            demand.tenant_id,
            demand.account_id,
            demand.name,
            demand.payload,
            demand.identity,
        )

    def _note(self, batch: Sequence[Demand]) -> None:
        """Measure on the feed's clock, in seconds of the wall."""
        feed = self._feed
        if feed is None:
            return
        feed_now_ns = feed.at(self._ports.clock.now_ns())
        for demand in batch:
            if demand.tick_ts_ns is not None:
                elapsed_ns = max(0, feed_now_ns - demand.tick_ts_ns) * PPM // feed.speed_ppm
                self._note_detection(demand.name, elapsed_ns / 1e9)

    async def _leave(self) -> None:
        """Hand on what is left, for as long as a stop may take."""
        self._demand(self._watch.unstored_peaks(self._ports.clock.now_ns(), leaving=True))
        commands = [*self._unsent, *(self._command(demand) for demand in self._take_demands())]
        try:
            async with asyncio.timeout(LEAVE_S):
                await accept_all(self._ports.inbox, commands)
        except (TimeoutError, StoreUnavailable) as fault:
            _log.warning("commands_not_accepted", count=len(commands), cause=str(fault))
