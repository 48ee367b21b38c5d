"""Rules that look outside the account, on real stores: releases of news, linked accounts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.rule_cases import rule
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, BETA, Bot, World, world

from quantlab.audit.chain import TENANT_STREAM
from quantlab.engine.commands import Outcome
from quantlab.engine.replay import verify
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.rules.surroundings import write_news_calendar
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.execution import Batch, ReadLinked
from quantlab_app.use_cases import execution
from quantlab_app.use_cases.account_views import read_rules
from quantlab_app.use_cases.execution import execute_pending
from quantlab_app.use_cases.links import put_group
from quantlab_app.use_cases.news import put_calendar, read_calendar
from quantlab_app.use_cases.replay import read_recording
from quantlab_app.use_cases.signals import Receipt

pytestmark = pytest.mark.stack
PLAIN, NEWS, HEDGING, COPYING = "challenge-50k", "demo-100k", "evaluation-50k", "swing-25k"
RULES = {
    NEWS: rule(
        "news_window", "soft", secondsBefore=120, secondsAfter=120, instruments="targeted",
        reducingOrders="allowed", stopsCount=False,
    ),
    HEDGING: rule("hedging", "soft", accountsOf="any"),
    COPYING: rule("copy_trading", "soft", accountsOf="any", withinMs=3_600_000),
}  # fmt: skip


def with_rules(document: dict[str, Any]) -> None:
    """Give each type one rule that looks outside, and none that could refuse before it."""
    for kind in document["accountTypes"]:
        if kind["id"] in RULES:
            kept = [one for one in kind["profileContent"]["rules"] if one["rule"] == "daily_loss"]
            kind["profileContent"]["rules"] = [*kept, RULES[kind["id"]]]


class Scene:
    """A tenant's accounts, each with a bot, and what becomes of their signals."""

    def __init__(self, made: World, database: FreshDatabase) -> None:
        self.world, self.ports, self.database = made, made.ports, database
        self.scope = made.scope(ALPHA)
        self.count = 0

    async def accounts(self, kind: str, count: int) -> list[Bot]:
        return [
            await self.world.bot(ALPHA, await self.world.account(ALPHA, kind)) for _ in range(count)
        ]

    async def link(self, *bots: Bot) -> None:
        await put_group(self.ports, self.scope, "pair", [bot.account_id for bot in bots])
        await self.world.settle(ALPHA)

    async def send(self, bot: Bot, action: str, **fields: Any) -> str:
        self.count += 1
        body = {"id": str(self.count), "symbol": "EURUSD", "action": action, **fields}
        quantity = {} if action == "close" else {"quantity": "0.1"}
        receipt = await self.world.send(bot, {**quantity, **body})
        assert isinstance(receipt, Receipt), receipt
        return receipt.signal_id

    async def answer(self, signal_id: str) -> str:
        delivery = await self.ports.inbox.delivery(self.scope, signal_id)
        assert delivery is not None
        return delivery.reason or delivery.status

    async def trade(self, bot: Bot, action: str, **fields: Any) -> str:
        signal_id = await self.send(bot, action, **fields)
        await self.world.settle(ALPHA)
        return await self.answer(signal_id)

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.database.superuser_dsn, row_factory=dict_row) as connection:
            connection.execute("set search_path = quantlab")
            return connection.execute(query.encode(), values).fetchall()

    def detail(self, signal_id: str) -> str:
        (row,) = self.rows("select result from inbox where signal_id = %s", signal_id)
        return str(row["result"]["detail"])

    def recorded(self, bot: Bot) -> list[dict[str, Any]]:
        query = "select inputs from inbox where account_id = %s and command = 'trade'"
        rows = self.rows(f"{query} order by decision, inbox_id", bot.account_id)
        return [row["inputs"] for row in rows]

    async def assert_replays(self, *bots: Bot) -> None:
        for bot in bots:
            recording = await read_recording(self.ports, self.scope, bot.account_id)
            report = verify(recording)
            assert report.difference is None, str(report.difference)
            assert report.commands == len(recording.decided) > 0

    async def calendar(self, release_s: float, until_s: float = 3600) -> None:
        """Make a calendar of one release current, so many seconds from now."""
        now_ns = self.ports.clock.now_ns()
        at, until = (
            format_rfc3339(now_ns + int(seconds * SECOND_NS)) for seconds in (release_s, until_s)
        )
        event = {"at": at, "name": "NFP", "impact": "high", "currencies": ["USD"]}
        await put_calendar(self.ports, self.scope, {"format": 1, "until": until, "events": [event]})

    async def state(self, bot: Bot) -> tuple[str, str]:
        view = await read_rules(self.ports, self.scope, bot.account_id)
        return view.statuses[-1].state, view.statuses[-1].detail


@pytest.fixture
async def scene(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path, with_rules) as made:
            quote = await made.quote("EURUSD", "1.10000", "1.10010")
            await made.ports.tick_log.append([quote])
            yield Scene(made, database)
            await made.ports.tick_log.close()


async def test_orders_wait_for_releases_and_for_a_calendar(scene: Scene) -> None:
    (bot,) = await scene.accounts(NEWS, 1)
    assert await scene.trade(bot, "buy") == "news_window"
    assert (await scene.state(bot))[0] == "unknown"
    await scene.calendar(60)
    signal_id = await scene.send(bot, "buy")
    await scene.world.settle(ALPHA)
    assert await scene.answer(signal_id) == "news_window"
    assert "before NFP (high)" in scene.detail(signal_id)
    assert (await scene.state(bot))[0] == "closed"
    await scene.calendar(1800)
    assert await scene.trade(bot, "buy") == "executed"
    assert await scene.state(bot) == ("violated", "no release is near")
    await scene.calendar(-60)
    assert await scene.trade(bot, "buy") == "news_window"
    assert await scene.trade(bot, "close") == "executed"
    await scene.calendar(1800, until_s=60)
    assert await scene.trade(bot, "buy") == "news_window"
    assert (await scene.state(bot))[0] == "unknown"
    known = [inputs.get("news") for inputs in scene.recorded(bot)]
    assert [None if one is None else len(one) for one in known] == [None, 1, 0, 1, 1, None]
    assert all("linked" not in inputs for inputs in scene.recorded(bot))
    await scene.assert_replays(bot)


async def test_a_calendar_is_its_tenants_and_each_change_is_an_event(scene: Scene) -> None:
    await scene.calendar(60)
    stored = await read_calendar(scene.ports, scene.scope)
    _, changed = await put_calendar(scene.ports, scene.scope, write_news_calendar(stored.calendar))
    assert changed is False
    with pytest.raises(NotFound):
        await read_calendar(scene.ports, scene.world.scope(BETA))
    await scene.calendar(90)
    await scene.world.settle()
    events = await scene.ports.event_log.events_after(
        scene.scope, TENANT_STREAM, after_seq=0, limit=100
    )
    told = [one.payload for one in events if one.event_type == "news_calendar.changed"]
    assert next(one["version"] for one in told) == stored.version
    assert [(one["events"], one["by"]) for one in told] == [(1, "system:test")] * 2


async def test_linked_accounts_may_not_hold_against_each_other(scene: Scene) -> None:
    one, two, alone = await scene.accounts(HEDGING, 3)
    (plain,) = await scene.accounts(PLAIN, 1)
    await scene.link(one, two, plain)
    assert await scene.trade(one, "buy") == "executed"
    assert await scene.state(two) == ("ok", "2 linked accounts are watched")
    signal_id = await scene.send(two, "sell")
    await scene.world.settle(ALPHA)
    assert await scene.answer(signal_id) == "hedging"
    assert f"account {one.account_id} is long in EURUSD" in scene.detail(signal_id)
    assert await scene.trade(alone, "sell") == "executed"
    assert await scene.trade(two, "buy") == "executed"
    assert await scene.trade(one, "close") == "executed"
    assert await scene.trade(one, "sell") == "hedging"
    assert await scene.trade(two, "close") == "executed"
    assert await scene.trade(one, "sell") == "executed"
    (held,) = scene.recorded(two)[0]["linked"]
    assert (held["accountId"], held["sameOwner"]) == (one.account_id, False)
    assert int(held["positions"][0]["sizeSteps"]) > 0
    assert [inputs["linked"] for inputs in scene.recorded(alone)] == [[]]
    await scene.assert_replays(one, two, alone)


async def test_commands_of_one_turn_see_each_other(scene: Scene) -> None:
    one, two = await scene.accounts(HEDGING, 2)
    await scene.link(one, two)
    sent = [await scene.send(one, "buy"), await scene.send(two, "sell")]
    assert await execute_pending(scene.ports, [ALPHA]) == 2
    assert [await scene.answer(signal_id) for signal_id in sent] == ["executed", "hedging"]
    sent = [await scene.send(one, "close"), await scene.send(two, "sell")]
    assert await execute_pending(scene.ports, [ALPHA]) == 2
    assert [await scene.answer(signal_id) for signal_id in sent] == ["executed"] * 2
    await scene.assert_replays(one, two)


async def test_linked_accounts_may_not_give_the_same_order(scene: Scene) -> None:
    one, two = await scene.accounts(COPYING, 2)
    await scene.link(one, two)
    assert await scene.trade(one, "buy") == "executed"
    assert await scene.trade(one, "close") == "executed"
    assert await scene.trade(two, "buy") == "copy_trading"
    assert await scene.trade(two, "sell") == "executed"
    sent = [await scene.send(one, "sell"), await scene.send(two, "close")]
    await execute_pending(scene.ports, [ALPHA])
    assert [await scene.answer(signal_id) for signal_id in sent] == ["copy_trading", "executed"]
    (ordered,) = scene.recorded(two)[0]["linked"]
    assert [order["side"] for order in ordered["orders"]] == [1]
    await scene.assert_replays(one, two)


async def test_of_two_transactions_the_later_one_sees_the_earlier(scene: Scene) -> None:
    one, two = await scene.accounts(HEDGING, 2)
    await scene.link(one, two)
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def decide(batches: Sequence[Batch], linked: ReadLinked) -> list[list[Outcome]]:
        turns = [await execution._turn(scene.ports, batch, linked) for batch in batches]
        reading.set()
        await go_on.wait()
        market, now_ns = await execution.market_now(scene.ports)
        return [await execution._decide(scene.ports, turn, market, now_ns) for turn in turns]

    first = await scene.send(one, "buy")
    earlier = asyncio.create_task(scene.ports.execution.run([ALPHA], 10, decide))
    async with asyncio.timeout(30):
        await reading.wait()
        second = await scene.send(two, "sell")
        later = asyncio.create_task(execute_pending(scene.ports, [ALPHA]))
        waiting = "select from pg_locks where locktype = 'advisory' and not granted"
        while not scene.rows(waiting):
            await asyncio.sleep(0.01)
        assert not later.done()
        go_on.set()
        await earlier
        assert await later == 1
    answers = [await scene.answer(signal_id) for signal_id in (first, second)]
    assert answers == ["executed", "hedging"]
    await scene.assert_replays(one, two)


async def test_rules_that_look_at_nothing_outside_read_nothing(scene: Scene) -> None:
    (plain,) = await scene.accounts(PLAIN, 1)
    asked: list[str] = []

    async def decide(batches: Sequence[Batch], _: ReadLinked) -> list[list[Outcome]]:
        async def refuse(tenant_id: str, *_: object) -> Any:
            asked.append(tenant_id)
            raise AssertionError("linked accounts were read")

        turns = [await execution._turn(scene.ports, batch, refuse) for batch in batches]
        market, now_ns = await execution.market_now(scene.ports)
        return [await execution._decide(scene.ports, turn, market, now_ns) for turn in turns]

    await scene.send(plain, "buy")
    await scene.ports.execution.run([ALPHA], 10, decide)
    assert asked == []
    assert "linked" not in scene.recorded(plain)[0]
    assert "news" not in scene.recorded(plain)[0]
