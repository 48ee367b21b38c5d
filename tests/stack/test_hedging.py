"""Hedging accounts on the real stores: restart, API, replay, checkpoints and linked accounts."""

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.stack.test_costs import broken_books
from tests.stack.test_replay import assert_same, without_limits
from tests.support.live_path import LivePath, live_path, random_order, recorded_ticks
from tests.support.resources import Person, Site, problem, site
from tests.support.stack import Stack, fresh_database
from tests.support.world import ALPHA, BETA, Bot, world

from quantlab.engine.context import equity_of
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.rules.surroundings import LinkedOrder
from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.execution import market_now
from quantlab_app.use_cases.replay import read_recording
from quantlab_app.use_cases.schedules import checkpoint_rules

pytestmark = pytest.mark.stack
KIND = "demo-hedging-100k"
TICKS = 350


async def shown(served: Site, person: Person, path: str) -> list[dict[str, Any]]:
    answer = await served.get(person, f"{path}/positions")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_legs_are_shown_survive_a_restart_and_close_by_ticket(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTLAB_ARGON2_TIME_COST", "1")
    monkeypatch.setenv("QUANTLAB_ARGON2_MEMORY_KIB", "8192")
    with fresh_database(stack) as database:
        async with site(database.app_dsn, redis_url, tmp_path) as served:
            person = await served.person(Role.TRADER, BETA)
            path = f"/accounts/{await served.account(person, KIND)}"
            await served.world.quote("EURUSD", "1.10000", "1.10010")
            async with served.executing():
                tickets = [
                    await placed(served, person, path, side, quantity)
                    for side, quantity in (("buy", "1.00"), ("sell", "0.60"), ("buy", "0.20"))
                ]
                exit_order = {"orderType": "limit", "price": "1.20000", "reduceOnly": True}
                waiting = {"side": "sell", "quantity": "0.20", "ticket": tickets[2], **exit_order}
                answer = await send(served, person, path, **waiting)
                assert answer.json()["order"]["ticket"] == tickets[2]
            before = await shown(served, person, path)
        async with site(database.app_dsn, redis_url, tmp_path) as served:
            await served.world.quote("EURUSD", "1.10000", "1.10010")
            after = await shown(served, person, path)
            assert after == before
            assert [(leg["ticket"], leg["side"], leg["quantity"]) for leg in after] == [
                (tickets[0], "long", "1.00"),
                (tickets[1], "short", "0.60"),
                (tickets[2], "long", "0.20"),
            ]
            account = (await served.get(person, path)).json()
            assert (account["positioning"], account["openPositions"]) == ("hedging", 3)
            used = (100_000_00 * 120 * 110_010) // (100 * 100_000)
            assert account["margin"]["used"] == f"{-(-used // 30) / 100:.2f}", "of the longs alone"
            async with served.executing():
                closed = await send(
                    served, person, path, action="close", ticket=tickets[1], quantity="0.10"
                )
                assert closed.json()["fill"]["ticket"] == tickets[1]
                refused = await send(served, person, path, action="reverse")
                assert problem(refused) == (409, "netting_only")
                wrong = await send(served, person, path, side="buy", quantity="1", ticket="x")
                assert problem(wrong) == (422, "invalid_fields")
                await send(served, person, path, action="flat", symbol="EURUSD")
            assert await shown(served, person, path) == []
            assert await broken_books(served.world, database) == ""


async def send(served: Site, person: Person, path: str, **order: Any) -> Any:
    return await served.send("POST", person, f"{path}/orders", {"symbol": "EURUSD", **order})


async def placed(served: Site, person: Person, path: str, side: str, quantity: str) -> str:
    answer = await send(served, person, path, side=side, quantity=quantity)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["order"]["ticket"])


def hedging(document: dict[str, Any]) -> None:
    without_limits(document)
    for kind in document["accountTypes"]:
        kind["positioning"] = "hedging"


@pytest.mark.data
async def test_a_batch_run_decides_what_the_live_path_did_on_legs(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path, hedging) as made:
            async with live_path(made, 0, monkeypatch) as live:
                accounts = await trade_legs(live)
            for account_id in accounts:
                recording = await read_recording(made.ports, made.scope(ALPHA), account_id)
                seen += Counter(one.reason or one.command.name for one in recording.decided)
                seen += Counter(row.table for row in recording.rows)
                assert_same(recording, live)
            assert await broken_books(made, database) == ""
    assert seen["fill"] > 20
    assert seen["netting_only"] > 0


async def trade_legs(live: LivePath) -> list[str]:
    """Trade at random over a file's ticks, now and then on a leg that is open."""
    made, rng, most = live.world, random.Random(11), 0
    instrument = made.ports.catalog.instruments["EURUSD"]
    quotes = recorded_ticks("EURUSD", instrument, TICKS)
    live.clock.at_ns = quotes[0].ts_ns
    accounts = [await made.account(ALPHA, kind) for kind in ("demo-100k", "swing-25k")]
    bots = [await made.bot(ALPHA, account_id) for account_id in accounts]
    for number, tick in enumerate(quotes):
        await live.tick(tick)
        for bot in bots:
            if rng.random() < 0.1:
                body = random_order(rng, tick, instrument, ("0.5", "2"), 60)
                account = await made.find(ALPHA, bot.account_id)
                most = max(most, len(account.positions))
                if account.positions and rng.random() < 0.4:
                    body = on_a_leg(rng, account, tick)
                await live.send(bot, {**body, "id": f"{number}"})
    assert most > 3, "several legs at once"
    return accounts


def on_a_leg(rng: random.Random, account: Account, tick: Quote) -> dict[str, Any]:
    leg = rng.choice(account.legs())
    if rng.random() < 0.5:
        return {"symbol": leg.symbol, "action": "close", "ticket": leg.ticket}
    side, sign = ("sell", 1) if leg.size_steps > 0 else ("buy", -1)
    price = f"{(tick.bid_ticks + sign * rng.randint(5, 40)) / 100_000:.5f}"
    return {
        "symbol": leg.symbol, "action": side, "quantity": "0.25", "orderType": "limit",
        "price": price, "reduceOnly": True, "ticket": leg.ticket,
    }  # fmt: skip


async def hedged(made: Any, account_id: str) -> Bot:
    bot: Bot = await made.bot(BETA, account_id)
    for number, (action, quantity) in enumerate((("buy", "2"), ("sell", "0.5"), ("buy", "1"))):
        order = {"symbol": "EURUSD", "action": action, "quantity": quantity}
        await made.send(bot, {**order, "id": f"{account_id}-{number}"})
    await made.settle(BETA)
    return bot


async def test_a_checkpoint_in_bulk_values_every_leg(
    stack: Stack, redis_url: str, tmp_path: Path
) -> None:
    shared = Path(tempfile.gettempdir()) / "quantlab-tests-native"
    shared.mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "native").symlink_to(shared)
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            await made.quote("EURUSD", "1.10000", "1.10010")
            accounts = [await made.account(BETA, kind) for kind in (KIND, "demo-100k", KIND)]
            for account_id in accounts:
                await hedged(made, account_id)
            await made.quote("EURUSD", "1.09000", "1.09010")
            await checkpoint_rules(made.ports)
            market, _ = await market_now(made.ports)
            with psycopg.connect(database.superuser_dsn, row_factory=dict_row) as connection:
                rows = connection.execute(
                    "select * from quantlab.rule_checkpoint_account where tenant_id = %s", (BETA,)
                ).fetchall()
            found = {str(row["account_id"]): row["equity_minor"] for row in rows}
            assert set(found) == set(accounts)
            for account_id in accounts:
                account = await made.find(BETA, account_id)
                assert len(account.positions) == (1 if account_id == accounts[1] else 3)
                assert found[account_id] == equity_of(account, market)


async def test_linked_accounts_see_both_sides_and_which_orders_opened(
    stack: Stack, redis_url: str, tmp_path: Path
) -> None:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            await made.quote("EURUSD", "1.10000", "1.10010")
            own, other = await made.account(BETA, KIND), await made.account(BETA, KIND)
            links, scope = made.ports.account_links, made.scope(BETA)
            await links.put(scope, "group", [own, other])
            bot = await hedged(made, other)
            first = (await made.find(BETA, other)).legs()[0]
            close = {"symbol": "EURUSD", "action": "close", "ticket": first.ticket}
            await made.send(bot, {**close, "id": "close"})
            await made.settle(BETA)
            (one,) = await links.standing(scope, own, 0)
            legs = (await made.find(BETA, other)).legs()
            assert one.positions == tuple(("EURUSD", leg.size_steps) for leg in legs)
            assert [size > 0 for _, size in one.positions] == [False, True]
            assert all(isinstance(order, LinkedOrder) for order in one.orders)
            assert [order.side for order in one.orders] == [1, -1, 1], "the close opened nothing"
