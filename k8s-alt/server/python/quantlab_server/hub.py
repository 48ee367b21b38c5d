"""The self-hosted WebSocket side: the socket functions' host and the fan-out of the bus.

Access, subscription and the wording of messages are the functions' and use cases'; this room
holds connections and moves texts. It listens to the bus while a socket is open, not longer.
"""

import asyncio
import importlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import structlog
from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.use_cases.waiting import run_until, wait_at_most
from quantlab_edge.hub_connection import Connection
from quantlab_edge.hub_fanout import Fanout
from quantlab_edge.hub_room import Room
from quantlab_edge.socket import (
    CLOSE_POLICY,
    CLOSE_UNAUTHORIZED,
    CONNECT,
    DEFAULT,
    DISCONNECT,
    MESSAGE_BYTES_MAX,
    SUBSCRIBE,
    Malformed,
    SocketEvent,
    SocketReply,
    error_text,
    malformed_reply,
    route_of,
)

PATH: Final = "/ws"
# What the hub needs of the server: its own pings find dead peers, and texts this short and this
# many gain nothing from compression.
SERVER_OPTIONS: Final[dict[str, Any]] = {
    "ws": "websockets-sansio",
    "ws_max_size": MESSAGE_BYTES_MAX,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": False,
}
BEGIN_AGAIN_S: Final = 1.0
RATE_LIMITED: Final = error_text("rate_limited", "expected fewer messages a second")

SocketFunction = Callable[[Ports, SocketEvent], Awaitable[SocketReply]]

_TICKET: Final = re.compile(r"(ticket=)[^&\s]+")
_log = structlog.get_logger(__name__)


class _Wake(Protocol):
    @property
    def route(self) -> str: ...


class Manifest(Protocol):
    """What the hub reads of a socket function's manifest."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def wake(self) -> _Wake: ...


def attach(app: FastAPI, ports: Ports, manifests: Sequence[Manifest]) -> None:
    """Give the application its WebSocket, served by the socket functions of the manifests."""
    functions: dict[str, SocketFunction] = {
        manifest.wake.route: importlib.import_module(
            f"functions.socket.{manifest.name}.handler"
        ).handle
        for manifest in manifests
        if manifest.kind == "socket"
    }
    if not functions:
        return
    missing = {CONNECT, DISCONNECT, SUBSCRIBE, DEFAULT} - functions.keys()
    if missing:
        raise Misconfigured(f"functions/socket: expected a function for {sorted(missing)}")
    app.router.routes.append(WebSocketRoute(PATH, Hub(ports, functions)))
    logging.getLogger("uvicorn.error").addFilter(_redact_ticket)


def _redact_ticket(record: logging.LogRecord) -> bool:
    """Keep tickets out of the server's lines about handshakes."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            _TICKET.sub(r"\1***", value) if isinstance(value, str) else value
            for value in record.args
        )
    return True


class Hub:
    """An ASGI application for the socket's path, and all sockets open in this process."""

    def __init__(self, ports: Ports, functions: Mapping[str, SocketFunction]) -> None:
        self._ports = ports
        self._functions = functions
        self._room = Room(ports, Fanout(ports, self._on_attached))
        self._empty = asyncio.Event()
        self._empty.set()
        self._working = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._restoring: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from handshake to end."""
        await receive()
        connection_id = self._ports.ids.new_id()
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        event = SocketEvent(connection_id, CONNECT, query=query)
        reply = await self._functions[CONNECT](self._ports, event)
        if reply.holder is None:
            await _deny(send, reply)
            return
        now_s = asyncio.get_running_loop().time()
        connection = Connection(connection_id, reply.holder, send, now_s)
        self._join(connection)
        try:
            await send({"type": "websocket.accept"})
            await self._room.serve(connection, self._read(connection, receive))
        finally:
            self._leave(connection)
            event = SocketEvent(connection_id, DISCONNECT, holder=connection.holder)
            await self._functions[DISCONNECT](self._ports, event)

    def _join(self, connection: Connection) -> None:
        self._room.join(connection)
        if self._empty.is_set():
            self._empty = asyncio.Event()
            task = asyncio.create_task(self._work(self._empty))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _leave(self, connection: Connection) -> None:
        self._room.leave(connection)
        if not self._room.connections:
            self._empty.set()

    async def _work(self, empty: asyncio.Event) -> None:
        """Do what open sockets need until there are none, after all that was begun has ended."""
        async with self._working:
            while not empty.is_set():
                try:
                    await run_until(empty, self._room.works())
                except Exception as error:  # noqa: BLE001 - unserved, open sockets would be silent
                    _log.error("hub_work_broken", exc_info=error)
                    await wait_at_most(empty, BEGIN_AGAIN_S)
                finally:
                    self._room.fanout.rest()

    def _on_attached(self, again: bool) -> None:
        if again:
            self._restoring = asyncio.create_task(self._room.restore())

    async def _read(self, connection: Connection, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if connection.closing:
                continue
            connection.heard(loop.time())
            reply = await self._answer(connection, message.get("text"), loop.time())
            self._apply(connection, reply)
            if reply.misuse and connection.conduct.misuse(loop.time()):
                connection.close(CLOSE_POLICY, "too many messages that break the protocol")

    async def _answer(self, connection: Connection, text: str | None, now_s: float) -> SocketReply:
        if not connection.conduct.take(now_s):
            return SocketReply(status=429, messages=(RATE_LIMITED,), misuse=True)
        if text is None:
            return malformed_reply(Malformed("expected a text message"))
        route = route_of(text)
        event = SocketEvent(connection.connection_id, route, text, holder=connection.holder)
        return await self._functions[route](self._ports, event)

    def _apply(self, connection: Connection, reply: SocketReply) -> None:
        fanout = self._room.fanout
        for name in reply.dropped:
            fanout.drop(connection, name)
        for text in reply.messages:
            connection.reply(text)
        for grant in reply.granted:
            fanout.begin(connection, grant.channel, grant.start, grant.head_seq)
        if reply.status == 401:
            connection.close(CLOSE_UNAUTHORIZED, "token ended")


async def _deny(send: Send, reply: SocketReply) -> None:
    """Refuse the handshake with a status and the same body as an error message."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    body = "".join(reply.messages).encode()
    await send(
        {"type": "websocket.http.response.start", "status": reply.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})
