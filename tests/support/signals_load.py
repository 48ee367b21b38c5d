"""Bots that send signals and remember every answer they got.

A bot that hears nothing, or 503, does not know what became of its signal and sends the same bytes
again, as real ones do.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.accounts import open_account
from quantlab_app.use_cases.bots import create_bot
from tests.support.running_platform import ANSWER_S
from tests.support.signal_traffic import ACCEPTED, DUPLICATE, LoadBot, Sending, Traffic

TYPE_BASE = "https://errors.quantlab.example/"
KEEP_TRYING_S = 90
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the end it names, the signal, and how many attempts got no answer before."""

    kind: str
    end: str
    signal_id: str | None
    unknown: int
    status: int


@dataclass
class Log:
    """Everything the bots were told."""

    answers: list[Answer] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    @property
    def unknown(self) -> int:
        return sum(answer.unknown for answer in self.answers)

    def ends(self, kind: str | None = None) -> Counter[str]:
        return Counter(a.end for a in self.answers if kind is None or a.kind == kind)

    def refused(self) -> Counter[str]:
        """Count the refusals that came with a record, by slug."""
        return Counter(a.end for a in self.answers if a.status >= 300 and a.signal_id)

    def counted(self) -> Counter[str]:
        """Count the refusals that were only counted, by slug."""
        return Counter(a.end for a in self.answers if a.status >= 300 and not a.signal_id)

    def acknowledged(self) -> set[str]:
        """Name the signals that were answered with 202 or 200."""
        return {a.signal_id for a in self.answers if a.status < 300 and a.signal_id}


async def make_bots(
    ports: Ports, tenant_id: str, count: int, types: list[str], *, limited: bool, strict: set[str]
) -> list[LoadBot]:
    """Open an account of each type in turn, with a bot on each; the first user owns them."""
    scope = system_scope(tenant_id, "load", "load")
    users = await ports.users.page(scope, 10, None)
    owner = next(user for user in users if user.role == "trader")
    bots = []
    for number in range(count):
        kind = types[number % len(types)]
        account_id = await open_account(ports, scope, owner.user_id, kind)
        made = await create_bot(ports, scope, f"load {number}", account_id)
        bots.append(
            LoadBot(
                tenant_id, made.bot_id, made.secret, made.token, account_id, owner.user_id,
                limited=limited, strict=kind in strict,
            )
        )  # fmt: skip
    return bots


class Senders:
    """Send over real connections and keep what came back."""

    def __init__(
        self, url: str, traffic: Traffic, log: Log, look: Callable[[], Awaitable[None]]
    ) -> None:
        self._traffic = traffic
        self._look = look
        self._log = log
        self._client = httpx.AsyncClient(
            base_url=url, timeout=ANSWER_S, limits=httpx.Limits(max_connections=64)
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def run(
        self,
        attempts: int,
        workers: int,
        per_second: float | None = None,
        enough: Callable[[], bool] = lambda: True,
    ) -> None:
        """Send so many attempts, per_second at most, and on until it is enough."""
        steps = self._steps(attempts, enough)
        started = time.monotonic()
        sent = 0

        async def work() -> None:
            nonlocal sent
            for sendings in steps:
                sent += len(sendings)
                if per_second is not None:
                    await asyncio.sleep(started + sent / per_second - time.monotonic())
                await asyncio.gather(*(self._settle(one) for one in sendings))

        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*(work() for _ in range(workers)))
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _steps(self, attempts: int, enough: Callable[[], bool]) -> Iterator[list[Sending]]:
        made = 0
        while made < attempts or not enough():
            sendings = self._traffic.next()
            made += len(sendings)
            yield sendings

    async def _settle(self, sending: Sending) -> None:
        """Send until there is an answer that says something, and hold it to what was expected."""
        deadline = time.monotonic() + KEEP_TRYING_S
        unknown = 0
        while (response := await self._send(sending)) is None:
            unknown += 1
            assert time.monotonic() < deadline, f"no answer to {sending.kind} for {KEEP_TRYING_S} s"
            await asyncio.sleep(0.1)
        self._keep(sending, response, unknown)

    async def _send(self, sending: Sending) -> httpx.Response | None:
        content: Any = _chunks(sending.body) if sending.chunked else sending.body
        headers = {"Content-Type": "application/json", **sending.headers}
        try:
            response = await self._client.post(sending.path, content=content, headers=headers)
        except httpx.TransportError:
            return None
        return None if response.status_code == 503 else response

    def _keep(self, sending: Sending, response: httpx.Response, unknown: int) -> None:
        said = response.json()
        status, signal_id = response.status_code, said.get("signalId")
        end = {202: ACCEPTED, 200: DUPLICATE}.get(status) or said["type"].removeprefix(TYPE_BASE)
        self._log.answers.append(Answer(sending.kind, end, signal_id, unknown, status))
        expected = set(sending.expected)
        if unknown and ACCEPTED in expected:
            expected.add(DUPLICATE)
        wanted_id = expected - {end} if sending.kind == "replayed" else {signal_id}
        if end not in expected or wanted_id != {signal_id}:
            self._log.surprises.append(f"{sending.kind}: expected {expected}, got {status} {said}")
        if status == 202 and signal_id:
            self._traffic.remember(sending, signal_id)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 8192):
        yield body[start : start + 8192]


async def poll(true: Callable[[], Awaitable[bool]], wait_s: float, every_s: float = 0.2) -> bool:
    """Ask again and again until it is true or the time is over."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if await true():
            return True
        await asyncio.sleep(every_s)
    return await true()
