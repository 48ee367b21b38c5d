"""The whole HTTP application on a small world: signed-in people and a running executor."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from quantlab.tenancy.permissions import Role
from quantlab_app.ports.identity import User
from quantlab_app.use_cases import users
from quantlab_app.use_cases.accounts import open_account
from quantlab_app.use_cases.audit import append_pending
from quantlab_app.use_cases.execution import execute_pending
from quantlab_manifest import load_all
from quantlab_server.app import create_app
from tests.support.world import ALPHA, BETA, World, world

ROOT = Path(__file__).parents[2]
MANIFESTS = tuple(one for one in load_all(ROOT / "functions") if one.kind == "http")
PASSWORD = "correct horse battery"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Person:
    tenant_id: str
    user_id: str
    headers: dict[str, str]


@dataclass(slots=True)
class Site:
    """The application, its client and the world behind it."""

    world: World
    client: httpx.AsyncClient

    async def person(self, role: Role, tenant_id: str = ALPHA) -> Person:
        email = f"{role.value}-{next(_numbers)}@example.com"
        made = await users.create_user(
            self.world.ports,
            self.world.scope(tenant_id),
            email=email,
            name="Somebody",
            role=role,
            password=PASSWORD,
        )
        assert isinstance(made, User)
        form = {
            "grant_type": "password",
            "username": email,
            "password": PASSWORD,
            "tenant_id": tenant_id,
        }
        answer = await self.client.post("/oauth2/token", data=form)
        assert answer.status_code == 200, answer.text
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        return Person(tenant_id, made.user_id, headers)

    async def account(self, owner: Person, account_type: str = "demo-100k") -> str:
        scope = self.world.scope(owner.tenant_id)
        return await open_account(self.world.ports, scope, owner.user_id, account_type)

    async def get(self, person: Person, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(self._url(person, path), params=query, headers=person.headers)

    async def send(
        self, method: str, person: Person, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        return await self.client.request(
            method,
            self._url(person, path),
            content=None if body is None else json.dumps(body),
            headers={"content-type": "application/json", **person.headers, **headers},
        )

    async def pages(self, person: Person, path: str, **query: Any) -> list[list[dict[str, Any]]]:
        """Follow nextCursor to the end."""
        found, cursor = [], None
        while True:
            more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
            answer = await self.get(person, path, **query, **more)
            assert answer.status_code == 200, answer.text
            found.append(answer.json()["items"])
            cursor = answer.json()["nextCursor"]
            if cursor is None:
                return found

    async def chain(self, *tenants: str) -> None:
        """Fill the audit log with everything that happened."""
        for tenant_id in tenants or (ALPHA, BETA):
            while await append_pending(self.world.ports, tenant_id):
                pass

    @contextlib.asynccontextmanager
    async def executing(self) -> AsyncIterator[None]:
        """Carry out commands while the block runs, as the queue's process does."""

        async def work() -> None:
            while True:
                for tenant_id in (ALPHA, BETA):
                    await execute_pending(self.world.ports, [tenant_id])
                await asyncio.sleep(0.005)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _url(self, person: Person, path: str) -> str:
        return path if path.startswith("/tenants/") else f"/tenants/{person.tenant_id}{path}"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return answer.status_code, str(document["type"]).rpartition("/")[2]


@contextlib.asynccontextmanager
async def site(
    app_dsn: str, redis_url: str, state: Path, patience_s: float | None = None
) -> AsyncIterator[Site]:
    """Serve every HTTP function in this process."""
    async with world(app_dsn, redis_url, state, patience_s=patience_s) as made:
        transport = httpx.ASGITransport(create_app(made.ports, MANIFESTS))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Site(made, client)
