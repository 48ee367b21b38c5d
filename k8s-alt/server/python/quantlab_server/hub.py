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
from quantlab_app.ports.errors import Misconfigured, StoreUnavailable
from quantlab_app.use_cases import identity, sockets
from quantlab_edge import observe
from quantlab_edge.hub_connection import Connection
from quantlab_edge.hub_fanout import Fanout
from quantlab_edge.socket import (
    CLOSE_NORMAL,
    CLOSE_OVERLOADED,
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
WATCH_S: Final = 1.0
SESSION_CHECK_S: Final = 4.0
CHECKS_UNANSWERED_MAX: Final = 3
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
        self._connections: dict[str, Connection] = {}
        self._fanout = Fanout(ports, self._restore)
        self._tasks: set[asyncio.Task[None]] = set()

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
        loop = asyncio.get_running_loop()
        connection = Connection(connection_id, reply.holder, send, loop.time())
        left_s = (reply.holder.expires_ns - self._ports.clock.now_ns()) / 1e9
        end = loop.call_later(left_s, connection.close, CLOSE_UNAUTHORIZED, "token ended")
        try:
            await send({"type": "websocket.accept"})
            self._join(connection)
            await self._serve(connection, receive)
        finally:
            end.cancel()
            self._leave(connection)
            event = SocketEvent(connection_id, DISCONNECT, holder=connection.holder)
            await self._functions[DISCONNECT](self._ports, event)

    async def _serve(self, connection: Connection, receive: Receive) -> None:
        reader = asyncio.create_task(self._read(connection, receive))
        sender = asyncio.create_task(connection.run_sender())
        connection.tasks |= {reader, sender}
        try:
            done, _ = await asyncio.wait({reader, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = tuple(connection.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            # A client that is gone shows as OSError where the server sends to it.
            if not task.cancelled() and not isinstance(task.exception(), OSError):
                task.result()

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
        for name in reply.dropped:
            self._fanout.drop(connection, name)
        for text in reply.messages:
            connection.reply(text)
        for grant in reply.granted:
            self._fanout.add(connection, grant)
        if reply.status == 401:
            connection.close(CLOSE_UNAUTHORIZED, "token ended")

    def _join(self, connection: Connection) -> None:
        self._connections[connection.connection_id] = connection
        observe.sockets_open.set(len(self._connections))
        if not self._tasks:
            for work in (self._fanout.run(), self._watch(), self._check_sessions()):
                task = asyncio.create_task(work)
                task.add_done_callback(_report)
                self._tasks.add(task)

    def _leave(self, connection: Connection) -> None:
        self._connections.pop(connection.connection_id, None)
        observe.sockets_open.set(len(self._connections))
        for name in connection.channels:
            self._fanout.drop(connection, name)
        if not self._connections:
            for task in self._tasks:
                task.cancel()
            self._tasks.clear()
            self._fanout.rest()

    async def _watch(self) -> None:
        """Send idle clients away, and cut off those that no longer take anything."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_S)
            now_s = loop.time()
            for connection in list(self._connections.values()):
                if connection.idle(now_s):
                    connection.close(CLOSE_NORMAL, "idle")
                if connection.stalled(now_s):
                    _log.warning("socket_stalled", connection_id=connection.connection_id)
                    for task in tuple(connection.tasks):
                        task.cancel()

    async def _check_sessions(self) -> None:
        """Close sockets whose session or key has ended, within five seconds of its end."""
        while True:
            await asyncio.sleep(SESSION_CHECK_S)
            for connection in list(self._connections.values()):
                await self._check_session(connection)

    async def _check_session(self, connection: Connection) -> None:
        try:
            stands = await identity.still_stands(self._ports, connection.holder)
        except StoreUnavailable:
            connection.checks_unanswered += 1
            if connection.checks_unanswered >= CHECKS_UNANSWERED_MAX:
                connection.close(CLOSE_OVERLOADED, "credentials cannot be checked")
            return
        connection.checks_unanswered = 0
        if not stands:
            connection.close(CLOSE_UNAUTHORIZED, "session ended")

    async def _restore(self) -> None:
        """Record every open socket again after the store of subscriptions may have lost it."""
        for connection in list(self._connections.values()):
            try:
                await sockets.restore_socket(
                    self._ports,
                    connection.holder,
                    connection.connection_id,
                    connection.channels,
                )
            except StoreUnavailable as error:
                _log.warning("sockets_not_restored", error=str(error))
                return


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("hub_task_broken", exc_info=error)


async def _deny(send: Send, reply: SocketReply) -> None:
    """Refuse the handshake with a status and the same body as an error message."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    body = "".join(reply.messages).encode()
    await send(
        {"type": "websocket.http.response.start", "status": reply.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})
