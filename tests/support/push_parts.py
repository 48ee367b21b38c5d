"""Sockets that a worker serves, waited for."""

from tests.support import sockets
from tests.support.pushes import Gateway, MemoryPushes, Worker
from tests.support.sockets import ACCOUNT

MINE = f"account:{ACCOUNT}"
Parts = tuple[Gateway, Worker, MemoryPushes]


async def served(worker: Worker, *connection_ids: str) -> None:
    """Wait until the worker holds exactly these connections."""

    async def held() -> bool:
        return worker.hub._held.keys() == set(connection_ids)

    await sockets.eventually(held)


async def listening(worker: Worker, connection_id: str, *channels: str) -> None:
    async def held() -> bool:
        found = worker.hub._held.get(connection_id)
        return found is not None and set(found[0].channels) == set(channels)

    await sockets.eventually(held)
