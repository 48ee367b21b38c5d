"""The whole application on real stores that can be cut off, with two tenants and a clock to set."""

import asyncio
import contextlib
import dataclasses
import email
import email.policy
import functools
import itertools
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.identity import User
from quantlab_app.use_cases import users
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings
from quantlab_edge.tenant_files import read_configs, read_tenant
from quantlab_manifest import load
from quantlab_server.app import create_app

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "agent" / "configs"
NORTH, BLUE = "northwind-capital", "blue-harbor"
PASSWORD = "correct horse battery"
_numbers = itertools.count()
FUNCTIONS = ("auth", "users", "api_keys", "sockets", "system", "tenants")


class Cable:
    """A TCP relay to a store that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._links:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._links.clear()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._links |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@dataclass
class Clock:
    """The machine's clock, moved by hand."""

    real: Any
    ahead_s: int = 0

    def now_ns(self) -> int:
        now: int = self.real.now_ns()
        return now + self.ahead_s * 1_000_000_000


@dataclass
class House:
    """The application under test."""

    app: FastAPI
    ports: Ports
    client: httpx.AsyncClient
    clock: Clock
    database: Cable
    redis: Cable
    state: Path

    async def user(self, role: Role, tenant_id: str = NORTH) -> User:
        address = f"{role.value}-{next(_numbers)}@example.com"
        scope = _seeder(tenant_id, role)
        made = await users.create_user(
            self.ports, scope, email=address, name="Somebody", role=role, password=PASSWORD
        )
        assert isinstance(made, User)
        return made

    async def token(
        self, email_address: str, *, tenant_id: str | None = NORTH, **fields: str
    ) -> httpx.Response:
        form = {"grant_type": "password", "username": email_address, "password": PASSWORD, **fields}
        if tenant_id is not None:
            form["tenant_id"] = tenant_id
        return await self.client.post("/oauth2/token", data=form)

    async def signed_in(self, role: Role, tenant_id: str = NORTH) -> dict[str, Any]:
        user = await self.user(role, tenant_id)
        answer = await self.token(user.email, tenant_id=tenant_id)
        assert answer.status_code == 200, answer.text
        return {**answer.json(), "user": user}

    async def refresh(self, refresh_token: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.client.post("/oauth2/token", data=form)

    async def me(self, access_token: str) -> int:
        return (await self.client.get("/me", headers=bearer(access_token))).status_code

    async def believe_redis(self) -> None:
        """Connect, and let the time pass in which a new process asks PostgreSQL first."""
        cache: Any = self.ports.credential_cache
        await cache.get("session", "nobody")
        cache._watch.distrusted_until = time.monotonic() - 1

    def mails_to(self, address: str) -> list[str]:
        """Return the texts mailed to an address, oldest first."""
        found = []
        for file in sorted((self.state / "outbox").glob("*.eml")):
            message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            if message["To"] == address:
                found.append(message.get_content())
        return found

    def mailed_token(self, address: str) -> str:
        match = re.search(r"#token=(\S+)", self.mails_to(address)[-1])
        assert match is not None
        return match[1]


def _seeder(tenant_id: str, role: Role) -> Scope:
    scope = system_scope(tenant_id, "tests", "tests")
    if role is Role.PLATFORM_ADMIN:
        actor = dataclasses.replace(scope.actor, role=Role.PLATFORM_ADMIN)
        return dataclasses.replace(scope, actor=actor)
    return scope


def bearer(access_token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {access_token}"}


def slug(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return str(response.json()["type"]).rpartition("/")[2]


def _through(url: str, cable: Cable) -> str:
    return url.replace(f":{urlsplit(url).port}", f":{cable.port}", 1)


@contextlib.asynccontextmanager
async def running_house(app_dsn: str, redis_url: str, state: Path) -> AsyncIterator[House]:
    """Build the application behind two cables and record two tenants."""
    async with contextlib.AsyncExitStack() as closing:
        cables = []
        for url in (app_dsn, redis_url):
            parts = urlsplit(url)
            cable = Cable(parts.hostname or "", parts.port or 0)
            await cable.mend()
            closing.push_async_callback(cable.cut)
            cables.append(cable)
        settings = Settings(
            database_url=SecretStr(_through(app_dsn, cables[0])),
            redis_url=SecretStr(_through(redis_url, cables[1])),
            state=state,
            configs=CONFIGS,
            argon2_time_cost=1,
            argon2_memory_kib=8192,
        )
        built = await build(settings)
        closing.push_async_callback(built.close)
        clock = Clock(built.clock)
        ports = dataclasses.replace(built, clock=clock)
        for tenant_id in (NORTH, BLUE):
            await _record(ports, tenant_id)
        manifests = [load(ROOT / "functions/http" / name / "function.toml") for name in FUNCTIONS]
        app = create_app(ports, manifests)
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
        await closing.enter_async_context(client)
        house = House(app, ports, client, clock, cables[0], cables[1], state)
        await house.believe_redis()
        yield house


async def _record(ports: Ports, tenant_id: str) -> None:
    await ports.tenants.ensure(tenant_id)
    config = _config(tenant_id)
    await ports.tenant_configs.record(system_scope(tenant_id, "tests", "tests"), config)


@functools.cache
def _config(tenant_id: str) -> TenantConfig:
    file = read_tenant(CONFIGS / "tenants" / f"{tenant_id}.json", read_configs(CONFIGS))
    assert file.config is not None, file.problems
    return file.config
