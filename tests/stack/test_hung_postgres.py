"""A PostgreSQL that hangs: who waits for it is told so in time, and nothing is lost or doubled."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.hung_postgres import hung
from tests.support.resources import MANIFESTS, Site, problem, site
from tests.support.stack import Stack, fresh_database
from tests.support.world import ALPHA, Bot, World

from quantlab.tenancy.permissions import Role
from quantlab.webhooks.signature import sign
from quantlab_adapters.postgres import inbox
from quantlab_app.use_cases.health import PROBE_LIMIT_S, health
from quantlab_edge.composition import REQUEST_PATIENCE_S

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes as Linux shows them"),
]
LIMIT_S, SLACK_S = 1.0, 3.0


@pytest.fixture
async def served(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    monkeypatch.setattr(inbox, "ANSWER_S", LIMIT_S)
    with fresh_database(stack) as database:
        async with site(database.app_dsn, redis_url, tmp_path, patience_s=LIMIT_S) as made:
            yield made


async def posted(served: Site, bot: Bot, number: int) -> httpx.Response:
    body = {"id": f"h-{number}", "symbol": "EURUSD", "action": "buy", "quantity": "0.1"}
    raw = json.dumps(body).encode()
    headers = {"x-bot-id": bot.bot_id, "x-signature": sign(bot.secret, int(time.time()), raw)}
    return await served.client.post("/webhooks/signals", content=raw, headers=headers)


async def test_signals_are_refused_in_time_and_each_is_executed_once(
    served: Site, stack: Stack
) -> None:
    small = served.world
    person = await served.person(Role.TENANT_ADMIN)
    bot = await small.bot(ALPHA, await small.account(ALPHA))
    await small.quote("EURUSD", "1.08000", "1.08010")
    assert (await posted(served, bot, 1)).status_code == 202
    with hung(stack.superuser_dsn):
        began = time.monotonic()
        sent = asyncio.create_task(posted(served, bot, 2))
        await asyncio.sleep(LIMIT_S / 4)
        behind = asyncio.create_task(posted(served, bot, 3))
        answers = await asyncio.wait_for(asyncio.gather(sent, behind), LIMIT_S + SLACK_S)
        assert time.monotonic() - began >= LIMIT_S
        assert [problem(one) for one in answers] == [(503, "stores_unavailable")] * 2
        assert all(int(one.headers["retry-after"]) > 0 for one in answers)
        assert (await posted(served, bot, 4)).status_code == 503
        assert isinstance(small.ports.inbox, inbox.PostgresInbox)
        assert small.ports.inbox._waiting == [], "what nobody waits for keeps nobody waiting"
    again = await asyncio.wait_for(posted(served, bot, 2), 20)
    assert again.status_code in (200, 202), "PostgreSQL may have inserted what it was sent"
    for number in (3, 4):
        assert (await posted(served, bot, number)).status_code == 202, "it was never sent"
    assert (await posted(served, bot, 3)).status_code == 200
    await small.settle(ALPHA)
    orders = await served.get(person, f"/accounts/{bot.account_id}/orders")
    assert [one["status"] for one in orders.json()["items"]] == ["filled"] * 4


async def test_other_requests_are_refused_in_time(served: Site, stack: Stack) -> None:
    person = await served.person(Role.TENANT_ADMIN)
    assert (await served.get(person, "/accounts")).status_code == 200
    with hung(stack.superuser_dsn):
        answer = await asyncio.wait_for(served.get(person, "/accounts"), LIMIT_S + SLACK_S)
        assert problem(answer) == (503, "stores_unavailable")
    async with asyncio.timeout(20):
        while (await served.get(person, "/accounts")).status_code != 200:
            await asyncio.sleep(0.1)


async def test_health_is_told_before_the_patience_ends(small: World, stack: Stack) -> None:
    assert (await health(small.ports)).up
    with hung(stack.superuser_dsn):
        found = await asyncio.wait_for(health(small.ports), PROBE_LIMIT_S + SLACK_S)
    assert [store.name for store in found.stores if not store.up] == ["postgresql"]


def test_requests_are_answered_before_their_function_is_cut_off() -> None:
    assert max(REQUEST_PATIENCE_S, inbox.ANSWER_S) < min(one.timeout_s for one in MANIFESTS)
