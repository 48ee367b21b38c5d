"""A tenant's news calendar over HTTP: who may bring it, what is refused, what it does."""

from typing import Any

import pytest
from tests.support.resources import Site, problem
from tests.support.world import BETA

from quantlab.tenancy.permissions import Role

pytestmark = pytest.mark.stack
PATH = "/news-calendar"
RELEASE = {
    "at": "2026-03-06T13:30:00.000000Z",
    "name": "Non-farm payrolls",
    "impact": "high",
    "currencies": ["USD"],
}
CALENDAR: dict[str, Any] = {
    "format": 1,
    "until": "2026-03-07T00:00:00.000000Z",
    "events": [RELEASE, {**RELEASE, "at": "2026-03-06T14:00:00.000000Z", "symbols": ["GER40"]}],
}


async def test_an_administrator_brings_the_calendar_and_others_read_it(served: Site) -> None:
    admin, risk = [await served.person(role) for role in (Role.TENANT_ADMIN, Role.RISK_MANAGER)]
    trader = await served.person(Role.TRADER)
    foreign = await served.person(Role.TENANT_ADMIN, BETA)
    assert problem(await served.get(admin, PATH)) == (404, "not_found")
    put = await served.send("PUT", admin, PATH, CALENDAR)
    assert put.status_code == 200, put.text
    shown = put.json()
    assert {name: shown[name] for name in CALENDAR} == CALENDAR
    assert shown["changedBy"] == f"user:{admin.user_id}"
    assert (await served.get(risk, PATH)).json() == shown
    for person in (risk, trader):
        assert problem(await served.send("PUT", person, PATH, CALENDAR)) == (403, "forbidden")
    assert problem(await served.get(trader, PATH)) == (403, "forbidden")
    assert problem(await served.get(foreign, PATH)) == (404, "not_found")
    again = await served.send("PUT", admin, PATH, {**CALENDAR, "events": CALENDAR["events"][::-1]})
    assert again.json() == shown
    empty = await served.send("PUT", admin, PATH, {**CALENDAR, "events": []})
    assert (empty.json()["events"], empty.json()["version"] == shown["version"]) == ([], False)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"until": None}, "/until"),
        ({"events": [RELEASE, {**RELEASE, "at": "noon"}]}, "/events/1/at"),
        ({"events": [{**RELEASE, "impact": 7}]}, "/events/0/impact"),
        ({"format": 2}, "/format"),
        ({"extra": True}, "/extra"),
    ],
)
async def test_a_wrong_calendar_changes_nothing(
    served: Site, wrong: dict[str, Any], pointer: str
) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    before = await served.send("PUT", admin, PATH, CALENDAR)
    answer = await served.send("PUT", admin, PATH, {**CALENDAR, **wrong})
    assert problem(answer) == (422, "invalid_fields")
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await served.get(admin, PATH)).json() == before.json()
