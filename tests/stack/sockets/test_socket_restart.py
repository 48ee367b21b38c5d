"""The hub when Redis dies and comes back: nothing of an account is lost."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from tests.support import sockets
from tests.support.sockets import ACCOUNT, House
from tests.support.stack import FreshDatabase

from quantlab_server.addresses import free_port
from quantlab_server.binaries import valkey_program

pytestmark = pytest.mark.stack

MINE = f"account:{ACCOUNT}"


class Valkey:
    """A server of its own that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port(None)
        self._folder = folder
        self._program: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        server, _ = valkey_program(None)
        options = ["--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._program = subprocess.Popen(
            [str(server), "--port", str(self.port), *options], stdout=subprocess.DEVNULL
        )

    def kill(self) -> None:
        assert self._program is not None
        os.kill(self._program.pid, signal.SIGKILL)
        self._program.wait()

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="quantlab-valkey-") as folder:
        server = Valkey(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


async def ready(valkey: Valkey) -> None:
    async def answers() -> bool:
        return valkey.answers()

    await sockets.eventually(answers)


@pytest.fixture
async def house(fresh_database: FreshDatabase, valkey: Valkey) -> AsyncIterator[House]:
    await ready(valkey)
    sockets.prepare_accounts(fresh_database.superuser_dsn)
    async with sockets.running_house(fresh_database.app_dsn, valkey.url) as running:
        yield running


async def test_events_of_an_outage_are_filled_from_the_log_and_the_socket_lives_on(
    house: House, valkey: Valkey
) -> None:
    scope = sockets.scope_of_tests()
    async with house.client() as trader:
        await trader.subscribe(MINE)
        await house.happen(ACCOUNT, 3)
        assert await trader.events(3) == [1, 2, 3]
        valkey.kill()
        await house.commit(ACCOUNT, 5)
        await asyncio.sleep(0.3)
        await trader.send(action="subscribe", channels=["quotes:EURUSD"])
        answer = await trader.receive()
        assert (answer["type"], answer["code"]) == ("error", "unavailable")
        valkey.start()
        await ready(valkey)
        assert await trader.events(5) == [4, 5, 6, 7, 8]
        await house.happen(ACCOUNT, 2)
        assert await trader.events(2) == [9, 10]

        async def recorded_again() -> bool:
            return bool(await house.ports.subscriptions.subscribers(scope, MINE))

        await sockets.eventually(recorded_again)
