"""A hub on the real stores behind a real server, and a client that keeps what it receives."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import psycopg
import uvicorn
from functions.http.events import handler as events_function
from functions.http.sockets import handler as tickets_function
from starlette.requests import Request
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from quantlab.engine.commands import Event
from quantlab.market.quote import FeedClock, Quote
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope, system_scope
from quantlab_adapters.postgres.backtests import PostgresBacktests
from quantlab_adapters.postgres.database import Database
from quantlab_adapters.postgres.event_log import PostgresEventLog
from quantlab_adapters.redis import client as redis_client
from quantlab_adapters.redis.event_bus import RedisEventBus
from quantlab_adapters.redis.quotes import RedisQuoteSink
from quantlab_adapters.redis.sessions import RedisTickets
from quantlab_adapters.redis.subscriptions import RedisSubscriptions
from quantlab_adapters.selfhost.clock import SystemClock, SystemIds
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.identity import IdentityPolicy
from quantlab_app.ports.market import FeedBatch
from quantlab_app.ports.sessions import Credential, Session, TicketHolder
from quantlab_app.use_cases.publishing import events_message
from quantlab_edge import problems
from quantlab_edge.http import credential
from quantlab_edge.typed import new_app
from quantlab_manifest.loader import load
from quantlab_server import hub

ROOT = Path(__file__).resolve().parents[2]
TENANT = "acme"
OTHER_TENANT = "globex"
SESSION = "00000000-0000-7000-8000-0000000000ff"
USER = "00000000-0000-7000-8000-000000000001"
OTHER_USER = "00000000-0000-7000-8000-000000000002"
ACCOUNT = "00000000-0000-7000-8000-00000000000a"
FOREIGN_ACCOUNT = "00000000-0000-7000-8000-00000000000b"
COLLEAGUES_ACCOUNT = "00000000-0000-7000-8000-00000000000c"
SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS


class Sessions:
    """The session store, reduced to which sessions stand."""

    def __init__(self) -> None:
        self.standing: dict[str, tuple[str, Role]] = {}

    async def find(self, _scope: Scope, session_id: str, now_ns: int) -> Session | None:
        if session_id not in self.standing:
            return None
        user_id, role = self.standing[session_id]
        return Session(
            session_id=session_id, user_id=user_id, role=role, browser=False,
            created_ns=0, expires_ns=now_ns + 3600 * SECOND_NS,
        )  # fmt: skip


class NoCache:
    """A credential cache that never knows."""

    async def get(self, *_: object) -> None:
        return None

    async def put(self, *_: object) -> None:
        return None


class Configs:
    """The recorded configuration, reduced to the instruments."""

    async def current(self, scope: Scope) -> SimpleNamespace:
        if scope.tenant_id != TENANT:
            raise NotFound("configuration")
        return SimpleNamespace(instruments=("EURUSD", "XAUUSD"))


@dataclass
class House:
    """A running hub and the doors to its stores."""

    port: int
    ports: Ports
    sessions: Sessions
    seqs: dict[str, int] = field(default_factory=dict)

    async def ticket(
        self,
        *,
        life_s: float = 600,
        tenant_id: str = TENANT,
        user_id: str = USER,
        role: Role = Role.TRADER,
    ) -> str:
        session_id = self.ports.ids.new_id()
        self.sessions.standing[session_id] = (user_id, role)
        holder = TicketHolder(
            scope=Scope(tenant_id, Actor("user", user_id, role), "test"),
            kind="session",
            reference=session_id,
            home_tenant_id=tenant_id,
            expires_ns=self.ports.clock.now_ns() + int(life_s * SECOND_NS),
        )
        return await self.ports.tickets.issue(holder)

    @contextlib.asynccontextmanager
    async def client(self, **scope: Any) -> AsyncIterator["Client"]:
        async with connect(
            self.url(await self.ticket(**scope)), compression=None, close_timeout=0.5
        ) as raw:
            yield Client(raw)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, ticket: str) -> str:
        return f"ws://127.0.0.1:{self.port}/ws?ticket={quote(ticket)}"

    async def read_seqs(self) -> None:
        database = cast("Database", cast("Any", self.ports).database)
        for tenant_id in (TENANT, OTHER_TENANT):
            async with database.tenant(tenant_id) as connection:
                rows = await connection.execute("select account_id::text, event_seq from account")
                self.seqs |= {row["account_id"]: row["event_seq"] async for row in rows}

    async def commit(self, account_id: str, count: int, tenant_id: str = TENANT) -> list[int]:
        """Write events as the executor does, without telling anybody."""
        first = self.seqs.get(account_id, 0) + 1
        seqs = list(range(first, first + count))
        database = cast("Database", cast("Any", self.ports).database)
        async with database.tenant(tenant_id) as connection:
            await connection.execute(
                "insert into event select %s, %s::uuid, seq, 'order.filled', %s,"
                " json_build_object('n', seq) from unnest(%s::bigint[]) seq",
                (tenant_id, account_id, NOW_NS, seqs),
            )
            await connection.execute(
                "update account set event_seq = %s where tenant_id = %s and account_id = %s",
                (seqs[-1], tenant_id, account_id),
            )
        self.seqs[account_id] = seqs[-1]
        return seqs

    async def announce(self, account_id: str, seqs: Sequence[int], tenant_id: str = TENANT) -> None:
        await self.ports.event_bus.publish("events", bus_message(account_id, seqs, tenant_id))

    async def happen(self, account_id: str, count: int, tenant_id: str = TENANT) -> list[int]:
        seqs = await self.commit(account_id, count, tenant_id)
        await self.announce(account_id, seqs, tenant_id)
        return seqs

    async def quote(self, symbol: str, bid_ticks: int, seq: int) -> None:
        sink = cast("RedisQuoteSink", cast("Any", self.ports).sink)
        tick = Quote(symbol, bid_ticks, bid_ticks + 2, NOW_NS + seq, seq, False)
        clock = FeedClock(NOW_NS + seq, NOW_NS + seq, 1_000_000)
        await sink.publish(FeedBatch(clock, accepted=[tick]))


def bus_message(account_id: str, seqs: Sequence[int], tenant_id: str = TENANT) -> bytes:
    """Write the message the executor publishes after its commit."""
    events = [Event(seq, "order.filled", NOW_NS, {"n": seq}) for seq in seqs]
    return events_message(tenant_id, {account_id: events})


class Client:
    """A WebSocket client that can wait for what it expects."""

    def __init__(self, raw: ClientConnection) -> None:
        self.raw = raw

    async def send(self, **message: Any) -> None:
        await self.raw.send(json.dumps(message))

    async def receive(self, timeout_s: float = 5) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            return cast("dict[str, Any]", json.loads(await self.raw.recv()))

    async def subscribe(
        self, *channels: str, after_seq: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        await self.send(action="subscribe", channels=channels, afterSeq=after_seq or {})
        return await self.receive()

    async def events(self, count: int, timeout_s: float = 10) -> list[int]:
        """Return the sequence numbers of the next messages, which must all be events."""
        seqs = []
        async with asyncio.timeout(timeout_s):
            while len(seqs) < count:
                message = json.loads(await self.raw.recv())
                assert message["type"] == "event", message
                seqs.append(message["seq"])
        return seqs

    async def closed_with(self, timeout_s: float = 8) -> tuple[int, list[dict[str, Any]]]:
        """Read until the server closes; return its code and what came before."""
        messages = []
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    messages.append(json.loads(await self.raw.recv()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006, messages

    async def silent(self, for_s: float = 0.3) -> bool:
        try:
            await self.receive(for_s)
        except TimeoutError:
            return True
        return False


@contextlib.asynccontextmanager
async def open_house(app_dsn: str, redis_url: str, **more: Any) -> AsyncIterator[House]:
    """Open every store, all real but sessions and configurations; nothing is served yet."""
    async with contextlib.AsyncExitStack() as closing:
        database = Database(app_dsn)
        await database.open()
        closing.push_async_callback(database.close)
        redis = redis_client.connect(redis_url)
        closing.push_async_callback(redis.aclose)
        clock, ids, sessions = SystemClock(), SystemIds(), Sessions()
        ports = SimpleNamespace(
            **more,
            clock=clock, ids=ids, database=database, sessions=sessions, redis=redis,
            identity_policy=IdentityPolicy(public_url="http://127.0.0.1"),
            credential_cache=NoCache(), tenant_configs=Configs(),
            tickets=RedisTickets(redis, ids, ttl_s=30),
            event_log=PostgresEventLog(database), event_bus=RedisEventBus(redis),
            backtests=PostgresBacktests(database),
            subscriptions=RedisSubscriptions(redis, clock),
            sink=RedisQuoteSink(redis, {"EURUSD": Decimal("0.00001")}),
        )  # fmt: skip
        house = House(0, cast("Ports", ports), sessions)
        await house.read_seqs()
        yield house


@contextlib.asynccontextmanager
async def running_house(app_dsn: str, redis_url: str) -> AsyncIterator[House]:
    """Serve the hub on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with open_house(app_dsn, redis_url) as house:
        server = _server(house.ports)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            await eventually(lambda: _started(server))
            house.port = listener.getsockname()[1]
            yield house
        finally:
            server.should_exit = True
            await serving
            listener.close()


async def _trader(request: Request) -> Credential:
    """Stand in for authentication: every request is the trader's."""
    sessions = cast("Sessions", request.app.state.ports.sessions)
    sessions.standing[SESSION] = (USER, Role.TRADER)
    return Credential(
        scope=Scope(TENANT, Actor("user", USER, Role.TRADER), "test"),
        kind="session", reference=SESSION, home_tenant_id=TENANT,
        expires_ns=request.app.state.ports.clock.now_ns() + 600 * SECOND_NS,
    )  # fmt: skip


def _server(ports: Ports) -> uvicorn.Server:
    app = new_app()
    app.state.ports = ports
    problems.install(app)
    app.include_router(tickets_function.router)
    app.include_router(events_function.router)
    app.dependency_overrides[credential] = _trader
    folders = sorted((ROOT / "functions" / "socket").glob("*/function.toml"))
    hub.attach(app, ports, cast("Any", [load(file) for file in folders]))
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, **hub.SERVER_OPTIONS
    )
    return uvicorn.Server(config)


async def eventually(holds: Callable[[], Awaitable[bool]], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not await holds():
            await asyncio.sleep(0.01)


async def _started(server: uvicorn.Server) -> bool:
    return server.started


def prepare_accounts(superuser_dsn: str) -> None:
    """Write two tenants and their accounts, one row each."""
    with psycopg.connect(superuser_dsn, options="-c search_path=quantlab") as connection:
        for tenant_id, accounts in (
            (TENANT, ((ACCOUNT, USER), (COLLEAGUES_ACCOUNT, OTHER_USER))),
            (OTHER_TENANT, ((FOREIGN_ACCOUNT, OTHER_USER),)),
        ):
            connection.execute("insert into tenant (tenant_id) values (%s)", (tenant_id,))
            connection.execute("insert into tenant_config values (%s, 'v1', '{}')", (tenant_id,))
            for account_id, user_id in accounts:
                add_account(connection, tenant_id, account_id, user_id)


def add_account(
    connection: psycopg.Connection[Any], tenant_id: str, account_id: str, user_id: str
) -> None:
    connection.execute(
        "insert into account (tenant_id, account_id, user_id, status, account_type,"
        " config_version, currency, currency_digits, initial_balance_minor, balance_minor,"
        " high_water_minor, day_date, day_started_ns, day_next_reset_ns,"
        " day_start_balance_minor, day_start_equity_minor)"
        " values (%s, %s, %s, 'active', 'demo', 'v1', 'USD', 2, 1, 1, 1, '2026-01-01', 0, 1, 1, 1)",
        (tenant_id, account_id, user_id),
    )


def scope_of_tests(tenant_id: str = TENANT) -> Scope:
    return system_scope(tenant_id, "tests", "test")
