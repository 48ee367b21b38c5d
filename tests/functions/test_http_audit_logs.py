"""The audit log over HTTP: enough to recompute every hash, filters, pages, and isolation."""

import hashlib

import pytest
import rfc8785
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA, BETA

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.deliveries import DEAD_EVENT

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "side": "buy", "quantity": "0.1"}


async def traded(served: Site, orders: int = 2) -> tuple[Person, str]:
    person = await served.person(Role.TRADER)
    account_id = await served.account(person)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    async with served.executing():
        for _ in range(orders):
            answer = await served.send("POST", person, f"/accounts/{account_id}/orders", BUY)
            assert answer.status_code == 201, answer.text
    await served.chain(ALPHA)
    return person, account_id


async def test_stranger_can_recompute_the_chain_from_the_answer(served: Site) -> None:
    person, account_id = await traded(served)
    pages = await served.pages(person, f"/accounts/{account_id}/audit-logs", limit=3)
    entries = sorted((entry for page in pages for entry in page), key=lambda entry: entry["seq"])
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) >= 7
    previous = "00" * 32
    for entry in entries:
        salted = bytes.fromhex(entry["salt"]) + rfc8785.dumps(entry["payload"])
        assert hashlib.sha256(salted).hexdigest() == entry["payloadDigest"]
        hashed = {
            "v": 1,
            "tenantId": entry["tenantId"],
            "accountId": entry["accountId"],
            "seq": entry["seq"],
            "eventType": entry["eventType"],
            "timestamp": entry["timestamp"],
            "payloadDigest": entry["payloadDigest"],
            "prevHash": previous,
        }
        assert entry["prevHash"] == previous
        assert hashlib.sha256(rfc8785.dumps(hashed)).hexdigest() == entry["hash"]
        previous = entry["hash"]


async def test_entries_are_selected_by_time_and_type(served: Site) -> None:
    person, account_id = await traded(served)
    path = f"/accounts/{account_id}/audit-logs"
    every = (await served.get(person, path)).json()["items"]
    fills = (await served.get(person, path, eventType="order.filled")).json()["items"]
    assert fills == [entry for entry in every if entry["eventType"] == "order.filled"]
    assert len(fills) == 2
    middle = fills[1]["timestamp"]
    early = (await served.get(person, path, endTime=middle)).json()["items"]
    late = (await served.get(person, path, startTime=middle)).json()["items"]
    assert all(entry["timestamp"] < middle for entry in early)
    assert all(entry["timestamp"] >= middle for entry in late)
    assert len(early) + len(late) == len(every)
    assert early
    assert late
    assert (await served.get(person, path, eventType=DEAD_EVENT)).json()["items"] == []


async def test_query_that_does_not_hold_is_named(served: Site) -> None:
    person, account_id = await traded(served, 0)
    path = f"/accounts/{account_id}/audit-logs"
    for query in (
        {"startTime": "yesterday"},
        {"startTime": "2026-01-02T03:04:05"},
        {"endTime": "9999-12-31T23:59:59Z"},
        {"eventType": "order.filled\u0000"},
        {"eventType": "x" * 65},
        {"limit": 0},
        {"cursor": "WzEsIm5vLXV1aWQiLDFd"},
    ):
        answer = await served.get(person, path, **query)
        assert problem(answer) == (422, "invalid_fields"), query
        assert answer.json()["errors"][0]["pointer"] == f"query/{next(iter(query))}"


async def test_tenant_log_shows_what_the_reader_may_see(served: Site) -> None:
    person, account_id = await traded(served)
    colleague, other_id = await traded(served)
    viewer = await served.person(Role.VIEWER)
    foreigner = await served.person(Role.TENANT_ADMIN, BETA)
    nobody = await served.person(Role.TRADER)
    own = [e for page in await served.pages(person, "/audit-logs", limit=4) for e in page]
    assert {entry["accountId"] for entry in own} == {account_id}
    every = [e for page in await served.pages(viewer, "/audit-logs", limit=50) for e in page]
    assert {account_id, other_id} <= {entry["accountId"] for entry in every}
    keys = [(entry["accountId"], entry["seq"]) for entry in every]
    assert len(keys) == len(set(keys))
    assert (await served.get(nobody, "/audit-logs")).json()["items"] == []
    foreign = [e for page in await served.pages(foreigner, "/audit-logs") for e in page]
    assert {entry["tenantId"] for entry in foreign} <= {BETA}
    assert colleague.user_id != person.user_id
