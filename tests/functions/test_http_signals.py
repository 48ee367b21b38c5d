"""Deliveries over HTTP: timelines, filters, totals, dead letters, and who sees which."""

import pytest
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA, BETA, Bot

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.signals import Receipt, Refused

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.1"}


async def sender(served: Site, tenant_id: str = ALPHA) -> tuple[Person, Bot]:
    person = await served.person(Role.TRADER, tenant_id)
    account_id = await served.account(person, await _first_type(served, tenant_id))
    return person, await served.world.bot(tenant_id, account_id)


async def _first_type(served: Site, tenant_id: str) -> str:
    return next(iter(served.world.configs[tenant_id].account_types))


def steps(delivery: dict[str, list[dict[str, str]]]) -> list[str]:
    return [step["event"] for step in delivery["timeline"]]


async def test_timeline_tells_what_happened_in_order(served: Site) -> None:
    person, bot = await sender(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    receipt = await served.world.send(bot, {"id": "t-1", **BUY})
    assert isinstance(receipt, Receipt)
    path = f"/signals/{receipt.signal_id}"
    before = (await served.get(person, path)).json()
    assert (before["status"], before["doneAt"]) == ("accepted", None)
    assert steps(before) == ["webhook.received", "webhook.validated"]
    await served.world.settle(ALPHA)
    await served.world.send(bot, {"id": "t-1", **BUY})
    shown = (await served.get(person, path)).json()
    assert steps(shown) == [
        "webhook.received", "webhook.validated", "order.accepted", "order.filled",
        "position.opened", "webhook.trade_executed",
    ]  # fmt: skip
    assert [step["at"] for step in shown["timeline"]] == sorted(
        step["at"] for step in shown["timeline"]
    )
    assert (shown["status"], shown["duplicates"], shown["botId"]) == ("executed", 1, bot.bot_id)
    assert shown["signal"]["symbol"] == "EURUSD"
    order = await served.get(person, f"/accounts/{bot.account_id}/orders")
    assert order.json()["items"][0]["orderId"] == shown["result"]["orderId"]


async def test_timelines_do_not_mix_between_signals_of_one_batch(served: Site) -> None:
    person, bot = await sender(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    bodies = [{"id": f"n-{number}", **BUY, "symbol": symbol} for number, symbol in
              enumerate(("EURUSD", "GBPUSD", "EURUSD"))]  # fmt: skip
    for body in bodies:
        await served.world.send(bot, body)
    await served.world.settle(ALPHA)
    items = (await served.get(person, "/signals")).json()["items"]
    assert [item["status"] for item in items] == ["executed", "rejected", "executed"]
    rejected = items[1]
    assert rejected["reason"] == "no_quote"
    assert steps(rejected) == [
        "webhook.received", "webhook.validated", "order.rejected", "webhook.rejected",
    ]  # fmt: skip
    assert rejected["timeline"][-1]["reason"] == "no_quote"
    assert [steps(item)[0] for item in items] == ["webhook.received"] * 3
    assert {steps(item)[-1] for item in (items[0], items[2])} == {"webhook.trade_executed"}


async def test_refused_signal_is_shown_to_those_who_see_every_account(served: Site) -> None:
    person, bot = await sender(served)
    admin = await served.person(Role.TENANT_ADMIN)
    refused = await served.world.send(bot, {"symbol": "EURUSD", "action": "up"})
    assert isinstance(refused, Refused)
    path = f"/signals/{refused.signal_id}"
    waiting = (await served.get(admin, path)).json()
    assert (waiting["status"], steps(waiting)) == (
        "refused", ["webhook.received", "webhook.rejected"],
    )  # fmt: skip
    await served.world.settle(ALPHA)
    shown = (await served.get(admin, path)).json()
    assert steps(shown) == ["webhook.received", "webhook.rejected"]
    assert shown["timeline"][1]["reason"] == refused.slug == shown["reason"]
    assert (shown["accountId"], shown["botId"]) == (None, bot.bot_id)
    listed = (await served.get(admin, "/signals", status="refused")).json()["items"]
    assert shown in listed
    assert problem(await served.get(person, path)) == (404, "not_found")
    assert (await served.get(person, "/signals")).json()["items"] == []


async def test_signals_of_others_do_not_exist(served: Site) -> None:
    owner, bot = await sender(served)
    colleague, _ = await sender(served)
    foreigner = await served.person(Role.TENANT_ADMIN, BETA)
    receipt = await served.world.send(bot, {"id": "mine", **BUY})
    assert isinstance(receipt, Receipt)
    for person in (colleague, foreigner):
        assert problem(await served.get(person, f"/signals/{receipt.signal_id}"))[0] == 404
        listed = (await served.get(person, "/signals")).json()["items"]
        assert receipt.signal_id not in {item["signalId"] for item in listed}
        assert problem(await served.get(person, "/signals", accountId=bot.account_id))[0] == 404
    own = (await served.get(owner, "/signals", accountId=bot.account_id)).json()["items"]
    assert [item["signalId"] for item in own] == [receipt.signal_id]


async def test_pages_filter_and_go_on_where_they_ended(served: Site) -> None:
    person, bot = await sender(served)
    sent = []
    for number in range(5):
        receipt = await served.world.send(bot, {"id": f"p-{number}", **BUY})
        assert isinstance(receipt, Receipt)
        sent.append(receipt.signal_id)
    pages = await served.pages(person, "/signals", limit=2, status="accepted")
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [item["signalId"] for page in pages for item in page] == sent[::-1]
    assert (await served.get(person, "/signals", status="dead")).json()["items"] == []
    assert problem(await served.get(person, "/signals", status="lost")) == (422, "invalid_fields")
    assert problem(await served.get(person, "/signals", limit=501)) == (422, "invalid_fields")


async def test_totals_count_every_end(served: Site) -> None:
    _, bot = await sender(served, BETA)
    admin = await served.person(Role.TENANT_ADMIN, BETA)
    trader = await served.person(Role.TRADER, BETA)
    before = (await served.get(admin, "/signals/summary")).json()
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    for body in ({"id": "1", **BUY}, {"id": "1", **BUY}, {"id": "2", **BUY, "symbol": "XAUUSD"}):
        await served.world.send(bot, body)
    await served.world.settle(BETA)
    await served.world.send(bot, {"id": "3", **BUY})
    await served.world.send(bot, {"id": "4", "action": "up"})
    after = (await served.get(admin, "/signals/summary")).json()
    grown = {key: after["accepted"][key] - before["accepted"][key] for key in after["accepted"]}
    assert grown == {"executed": 1, "rejected": 1, "dead": 0, "pending": 1}
    assert after["duplicates"] - before["duplicates"] == 1
    assert after["refused"] - before["refused"] == 1
    assert problem(await served.get(trader, "/signals/summary")) == (404, "not_found")


async def test_dead_letter_says_why_and_lives_again_after_a_redrive(served: Site) -> None:
    person, bot = await sender(served)
    ports = served.world.ports
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    receipt = await served.world.send(bot, {"id": "d-1", **BUY})
    assert isinstance(receipt, Receipt)
    scope = served.world.scope(ALPHA)
    waiting = await ports.inbox.delivery(scope, receipt.signal_id)
    assert waiting is not None
    assert await ports.execution.bury(ALPHA, waiting.inbox_id, "InvariantBroken: a bug", 1)
    path = f"/signals/{receipt.signal_id}"
    dead = (await served.get(person, path)).json()
    assert (dead["status"], dead["attempts"]) == ("dead", 1)
    assert dead["timeline"][-1]["event"] == "command.dead"
    assert await ports.inbox.redrive(scope, receipt.signal_id)
    await served.world.settle(ALPHA)
    assert (await served.get(person, path)).json()["status"] == "executed"
