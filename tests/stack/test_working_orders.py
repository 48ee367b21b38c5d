"""Working orders on real stores: kept, watched, filled, ended, and whole under every invariant."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.stack.test_account_watch import Scene
from tests.support.invariants import check
from tests.support.stack import Stack, fresh_database
from tests.support.world import ALPHA, world

from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.orders import Order
from quantlab.tenancy.config import config_of_resolved
from quantlab_app.use_cases.account_watch import read_accounts
from quantlab_app.use_cases.audit import append_pending
from quantlab_app.use_cases.execution import accounts_message

pytestmark = pytest.mark.stack
BRACKET = {"stopLoss": "1.09800", "takeProfit": "1.10200"}


@pytest.fixture
async def scene(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            await made.quote("EURUSD", "1.10000", "1.10010")
            yield Scene(made, database, redis_url)


async def place(scene: Scene, account_id: str, **fields: Any) -> str:
    """Send a signal of the account's bot, carry it out, and return its reason or status."""
    bot = next(bot for bot in scene.world.bots if bot.account_id == account_id)
    body = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10", **fields}
    kept = {key: value for key, value in body.items() if value is not None}
    receipt = await scene.world.send(bot, kept)
    await scene.world.settle(ALPHA)
    delivery = await scene.ports.inbox.delivery(scene.world.scope(ALPHA), receipt.signal_id)
    assert delivery is not None
    return delivery.reason or delivery.status


async def working(scene: Scene, account_id: str) -> list[Order]:
    return list((await scene.find(account_id)).working.values())


async def new_account(scene: Scene) -> str:
    account_id = await scene.world.account(ALPHA)
    await scene.world.bot(ALPHA, account_id)
    return account_id


async def assert_whole(scene: Scene) -> None:
    while await append_pending(scene.ports, ALPHA):
        pass
    with psycopg.connect(scene.database.superuser_dsn, row_factory=dict_row) as connection:
        connection.execute("set search_path = quantlab")
        findings = check(connection, scene.ports.catalog)
    # The quotes of these tests are set by hand: no feed has logged them.
    findings.counts.pop("quote of a fill in the tick log", None)
    assert not findings, str(findings)


async def test_orders_are_kept_read_back_and_moved_when_they_end(scene: Scene) -> None:
    account_id = await new_account(scene)
    assert await place(scene, account_id, orderType="limit", price="1.09900", bracket=BRACKET,
                       id="one", clientId="mine") == "executed"  # fmt: skip
    account = await scene.find(account_id)
    assert [order.status for order in account.working.values()].count("pending_parent") == 2
    assert read_accounts(accounts_message({"any": account})) == [account]
    assert [one.account.account_id for one in await scene.ports.accounts.watched(ALPHA)] == [
        account_id
    ]
    scope = scene.world.scope(ALPHA)
    assert len(await scene.ports.accounts.orders(scope, account_id, None, 10, ["working"])) == 1
    assert await place(scene, account_id, action="modify", clientId="mine", price="1.09950",
                       quantity=None, symbol=None, id="two") == "executed"  # fmt: skip
    limits = [order.terms.limit_ticks for order in await working(scene, account_id)]
    assert 109950 in limits
    assert await place(scene, account_id, action="cancel", clientId="mine", quantity=None,
                       symbol=None, id="three") == "executed"  # fmt: skip
    assert await working(scene, account_id) == []
    ended = await scene.ports.accounts.orders(scope, account_id, None, 10)
    assert [row["status"] for row in ended] == ["cancelled"] * 3
    assert {row["reason"] for row in ended} == {"requested", "parent_ended"}
    assert await scene.ports.accounts.watched(ALPHA) == []
    assert await place(scene, account_id, action="cancel", clientId="mine", quantity=None,
                       symbol=None, id="four") == "order_not_working"  # fmt: skip
    await assert_whole(scene)


async def test_the_watch_fills_a_bracket_and_its_exit(scene: Scene) -> None:
    account_id = await new_account(scene)
    await place(scene, account_id, orderType="limit", price="1.09950", bracket=BRACKET, id="one")
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.09945", "1.09951")
        await asyncio.sleep(0.1)
        assert await scene.commands() == []
        reached = await scene.world.quote("EURUSD", "1.09940", "1.09949")
        assert await scene.commanded(1) == [("work_order", "executed")]
        account = await scene.find(account_id)
        assert [order.status for order in account.working.values()] == ["working", "working"]
        await scene.world.quote("EURUSD", "1.10200", "1.10210")
        worked = [one for one in await scene.commanded(2) if one[0] == "work_order"]
        assert worked == [("work_order", "executed")] * 2
    account = await scene.find(account_id)
    assert (account.positions, account.working) == ({}, {})
    fills = await scene.ports.accounts.fills(scene.world.scope(ALPHA), account_id, None, 10)
    assert [(fill["price_ticks"], fill["quote_seq"]) for fill in fills][1] == (
        109949,
        reached.seq,
    )
    await assert_whole(scene)


async def test_a_late_writer_fills_at_the_quote_that_was_reached_and_oco_once(scene: Scene) -> None:
    account_id = await new_account(scene)
    leg = {"action": "sell", "orderType": "limit", "price": "1.10100"}
    await place(scene, account_id, orderType="limit", price="1.09900", id="one",
                links={"type": "oco", "orders": [leg]})  # fmt: skip
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.09880", "1.09890")
        await asyncio.sleep(0.1)
        await scene.world.quote("EURUSD", "1.10110", "1.10120")
        found = await scene.commanded(2)
    assert sorted(found) == [("work_order", "executed"), ("work_order", "rejected")]
    account = await scene.find(account_id)
    fills = await scene.ports.accounts.fills(scene.world.scope(ALPHA), account_id, None, 10)
    assert [fill["price_ticks"] for fill in fills] == [109890]
    assert account.working == {}
    await assert_whole(scene)


async def test_a_trailing_stop_keeps_its_peak_over_a_restart_of_the_watch(scene: Scene) -> None:
    account_id = await new_account(scene)
    await place(scene, account_id, id="one")
    await place(scene, account_id, action="sell", orderType="trailing_stop", id="two",
                trailDistance="0.00100", reduceOnly=True)  # fmt: skip
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.10300", "1.10310")
        await scene.commanded(1)
    assert [order.terms.peak_ticks for order in await working(scene, account_id)] == [110300]
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.10200", "1.10210")
        async with asyncio.timeout(10):
            while ("work_order", "executed") not in await scene.commands():
                await scene.world.settle(ALPHA)
                await asyncio.sleep(0.01)
    account = await scene.find(account_id)
    assert (account.positions, account.working) == ({}, {})
    await assert_whole(scene)


async def test_time_ends_an_order_without_any_quote(scene: Scene) -> None:
    account_id = await new_account(scene)
    soon = scene.ports.clock.now_ns() + 1_500_000_000
    assert await place(scene, account_id, orderType="limit", price="1.09900", id="one",
                       timeInForce="gtd", expireAt=format_rfc3339(soon)) == "executed"  # fmt: skip
    async with scene.watching():
        assert await scene.commanded(1) == [("expire_orders", "executed")]
    rows = await scene.ports.accounts.orders(scene.world.scope(ALPHA), account_id, None, 10)
    assert [(row["status"], row["reason"]) for row in rows] == [("expired", "gtd")]
    await assert_whole(scene)


async def use_model(scene: Scene, **model: Any) -> None:
    """Let accounts opened from now on be filled by a model."""
    document = {**scene.world.configs[ALPHA].document, "fillModels": {"*": model}}
    config = config_of_resolved(document)
    await scene.ports.tenant_configs.record(scene.world.scope(ALPHA), config)
    scene.world.configs[ALPHA] = config


async def test_a_market_order_travels_and_fills_at_the_first_quote_after(scene: Scene) -> None:
    await use_model(scene, size="displayed", slippage={"kind": "none"}, latencyNs=2_000_000_000)
    account_id = await new_account(scene)
    assert await place(scene, account_id, id="one") == "executed"
    account = await scene.find(account_id)
    (order,) = account.working.values()
    assert (order.order_type, order.status, account.positions) == ("market", "working", {})
    assert order.terms.active_ns > scene.ports.clock.now_ns()
    assert read_accounts(accounts_message({"any": account})) == [account]
    async with scene.watching():
        await scene.world.quote("EURUSD", "1.10100", "1.10110", age_s=1)
        await asyncio.sleep(0.1)
        assert await scene.commands() == []
        there = await scene.world.quote("EURUSD", "1.10200", "1.10210", age_s=-3)
        assert await scene.commanded(1) == [("work_order", "executed")]
    account = await scene.find(account_id)
    assert (account.working, list(account.positions)) == ({}, ["EURUSD"])
    (fill,) = await scene.ports.accounts.fills(scene.world.scope(ALPHA), account_id, None, 10)
    assert (fill["quote_seq"], fill["price_ticks"]) == (there.seq, 110210)
    assert fill["quote_ts_ns"] >= order.terms.active_ns
    await assert_whole(scene)


async def test_a_stop_larger_than_what_is_shown_goes_on_with_each_quote(scene: Scene) -> None:
    slippage = {"kind": "random", "maxTicks": 5}
    await use_model(scene, size="displayed", slippage=slippage)
    account_id = await new_account(scene)
    await place(scene, account_id, stopLoss="1.09900", takeProfit="1.11000", id="one")
    async with scene.watching():
        for count, bid in enumerate(("1.09890", "1.09880", "1.09870"), 1):
            await scene.world.quote("EURUSD", bid, "1.09895", sizes=(4, 4))
            found = await scene.commanded(count)
            assert found == [("protect", "executed")] * count
    assert (await scene.find(account_id)).positions == {}
    fills = await scene.ports.accounts.fills(scene.world.scope(ALPHA), account_id, None, 10)
    assert [fill["size_steps"] for fill in reversed(fills)] == [10, 4, 4, 2]
    assert len({fill["quote_seq"] for fill in fills}) == 4
    await assert_whole(scene)
