"""A signal that is wrong: its documented problem, recorded once, nothing half written."""

import json
import time
from collections.abc import Callable

import httpx
import pytest

from quantlab.webhooks.signature import sign
from tests.support.running_platform import ANSWER_S
from tests.support.wrong_input import (
    BUY,
    NO_TEXT,
    House,
    assert_problem,
    assert_refused_once,
    counted,
    fields,
)

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


MALFORMED = {
    "no JSON": b"{not json",
    "empty": b"",
    "an array": b"[]",
    "text": b'"buy"',
    "not UTF-8": b'{"symbol":"\xff\xfe"}',
    "UTF-16": json.dumps(BUY).encode("utf-16"),
    "a field twice": b'{"symbol":"EURUSD","symbol":"EURUSD"}',
    "deep": b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    "deep arrays": b"[" * 60_000,
    "NaN": b'{"symbol":"EURUSD","action":"buy","quantity":NaN}',
    "Infinity": b'{"symbol":"EURUSD","action":"buy","quantity":-Infinity}',
    "digits without end": b'{"symbol":"EURUSD","action":"buy","quantity":' + b"9" * 60_000 + b"}",
    "half a character": b'{"symbol":"\\ud800","action":"buy","quantity":"1"}',
    "half a character as id": b'{"id":"\\ud800","symbol":"EURUSD","action":"flat"}',
    "half a character as field": b'{"\\ud800":1,"symbol":"EURUSD","action":"flat"}',
    "half a character in an array": b'{"symbol":["\\udfff"],"action":"flat"}',
    "trailing text": json.dumps(BUY).encode() + b"x",
}
FIELDS: dict[str, tuple[bytes, str]] = {
    "a number as symbol": (fields(symbol=7), "/symbol"),
    "an object as symbol": (fields(symbol={"a": 1}), "/symbol"),
    "no symbol": (b'{"action":"buy","quantity":"1"}', "/symbol"),
    "no action": (b'{"symbol":"EURUSD","quantity":"1"}', "/action"),
    "an action nobody knows": (fields(action="hold"), "/action"),
    "true as quantity": (fields(quantity=True), "/quantity"),
    "zero": (fields(quantity="0"), "/quantity"),
    "below zero": (fields(quantity=-1), "/quantity"),
    "NaN as text": (fields(quantity="NaN"), "/quantity"),
    "a number beyond all bounds": (
        b'{"symbol":"EURUSD","action":"buy","quantity":1e999999}',
        "/quantity",
    ),
    "a number next to nothing": (
        b'{"symbol":"EURUSD","action":"buy","quantity":1e-999999}',
        "/quantity",
    ),
    "four hundred digits": (fields(quantity=10**400), "/quantity"),
    "digits of another script": (fields(quantity="\u0661"), "/quantity"),
    "an order type we have not": (fields(orderType="iceberg"), "/orderType"),
    "a field we have not": (fields(leverage="100"), "/leverage"),
    "a field with a pointer in its name": (fields(**{"a/b~c": 1}), "/a~1b~0c"),
    "an account that is no UUID": (fields(accountId="1"), "/accountId"),
    "an id without end": (fields(id="x" * 129), "/id"),
    "a zero byte": (fields(clientId="a\0b"), "/clientId"),
    "a zero byte as field": (b'{"\\u0000":1,"symbol":"EURUSD","action":"flat"}', "/\0"),
    "a line end": (fields(clientId="a\r\nX-Evil: 1"), "/clientId"),
    "two sizes": (fields(riskPercent="1", stopLoss="1.0"), "/quantity"),
    "risk without a stop": (
        b'{"symbol":"EURUSD","action":"buy","riskPercent":"1"}',
        "/stopLoss",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_json_object_is_malformed(house: House, case: str) -> None:
    if case in NO_TEXT and not house.made.keeps_bytes:
        pytest.skip("the gateway hands on text, so the signature of other bytes does not hold")
    before = house.written()
    document = assert_problem(house.signal(MALFORMED[case]), 400, "malformed")
    assert_refused_once(house, before, document)


@pytest.mark.parametrize("case", FIELDS)
def test_wrong_fields_are_named(house: House, case: str) -> None:
    raw, pointer = FIELDS[case]
    before = house.written()
    document = assert_problem(house.signal(raw), 422, "invalid_fields")
    named = [error["pointer"] for error in document["errors"]]
    assert pointer in named or not pointer.isprintable()
    assert len(named) >= 1
    assert_refused_once(house, before, document)


@pytest.mark.parametrize("skew_s", [-100_000, -301, 320, 100_000])
def test_a_clock_that_is_off_is_stale(house: House, skew_s: int) -> None:
    before = house.written()
    answer = house.signal(fields(), at_s=int(time.time()) + skew_s)
    assert_refused_once(house, before, assert_problem(answer, 401, "stale_timestamp"))


def test_unknown_symbol_and_unknown_account(house: House) -> None:
    before = house.written()
    document = assert_problem(house.signal(fields(symbol="NOPE")), 422, "unknown_symbol")
    assert_refused_once(house, before, document)
    before = house.written()
    stranger = "00000000-0000-7000-8000-000000000001"
    document = assert_problem(house.signal(fields(accountId=stranger)), 404, "unknown_account")
    assert_refused_once(house, before, document)


UNPROVEN: dict[str, Callable[[House], dict[str, str]]] = {
    "another secret": lambda _: {"X-Signature": sign("whsec_AAAA", int(time.time()), fields())},
    "no form of a signature": lambda _: {"X-Signature": "sha256=00"},
    "an empty signature": lambda _: {"X-Signature": ""},
    "a bot nobody has": lambda _: {"X-Bot-Id": "00000000-0000-7000-8000-000000000001"},
    "a bot in SQL": lambda _: {"X-Bot-Id": "' or 1=1 --"},
    "a bot without a name": lambda _: {"X-Bot-Id": ""},
    "a bot of many names": lambda house: {"X-Bot-Id": house.bot["botId"] + "\t" + "x" * 5_000},
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_who_is_not_proven_iscounted(house: House, case: str) -> None:
    before, attempts = house.written(), counted(house.made)
    answer = house.signal(fields(), **UNPROVEN[case](house))
    document = assert_problem(answer, 401, "bad_signature")
    assert "signalId" not in document
    assert house.written() == before
    assert counted(house.made) == attempts + 1


@pytest.mark.parametrize("token", ["nobody", "%0d%0aX-Evil:%201", "%00", "x" * 5_000, "%ff%fe"])
def test_an_address_nobody_has(house: House, token: str) -> None:
    if "%0a" in token and not house.made.keeps_bytes:
        pytest.skip("the gateway has no route for a line end, so not_found answers")
    attempts = counted(house.made)
    answer = httpx.post(
        f"{house.made.url}/webhooks/signals/{token}", content=fields(), timeout=ANSWER_S
    )
    assert_problem(answer, 404, "unknown_token")
    assert "x-evil" not in answer.headers
    assert counted(house.made) == attempts + 1
