"""Live strategies over HTTP: who may start what, what is refused, and the kill switches."""

from typing import Any

import pytest
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA

from quantlab.tenancy.permissions import Role

pytestmark = pytest.mark.stack
NOBODY = "00000000-0000-7000-8000-000000000000"
SOURCE = """strategy "Follows"

input n = int(10, min=2, max=50)

on tick
    if crossover(mid, sma(mid, n))
        buy(0.1)
"""


async def strategy(served: Site, person: Person, source: str = SOURCE) -> str:
    name = f"s{served.world.ports.ids.new_id()}"
    answer = await served.send("POST", person, "/strategies", {"name": name, "source": source})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["strategyId"])


async def started(served: Site, person: Person, account_id: str, **body: Any) -> Any:
    body.setdefault("symbol", "EURUSD")
    if "strategyId" not in body:
        body["strategyId"] = await strategy(served, person)
    return await served.send("POST", person, f"/accounts/{account_id}/strategy-runs", body)


async def test_a_trader_starts_shows_and_stops_a_run(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    account_id = await served.account(trader)
    path = f"/accounts/{account_id}/strategy-runs"
    answer = await started(
        served, trader, account_id, inputs={"n": 20}, limits={"ordersPerMinute": 7},
        onKill="keep_orders", warmUpSeconds=3600,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert answer.headers["location"] == f"/tenants/{ALPHA}{path}/{run['runId']}"
    assert (run["status"], run["symbol"], run["inputs"]) == ("starting", "EURUSD", {"n": 20})
    assert (run["limits"]["ordersPerMinute"], run["onKill"]) == (7, "keep_orders")
    assert run["warmUpSeconds"] == 3600
    listed = (await served.get(trader, path)).json()
    assert [one["runId"] for one in listed["items"]] == [run["runId"]]
    shown = (await served.get(trader, f"{path}/{run['runId']}")).json()
    assert shown == {**run, "log": []}
    stopped = await served.send("POST", trader, f"{path}/{run['runId']}/stop", {})
    assert stopped.status_code == 202
    assert [one["status"] for one in stopped.json()["items"]] == ["stopping"]
    killed = await served.send("POST", trader, f"{path}/{run['runId']}/kill", {})
    assert [one["status"] for one in killed.json()["items"]] == ["killed"]
    again = await served.send("POST", trader, f"{path}/{run['runId']}/kill", {})
    assert again.json() == {"items": []}


async def test_an_account_or_the_tenant_is_silenced_at_once(served: Site) -> None:
    trader, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    accounts = [await served.account(trader) for _ in range(2)]
    one = [(await started(served, trader, a)).json()["runId"] for a in (accounts[0],) * 2]
    other = (await started(served, trader, accounts[1])).json()["runId"]
    path = f"/accounts/{accounts[0]}/strategy-runs/kill"
    killed = (await served.send("POST", trader, path, {})).json()["items"]
    assert sorted(run["runId"] for run in killed) == sorted(one)
    refused = await served.send("POST", trader, "/strategy-runs/kill", {})
    assert refused.status_code == 403
    killed = (await served.send("POST", risk, "/strategy-runs/kill", {})).json()["items"]
    assert other in [run["runId"] for run in killed]


async def test_what_may_not_run_is_refused(served: Site) -> None:
    trader, stranger = await served.person(Role.TRADER), await served.person(Role.TRADER)
    account_id = await served.account(trader)
    mine, theirs = await strategy(served, trader), await strategy(served, stranger)
    for body, status in (
        ({"strategyId": theirs}, 404),
        ({"strategyId": NOBODY}, 404),
        ({"strategyId": mine, "version": 9}, 404),
        ({"strategyId": mine, "symbol": "NOSUCH"}, 422),
        ({"strategyId": mine, "inputs": {"n": 1}}, 422),
        ({"strategyId": mine, "inputs": {"m": 1}}, 422),
        ({"strategyId": mine, "limits": {"openOrders": 0}}, 422),
        ({"strategyId": mine, "limits": {"memoryBytes": 1}}, 422),
        ({"strategyId": mine, "warmUpSeconds": -1}, 422),
        ({"strategyId": mine, "warmUpSeconds": 31 * 86_400}, 422),
    ):
        answer = await started(served, trader, account_id, **body)
        assert answer.status_code == status, (body, answer.text)
        assert problem(answer)[0] == status
    foreign = await started(served, stranger, account_id, strategyId=theirs)
    assert foreign.status_code == 404
    viewer = await served.person(Role.VIEWER)
    assert (await started(served, viewer, account_id, strategyId=mine)).status_code == 403
    for _ in range(5):
        assert (await started(served, trader, account_id, strategyId=mine)).status_code == 201
    full = await started(served, trader, account_id, strategyId=mine)
    assert problem(full) == (409, "too_many_runs")
