"""A small world on the real stores: two tenants, accounts, bots, and quotes set by hand."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from quantlab.engine.opening import fresh_account, start_of
from quantlab.kernel.decimals import to_units
from quantlab.ledger.state import Account
from quantlab.market.quote import FeedClock, Quote
from quantlab.tenancy.config import TenantConfig, config_of_resolved
from quantlab.tenancy.scope import Scope, system_scope
from quantlab.webhooks.signature import sign
from quantlab_app.ports.accounts import NewAccount
from quantlab_app.ports.bots import NewBot
from quantlab_app.ports.container import Ports
from quantlab_app.ports.market import FeedBatch
from quantlab_app.use_cases.execution import execute_pending
from quantlab_app.use_cases.signals import Attempt, Receipt, Refused, accept
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings
from quantlab_edge.tenant_files import read_configs, read_tenants

CONFIGS = Path("agent/configs")
ALPHA, BETA = "northwind-capital", "blue-harbor"
PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Bot:
    tenant_id: str
    bot_id: str
    secret: str
    token: str
    account_id: str


@dataclass(slots=True)
class World:
    ports: Ports
    configs: dict[str, TenantConfig]
    seq: int = 0
    bots: list[Bot] = field(default_factory=list)

    def scope(self, tenant_id: str) -> Scope:
        return system_scope(tenant_id, "test", "test-correlation")

    async def account(self, tenant_id: str, account_type: str = "demo-100k") -> str:
        """Open an account pinned to its tenant's configuration."""
        config = self.configs[tenant_id]
        kind = config.account_types[account_type]
        now_ns = self.ports.clock.now_ns()
        start = start_of(kind, kind.initial_balance_minor)
        account_id = self.ports.ids.new_id()
        account = fresh_account(tenant_id, account_id, start, config.version, now_ns)
        new = NewAccount(account, None, now_ns, {"accountType": kind.type_id})
        await self.ports.accounts.open(self.scope(tenant_id), [new])
        return account.account_id

    async def bot(self, tenant_id: str, account_id: str, **fields: Any) -> Bot:
        ids = self.ports.ids
        secret = "whsec_" + base64.b64encode(ids.random_bytes(32)).decode()
        token, bot_id = ids.token(32), ids.new_id()
        cipher = await self.ports.keys.encrypt(tenant_id, "bot_secret", secret.encode())
        new = NewBot(
            bot_id=bot_id,
            name="test",
            account_id=account_id,
            account_ids=fields.get("account_ids", (account_id,)),
            secret_cipher=cipher,
            token_hash=hashlib.sha256(token.encode()).digest(),
            token_enabled=fields.get("token_enabled", True),
            source_addresses=fields.get("source_addresses", ()),
        )
        await self.ports.bots.add(self.scope(tenant_id), new)
        bot = Bot(tenant_id, bot_id, secret, token, account_id)
        self.bots.append(bot)
        return bot

    async def quote(
        self,
        symbol: str,
        bid: str,
        ask: str,
        *,
        age_s: float = 0,
        sizes: tuple[int, int] = (0, 0),
        keeps_hours: bool = False,
    ) -> Quote:
        """Publish a quote as the feed does, on a feed clock that runs with the wall clock."""
        quote = self.made(symbol, bid, ask, age_s=age_s, sizes=sizes)
        await self.publish(quote, keeps_hours=keeps_hours)
        return quote

    def made(
        self, symbol: str, bid: str, ask: str, *, age_s: float = 0, sizes: tuple[int, int] = (0, 0)
    ) -> Quote:
        """Number a quote as the feed does, and tell nobody."""
        tick = self.ports.catalog.instruments[symbol].tick
        bid_ticks, ask_ticks = to_units(Decimal(bid), tick), to_units(Decimal(ask), tick)
        assert bid_ticks is not None
        assert ask_ticks is not None
        self.seq += 1
        now_ns = self.ports.clock.now_ns()
        return Quote(
            symbol,
            bid_ticks,
            ask_ticks,
            now_ns - int(age_s * 1e9),
            self.seq,
            bid_size_steps=sizes[0],
            ask_size_steps=sizes[1],
        )

    async def publish(self, quote: Quote, *, keeps_hours: bool = False) -> None:
        """Make a quote public."""
        now_ns = self.ports.clock.now_ns()
        await self.ports.quote_sink.publish(
            FeedBatch(FeedClock(now_ns, now_ns, PPM, keeps_hours), accepted=(quote,))
        )

    async def beat(self) -> None:
        """Renew the feed's clock, as a feed without a new quote does every second."""
        now_ns = self.ports.clock.now_ns()
        await self.ports.quote_sink.publish(FeedBatch(FeedClock(now_ns, now_ns, PPM)))

    async def suspend(self, symbol: str) -> None:
        """Publish that the feed has refused a quote of the symbol."""
        known = await self.ports.quotes.latest((symbol,))
        now_ns = self.ports.clock.now_ns()
        suspended = replace(known[symbol], suspended=True)
        await self.ports.quote_sink.publish(
            FeedBatch(FeedClock(now_ns, now_ns, PPM), latest=(suspended,))
        )

    async def send(self, bot: Bot, body: dict[str, Any], **fields: Any) -> Receipt | Refused:
        """Sign and send as the bot; fields override the attempt."""
        raw = fields.pop("raw", None) or json.dumps(body).encode()
        at_s = fields.pop("at_s", None) or self.ports.clock.now_ns() // 1_000_000_000
        attempt = {
            "raw": raw,
            "source": "192.0.2.1",
            "bot_id": bot.bot_id,
            "signature": sign(bot.secret, at_s, raw),
            **fields,
        }
        return await accept(self.ports, Attempt(**attempt), "test-correlation")

    async def settle(self, *tenants: str) -> None:
        """Carry out everything that waits."""
        for tenant_id in tenants or (ALPHA, BETA):
            while await execute_pending(self.ports, [tenant_id]):
                pass

    async def carry_out(self, asked: Awaitable[Any], *tenants: str) -> None:
        """Carry out what waits until what asks for it, and waits for that, is answered."""
        asking = asyncio.ensure_future(asked)
        while not asking.done():
            await self.settle(*tenants)
            await asyncio.sleep(0.01)
        await asking

    async def find(self, tenant_id: str, account_id: str) -> Account:
        found = await self.ports.accounts.find(self.scope(tenant_id), account_id)
        assert found is not None
        return found.account

    async def event_types(self, tenant_id: str, account_id: str) -> list[str]:
        events = await self.ports.event_log.events_after(
            self.scope(tenant_id), account_id, after_seq=0, limit=500
        )
        return [event.event_type for event in events]


Adjust = Callable[[dict[str, Any]], None]


@cache
def _documents() -> tuple[str, ...]:
    """Read and check the tenants' files once for all worlds."""
    files = read_tenants(read_configs(CONFIGS))
    configs = [file.config for file in files if file.config is not None]
    assert len(configs) == len(files)
    return tuple(json.dumps(config.document) for config in configs)


@asynccontextmanager
async def world(
    app_dsn: str,
    redis_url: str,
    state: Path,
    adjust: Adjust | None = None,
    patience_s: float | None = None,
) -> AsyncIterator[World]:
    """Connect everything and record both demo tenants' configurations."""
    settings = Settings(
        database_url=app_dsn,
        redis_url=redis_url,
        state=state,
        configs=CONFIGS,
        feed="synthetic",
        argon2_time_cost=1,
        argon2_memory_kib=8192,
    )
    ports = await build(settings, patience_s=patience_s)
    try:
        configs = {}
        for text in _documents():
            document = json.loads(text)
            if adjust is not None:
                adjust(document)
            config = config_of_resolved(document)
            await ports.tenants.ensure(config.tenant_id)
            await ports.tenant_configs.record(
                system_scope(config.tenant_id, "test", "test"), config
            )
            configs[config.tenant_id] = config
        yield World(ports, configs)
    finally:
        await ports.close()


def running(coroutine: Awaitable[Any]) -> Any:
    """Run a coroutine to its end in a loop of its own."""

    async def run() -> Any:
        return await coroutine

    return asyncio.run(run())
