"""What the self-hosted hub does while sockets are open: one listener at a time."""

import asyncio
from collections.abc import Callable, MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.use_cases import waiting
from quantlab_edge.socket import CONNECT, DEFAULT, DISCONNECT, SUBSCRIBE, SocketEvent, SocketReply
from quantlab_server import hub
from quantlab_server.hub import Hub

HOLDER = TicketHolder(
    scope=Scope("acme", Actor("user", "u", Role.TRADER), "c"),
    kind="session", reference="s", home_tenant_id="acme", expires_ns=60_000_000_000,
)  # fmt: skip


class Bus:
    """Counts who listens; a listener can lose its first cancellation, or break at once."""

    def __init__(self) -> None:
        self.listening = 0
        self.most = 0
        self.begun = 0
        self.loses = False
        self.breaks = 0

    async def listen(self, _topics: Any, _on_message: Any, on_attached: Callable[[], None]) -> None:
        self.begun += 1
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("broken bus")
        self.listening += 1
        self.most = max(self.most, self.listening)
        on_attached()
        try:
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if not self.loses:
                        raise
                    self.loses = False
        finally:
            self.listening -= 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.listening != count:
                await asyncio.sleep(0.001)


class Client:
    """One socket of a hub, open from join() to leave()."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._accepted = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def join(self) -> None:
        self._messages.put_nowait({"type": "websocket.connect"})
        scope = {"query_string": b""}
        self._serving = asyncio.create_task(self._hub(scope, self._messages.get, self._send))
        await self._accepted.wait()

    async def leave(self) -> None:
        assert self._serving is not None
        self._messages.put_nowait({"type": "websocket.disconnect"})
        await self._serving

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            self._accepted.set()


async def _function(_ports: Ports, event: SocketEvent) -> SocketReply:
    return SocketReply(holder=HOLDER if event.route == CONNECT else None)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def open_hub(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(waiting, "CANCEL_AGAIN_S", 0.05)
    monkeypatch.setattr(hub, "BEGIN_AGAIN_S", 0.01)
    ids = iter("abcdefgh")
    ports = SimpleNamespace(
        event_bus=bus,
        clock=SimpleNamespace(now_ns=lambda: 0),
        ids=SimpleNamespace(new_id=lambda: next(ids)),
    )
    routes = (CONNECT, DISCONNECT, SUBSCRIBE, DEFAULT)
    return Hub(cast("Ports", ports), dict.fromkeys(routes, _function))


async def test_a_listener_that_loses_its_cancellation_ends_before_another_begins(
    open_hub: Hub, bus: Bus
) -> None:
    first, second = Client(open_hub), Client(open_hub)
    await first.join()
    await bus.until(1)
    bus.loses = True
    await first.leave()
    await second.join()
    async with asyncio.timeout(5):
        while bus.begun < 2:
            await asyncio.sleep(0.001)
    assert (bus.loses, bus.listening, bus.most) == (False, 1, 1)
    await second.leave()
    await bus.until(0)


async def test_sockets_share_a_listener(open_hub: Hub, bus: Bus) -> None:
    clients = [Client(open_hub) for _ in range(3)]
    for client in clients:
        await client.join()
    await bus.until(1)
    for client in clients[:-1]:
        await client.leave()
    await asyncio.sleep(0.01)
    assert (bus.begun, bus.listening) == (1, 1)
    await clients[-1].leave()
    await bus.until(0)


async def test_a_listener_that_breaks_is_begun_again(open_hub: Hub, bus: Bus) -> None:
    bus.breaks = 2
    client = Client(open_hub)
    await client.join()
    await bus.until(1)
    assert bus.begun == 3
    await client.leave()
    await bus.until(0)
