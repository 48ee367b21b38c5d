"""Working orders over HTTP: placed, listed, changed, cancelled, and every wrong field named."""

from typing import Any

import pytest
from tests.support.resources import Person, Site, problem

from quantlab.tenancy.permissions import Role

pytestmark = pytest.mark.stack
LIMIT: dict[str, Any] = {
    "symbol": "EURUSD", "side": "buy", "quantity": "0.10", "orderType": "limit", "price": "1.07000",
}  # fmt: skip


async def trader(served: Site) -> tuple[Person, str]:
    person = await served.person(Role.TRADER)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    return person, f"/accounts/{await served.account(person)}/orders"


async def test_an_order_works_is_listed_changed_filled_and_read_as_ended(served: Site) -> None:
    person, path = await trader(served)
    async with served.executing():
        answer = await served.send("POST", person, path, {**LIMIT, "clientId": "a"})
        assert answer.status_code == 201, answer.text
        placed = answer.json()
        order = placed["order"]
        assert (order["status"], order["timeInForce"], placed["fill"]) == ("working", "gtc", None)
        assert (order["price"], order["quantity"], order["filledQuantity"]) == (
            "1.07000", "0.10", "0.00",
        )  # fmt: skip
        one = f"{path}/{order['orderId']}"
        assert answer.headers["location"].endswith(one)
        assert (await served.get(person, one)).json() == order
        assert (await served.get(person, path, status="working")).json()["items"] == [order]
        assert (await served.get(person, path, status="filled")).json()["items"] == []
        change = {"quantity": "0.20", "price": "1.07500"}
        changed = await served.send("PATCH", person, one, change)
        assert changed.status_code == 200, changed.text
        assert (changed.json()["order"]["quantity"], changed.json()["order"]["price"]) == (
            "0.20", "1.07500",
        )  # fmt: skip
        filled = (await served.send("PATCH", person, one, {"price": "1.09000"})).json()
        assert (filled["order"]["status"], filled["fill"]["price"]) == ("filled", "1.08010")
        again = await served.send("POST", person, path, {**LIMIT, "clientId": "a"})
    assert (again.status_code, again.json()["order"]["status"]) == (200, "filled")
    assert (await served.get(person, path, status="working")).json()["items"] == []
    ended = (await served.get(person, one)).json()
    assert ended["endedAt"] > ended["createdAt"]
    late = await served.send("DELETE", person, one)
    assert problem(late) == (409, "order_not_working")


async def test_links_and_brackets_are_shown_together(served: Site) -> None:
    person, path = await trader(served)
    bracket = {"trailPercent": "0.5", "takeProfit": "1.09"}
    leg = {"action": "sell", "orderType": "stop", "triggerPrice": "1.07"}
    async with served.executing():
        answer = await served.send("POST", person, path, {**LIMIT, "bracket": bracket})
        entry, exits = answer.json()["order"], [one["order"] for one in answer.json()["further"]]
        assert [one["status"] for one in exits] == ["pending_parent"] * 2
        assert {one["parentOrderId"] for one in exits} == {entry["orderId"]}
        assert [(one["trailPercent"], one["linkType"], one["reduceOnly"]) for one in exits] == [
            ("0.5", "ouo", True), (None, "ouo", True),
        ]  # fmt: skip
        linked = {**LIMIT, "links": {"type": "oco", "orders": [leg]}}
        answer = await served.send("POST", person, path, linked)
        first, other = answer.json()["order"], answer.json()["further"][0]["order"]
        assert first["groupId"] == other["groupId"]
        assert (other["triggerPrice"], other["quantity"], other["side"]) == (
            "1.07000", "0.10", "sell",
        )  # fmt: skip
        gone = await served.send("DELETE", person, f"{path}/{entry['orderId']}")
        assert gone.status_code == 200, gone.text
        assert {gone.json()["order"]["status"]} == {"cancelled"}
        assert len(gone.json()["further"]) == 2
        rest = (await served.send("DELETE", person, f"{path}?symbol=EURUSD")).json()
        assert {one["reason"] for one in (rest["order"], rest["further"][0]["order"])} == {
            "requested"
        }
        none = await served.send("DELETE", person, path)
        assert (none.status_code, none.json()["order"]) == (200, None)


async def test_reverse_and_flat_in_one_command(served: Site) -> None:
    person, path = await trader(served)
    async with served.executing():
        await served.send("POST", person, path, {"symbol": "EURUSD", "side": "buy", "quantity": 1})
        await served.send("POST", person, path, LIMIT)
        turned = await served.send("POST", person, path, {"symbol": "EURUSD", "action": "reverse"})
        assert turned.json()["fill"]["quantity"] == "2.00"
        flat = await served.send("POST", person, path, {"action": "flat"})
        assert flat.status_code == 201, flat.text
    assert (await served.get(person, path, status="working")).json()["items"] == []
    assert (await served.get(person, path.replace("orders", "positions"))).json()["items"] == []


WRONG = (
    ({"price": None}, ["/price"]),
    ({"triggerPrice": "1.07"}, ["/triggerPrice"]),
    ({"orderType": "stop", "price": None}, ["/triggerPrice"]),
    ({"orderType": "stop", "triggerPrice": "1.09"}, ["/price"]),
    ({"orderType": "trailing_stop", "price": None}, ["/trailDistance"]),
    ({"trailDistance": "0.001"}, ["/trailDistance"]),
    ({"timeInForce": "soon"}, ["/timeInForce"]),
    ({"timeInForce": "gtd"}, ["/expireAt"]),
    ({"expireAt": "2030-01-01T00:00:00Z"}, ["/expireAt"]),
    ({"timeInForce": "gtd", "expireAt": "tomorrow"}, ["/expireAt"]),
    ({"timeInForce": "ioc", "postOnly": True}, ["/postOnly"]),
    ({"reduceOnly": "yes"}, ["/reduceOnly"]),
    ({"reduceOnly": True, "stopLoss": "1.06"}, ["/stopLoss"]),
    ({"orderId": "x"}, ["/orderId"]),
    ({"bracket": {}}, ["/bracket/stopLoss"]),
    ({"bracket": {"stopLoss": "1.06", "trailDistance": "0.01"}}, ["/bracket/stopLoss"]),
    ({"bracket": {"stopLoss": "1.06"}, "takeProfit": "1.2"}, ["/takeProfit"]),
    ({"links": []}, ["/links"]),
    ({"links": {"type": "oco", "orders": []}}, ["/links/orders"]),
    ({"links": {"type": "x", "orders": [{"action": "buy"}]}},
     ["/links/type", "/links/orders/0/orderType"]),
    ({"links": {"type": "oto", "orders": [
        {"action": "sell", "quantity": 1, "orderType": "limit", "price": 2}]}},
     ["/links/orders/0/quantity"]),
    ({"links": {"type": "oco", "orders": [{"orderType": "limit"}]}},
     ["/links/orders/0/price", "/links/orders/0/action"]),
    ({"side": None, "action": "cancel"},
     ["/orderType", "/price", "/quantity", "/symbol", "/orderId"]),
    ({"side": None, "action": "reverse", "orderType": None, "price": None}, ["/quantity"]),
)  # fmt: skip


async def test_every_wrong_combination_is_named_and_nothing_is_written(served: Site) -> None:
    person, path = await trader(served)
    for change, pointers in WRONG:
        answer = await served.send("POST", person, path, {**LIMIT, **change})
        assert problem(answer) == (422, "invalid_fields"), change
        assert sorted(error["pointer"] for error in answer.json()["errors"]) == sorted(pointers)
    assert (await served.get(person, path)).json()["items"] == []


REFUSED = (
    ({"price": "1.0700001"}, 422, "price_off_tick", "/price"),
    ({"price": "1.09", "postOnly": True}, 422, "would_trade", "/price"),
    ({"orderType": "stop", "price": None, "triggerPrice": "1.07"}, 422, "trigger_reached",
     "/triggerPrice"),
    ({"timeInForce": "gtd", "expireAt": "2020-01-01T00:00:00Z"}, 422, "expired_already",
     "/expireAt"),
    ({"reduceOnly": True}, 409, "would_not_reduce", None),
)  # fmt: skip


async def test_refusals_of_the_writer_are_problems_by_their_reason(served: Site) -> None:
    person, path = await trader(served)
    async with served.executing():
        for change, status, slug, pointer in REFUSED:
            answer = await served.send("POST", person, path, {**LIMIT, **change})
            assert problem(answer) == (status, slug), answer.text
            pointers = [error["pointer"] for error in answer.json().get("errors", [])]
            assert pointers == ([] if pointer is None else [pointer])
        order_id = (await served.send("POST", person, path, LIMIT)).json()["order"]["orderId"]
        wrong = await served.send("PATCH", person, f"{path}/{order_id}", {"triggerPrice": "1.2"})
        assert problem(wrong) == (422, "not_of_order_type")
        assert wrong.json()["errors"][0]["pointer"] == "/triggerPrice"
        empty = await served.send("PATCH", person, f"{path}/{order_id}", {})
        assert problem(empty) == (422, "invalid_fields")
    viewer = await served.person(Role.VIEWER)
    assert problem(await served.send("DELETE", viewer, path)) == (403, "forbidden")
    stranger = await served.person(Role.TRADER)
    assert problem(await served.send("DELETE", stranger, path)) == (404, "not_found")
