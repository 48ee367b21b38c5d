"""One open socket that a gateway holds for us: what is sent to it is posted, in order."""

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sockets import OpenConnection, Progress, Pushes
from quantlab_edge.hub_connection import Connection
from quantlab_edge.socket import CLOSE_OVERLOADED, CLOSE_UNAUTHORIZED, error_text

RETRY_S_MIN: Final = 0.05
RETRY_S_MAX: Final = 2.0
# A gateway closes with a code of its own, so the reason is sent as a message.
FAREWELLS: Final = {
    CLOSE_UNAUTHORIZED: error_text("unauthorized", "the token, session or key has ended"),
    CLOSE_OVERLOADED: error_text("unavailable", "connect again and go on after the last event"),
}

_log = structlog.get_logger(__name__)


class GatewayConnection(Connection):
    """A client behind a gateway. marks is what is recorded of how far its accounts are."""

    def __init__(self, record: OpenConnection, pushes: Pushes, now_s: float) -> None:
        super().__init__(record.connection_id, record.holder, self._carry, now_s)
        self.marks: dict[str, Progress] = {}
        self.gone = False
        self._pushes = pushes

    def idle(self, now_s: float) -> bool:  # noqa: ARG002
        """Leave it to the gateway, which alone hears the client."""
        return False

    def progress(self) -> dict[str, Progress]:
        """Return what is recorded of each channel."""
        return {**self.marks, **dict.fromkeys(self.symbols, Progress())}

    def unmarked(self, *, exact: bool) -> dict[str, tuple[Progress, Progress]]:
        """Return the steps from what is recorded to what has been sent, where they differ."""
        if not self.flushed:
            return {}
        reached = {
            name: (self.marks[name], Progress(feed.sent, loose=not exact))
            for name, feed in self.feeds.items()
            if name in self.marks
        }
        return {name: step for name, step in reached.items() if step[0] != step[1]}

    async def _carry(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.close":
            await self._say_why(message["code"])
            return
        pause_s = RETRY_S_MIN
        while True:
            try:
                self.gone = not await self._pushes.post(self.connection_id, message["text"])
                break
            except StoreUnavailable as fault:
                _log.warning("post_failed", connection_id=self.connection_id, cause=str(fault))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)
            if self.closing:
                return
        if self.gone:
            raise ConnectionResetError("the gateway holds no such connection")

    async def _say_why(self, code: int) -> None:
        if code in FAREWELLS:
            with contextlib.suppress(StoreUnavailable):
                self.gone = not await self._pushes.post(self.connection_id, FAREWELLS[code])
