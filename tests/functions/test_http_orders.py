"""Orders over HTTP: the fill, exact figures, idempotency, every named refusal, later reads."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases import submission

pytestmark = pytest.mark.stack
ABSENT = "00000000-0000-7000-8000-00000000dead"
BUY: dict[str, Any] = {"symbol": "EURUSD", "side": "buy", "quantity": "0.10"}


async def trader(served: Site, account_type: str = "demo-100k") -> tuple[Person, str]:
    person = await served.person(Role.TRADER)
    return person, await served.account(person, account_type)


async def test_order_is_filled_at_the_quote_and_read_again(served: Site) -> None:
    person, account_id = await trader(served)
    quote = await served.world.quote("EURUSD", "1.08000", "1.08010")
    path = f"/accounts/{account_id}"
    async with served.executing():
        body = {**BUY, "stopLoss": "1.07000", "takeProfit": 1.09, "clientId": "c-1"}
        answer = await served.send("POST", person, f"{path}/orders", body)
    assert answer.status_code == 201, answer.text
    placed = answer.json()
    order, fill = placed["order"], placed["fill"]
    instrument = served.world.ports.catalog.instruments["EURUSD"]
    expected = Decimal("1.08010") + instrument.slippage_ticks * instrument.tick
    assert fill["price"] == str(expected)
    assert (fill["quote"]["bid"], fill["quote"]["ask"]) == ("1.08000", "1.08010")
    assert fill["quote"]["seq"] == quote.seq
    assert (order["quantity"], order["stopLoss"], order["takeProfit"]) == (
        fill["quantity"],
        "1.07000",
        "1.09000",
    )
    assert Decimal(fill["quantity"]) == Decimal("0.1")
    assert (order["clientId"], order["status"], order["source"]) == ("c-1", "filled", "user")
    assert placed["further"] == []
    assert answer.headers["location"].endswith(f"{path}/orders/{order['orderId']}")
    assert (await served.client.get(answer.headers["location"], headers=person.headers)).json() == (
        order
    )
    assert (await served.get(person, f"{path}/orders")).json()["items"] == [order]
    assert (await served.get(person, f"{path}/fills")).json()["items"] == [fill]


async def test_money_sums_exactly_over_a_round_trip(served: Site) -> None:
    person, account_id = await trader(served)
    path = f"/accounts/{account_id}"
    async with served.executing():
        await served.world.quote("USDJPY", "151.001", "151.004")
        for side, quantity in (("buy", "0.07"), ("sell", "0.03"), ("buy", "0.01")):
            order = {"symbol": "USDJPY", "side": side, "quantity": quantity}
            answer = await served.send("POST", person, f"{path}/orders", order)
            assert answer.status_code == 201, answer.text
    account = (await served.get(person, path)).json()
    entries = [e for page in await served.pages(person, f"{path}/ledger", limit=1) for e in page]
    assert [(entry["eventSeq"], entry["kind"]) for entry in entries] == sorted(
        ((entry["eventSeq"], entry["kind"]) for entry in entries),
        key=lambda pair: (-pair[0], pair[1]),
    )
    assert {entry["kind"] for entry in entries} >= {"deposit", "realised"}
    assert sum(Decimal(entry["amount"]) for entry in entries) == Decimal(account["balance"])
    assert entries == (await served.get(person, f"{path}/ledger")).json()["items"]
    position = (await served.get(person, f"{path}/positions")).json()["items"][0]
    assert (position["side"], Decimal(position["quantity"])) == ("long", Decimal("0.05"))
    assert position["price"] == "151.001"
    cost = Decimal(position["cost"])
    average = cost / Decimal(position["quantity"])
    assert abs(Decimal(position["averagePrice"]) - average) <= Decimal("0.00000005")
    equity = Decimal(account["balance"]) + Decimal(position["openProfit"])
    assert abs(Decimal(account["equity"]) - equity) <= Decimal("0.01")


async def test_client_id_is_executed_once(served: Site) -> None:
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    path = f"/accounts/{account_id}/orders"
    body = {**BUY, "clientId": "once"}
    async with served.executing():
        first, *repeats = await asyncio.gather(
            *(served.send("POST", person, path, body) for _ in range(5))
        )
        statuses = sorted(answer.status_code for answer in (first, *repeats))
        assert statuses == [200, 200, 200, 200, 201]
        assert all(answer.json() == first.json() for answer in repeats)
        other = await served.send("POST", person, path, {**body, "quantity": "0.2"})
        assert problem(other) == (409, "body_conflict")
        elsewhere = await served.account(person)
        again = await served.send("POST", person, f"/accounts/{elsewhere}/orders", body)
        assert again.status_code == 201
    assert len((await served.get(person, path)).json()["items"]) == 1


async def test_idempotency_key_serves_orders_without_client_id(served: Site) -> None:
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    path = f"/accounts/{account_id}/orders"
    async with served.executing():
        answers = [
            await served.send("POST", person, path, BUY, **{"Idempotency-Key": key})
            for key in ("a", "a", "b")
        ]
        answers += [await served.send("POST", person, path, BUY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 201, 201]
    assert len((await served.get(person, path)).json()["items"]) == 4


FIELDS = (
    ({"symbol": None}, "/symbol"),
    ({"side": None}, "/action"),
    ({"side": "up"}, "/side"),
    ({"side": "buy", "action": "sell"}, "/side"),
    ({"quantity": None}, "/quantity"),
    ({"quantity": "-1"}, "/quantity"),
    ({"quantity": True}, "/quantity"),
    ({"quantity": [1]}, "/quantity"),
    ({"quantity": "1e3"}, "/quantity"),
    ({"orderType": "limit"}, "/price"),
    ({"orderType": "iceberg"}, "/orderType"),
    ({"clientId": "x" * 65}, "/clientId"),
    ({"clientId": "a\u0007b"}, "/clientId"),
    ({"quantity": None, "riskPercent": "1"}, "/stopLoss"),
    ({"leverage": 100}, "/leverage"),
)


async def test_field_that_does_not_hold_is_named_and_nothing_is_written(served: Site) -> None:
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    for change, pointer in FIELDS:
        answer = await served.send(
            "POST", person, f"/accounts/{account_id}/orders", {**BUY, **change}
        )
        assert problem(answer) == (422, "invalid_fields"), change
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await served.get(person, f"/accounts/{account_id}/orders")).json()["items"] == []


REFUSALS = (
    ({"symbol": "NOSUCH"}, 422, "unknown_instrument", "/symbol"),
    ({"symbol": "GBPUSD"}, 409, "no_quote", None),
    ({"symbol": "USDJPY"}, 409, "quote_stale", None),
    ({"quantity": "0.000001"}, 422, "quantity_off_step", "/quantity"),
    ({"quantity": "900000"}, 422, "quantity_too_large", "/quantity"),
    ({"stopLoss": "1.0700001"}, 422, "price_off_tick", "/stopLoss"),
    ({"stopLoss": "1.09000"}, 422, "invalid_stop_loss", "/stopLoss"),
    ({"takeProfit": "1.07000"}, 422, "invalid_take_profit", "/takeProfit"),
    ({"side": None, "action": "close"}, 409, "no_position", None),
    ({"side": None, "action": "flat", "quantity": None, "symbol": None}, 409, "no_position", None),
)


async def test_refusal_is_a_problem_of_its_reason_and_is_recorded(served: Site) -> None:
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    await served.world.quote("USDJPY", "151.001", "151.004", age_s=100_000)
    path = f"/accounts/{account_id}/orders"
    async with served.executing():
        for change, status, slug, pointer in REFUSALS:
            answer = await served.send("POST", person, path, {**BUY, **change})
            assert problem(answer) == (status, slug), answer.text
            pointers = [error["pointer"] for error in answer.json().get("errors", [])]
            assert pointers == ([] if pointer is None else [pointer])
            signal = await served.get(person, f"/signals/{answer.json()['signalId']}")
            assert (signal.json()["status"], signal.json()["reason"]) == ("rejected", slug)
    orders = (await served.get(person, path)).json()["items"]
    assert {order["status"] for order in orders} == {"rejected"}
    assert {order["reason"] for order in orders} == {slug for _, _, slug, _ in REFUSALS}
    assert (await served.get(person, f"/accounts/{account_id}/fills")).json()["items"] == []


async def test_repeated_refusal_answers_alike(served: Site) -> None:
    person, account_id = await trader(served)
    body = {**BUY, "symbol": "GBPUSD", "clientId": "r"}
    async with served.executing():
        first = await served.send("POST", person, f"/accounts/{account_id}/orders", body)
        await served.world.quote("GBPUSD", "1.25000", "1.25010")
        again = await served.send("POST", person, f"/accounts/{account_id}/orders", body)
    assert problem(first) == problem(again) == (409, "no_quote")
    assert first.json()["signalId"] == again.json()["signalId"]


async def test_order_that_waits_answers_202_and_is_found_later(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "WAIT_S", 0.05)
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    body = {**BUY, "clientId": "slow"}
    waiting = await served.send("POST", person, f"/accounts/{account_id}/orders", body)
    assert (waiting.status_code, waiting.json()["status"]) == (202, "accepted"), waiting.text
    path = f"/signals/{waiting.json()['signalId']}"
    assert (await served.get(person, path)).json()["status"] == "accepted"
    await served.world.settle(ALPHA)
    assert (await served.get(person, path)).json()["status"] == "executed"
    done = await served.send("POST", person, f"/accounts/{account_id}/orders", body)
    assert (done.status_code, done.json()["signalId"]) == (200, waiting.json()["signalId"])


async def test_flat_closes_every_position_and_lists_them(served: Site) -> None:
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    await served.world.quote("GBPUSD", "1.25000", "1.25010")
    path = f"/accounts/{account_id}/orders"
    async with served.executing():
        for symbol in ("EURUSD", "GBPUSD"):
            await served.send("POST", person, path, {**BUY, "symbol": symbol})
        flat = await served.send("POST", person, path, {"action": "flat"})
    assert flat.status_code == 201, flat.text
    one, further = flat.json()["order"], flat.json()["further"]
    assert {one["symbol"], *(more["order"]["symbol"] for more in further)} == {"EURUSD", "GBPUSD"}
    assert all(more["fill"]["orderId"] == more["order"]["orderId"] for more in further)
    assert (await served.get(person, f"/accounts/{account_id}/positions")).json()["items"] == []
    seqs = [o["eventSeq"] for page in await served.pages(person, path, limit=1) for o in page]
    assert seqs == sorted(seqs, reverse=True)
    assert len(seqs) == len(set(seqs)) == 4


async def test_ended_order_cannot_be_changed(served: Site) -> None:
    person, account_id = await trader(served)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    path = f"/accounts/{account_id}/orders"
    async with served.executing():
        placed = (await served.send("POST", person, path, BUY)).json()
    for method in ("PATCH", "DELETE"):
        body = {"price": "1.07"} if method == "PATCH" else None
        answer = await served.send(method, person, f"{path}/{placed['order']['orderId']}", body)
        assert problem(answer) == (409, "order_not_working")
        absent = await served.send(method, person, f"{path}/{ABSENT}", body)
        assert problem(absent) == (404, "not_found")


async def test_only_those_who_may_place_orders_do(served: Site) -> None:
    _, account_id = await trader(served)
    colleague, viewer = await served.person(Role.TRADER), await served.person(Role.VIEWER)
    path = f"/accounts/{account_id}/orders"
    assert problem(await served.send("POST", colleague, path, BUY)) == (404, "not_found")
    assert problem(await served.send("POST", viewer, path, BUY)) == (403, "forbidden")
    broken = await served.send("POST", viewer, path, "not an object")
    assert broken.status_code in (403, 422)


async def test_broken_rule_shows_as_a_violation(served: Site) -> None:
    person, account_id = await trader(served, "evaluation-50k")
    path = f"/accounts/{account_id}"
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    async with served.executing():
        opened = await served.send("POST", person, f"{path}/orders", {**BUY, "quantity": "10"})
        assert opened.status_code == 201, opened.text
        await served.world.quote("EURUSD", "1.07000", "1.07010")
        closed = await served.send(
            "POST", person, f"{path}/orders", {"symbol": "EURUSD", "action": "close"}
        )
        assert closed.status_code == 201, closed.text
    violations = (await served.get(person, f"{path}/violations")).json()["items"]
    assert violations
    assert {item["verdict"]["rule"] for item in violations} == {item["rule"] for item in violations}
    rules = (await served.get(person, f"{path}/rules")).json()["items"]
    broken = {rule["rule"] for rule in rules if rule["state"] == "violated"}
    assert {item["rule"] for item in violations} <= broken
    account = (await served.get(person, path)).json()
    assert account["status"] in ("locked", "disabled")
    below = [floor for floor in account["floors"] if Decimal(floor["distance"]) <= 0]
    assert {floor["rule"] for floor in below} >= {item["rule"] for item in violations}
