"""All sockets open in one process, whoever carries their messages: joined, watched, ended.

It must not know what a client may listen to; the socket functions say that.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases import identity, sockets
from quantlab_app.use_cases.waiting import end_all
from quantlab_edge import observe
from quantlab_edge.hub_connection import Connection
from quantlab_edge.hub_fanout import Fanout
from quantlab_edge.socket import CLOSE_NORMAL, CLOSE_OVERLOADED, CLOSE_UNAUTHORIZED

WATCH_S: Final = 1.0
SESSION_CHECK_S: Final = 4.0
CHECKS_UNANSWERED_MAX: Final = 3

_log = structlog.get_logger(__name__)


class Room:
    """The connections of a host, and the work that is done for all of them."""

    def __init__(self, ports: Ports, fanout: Fanout) -> None:
        self._ports = ports
        self.fanout = fanout
        self.connections: dict[str, Connection] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what must run while connections are open."""
        return (self.fanout.run(), self._watch(), self._check_sessions())

    def join(self, connection: Connection) -> None:
        """Take a connection in; it ends with its token at the latest."""
        left_s = (connection.holder.expires_ns - self._ports.clock.now_ns()) / 1e9
        self._ends[connection.connection_id] = asyncio.get_running_loop().call_later(
            left_s, connection.close, CLOSE_UNAUTHORIZED, "token ended"
        )
        self.connections[connection.connection_id] = connection
        observe.sockets_open.set(len(self.connections))

    def leave(self, connection: Connection) -> None:
        """Let a connection go, with all it listens to."""
        self._ends.pop(connection.connection_id).cancel()
        del self.connections[connection.connection_id]
        observe.sockets_open.set(len(self.connections))
        for name in connection.channels:
            self.fanout.drop(connection, name)

    async def serve(self, connection: Connection, *beside: Coroutine[Any, Any, None]) -> None:
        """Send what waits for a connection until that, or what runs beside it, ends."""
        served = {asyncio.create_task(work) for work in (*beside, connection.run_sender())}
        connection.tasks |= served
        try:
            done, _ = await asyncio.wait(served, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_all(connection.tasks)
        for task in done:
            # A client that is gone shows as OSError where something is sent to it.
            if not task.cancelled() and not isinstance(task.exception(), OSError):
                task.result()

    async def restore(self) -> None:
        """Record every open socket again after the store of subscriptions may have lost it."""
        for connection in list(self.connections.values()):
            if connection.closing:
                continue
            try:
                await sockets.restore_socket(
                    self._ports,
                    connection.holder,
                    connection.connection_id,
                    connection.progress(),
                )
            except StoreUnavailable as error:
                _log.warning("sockets_not_restored", error=str(error))
                return

    async def _watch(self) -> None:
        """Send idle clients away, and cut off those that no longer take anything."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_S)
            now_s = loop.time()
            for connection in list(self.connections.values()):
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
            for connection in list(self.connections.values()):
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
