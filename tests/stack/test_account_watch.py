"""account_watch on real stores: from a published tick to the command its account's writer runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, BETA, World, world

from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.watch import Watch
from quantlab.ledger.state import Account
from quantlab_app.ports.container import Ports
from quantlab_app.ports.shard import Shard
from quantlab_app.use_cases import account_watch
from quantlab_app.use_cases.account_watch import AccountWatch, read_accounts
from quantlab_app.use_cases.accounts import change_status
from quantlab_app.use_cases.publishing import accounts_message

pytestmark = pytest.mark.stack
COMPILE_S = 120


@dataclass
class Scene:
    world: World
    database: FreshDatabase
    redis_url: str
    detected: list[tuple[str, float]] = field(default_factory=list)
    watched: list[tuple[int, int]] = field(default_factory=list)

    @property
    def ports(self) -> Ports:
        return self.world.ports

    async def open(
        self, tenant_id: str = ALPHA, account_type: str = "demo-100k", **order: Any
    ) -> str:
        """Open an account and buy on it; return the account."""
        account_id = await self.world.account(tenant_id, account_type)
        bot = await self.world.bot(tenant_id, account_id)
        buy = {"symbol": "EURUSD", "action": "buy", "quantity": "1", "id": account_id, **order}
        await self.world.send(bot, buy)
        await self.world.settle(tenant_id)
        return account_id

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[AccountWatch]:
        stop = asyncio.Event()
        watch = AccountWatch(
            self.ports,
            lambda name, seconds: self.detected.append((name, seconds)),
            lambda accounts, positions: self.watched.append((accounts, positions)),
        )
        loaded = len(self.watched)
        task = asyncio.create_task(watch.run(stop))
        try:
            await until(lambda: len(self.watched) > loaded or task.done())
            await asyncio.sleep(0.1)
            yield watch
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)

    async def commands(self, tenant_id: str = ALPHA) -> list[tuple[str, str]]:
        """Return the watch's commands, oldest first, with what became of each."""
        found = await self.ports.inbox.deliveries(
            self.world.scope(tenant_id),
            source_kind="watch",
            account_ids=None,
            status=None,
            before=None,
            limit=100,
        )
        return [(one.name, one.status) for one in reversed(found)]

    async def commanded(self, count: int, tenant_id: str = ALPHA) -> list[tuple[str, str]]:
        """Wait for that many commands, carry them out and return them all."""
        async with asyncio.timeout(10):
            while len(await self.commands(tenant_id)) < count:
                await asyncio.sleep(0.005)
        await self.world.settle(tenant_id)
        return await self.commands(tenant_id)

    async def find(self, account_id: str, tenant_id: str = ALPHA) -> Account:
        return await self.world.find(tenant_id, account_id)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def trail_swing(document: dict[str, Any]) -> None:
    """Let the drawdown of swing accounts trail the highest equity."""
    for kind in document["accountTypes"]:
        if kind["id"] == "swing-25k":
            for rule in kind["profileContent"]["rules"]:
                if rule["rule"] == "max_drawdown":
                    rule["parameters"] |= {"mode": "trailing", "basis": "equity"}


@pytest.fixture
async def scene(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path, trail_swing) as made:
            await made.quote("EURUSD", "1.10000", "1.10010")
            yield Scene(made, database, redis_url)


async def test_an_account_reads_back_as_it_was_published(scene: Scene) -> None:
    account = await scene.find(await scene.open(stopLoss="1.09950"))
    assert account.positions
    assert read_accounts(accounts_message({"any": account})) == [account]


async def test_a_touched_stop_closes_the_position_at_the_next_quote(scene: Scene) -> None:
    account_id = await scene.open(stopLoss="1.09950")
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.09952", "1.09962")
        await asyncio.sleep(0.1)
        await scene.world.quote("EURUSD", "1.09951", "1.09961")
        quote = await scene.world.quote("EURUSD", "1.09950", "1.09960")
        assert await scene.commanded(1) == [("protect", "executed")]
    assert (await scene.find(account_id)).positions == {}
    assert (await scene.world.event_types(ALPHA, account_id))[-4:] == [
        "order.triggered",
        "order.accepted",
        "order.filled",
        "position.closed",
    ]
    fills = await scene.ports.accounts.fills(scene.world.scope(ALPHA), account_id, None, 1)
    assert (fills[0]["quote_seq"], fills[0]["bid_ticks"]) == (quote.seq, quote.bid_ticks)
    (detected,) = scene.detected
    assert detected[0] == "protect"
    assert 0 < detected[1] < 5


async def test_a_position_opened_under_watch_is_watched(scene: Scene) -> None:
    async with scene.watching():
        account_id = await scene.open(takeProfit="1.10050")
        await scene.world.quote("EURUSD", "1.10050", "1.10060")
        await scene.commanded(1)
    assert ("protect", "executed") in await scene.commands()
    assert (await scene.find(account_id)).positions == {}


async def test_a_breach_disables_the_account_although_the_price_came_back(scene: Scene) -> None:
    account_id = await scene.open(account_type="evaluation-50k")
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.07510", "1.07520")
        await scene.world.quote("EURUSD", "1.07509", "1.07519")
        await scene.world.quote("EURUSD", "1.10000", "1.10010")
        assert await scene.commanded(2) == [("check_rules", "executed")] * 2, "warned, then broken"
    account = await scene.find(account_id)
    assert (account.status, account.positions) == ("disabled", {})
    assert "rule.violation.daily_loss" in await scene.world.event_types(ALPHA, account_id)


async def test_a_watch_over_many_changes_to_the_compiled_one_and_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_watch, "PLAIN_ACCOUNTS_MAX", 1)
    async with scene.watching() as watch:
        few = await scene.open(takeProfit="1.10050")
        await until(lambda: watch._watch.count == 1)
        await asyncio.sleep(0.1)
        assert type(watch._watch) is Watch
        many = await scene.open(takeProfit="1.10060")
        await until(lambda: isinstance(watch._watch, ArrayWatch), COMPILE_S)
        for account_id, bid, ask in ((few, "1.10050", "1.10060"), (many, "1.10060", "1.10070")):
            await scene.world.quote("EURUSD", bid, ask)
            async with asyncio.timeout(10):
                while (await scene.find(account_id)).positions:
                    await scene.world.settle(ALPHA)
                    await asyncio.sleep(0.005)
    assert [name for name, _ in await scene.commands()].count("protect") == 2


async def test_what_was_missed_is_judged_at_once_at_the_start(scene: Scene) -> None:
    account_id = await scene.open(stopLoss="1.09950")
    other_id = await scene.open(BETA, stopLoss="1.09900")
    await scene.world.quote("EURUSD", "1.09940", "1.09950")
    async with scene.watching():
        assert await scene.commanded(1) == [("protect", "executed")]
        assert scene.watched[0] == (2, 2)
    assert (await scene.find(account_id)).positions == {}
    assert (await scene.find(other_id, BETA)).positions != {}
    assert await scene.commands(BETA) == []


async def test_an_account_whose_rules_cannot_be_read_keeps_no_other_from_being_watched(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    lost_id = await scene.open(stopLoss="1.09950")
    other_id = await scene.open(BETA, stopLoss="1.09950")
    with psycopg.connect(scene.database.superuser_dsn, autocommit=True) as owner:
        owner.execute(
            "insert into quantlab.tenant_config (tenant_id, version, document)"
            " values (%s, 'lost', '{}')",
            (ALPHA,),
        )
        owner.execute(
            "update quantlab.account set config_version = 'lost' where account_id = %s", (lost_id,)
        )
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.09940", "1.09950")
        assert await scene.commanded(1, BETA) == [("protect", "executed")]
        assert scene.watched[-1] == (1, 1)
    assert (await scene.find(other_id, BETA)).positions == {}
    told = capsys.readouterr().out
    assert "account_not_watched" in told
    assert lost_id in told


async def test_a_suspended_symbol_is_not_judged(scene: Scene) -> None:
    """GBPUSD is suspended, so the equity of an account that holds it is unknown."""
    await scene.world.quote("GBPUSD", "1.30000", "1.30010")
    account_id = await scene.open(account_type="evaluation-50k", symbol="GBPUSD", quantity="0.1")
    bot = scene.world.bots[-1]
    buy = {"symbol": "EURUSD", "action": "buy", "quantity": "1", "id": "more"}
    await scene.world.send(bot, buy)
    await scene.world.settle(ALPHA)
    async with scene.watching():
        await scene.world.suspend("GBPUSD")
        await scene.world.quote("EURUSD", "1.07000", "1.07010")
        await scene.world.quote("EURUSD", "1.06990", "1.07000")
        await asyncio.sleep(0.2)
        assert await scene.commands() == []
        await scene.world.quote("GBPUSD", "1.30000", "1.30010")
        assert await scene.commanded(1) == [("check_rules", "executed")]
    assert (await scene.find(account_id)).status == "disabled"


async def test_the_rest_of_a_disabled_account_is_closed_at_the_first_good_quote(
    scene: Scene,
) -> None:
    account_id = await scene.open()
    await scene.world.quote("EURUSD", "1.10000", "1.10010", age_s=3600)
    scope = scene.world.scope(ALPHA)
    asked = change_status(scene.ports, scope, account_id, status="disabled", reason="by hand")
    await scene.world.carry_out(asked, ALPHA)
    assert (await scene.find(account_id)).positions != {}
    async with scene.watching():
        assert await scene.commands() == []
        await scene.world.quote("EURUSD", "1.10000", "1.10010")
        assert await scene.commanded(1) == [("liquidate", "executed")]
    assert (await scene.find(account_id)).positions == {}


async def test_peaks_are_stored_at_the_latest_on_leaving(scene: Scene) -> None:
    account_id = await scene.open(account_type="swing-25k", quantity="0.1")
    before = await scene.find(account_id)
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.10500", "1.10510")
        await scene.world.quote("EURUSD", "1.10600", "1.10610")
        await scene.world.quote("EURUSD", "1.10400", "1.10410")
        await asyncio.sleep(0.2)
    assert {name for name, _ in await scene.commanded(1)} == {"observe_equity"}
    account = await scene.find(account_id)
    assert account.high_water_minor == before.balance_minor + 5_900


async def test_lost_connections_are_made_good(scene: Scene) -> None:
    """Every listener and every connection to PostgreSQL is cut; nothing that follows is missed."""
    account_id = await scene.open(stopLoss="1.09950")
    async with scene.watching():
        with redis.Redis.from_url(scene.redis_url) as admin:
            admin.client_kill_filter(_type="pubsub")
        with psycopg.connect(scene.database.superuser_dsn, autocommit=True) as owner:
            owner.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = %s and pid <> pg_backend_pid()",
                (scene.database.name,),
            )
        await scene.world.quote("EURUSD", "1.09940", "1.09950")
        await retried(lambda: scene.commanded(1))
    assert (await scene.find(account_id)).positions == {}


async def retried(action: Callable[[], Any]) -> None:
    """Repeat what may meet a connection that has just been cut."""
    from quantlab_app.ports.errors import StoreUnavailable

    async with asyncio.timeout(15):
        while True:
            try:
                await action()
            except StoreUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def test_two_watches_trigger_one_execution(scene: Scene) -> None:
    account_id = await scene.open(stopLoss="1.09950")
    async with scene.watching(), scene.watching():
        await scene.world.quote("EURUSD", "1.09940", "1.09950")
        assert await scene.commanded(1) == [("protect", "executed")]
        await asyncio.sleep(0.2)
        await scene.world.settle(ALPHA)
    executed = [one for one in await scene.commands() if one[1] == "executed"]
    assert executed == [("protect", "executed")]
    events = await scene.world.event_types(ALPHA, account_id)
    assert events.count("position.closed") == 1


async def test_two_shards_together_hold_every_account_once(scene: Scene) -> None:
    shards = [Shard(index, 2) for index in range(2)]
    accounts: list[str] = []
    while len(accounts) < 8 or not all(any(map(one.holds, accounts)) for one in shards):
        accounts.append(await scene.open(quantity="0.1", stopLoss="1.09000"))
    loaded: list[int] = []
    stop, watches = asyncio.Event(), []
    for shard in shards:
        ports = replace(scene.ports, shard=shard)
        watches.append(AccountWatch(ports, lambda *_: None, lambda held, _: loaded.append(held)))
    tasks = [asyncio.create_task(watch.run(stop)) for watch in watches]
    try:
        await until(lambda: len(loaded) >= 2)
        shares = [watch._watch.account_ids for watch in watches]
        assert shares[0] | shares[1] == set(accounts)
        assert not shares[0] & shares[1]
        assert all(shares)
        # An account that opens while both run is taken over by one of them as well.
        late = await scene.open(quantity="0.1", stopLoss="1.09000")
        await until(lambda: late in {one for w in watches for one in w._watch.account_ids})
        await scene.world.quote("EURUSD", "1.08900", "1.08910")
        commands = await scene.commanded(len(accounts) + 1)
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
    asked = [status for name, status in commands if name == "protect"]
    assert asked == ["executed"] * (len(accounts) + 1)
    held = [late in watch._watch.account_ids for watch in watches]
    assert sum(held) <= 1
