"""A tenant's system: a real HTTP server on this machine that takes webhooks, or fails as told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import standardwebhooks

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def place(self) -> tuple[str | None, int]:
        data = self.document["data"]
        return data["accountId"], data["seq"]

    def holds(self, secret: str) -> bool:
        """Ask the standard's own library."""
        try:
            standardwebhooks.Webhook(secret).verify(self.body, self.headers)
        except standardwebhooks.WebhookVerificationError:
            return False
        return True


def status(code: int, text: str = "ok", **headers: str) -> Say:
    """Answer with a status."""

    async def say(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {code} Word", f"content-length: {len(text.encode())}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
        await writer.drain()

    return say


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without a word."""
    writer.transport.abort()


async def babble(writer: asyncio.StreamWriter) -> None:
    """Answer with what is no HTTP."""
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await writer.drain()
    writer.close()


async def stay_silent(writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.sleep(3600)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Begin an answer that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbeg\r\n")
    await writer.drain()
    await asyncio.sleep(3600)


@dataclass
class Receiver:
    """What came, and what is answered: the answers given, each once, then the usual one."""

    port: int
    received: list[Received] = field(default_factory=list)
    answers: list[Say] = field(default_factory=list)
    usual: Say = field(default_factory=lambda: status(200))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?for=tests"

    def take(self) -> list[Received]:
        """Return what came since the last time."""
        taken, self.received = self.received, []
        return taken


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            while (request := await _read(reader)) is not None:
                receiver.received.append(request)
                answer = receiver.answers.pop(0) if receiver.answers else receiver.usual
                await answer(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            talks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    receiver = Receiver(server.sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    return Received(line, headers, body)
