"""Endpoints of outbound webhooks over HTTP: secrets shown once, what is refused, and who may."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from functions.queue.webhook_deliver import handler
from tests.support.receiver import Receiver, status
from tests.support.resources import Person, Site, problem, site
from tests.support.stack import FreshDatabase
from tests.support.world import ALPHA, BETA

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.webhook_endpoints import ENDPOINTS_MAX

pytestmark = pytest.mark.stack
PATH = "/webhook-endpoints"
URL = "https://hooks.example.com/in"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def developing(
    fresh_database: FreshDatabase, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """A site whose webhooks may go to this machine."""
    monkeypatch.setenv("QUANTLAB_WEBHOOK_LOOPBACK", "true")
    monkeypatch.setenv("QUANTLAB_ARGON2_TIME_COST", "1")
    monkeypatch.setenv("QUANTLAB_ARGON2_MEMORY_KIB", "8192")
    async with site(fresh_database.app_dsn, redis_url, tmp_path) as made:
        yield made


async def made(served: Site, person: Person, url: str = URL, **fields: Any) -> dict[str, Any]:
    answer = await served.send("POST", person, PATH, {"url": url, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    endpoint_id = document["endpoint"]["endpointId"]
    assert answer.headers["location"] == f"/tenants/{person.tenant_id}{PATH}/{endpoint_id}"
    return document


async def delivered(served: Site) -> None:
    ports = served.world.ports
    await served.chain()
    while await handler.handle(ports, await handler.waiting(ports)):
        pass


async def test_an_endpoint_lives_and_its_secret_is_shown_once(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    shown = await made(served, admin, eventTypes=["order.*"], description="the ledger")
    endpoint = shown["endpoint"]
    assert shown["secret"].startswith("whsec_")
    assert endpoint == {
        "endpointId": endpoint["endpointId"],
        "url": URL,
        "description": "the ledger",
        "eventTypes": ["order.*"],
        "status": "active",
        "disabledReason": None,
        "failingSince": None,
        "pausedUntil": None,
        "createdAt": endpoint["createdAt"],
    }
    path = f"{PATH}/{endpoint['endpointId']}"
    assert (await served.get(admin, path)).json() == endpoint
    listed = await served.get(admin, PATH)
    assert endpoint in listed.json()["items"]
    assert shown["secret"] not in listed.text

    off = await served.send("PATCH", admin, path, {"status": "disabled"})
    assert (off.json()["status"], off.json()["disabledReason"]) == ("disabled", "by_request")
    for route, body in (("test", None), ("replay", {"deliveryId": NOBODY})):
        answer = await served.send("POST", admin, f"{path}/{route}", body)
        assert problem(answer) == (409, "conflict")
    on = await served.send(
        "PATCH", admin, path, {"status": "active", "url": f"{URL}/2", "eventTypes": []}
    )
    assert on.json() == {**endpoint, "url": f"{URL}/2", "eventTypes": []}

    fresh = await served.send("POST", admin, f"{path}/rotate-secret")
    assert fresh.headers["cache-control"] == "no-store"
    assert fresh.json()["secret"].startswith("whsec_")
    assert fresh.json()["secret"] != shown["secret"]
    assert fresh.json()["graceSeconds"] == 86_400

    assert (await served.send("DELETE", admin, path)).status_code == 204
    for method, route in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        assert problem(await served.send(method, admin, path + route)) == (404, "not_found")


async def test_a_test_event_a_log_and_a_replay(developing: Site, receiver: Receiver) -> None:
    served = developing
    admin = await served.person(Role.TENANT_ADMIN)
    trader = await served.person(Role.TRADER)
    shown = await made(served, admin, receiver.url, eventTypes=["account.*"])
    path = f"{PATH}/{shown['endpoint']['endpointId']}"
    receiver.answers = [status(500, "out of order")]
    sent = await served.send("POST", admin, f"{path}/test")
    assert sent.status_code == 202, sent.text
    await delivered(served)
    (one,) = receiver.take()
    assert one.holds(shown["secret"])
    (logged,) = (await served.get(admin, f"{path}/deliveries")).json()["items"]
    assert logged["deliveryId"] == sent.json()["deliveryId"]
    assert (logged["messageId"], logged["eventType"]) == (one.message_id, "webhook.test")
    assert (logged["status"], logged["accountId"]) == ("pending", None)
    assert logged["nextAttemptAt"] > logged["attempts"][0]["at"]
    assert [(a["status"], a["error"], a["answer"]) for a in logged["attempts"]] == [
        (500, None, "out of order")
    ]
    assert (await served.get(admin, path)).json()["failingSince"] is not None

    account_id = await served.account(trader)
    await delivered(served)
    assert [one.document["type"] for one in receiver.take()] == ["account.created"]
    span = {"accountId": account_id, "fromSeq": 1, "toSeq": 9}
    times = {"startTime": logged["createdAt"], "endTime": "2100-01-01T00:00:00Z"}
    items = (await served.get(admin, f"{path}/deliveries", status="delivered")).json()["items"]
    for wanted in (span, times, {"deliveryId": items[0]["deliveryId"]}):
        answer = await served.send("POST", admin, f"{path}/replay", wanted)
        assert (answer.status_code, answer.json()) == (202, {"deliveries": 1}), wanted
        await delivered(served)
        (again,) = receiver.take()
        assert again.message_id == items[0]["messageId"]
    pages = await served.pages(admin, f"{path}/deliveries", limit=1)
    assert [len(page) for page in pages] == [1, 1]
    assert len(pages[0][0]["attempts"]) == 4


NOT_MADE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"url": "http://hooks.example.com/"}, "/url"),
    ({"url": "https://localhost/"}, "/url"),
    ({"url": "https://169.254.169.254/latest/meta-data"}, "/url"),
    ({"url": "https://[::ffff:10.0.0.1]/"}, "/url"),
    ({"url": "https://user:word@hooks.example.com/"}, "/url"),
    ({"url": "https://hooks.example.com/" + "x" * 2100}, "/url"),
    ({"url": None}, "/url"),
    ({"eventTypes": ["order.*", "Order"]}, "/eventTypes/1"),
    ({"eventTypes": "order.*"}, "/eventTypes"),
    ({"secret": "mine"}, "/secret"),
)


async def test_field_that_does_not_hold_is_named(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    path = f"{PATH}/{(await made(served, admin))['endpoint']['endpointId']}"
    for change, pointer in NOT_MADE:
        for method, place, body in (
            ("POST", PATH, {"url": URL, **change}),
            ("PATCH", path, change),
        ):
            answer = await served.send(method, admin, place, body)
            if method == "PATCH" and change == {"url": None}:
                assert answer.status_code == 200
                continue
            assert problem(answer) == (422, "invalid_fields"), change
            assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], change
    for wanted in (
        {},
        {"deliveryId": "x"},
        {"deliveryId": NOBODY, "startTime": "2026-01-01T00:00:00Z"},
        {"accountId": NOBODY, "fromSeq": 1},
        {"accountId": NOBODY, "fromSeq": 0, "toSeq": 5},
        {"startTime": "2026-01-01T00:00:00Z"},
        {"startTime": "yesterday", "endTime": "today"},
    ):
        answer = await served.send("POST", admin, f"{path}/replay", wanted)
        assert problem(answer) == (422, "invalid_fields"), wanted
    for wanted in ({"deliveryId": NOBODY}, {"accountId": NOBODY, "fromSeq": 1, "toSeq": 2}):
        answer = await served.send("POST", admin, f"{path}/replay", wanted)
        assert problem(answer) == (404, "not_found"), wanted


async def test_a_tenant_has_so_many_endpoints_and_no_more(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN, BETA)
    for _ in range(ENDPOINTS_MAX):
        await made(served, admin)
    answer = await served.send("POST", admin, PATH, {"url": URL})
    assert problem(answer) == (409, "conflict")
    pages = await served.pages(admin, PATH, limit=7)
    assert sum(len(page) for page in pages) == ENDPOINTS_MAX


async def test_nobody_sees_or_touches_what_is_not_his(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    path = f"{PATH}/{(await made(served, admin))['endpoint']['endpointId']}"
    requests: tuple[tuple[str, str, Any], ...] = (
        ("GET", path, None),
        ("GET", f"{path}/deliveries", None),
        ("PATCH", path, {"status": "disabled"}),
        ("POST", f"{path}/rotate-secret", None),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/replay", {"deliveryId": NOBODY}),
        ("DELETE", path, None),
    )
    foreigner = await served.person(Role.TENANT_ADMIN, BETA)
    for method, place, body in requests:
        answer = await served.send(method, foreigner, place, body)
        assert problem(answer) == (404, "not_found"), (method, place)
    for role in (Role.TRADER, Role.VIEWER, Role.RISK_MANAGER):
        person = await served.person(role)
        for method, place, body in requests:
            answer = await served.send(method, person, place, body)
            if role is Role.RISK_MANAGER and method == "GET":
                assert answer.status_code == 200
            else:
                assert problem(answer) == (403, "forbidden"), (role, method, place)
    foreign = replace(foreigner, tenant_id=ALPHA)
    assert problem(await served.get(foreign, PATH)) == (404, "not_found")
    assert (await served.get(admin, path)).json()["status"] == "active"
