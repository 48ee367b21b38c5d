"""The wire side of the load generator: HTTP/1.1 keep-alive and WebSocket on bare protocols.

Client, server and stores share the cores, so a request must cost little here: bytes are written as
they were prepared, and of what comes in only what the measurement needs is looked at.
"""

import asyncio
import base64
import os
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import orjson

NOW = time.perf_counter
EXECUTED: Final = b'"webhook.trade_executed"'
REJECTED: Final = b'"webhook.rejected"'
SIGNAL_ID: Final = b'"signalId":"'
ID_CHARS: Final = 36
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENT: Final = re.compile(rb'"channel":"account:([0-9a-f-]{36})","seq":(\d+)')


@dataclass(slots=True)
class Tally:
    """What one run saw. Latencies count from the moment a request was due, not from its write."""

    due: dict[bytes, float] = field(default_factory=dict)
    accepted_s: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    executed_at: dict[bytes, float] = field(default_factory=dict)
    rejected: int = 0
    events: int = 0
    repeated: int = 0
    gaps: int = 0
    resyncs: int = 0
    connections_lost: int = 0


class Requests:
    """Connections that take the next prepared request as soon as one is free."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.answered = 0
        self._idle: deque[_Exchange] = deque()
        self._waiting: deque[tuple[float, bytes]] = deque()

    async def connect(self, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: _Exchange(self), "127.0.0.1", port)

    def send(self, due: float, request: bytes) -> None:
        if self._idle:
            self._idle.popleft().begin(due, request)
        else:
            self._waiting.append((due, request))

    def free(self, exchange: "_Exchange") -> None:
        if self._waiting:
            exchange.begin(*self._waiting.popleft())
        else:
            self._idle.append(exchange)


class _Exchange(asyncio.Protocol):
    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._due = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._requests.free(self)

    def begin(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        length = _LENGTH.search(received, 0, head_end) if head_end >= 0 else None
        if length is None or len(received) < head_end + 4 + int(length[1]):
            self._received = received
            return
        self._received = b""
        self._answered(int(received[9:12]), received[head_end + 4 :])
        self._requests.free(self)

    def _answered(self, code: int, body: bytes) -> None:
        tally = self._requests.tally
        tally.codes[code] += 1
        self._requests.answered += 1
        if code == 202:
            tally.accepted_s.append(NOW() - self._due)
            at = body.find(SIGNAL_ID) + len(SIGNAL_ID)
            tally.due[body[at : at + ID_CHARS]] = self._due
        elif len(tally.refusals) < 5:
            tally.refusals.append(f"{code} {body[:300].decode(errors='replace')}")

    def connection_lost(self, _error: Exception | None) -> None:
        self._requests.tally.connections_lost += 1


class Subscriber(asyncio.Protocol):
    """One WebSocket that listens to accounts and notes when each signal's last event arrives."""

    def __init__(
        self, url: str, ticket: str, accounts: list[str], tally: Tally, *, batched: bool
    ) -> None:
        address = urlsplit(url)
        self._hello = (
            f"GET {address.path}?ticket={ticket}{'&batched=1' * batched} HTTP/1.1\r\n"
            f"Host: {address.netloc}\r\n"
            "Upgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
        ).encode()
        self._channels = [f"account:{account}" for account in accounts]
        self._tally = tally
        self._buffer = bytearray()
        self._open = False
        self._seq: dict[bytes, int] = {}
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open and not self._opened():
            return
        now = NOW()
        buffer, at = self._buffer, 0
        while (frame := _frame(buffer, at)) is not None:
            opcode, begin, at = frame
            if opcode == 1:
                self._take(bytes(buffer[begin:at]), now)
            elif opcode == 9:
                self._write(10, bytes(buffer[begin:at]))
        del buffer[:at]

    def _opened(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        if not head.startswith(b"HTTP/1.1 101"):
            self.ready.set_exception(RuntimeError(f"the WebSocket was refused: {head!r}"))
            self._transport.close()
            return False
        del self._buffer[: end + 4]
        self._open = True
        self._write(1, orjson.dumps({"action": "subscribe", "channels": self._channels}))
        return True

    def _write(self, opcode: int, payload: bytes) -> None:
        """Send one frame; a mask of zeros is a mask."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def _take(self, text: bytes, now: float) -> None:
        if text.startswith(b"["):
            for message in orjson.loads(text):
                self._take(orjson.dumps(message), now)
            return
        tally = self._tally
        event = _EVENT.search(text, 0, 120)
        if event is None:
            self._take_other(text)
            return
        tally.events += 1
        account, seq = event[1], int(event[2])
        expected = self._seq.get(account, 0) + 1
        if seq < expected:
            tally.repeated += 1
            return
        tally.gaps += seq - expected
        self._seq[account] = seq
        if EXECUTED in text:
            at = text.find(SIGNAL_ID) + len(SIGNAL_ID)
            tally.executed_at[text[at : at + ID_CHARS]] = now
        elif REJECTED in text:
            tally.rejected += 1

    def _take_other(self, text: bytes) -> None:
        message = orjson.loads(text)
        if message["type"] == "subscribed":
            heads = message["seq"]
            self._seq = {name.removeprefix("account:").encode(): heads[name] for name in heads}
            if len(heads) == len(self._channels) and not self.ready.done():
                self.ready.set_result(None)
        elif message["type"] == "resync":
            self._tally.resyncs += 1
        elif message["type"] == "error" and not self.ready.done():
            self.ready.set_exception(RuntimeError(f"the subscription was refused: {message}"))

    def connection_lost(self, _error: Exception | None) -> None:
        self._tally.connections_lost += 1
        if not self.ready.done():
            self.ready.set_exception(RuntimeError("the WebSocket closed before it was ready"))

    def close(self) -> None:
        self._transport.close()


def _frame(buffer: bytearray, at: int) -> tuple[int, int, int] | None:
    """Return opcode, begin and end of the payload of the frame at a place, if it is whole."""
    have = len(buffer) - at
    if have < 2:
        return None
    size, begin = buffer[at + 1] & 0x7F, at + 2
    extra = {126: 2, 127: 8}.get(size, 0)
    if have < 2 + extra:
        return None
    if extra:
        size = int.from_bytes(buffer[begin : begin + extra], "big")
        begin += extra
    return (buffer[at] & 0x0F, begin, begin + size) if len(buffer) >= begin + size else None
