"""One open socket: what waits to be sent, what may be left out, what its client may do.

It must not read a store, and nothing in it waits for a client except its own sender.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sized
from typing import Any, Final

from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.ports.sockets import Progress
from quantlab_edge import observe
from quantlab_edge.socket import CLOSE_OVERLOADED, resync_text

QUEUE_MAX: Final = 1_000
ROOM: Final = QUEUE_MAX // 2
REPLIES_MAX: Final = 256
CONFLATED_MAX: Final = 1_000
BURST: Final = 64
# A frame takes no further message from this size on: gateways count and charge by 32 kB.
FRAME_CHARS: Final = 16_000
MESSAGES_PER_S: Final = 10
MESSAGES_BURST: Final = 40
MISUSES_MAX: Final = 5
MISUSE_FORGIVEN_S: Final = 60.0
IDLE_S_MAX: Final = 600.0
STALL_S_MAX: Final = 30.0

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ConflationKey = tuple[str, str]

_messages_sent: Final = observe.socket_messages.labels("sent")
_resyncs_sent: Final = observe.socket_messages.labels("resync")


class Conduct:
    """Hold a client to its message rate, and count how often it breaks the protocol."""

    __slots__ = ("_misuses", "_refilled_s", "_tokens")

    def __init__(self, now_s: float) -> None:
        self._tokens = float(MESSAGES_BURST)
        self._refilled_s = now_s
        self._misuses: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        """Say whether one more message is within the rate."""
        refill = (now_s - self._refilled_s) * MESSAGES_PER_S
        self._tokens = min(float(MESSAGES_BURST), self._tokens + refill)
        self._refilled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def misuse(self, now_s: float) -> bool:
        """Count a misuse; True when there were too many of late."""
        while self._misuses and self._misuses[0] <= now_s - MISUSE_FORGIVEN_S:
            self._misuses.popleft()
        self._misuses.append(now_s)
        return len(self._misuses) > MISUSES_MAX


class Connection:
    """A client and the texts on their way to it."""

    def __init__(self, connection_id: str, holder: TicketHolder, send: Send, now_s: float) -> None:
        self.connection_id = connection_id
        self.holder = holder
        self.feeds: dict[str, AccountFeed] = {}
        self.symbols: set[str] = set()
        self.conduct = Conduct(now_s)
        self.fill_lock = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()
        self.checks_unanswered = 0
        self.sent = 0
        self._send = send
        self._queue: deque[str] = deque()
        self._conflated: dict[ConflationKey, str] = {}
        self._overflowed: dict[str, int] = {}
        self._sending = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._ending: tuple[int, str] | None = None
        self._heard_s = now_s
        self._progress = (0, now_s)

    @property
    def closing(self) -> bool:
        return self._ending is not None

    @property
    def channels(self) -> list[str]:
        return [*self.feeds, *self.symbols]

    @property
    def flushed(self) -> bool:
        """Say whether every event so far has been sent, or the hint that stands for it."""
        return not self._queue and not self._sending and not self._overflowed

    def progress(self) -> dict[str, Progress]:
        """Return how far each channel is, as it may be recorded."""
        feeds = {name: Progress(feed.sent, loose=True) for name, feed in self.feeds.items()}
        return {**feeds, **dict.fromkeys(self.symbols, Progress())}

    def reply(self, text: str) -> None:
        """Queue an answer; a client that asks and does not read is sent away."""
        if len(self._queue) >= QUEUE_MAX + REPLIES_MAX:
            self.close(CLOSE_OVERLOADED, "too slow")
            return
        self._queue.append(text)
        self._wake.set()

    def offer_event(self, channel: str, seq: int, text: str) -> None:
        """Queue an event, or leave it out and remember from where the client must fetch."""
        if len(self._queue) >= QUEUE_MAX or channel in self._overflowed:
            self._overflowed.setdefault(channel, seq)
            return
        self._queue.append(text)
        self._wake.set()

    def offer_resync(self, channel: str, from_seq: int) -> None:
        """Queue the hint that events from this one on must be fetched."""
        _resyncs_sent.inc()
        self.reply(resync_text(channel, from_seq))

    def conflate(self, key: ConflationKey, text: str) -> None:
        """Let the newest text of a key replace the one that still waits."""
        self._conflated[key] = text
        if len(self._conflated) > CONFLATED_MAX:
            del self._conflated[next(iter(self._conflated))]
        self._wake.set()

    def forget(self, channel: str) -> None:
        """Leave out what waits for a channel nobody listens to any more."""
        self._overflowed.pop(channel, None)
        for key in [key for key in self._conflated if key[0] == channel]:
            del self._conflated[key]

    async def room(self) -> None:
        """Wait until half the queue is free."""
        while len(self._queue) > ROOM:
            self._room.clear()
            await self._room.wait()

    def close(self, code: int, reason: str) -> None:
        """End the connection; what waits is not sent any more."""
        if self._ending is None:
            self._ending = (code, reason)
            self._wake.set()

    def heard(self, now_s: float) -> None:
        """Note that the client sent something."""
        self._heard_s = now_s

    def idle(self, now_s: float) -> bool:
        """Say whether the client has long neither spoken nor listened to anything."""
        return not self.feeds and not self.symbols and now_s - self._heard_s > IDLE_S_MAX

    def stalled(self, now_s: float) -> bool:
        """Say whether texts wait and none has gone out for long."""
        sent, since_s = self._progress
        waiting = bool(self._queue or self._conflated or self._ending)
        if sent != self.sent or not waiting:
            self._progress = (self.sent, now_s)
            return False
        return now_s - since_s > STALL_S_MAX

    async def run_sender(self) -> None:
        """Send what waits, in order, until the connection ends."""
        while self._ending is None:
            if self._queue or self._conflated:
                await self._send_burst()
            else:
                self._wake.clear()
                await self._wake.wait()
        code, reason = self._ending
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _send_burst(self) -> None:
        queue, conflated = self._queue, self._conflated
        sent_before = self.sent
        self._sending = True
        if not await self._send_some(queue, queue.popleft):
            return
        self._sending = False
        if not await self._send_some(conflated, lambda: conflated.pop(next(iter(conflated)))):
            return
        _messages_sent.inc(self.sent - sent_before)
        self._make_room()
        if queue or conflated:
            # A fast client never makes a send wait, so others get their turn here.
            await asyncio.sleep(0)

    async def _send_some(self, waiting: Sized, take: Callable[[], str]) -> bool:
        """Send what waits by now, a frame a message or, where the client asked so, for several.

        False when the connection's end cut it short.
        """
        left = min(BURST, len(waiting))
        while left > 0 and waiting and self._ending is None:
            texts = [take()]
            if self.holder.batched:
                size = len(texts[0])
                while waiting and len(texts) < left and size < FRAME_CHARS:
                    texts.append(take())
                    size += len(texts[-1])
            text = texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"
            await self._send({"type": "websocket.send", "text": text})
            self.sent += len(texts)
            left -= len(texts)
        return left <= 0 or not waiting

    def _make_room(self) -> None:
        if len(self._queue) > ROOM:
            return
        overflowed, self._overflowed = self._overflowed, {}
        for channel, from_seq in overflowed.items():
            self.offer_resync(channel, from_seq)
        self._room.set()


class AccountFeed:
    """One account's events on their way to one connection.

    sent is the newest event queued or left out, seen the newest known to be committed. While
    filling, the log alone feeds the connection and live events only move seen; unread says that
    the log must be read once more before live events count again.
    """

    __slots__ = (
        "account_id", "channel", "connection", "dropped", "filling", "seen", "sent", "unread",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, account_id: str, channel: str, sent: int, seen: int
    ) -> None:
        self.connection = connection
        self.account_id = account_id
        self.channel = channel
        self.sent = sent
        self.seen = seen
        self.filling = False
        self.unread = False
        self.dropped = False

    @property
    def tenant_id(self) -> str:
        return self.connection.holder.scope.tenant_id

    def offer(self, seq: int, text: str) -> bool:
        """Take a live event; True when events are missing before it and the log must be read."""
        self.seen = max(self.seen, seq)
        if self.filling or seq <= self.sent:
            return False
        if seq > self.sent + 1:
            return True
        self.push(seq, text)
        return False

    def push(self, seq: int, text: str) -> None:
        """Queue the next event."""
        self.sent = seq
        self.connection.offer_event(self.channel, seq, text)

    def skip(self) -> None:
        """Give the missing events up and tell the client where they begin."""
        self.connection.offer_resync(self.channel, self.sent + 1)
        self.sent = self.seen
