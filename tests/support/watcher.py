"""A client of the WebSocket that wants every event of some accounts, whatever is killed."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.support.running_platform import Platform

AGAIN_S = 0.2


@dataclass
class Watcher:
    """Keep what came in, by account; reconnect and resume after the last seq of each."""

    made: Platform
    api_key: str
    account_ids: list[str]
    events: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    connections: int = 0

    def last(self, account_id: str) -> int:
        return self.events[account_id][-1][0] if self.events.get(account_id) else 0

    async def run(self) -> None:
        while True:
            try:
                await self._watch()
            except (httpx.HTTPError, WebSocketException, InvalidHandshake, OSError, KeyError):
                await asyncio.sleep(AGAIN_S)

    async def _watch(self) -> None:
        async with httpx.AsyncClient(base_url=self.made.url, timeout=5) as client:
            answer = await client.post("/socket-tickets", headers={"X-Api-Key": self.api_key})
            ticket = answer.json()["ticket"]
        url = f"ws://127.0.0.1:{self.made.port}/ws?ticket={ticket}"
        async with connect(url, open_timeout=5, close_timeout=1, ping_interval=2) as socket:
            self.connections += 1
            await self._subscribe(socket)
            async for message in socket:
                await self._take(socket, json.loads(message))

    async def _subscribe(self, socket: ClientConnection) -> None:
        channels = {f"account:{one}": self.last(one) for one in self.account_ids}
        asked = {"action": "subscribe", "channels": list(channels), "afterSeq": channels}
        await socket.send(json.dumps(asked))

    async def _take(self, socket: ClientConnection, said: dict[str, Any]) -> None:
        if said["type"] == "event":
            account_id = said["channel"].removeprefix("account:")
            expected = self.last(account_id) + 1
            if said["seq"] != expected:
                self.faults.append(f"{account_id}: expected seq {expected}, got {said['seq']}")
            entry = (said["seq"], said["event"]["eventType"])
            self.events.setdefault(account_id, []).append(entry)
        elif said["type"] in ("resync", "error"):
            await asyncio.sleep(AGAIN_S)
            await self._subscribe(socket)
