"""The server role's own server, over a real socket: headers, limits, every function mounted."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from pydantic import SecretStr
from tests.support.edge import House, slug

from quantlab_edge.settings import Settings
from quantlab_server import app, plan

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        database_url=SecretStr("postgresql://nowhere"),
        redis_url=SecretStr("redis://nowhere"),
        state=house.state,
    )
    server = app.server(app.create_app(house.ports, plan.manifests()), settings)
    serving = asyncio.create_task(server.serve([listener]))
    port = listener.getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as made:
        async with asyncio.timeout(5):
            while not server.started:
                await asyncio.sleep(0.01)
        yield made
    server.should_exit = True
    await serving
    listener.close()


async def test_server_says_nothing_of_itself(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200, answer.text
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-correlation-id"]


async def test_forwarded_addresses_are_not_believed(client: httpx.AsyncClient) -> None:
    form = {"grant_type": "password", "username": "a@example.com", "password": "wrong password"}
    waits = [
        await client.post("/oauth2/token", data=form, headers={"x-forwarded-for": f"192.0.2.{n}"})
        for n in range(11)
    ]
    assert [slug(answer) for answer in waits] == ["invalid_grant"] * 10 + ["rate_limited"]


def _chunks() -> Iterator[bytes]:
    for _ in range(20):
        yield b"a" * 8192


async def test_large_body_is_refused_with_and_without_a_length(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in _chunks():
            yield chunk

    form = {"content-type": "application/x-www-form-urlencoded"}
    for content in (b"".join(_chunks()), chunks()):
        answer = await client.post("/oauth2/token", content=content, headers=form)
        assert (answer.status_code, slug(answer)) == (413, "payload_too_large")


async def test_openapi_of_the_installation_is_served(client: httpx.AsyncClient) -> None:
    served = (await client.get("/openapi.json")).json()
    assert set(served["paths"]) >= {"/oauth2/token", "/health", "/tenants/{tenantId}/users"}


@pytest.mark.parametrize("path", ["/ws", "/ws?ticket=nobodys"])
async def test_socket_without_a_good_ticket_is_refused(
    client: httpx.AsyncClient, path: str
) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = await client.get(path, headers=upgrade)
    assert answer.status_code == 401
