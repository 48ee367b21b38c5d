"""A gateway that holds sockets in memory, and the worker that posts to it, on the real stores."""

import asyncio
import contextlib
import importlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, cast

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases.waiting import end_all
from quantlab_edge.hub_push import PushHub
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_socket import SocketFunction
from quantlab_edge.socket import CONNECT, DEFAULT, DISCONNECT, route_of
from tests.support import sockets
from tests.support.sockets import House

FOLDERS = {CONNECT: "connect", DISCONNECT: "disconnect", DEFAULT: "default"}


class MemoryPushes:
    """Pushes port that keeps what is posted, with the faults of a gateway when asked for."""

    def __init__(self) -> None:
        self.posted: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.open: set[str] = set()
        self.dropped: list[str] = []
        self.failing: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}
        self.under_way: dict[str, int] = defaultdict(int)

    async def post(self, connection_id: str, text: str) -> bool:
        self.under_way[connection_id] += 1
        assert self.under_way[connection_id] == 1, "posts to one connection overtake each other"
        try:
            await asyncio.sleep(0)
            if connection_id in self.gates:
                await self.gates[connection_id].wait()
            if connection_id in self.failing:
                raise StoreUnavailable("the gateway does not answer")
            if connection_id not in self.open:
                return False
            self.posted[connection_id].append(json.loads(text))
            return True
        finally:
            self.under_way[connection_id] -= 1

    async def drop(self, connection_id: str) -> None:
        if connection_id in self.failing:
            raise StoreUnavailable("the gateway does not answer")
        self.open.discard(connection_id)
        self.dropped.append(connection_id)


class Gateway:
    """API Gateway's part: it wakes the functions, as Lambdas do, for what clients send."""

    def __init__(self, house: House, pushes: MemoryPushes) -> None:
        self.house = house
        self.pushes = pushes

    async def connect(self, connection_id: str, **scope: Any) -> "Peer":
        query = {"ticket": await self.house.ticket(**scope)}
        status = await self.wake(CONNECT, connection_id, queryStringParameters=query)
        assert status == 200
        self.pushes.open.add(connection_id)
        return Peer(self, connection_id)

    async def wake(self, route: str, connection_id: str, **event: Any) -> int:
        name = FOLDERS.get(route, route)
        handler = importlib.import_module(f"functions.socket.{name}.handler")
        function = SocketFunction(handler.handle, route, cast("Any", None))
        event["requestContext"] = {"connectionId": connection_id}
        return (await function._answer(self.house.ports, event, Call("test"))).status


class Peer:
    """A client as the gateway sees it: what was posted to it, read from the start."""

    def __init__(self, gateway: Gateway, connection_id: str) -> None:
        self.connection_id = connection_id
        self._gateway = gateway
        self._read = 0

    @property
    def posted(self) -> list[dict[str, Any]]:
        return self._gateway.pushes.posted[self.connection_id]

    async def say(self, **message: Any) -> None:
        body = json.dumps(message)
        await self._gateway.wake(route_of(body), self.connection_id, body=body)

    async def receive(self, timeout_s: float = 5) -> dict[str, Any]:
        async def there() -> bool:
            return len(self.posted) > self._read

        await sockets.eventually(there, timeout_s)
        self._read += 1
        return self.posted[self._read - 1]

    async def subscribe(self, *channels: str, **after_seq: Any) -> dict[str, Any]:
        await self.say(action="subscribe", channels=channels, **after_seq)
        return await self.receive()

    async def events(self, count: int, timeout_s: float = 10) -> list[int]:
        seqs = []
        for _ in range(count):
            message = await self.receive(timeout_s)
            assert message["type"] == "event", message
            seqs.append(message["seq"])
        return seqs

    async def silent(self, for_s: float = 0.3) -> bool:
        await asyncio.sleep(for_s)
        return len(self.posted) == self._read

    async def leave(self) -> None:
        self._gateway.pushes.open.discard(self.connection_id)
        await self._gateway.wake(DISCONNECT, self.connection_id)


class Worker:
    """The worker in this process: started, stopped, or ended in the middle of whatever it does."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.hub = PushHub(house.ports)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.hub, self._stop = PushHub(self.house.ports), asyncio.Event()
        self._task = asyncio.create_task(self.hub.run(self._stop))
        redis = cast("Any", self.house.ports).redis

        async def listening() -> bool:
            return bool(dict(await redis.pubsub_numsub("sockets"))[b"sockets"])

        await sockets.eventually(listening)

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None and not self._task.cancelled():
            await self._task

    async def kill(self) -> None:
        """End it as SIGKILL does: nothing more is sent, and nothing more is noted."""
        assert self._task is not None
        held = [task for _, task in self.hub._held.values()]
        self.hub._settle = _nothing  # type: ignore[method-assign]
        await end_all((self._task, *held))


async def _nothing() -> None:
    return None


@contextlib.asynccontextmanager
async def running_worker(
    app_dsn: str, redis_url: str
) -> AsyncIterator[tuple[Gateway, Worker, MemoryPushes]]:
    """Run the worker on the stores of the tests."""
    pushes = MemoryPushes()
    async with sockets.open_house(app_dsn, redis_url, pushes=pushes) as house:
        worker = Worker(house)
        await worker.start()
        try:
            yield Gateway(house, pushes), worker, pushes
        finally:
            await worker.stop()
