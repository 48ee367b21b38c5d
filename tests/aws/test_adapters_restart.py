"""A warm process whose PostgreSQL or Valkey restarted between two calls serves the next one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.use_cases import audit, publishing
from quantlab_app.use_cases.signals import Receipt
from quantlab_db.migrate import migrate
from quantlab_server.logs import Output
from quantlab_server.private_files import private_folder
from quantlab_server.stores import EmbeddedStores, StoreUrls
from tests.support.world import ALPHA, BETA, Bot, World, world

pytestmark = pytest.mark.stack


@dataclass
class Stores:
    """Both stores on ports that they keep; they are down between stop and start."""

    state: Path
    running: EmbeddedStores | None = None
    urls: StoreUrls = field(init=False)

    def start(self) -> None:
        self.running = EmbeddedStores(self.state, Output(self.state / "logs"), durable=False)
        self.urls = self.running.start()

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None

    def restart(self) -> None:
        before = self.urls
        self.stop()
        self.start()
        assert self.urls == before


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    made = Stores(private_folder(tmp_path_factory.mktemp("restarted") / "state"))
    made.start()
    migrate(made.urls.owner_dsn)
    yield made
    made.stop()


@pytest.fixture
async def small(stores: Stores, tmp_path: Path) -> AsyncIterator[World]:
    async with world(stores.urls.app_dsn, stores.urls.redis_url, tmp_path) as made:
        yield made


async def _bot(small: World) -> Bot:
    return await small.bot(ALPHA, await small.account(ALPHA))


async def _trade(small: World, bot: Bot, number: int) -> None:
    """Walk the whole path: accept, execute, chain; every adapter with its own connection."""
    await small.quote("EURUSD", "1.10000", "1.10002")
    body = {"id": f"s-{number}", "action": "buy", "symbol": "EURUSD", "quantity": "0.01"}
    receipt = await small.send(bot, body)
    assert isinstance(receipt, Receipt)
    await small.settle(ALPHA)
    assert await audit.append_pending(small.ports, ALPHA) > 0
    types = await small.event_types(ALPHA, bot.account_id)
    assert types.count("order.filled") == number


async def _fill_the_pool(small: World) -> None:
    await asyncio.gather(*(small.ports.tenants.active() for _ in range(24)))


async def test_every_adapter_serves_the_call_after_a_restart(stores: Stores, small: World) -> None:
    bot = await _bot(small)
    for number in (1, 2, 3):
        await _fill_the_pool(small)
        await _trade(small, bot, number)
        stores.restart()
    await _trade(small, bot, 4)


async def test_all_pooled_connections_are_replaced(stores: Stores, small: World) -> None:
    await _fill_the_pool(small)
    stores.restart()
    answers = await asyncio.gather(*(small.ports.tenants.active() for _ in range(24)))
    assert all(set(answer) == {ALPHA, BETA} for answer in answers)


async def test_all_connections_to_redis_are_replaced(stores: Stores, small: World) -> None:
    quotes = small.ports.quotes
    await asyncio.gather(*(quotes.feed_clock() for _ in range(24)))
    await small.ports.stamps.renew(ALPHA)
    stores.restart()
    assert await asyncio.gather(*(quotes.feed_clock() for _ in range(24))) == [None] * 24
    await asyncio.gather(*(small.ports.event_bus.publish("events", b"{}") for _ in range(4)))
    await small.ports.stamps.renew(ALPHA)


async def test_several_lanes_and_appenders_come_back(stores: Stores, small: World) -> None:
    async def turn() -> None:
        await asyncio.gather(*(small.settle(tenant) for tenant in (ALPHA, BETA) * 3))
        await asyncio.gather(*(audit.append_pending(small.ports, ALPHA) for _ in range(4)))
        await publishing.sweep_outbox(small.ports)

    await turn()
    stores.restart()
    await turn()


async def test_while_a_store_is_down_it_is_said(stores: Stores, small: World) -> None:
    bot = await _bot(small)
    await _trade(small, bot, 1)
    stores.stop()
    with pytest.raises(StoreUnavailable):
        await small.ports.inbox.accept(small.scope(ALPHA), _command(small, bot.account_id))
    with pytest.raises(StoreUnavailable):
        await small.settle(ALPHA)
    with pytest.raises(StoreUnavailable):
        await audit.append_pending(small.ports, ALPHA)
    with pytest.raises(StoreUnavailable):
        await small.ports.tenants.active()
    with pytest.raises(StoreUnavailable):
        await small.ports.event_bus.publish("events", b"{}")
    stores.start()
    await _trade(small, bot, 2)


def _command(small: World, account_id: str) -> NewCommand:
    return NewCommand(
        signal_id=small.ports.ids.new_id(),
        account_id=account_id,
        source_kind="bot",
        source_id="test",
        idempotency_key=small.ports.ids.random_bytes(32),
        body_digest=bytes(32),
        name="trade",
        payload={},
        received_ns=1,
    )


@dataclass
class Relay:
    """A relay to PostgreSQL that can swallow one answer: the server commits, nobody hears of it."""

    host: str
    port: int
    swallowing: bool = False
    swallowed: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._link, "127.0.0.1", 0)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        with contextlib.closing(writer), contextlib.closing(far_writer):
            upward = asyncio.create_task(self._up(reader, far_writer))
            while data := await far_reader.read(65_536):
                if self.swallowing:
                    self.swallowing = False
                    self.swallowed += 1
                    break
                writer.write(data)
                await writer.drain()
            upward.cancel()
            await asyncio.wait({upward})

    @staticmethod
    async def _up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.close()


async def test_an_accept_whose_answer_was_lost_is_accepted_once(
    stores: Stores, tmp_path: Path
) -> None:
    parts = urlsplit(stores.urls.app_dsn)
    relay = Relay(parts.hostname or "", parts.port or 0)
    server = await relay.serve()
    port = server.sockets[0].getsockname()[1]
    dsn = stores.urls.app_dsn.replace(f":{parts.port}/", f":{port}/")
    async with world(dsn, stores.urls.redis_url, tmp_path) as small:
        scope, inbox = small.scope(ALPHA), small.ports.inbox
        account_id = await small.account(ALPHA)
        assert (await inbox.accept(scope, _command(small, account_id))).new
        command = _command(small, account_id)
        relay.swallowing = True
        accepted = await inbox.accept(scope, command)
        assert relay.swallowed == 1
        assert accepted.new
        assert accepted.signal_id == command.signal_id
        delivery = await inbox.delivery(scope, command.signal_id)
        assert delivery is not None
        assert delivery.duplicates == 0
    server.close()
    await server.wait_closed()
