import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.webhooks.body import (
    ACTIONS,
    Signal,
    idempotency_key,
    parse_json,
    parse_signal,
    sent_at_ns,
    signal_id_of,
)

GOOD: dict[str, Any] = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10"}
UUID = "0190b5f0-0000-7000-8000-000000000000"
EXIT: dict[str, Any] = {
    "action": "sell", "orderType": "limit", "price": "1.2", "reduceOnly": True, "ticket": UUID,
}  # fmt: skip


def read(**fields: Any) -> Signal | tuple[str, ...]:
    found = parse_signal({**GOOD, **fields})
    return found if isinstance(found, Signal) else tuple(problem.pointer for problem in found)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"action": "hold"}, ("/action",)),
        ({"action": None}, ("/action",)),
        ({"symbol": None}, ("/symbol",)),
        ({"symbol": ""}, ("/symbol",)),
        ({"symbol": 7}, ("/symbol",)),
        ({"symbol": "EUR\nUSD"}, ("/symbol",)),
        ({"quantity": "-1"}, ("/quantity",)),
        ({"quantity": 0}, ("/quantity",)),
        ({"quantity": True}, ("/quantity",)),
        ({"quantity": "1e5"}, ("/quantity",)),
        ({"quantity": Decimal("1E+999999")}, ("/quantity",)),
        ({"quantity": "0x10"}, ("/quantity",)),
        ({"quantity": []}, ("/quantity",)),
        ({"quantity": None}, ("/quantity",)),
        ({"riskPercent": "1", "stopLoss": "1"}, ("/quantity",)),
        ({"quantity": None, "riskPercent": "101", "stopLoss": "1"}, ("/riskPercent",)),
        ({"quantity": None, "riskPercent": "1"}, ("/stopLoss",)),
        ({"quantity": None, "riskPercent": "1", "bracket": {"takeProfit": "2"}}, ("/stopLoss",)),
        ({"equityPercent": "10"}, ("/quantity",)),
        ({"quantity": None, "equityPercent": "100001"}, ("/equityPercent",)),
        ({"quantity": None, "equityPercent": "5", "reduceOnly": True}, ("/equityPercent",)),
        (
            {
                "orderType": "limit",
                "price": "1",
                "timeInForce": "gtd",
                "expireAt": "9999-12-31T23:59:59-23:59",
            },
            ("/expireAt",),
        ),
        ({"action": "modify", "symbol": None, "signalId": UUID}, ("/exit",)),
        ({"action": "modify", "symbol": None, "signalId": UUID, "exit": "all"}, ("/exit",)),
        ({"action": "modify", "symbol": None, "clientId": "a", "exit": "stop"}, ("/exit",)),
        (
            {"action": "modify", "symbol": None, "clientId": "a", "signalId": UUID, "exit": "stop"},
            ("/orderId",),
        ),
        (
            {"action": "cancel", "symbol": None, "quantity": None, "signalId": UUID},
            ("/signalId", "/orderId"),
        ),
        ({"orderType": "limit"}, ("/price",)),
        ({"orderType": "iceberg"}, ("/orderType",)),
        ({"stopLoss": "x", "takeProfit": {}}, ("/stopLoss", "/takeProfit")),
        ({"accountId": "mine"}, ("/accountId",)),
        ({"clientId": "x" * 65}, ("/clientId",)),
        ({"leverage": 5}, ("/leverage",)),
        ({"a/b": 5}, ("/a~1b",)),
        ({"action": "close", "stopLoss": "1"}, ("/stopLoss",)),
        ({"action": "flat"}, ("/quantity",)),
        ({"ticket": UUID}, ("/ticket",)),
        ({"action": "close", "ticket": "7"}, ("/ticket",)),
        ({"action": "reverse", "quantity": None, "ticket": UUID}, ("/ticket",)),
        ({"links": {"type": "oto", "orders": [EXIT]}}, ("/links/orders/0/ticket",)),
    ],
)
def test_every_field_problem_is_named(fields: dict[str, Any], pointers: tuple[str, ...]) -> None:
    assert read(**fields) == pointers


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "BUY", "orderType": "Market"},
        {"quantity": 1},
        {"quantity": Decimal("0.10")},
        {"quantity": None, "riskPercent": Decimal("0.5"), "stopLoss": "1.07"},
        {"quantity": None, "riskPercent": Decimal("0.5"), "bracket": {"stopLoss": "1.07"}},
        {"quantity": None, "equityPercent": Decimal("250.5"), "bracket": {"takeProfit": "1.2"}},
        {"action": "modify", "symbol": None, "signalId": UUID, "exit": "TARGET"},
        {"action": "close"},
        {"action": "close", "quantity": None},
        {"action": "flat", "quantity": None, "symbol": None},
        {"price": "1.08", "stopLoss": "1.07", "takeProfit": "1.09", "clientId": "mine"},
        {"accountId": UUID.upper()},
    ],
)
def test_good_signals_are_read_and_their_payload_is_json_without_floats(
    fields: dict[str, Any],
) -> None:
    signal = read(**fields)
    assert isinstance(signal, Signal)
    again = parse_signal(json.loads(json.dumps(signal.as_payload()), parse_float=pytest.fail))
    assert isinstance(again, Signal)
    assert again.as_payload() == signal.as_payload()


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"1", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b"\xff\xfe",
     b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", b'{"a":' + b"9" * 5_000 + b"}",
     b'{"a":1e99999999999999999999}', b'{"a":0E-99999999999999999999}',
     b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":[{"b":"\\uD83D"}]}'],
)  # fmt: skip
def test_what_is_not_one_json_object_is_none(raw: bytes) -> None:
    assert parse_json(raw) is None


@given(st.binary(max_size=300))
def test_no_bytes_raise(raw: bytes) -> None:
    document = parse_json(raw)
    if document is not None:
        parse_signal(document)
        sent_at_ns(document)
        signal_id_of(document)


@given(
    st.dictionaries(
        st.sampled_from(("id", "symbol", "action", "quantity", "stopLoss", "accountId", "price")),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers()),
    )
)
def test_no_document_raises(document: dict[str, Any]) -> None:
    found = parse_signal(document)
    assert isinstance(found, Signal) or found


def test_numbers_keep_their_digits() -> None:
    document = parse_json(b'{"quantity": 0.1000000000000000055}')
    assert document == {"quantity": Decimal("0.1000000000000000055")}


def test_idempotency_keys_keep_ids_and_bodies_apart() -> None:
    keys = {
        idempotency_key("bot", "a", b"x"),
        idempotency_key("bot", "b", b"x"),
        idempotency_key("bot", None, b"x"),
        idempotency_key("bot", None, b"y"),
        idempotency_key("tob", None, b"x"),
    }
    assert len(keys) == 5
    assert idempotency_key("bot", "a", b"x") == idempotency_key("bot", "a", b"y")


LIMIT = {"orderType": "limit", "price": "1.07"}
LEG = {"action": "sell", "orderType": "stop", "triggerPrice": 1}


@pytest.mark.parametrize(
    "fields",
    [
        LIMIT,
        {**LIMIT, "timeInForce": "GTD", "expireAt": "2030-01-01T01:00:00+01:00"},
        {**LIMIT, "timeInForce": "fok"},
        {**LIMIT, "postOnly": True, "reduceOnly": False},
        {"orderType": "trailing_stop", "trailPercent": Decimal("0.25"), "reduceOnly": True},
        {"orderType": "stop_limit", "price": 1, "triggerPrice": 2, "stopLoss": "0.5"},
        {**LIMIT, "links": {"type": "OCO", "orders": [LEG, {**LEG, "quantity": "2"}]}},
        {"links": {"type": "oto", "orders": [LEG]}},
        {"bracket": {"stopLoss": "1.07", "takeProfit": 1.09}},
        {"quantity": None, "action": "reverse", "stopLoss": "1.2"},
        {"quantity": None, "symbol": None, "action": "cancel", "clientId": "mine"},
        {"quantity": None, "action": "cancel_all"},
        {"symbol": None, "action": "modify", "orderId": UUID, "price": "1.1"},
        {"action": "close", "ticket": UUID.upper()},
        EXIT,
        {**LIMIT, "links": {"type": "oco", "orders": [EXIT]}},
    ],
)
def test_orders_that_wait_are_read_and_read_alike_again(fields: dict[str, Any]) -> None:
    given = json.loads(json.dumps({**GOOD, **fields}, default=str), parse_float=Decimal)
    signal = parse_signal(given)
    assert isinstance(signal, Signal), signal
    again = parse_signal(json.loads(json.dumps(signal.as_payload()), parse_float=pytest.fail))
    assert isinstance(again, Signal), again
    assert again.as_payload() == signal.as_payload()


@given(
    st.dictionaries(
        st.sampled_from(("orderType", "price", "triggerPrice", "timeInForce", "links", "bracket",
                         "postOnly", "trailPercent", "expireAt", "orderId")),
        st.none() | st.booleans() | st.integers() | st.sampled_from(("limit", "gtd", "1.5", "oco"))
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(
            st.sampled_from(("type", "orders", "stopLoss", "takeProfit")),
            st.sampled_from(("oto", "1", 2, None))
            | st.lists(
                st.none() | st.dictionaries(st.sampled_from(("action", "price")), st.none())
            ),
        ),
    ),
    st.sampled_from(ACTIONS),
)  # fmt: skip
def test_no_order_raises(fields: dict[str, Any], action: str) -> None:
    found = parse_signal({**GOOD, "action": action, **fields})
    assert isinstance(found, Signal) or found
