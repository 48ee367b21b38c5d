"""Commissions, margin, the stop-out and swap on real stores, and the books that sum to the end."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.invariant_books import booked_events, check_books
from tests.support.invariant_events import check_events
from tests.support.invariant_findings import Findings
from tests.support.invariant_orders import check_orders, read_fills, read_orders
from tests.support.set_clock import SetClock
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, World, world

from quantlab.engine.watch import Watch
from quantlab_app.use_cases.account_views import read_account
from quantlab_app.use_cases.own_commands import accept_all, own_command
from quantlab_app.use_cases.schedules import roll_days

pytestmark = pytest.mark.stack
DAY_NS = 86_400 * 10**9
KIND = "levered"
TERMS: dict[str, Any] = {
    "id": KIND,
    "name": "Levered",
    "currency": "EUR",
    "currencyDigits": 2,
    "initialBalance": "50000.00",
    "commissions": {
        "fx": {
            "commissionMinorPerLot": "275.5",
            "commissionBasisPoints": "0.15",
            "minimumMinorPerOrder": "50",
        }
    },
    "swaps": {
        "EURUSD": {"unit": "points", "long": "-6.35", "short": "1.1"},
        "GBPUSD": {"unit": "money", "long": "-3.333", "short": "-1"},
    },
    "margin": {"leverage": {"fx": "30"}, "stopOutPercent": "50"},
}


def levered(document: dict[str, Any]) -> None:
    """Give the tenant an account type of its own costs and margin, under the plainest rules."""
    kinds = document["accountTypes"]
    plain = next((kind for kind in kinds if kind["id"] == "demo-100k"), kinds[0])
    kinds.append({**plain, **TERMS})


@pytest.fixture
async def made(
    stack: Stack, redis_url: str, tmp_path: Path
) -> AsyncIterator[tuple[World, FreshDatabase]]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path, levered) as small:
            await small.quote("EURUSD", "1.10000", "1.10010")
            await small.quote("GBPUSD", "1.25000", "1.25020")
            yield small, database


async def ledger(small: World, account_id: str) -> list[tuple[str, int]]:
    rows = await small.ports.accounts.ledger(small.scope(ALPHA), account_id, None, 100)
    return [(row["kind"], row["amount_minor"]) for row in reversed(rows)]


async def sent(small: World, account_id: str, *orders: dict[str, Any]) -> None:
    bot = await small.bot(ALPHA, account_id)
    for number, order in enumerate(orders):
        await small.send(bot, {**order, "id": f"{account_id}-{number}"})
    await small.settle(ALPHA)


async def broken_books(small: World, database: FreshDatabase) -> str:
    """Return what does not hold of the books, as the invariants recompute them."""
    with psycopg.connect(
        database.superuser_dsn, row_factory=dict_row, options="-c search_path=quantlab"
    ) as connection:
        findings = Findings()
        events = check_events(connection, findings)
        fills = read_fills(connection)
        orders = read_orders(connection)
        check_orders(findings, orders, fills)
        booked = booked_events(events)
        check_books(connection, findings, small.ports.catalog, fills, booked)
    assert findings.checked["money of a fill"]
    return str(findings) if findings else ""


async def test_fees_and_swaps_are_in_the_ledger_and_the_books_hold(
    made: tuple[World, FreshDatabase],
) -> None:
    small, database = made
    account_id = await small.account(ALPHA, KIND)
    buy = {"symbol": "EURUSD", "action": "buy", "quantity": "1"}
    pound = {"symbol": "GBPUSD", "action": "sell", "quantity": "0.07"}
    await sent(small, account_id, buy, pound)
    state = await small.find(ALPHA, account_id)
    assert set(state.positions) == {"EURUSD", "GBPUSD"}

    clock = SetClock(state.day.next_reset_ns + 3 * DAY_NS // 2)
    small.ports = replace(small.ports, clock=clock)
    assert await roll_days(small.ports) >= 1
    await small.settle(ALPHA)
    assert await roll_days(small.ports) == 0
    kinds = [kind for kind, _ in await ledger(small, account_id)]
    assert kinds == ["deposit", "commission", "commission", *["swap"] * 4], "two nights of two"
    rolled = await small.find(ALPHA, account_id)
    assert sum(amount for _, amount in await ledger(small, account_id)) == rolled.balance_minor
    types = await small.event_types(ALPHA, account_id)
    assert types.count("position.swap_charged") == 4

    await small.quote("EURUSD", "1.10500", "1.10510")
    await small.quote("GBPUSD", "1.24000", "1.24020")
    await sent(small, account_id, {"action": "flat"})
    assert (await small.find(ALPHA, account_id)).positions == {}
    assert await broken_books(small, database) == ""


async def test_an_order_beyond_the_margin_is_refused_and_the_view_says_what_is_free(
    made: tuple[World, FreshDatabase],
) -> None:
    small, _ = made
    account_id = await small.account(ALPHA, KIND)
    await sent(small, account_id, {"symbol": "EURUSD", "action": "buy", "quantity": "15"})
    view = await read_account(small.ports, small.scope(ALPHA), account_id)
    assert (view.margin is not None, view.stop_out_ppm) == (True, 500_000)
    assert view.margin is not None
    assert view.margin.level_ppm is None, "1,500,000 euros / 30 is all there is, and a fee"
    await sent(small, account_id, {"symbol": "EURUSD", "action": "buy", "quantity": "14"})
    view = await read_account(small.ports, small.scope(ALPHA), account_id)
    assert view.margin is not None
    # 14 lots cost 1,400,140 dollars times 1.1, bought back at the bid: 46,670.91 euros of margin.
    assert view.margin.used_minor == 4_667_091
    assert 0 < view.margin.free_minor < 400_000
    types = await small.event_types(ALPHA, account_id)
    assert [one for one in types if one.startswith("order.")] == [
        "order.rejected",
        "order.accepted",
        "order.filled",
    ]


async def test_account_watch_asks_for_the_stop_out_and_the_writer_carries_it_out(
    made: tuple[World, FreshDatabase],
) -> None:
    small, database = made
    account_id = await small.account(ALPHA, KIND)
    await sent(
        small,
        account_id,
        {"symbol": "EURUSD", "action": "buy", "quantity": "6"},
        {"symbol": "GBPUSD", "action": "buy", "quantity": "6"},
    )
    state = await small.find(ALPHA, account_id)
    rulebook = await small.ports.rulebooks.of(state)
    quotes = [
        await small.quote("EURUSD", "1.06000", "1.06010"),
        await small.quote("GBPUSD", "1.22500", "1.22520"),
    ]
    now_ns = small.ports.clock.now_ns()
    watch = Watch(small.ports.catalog)
    watch.set_quotes(quotes)
    demands = watch.put(state, rulebook.profile, now_ns, now_ns, rulebook.trading)
    (demand,) = [one for one in demands if one.name == "stop_out"]
    ports = small.ports
    asked = [
        own_command(
            ports.clock, ports.ids, "watch", ALPHA, account_id, demand.name, demand.payload,
            demand.identity,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert await accept_all(ports.inbox, asked) == 1, "two watches demand the same"
    await small.settle(ALPHA)
    after = await small.find(ALPHA, account_id)
    assert set(after.positions) == {"GBPUSD"}
    types = await small.event_types(ALPHA, account_id)
    assert types.count("account.margin_stop_out") == 1
    assert await broken_books(small, database) == ""
