"""Payouts and resets over HTTP: who asks, who decides, and what the books hold."""

import asyncio
from typing import Any

import pytest
from tests.support.account_lives import YES, funded, ledger_holds, shown
from tests.support.program_cases import TYPE, record_steps
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA, BETA

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.approvals import LIFETIME_NS, expire

pytestmark = pytest.mark.stack
ABSENT = "00000000-0000-7000-8000-00000000dead"


async def test_a_payout_takes_two_and_leaves_by_the_ledger(served: Site) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    async with served.executing():
        account_id = await funded(served, owner)
        path = f"/accounts/{account_id}/payouts"
        before = await shown(served, owner, account_id)
        offer = (await served.get(owner, path)).json()
        assert offer["possible"] is True
        asked = await served.send("POST", owner, path, {"amount": "60.01"})
        assert asked.status_code == 201, asked.text
        payout = asked.json()
        assert (payout["state"], payout["traderShare"], payout["firmShare"]) == (
            "pending", "48.00", "12.01",
        )  # fmt: skip
        assert (await shown(served, owner, account_id))["balance"] == before["balance"]
        approve = f"/approvals/{payout['payoutId']}/approve"
        done = await served.send("POST", risk, approve, YES)
        assert (done.status_code, done.json()["state"]) == (200, "executed"), done.text
    paid = (await served.get(owner, path)).json()["items"][0]
    assert (paid["state"], paid["date"]) == ("executed", before["day"]["date"])
    kinds = await ledger_holds(served, owner, account_id)
    assert ("payout", "-60.01") in kinds
    events = await served.world.event_types(ALPHA, account_id)
    assert [name for name in events if name.startswith(("approval", "payout"))] == [
        "approval.requested", "payout.requested", "approval.approved", "payout.approved",
        "payout.paid",
    ]  # fmt: skip
    await served.chain(ALPHA)
    logs = await served.get(risk, f"/accounts/{account_id}/audit-logs", eventType="payout.paid")
    said = logs.json()["items"][0]["payload"]
    assert (said["amount"], said["splitPpm"]) == ("60.01", 800_000)


async def test_shut_gates_are_named_and_nothing_is_asked(served: Site) -> None:
    await record_steps(served.world)
    owner = await served.person(Role.TRADER)
    account_id = await served.account(owner, f"{TYPE}/funded")
    path = f"/accounts/{account_id}/payouts"
    answer = await served.send("POST", owner, path, {})
    assert problem(answer) == (409, "payout_gates")
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == ["gate/minimum_profit", "gate/amount"]
    offer = (await served.get(owner, path)).json()
    assert (offer["possible"], offer["available"], offer["items"]) == (False, "0.00", [])
    for amount in ("x", "0", "-1", "1.001"):
        answer = await served.send("POST", owner, path, {"amount": amount})
        assert problem(answer) == (422, "invalid_fields"), amount
    elsewhere = await served.account(owner, "demo-100k")
    answer = await served.send("POST", owner, f"/accounts/{elsewhere}/payouts", {})
    assert answer.json()["errors"][0]["pointer"] == "gate/payouts_possible"


async def test_nobody_decides_alone(served: Site) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    admin, viewer = await served.person(Role.TENANT_ADMIN), await served.person(Role.VIEWER)
    foreign = await served.person(Role.TENANT_ADMIN, BETA)
    account_id = await served.account(owner)
    reset = await served.send("POST", risk, f"/accounts/{account_id}/reset", YES)
    approval_id = reset.json()["approvalId"]
    for word in ("approve", "reject"):
        path = f"/approvals/{approval_id}/{word}"
        same = await served.send("POST", risk, path, YES)
        assert problem(same) == (403, "approval_same_person")
        for person in (owner, viewer):
            assert problem(await served.send("POST", person, path, YES)) == (403, "forbidden")
        assert problem(await served.send("POST", foreign, path, YES)) == (404, "not_found")
        through = f"/tenants/{ALPHA}{path}"
        assert problem(await served.send("POST", foreign, through, YES)) == (404, "not_found")
        absent = f"/approvals/{ABSENT}/{word}"
        assert problem(await served.send("POST", admin, absent, YES)) == (404, "not_found")
    assert (await served.get(viewer, f"/approvals/{approval_id}")).json()["state"] == "pending"
    assert problem(await served.get(owner, "/approvals")) == (403, "forbidden")
    assert (await served.get(foreign, "/approvals")).json()["items"] == []


async def test_an_owner_does_not_approve_for_an_account_of_their_own(served: Site) -> None:
    risk, owner = await served.person(Role.RISK_MANAGER), await served.person(Role.TENANT_ADMIN)
    account_id = await served.account(owner)
    reset = await served.send("POST", risk, f"/accounts/{account_id}/reset", YES)
    path = f"/approvals/{reset.json()['approvalId']}/approve"
    assert problem(await served.send("POST", owner, path, YES)) == (403, "approval_same_person")


async def test_an_api_key_asks_but_never_decides_nor_does_its_maker(served: Site) -> None:
    admin, other = await served.person(Role.TENANT_ADMIN), await served.person(Role.RISK_MANAGER)
    made = await served.send("POST", admin, "/api-keys", {"name": "crm", "role": "tenant_admin"})
    program = Person(ALPHA, "", {"x-api-key": made.json()["apiKey"]})
    account_id = await served.account(await served.person(Role.TRADER))
    asked = await served.send("POST", program, f"/accounts/{account_id}/reset", YES)
    assert asked.status_code == 201, asked.text
    path = f"/approvals/{asked.json()['approvalId']}/approve"
    answers = [problem(await served.send("POST", one, path, YES)) for one in (program, admin)]
    assert answers == [(403, "approval_needs_user"), (403, "approval_same_person")]
    async with served.executing():
        done = await served.send("POST", other, path, YES)
    assert (done.status_code, done.json()["state"]) == (200, "executed"), done.text


async def test_many_decisions_at_once_are_one(served: Site) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    deciders = [await served.person(Role.TENANT_ADMIN) for _ in range(4)]
    account_id = await served.account(owner)
    reset = await served.send("POST", risk, f"/accounts/{account_id}/reset", YES)
    approval_id = reset.json()["approvalId"]
    words = ("approve", "reject", "approve", "reject")
    async with served.executing():
        answers = await asyncio.gather(
            *(
                served.send("POST", person, f"/approvals/{approval_id}/{word}", YES)
                for person, word in zip(deciders, words, strict=True)
            )
        )
    won = [answer for answer in answers if answer.status_code == 200]
    lost = [problem(answer) for answer in answers if answer.status_code != 200]
    assert len(won) == 1, [answer.text for answer in answers]
    assert lost == [(409, "approval_decided")] * 3
    events = await served.world.event_types(ALPHA, account_id)
    decided = [name for name in events if name in ("approval.approved", "approval.rejected")]
    assert len(decided) == 1
    assert events.count("account.reset") == (decided == ["approval.approved"])
    state = (await served.get(risk, f"/approvals/{approval_id}")).json()["state"]
    assert state == ("executed" if decided == ["approval.approved"] else "rejected")


async def test_what_nobody_decided_in_time_has_ended(served: Site, monkeypatch: Any) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    admin = await served.person(Role.TENANT_ADMIN)
    account_id = await served.account(owner)
    path = f"/accounts/{account_id}/reset"
    first = (await served.send("POST", risk, path, YES)).json()
    assert problem(await served.send("POST", risk, path, YES)) == (409, "approval_open")
    clock = served.world.ports.clock
    now_ns = clock.now_ns
    monkeypatch.setattr(type(clock), "now_ns", lambda _self: now_ns() + LIFETIME_NS)
    late = await served.send("POST", admin, f"/approvals/{first['approvalId']}/approve", YES)
    assert late.status_code == 401  # three days later its token has ended too
    assert await expire(served.world.ports, ALPHA) >= 1
    assert await expire(served.world.ports, ALPHA) == 0
    monkeypatch.undo()
    late = await served.send("POST", admin, f"/approvals/{first['approvalId']}/approve", YES)
    assert problem(late) == (409, "approval_expired")
    again = await served.send("POST", risk, path, YES)
    assert again.status_code == 201, again.text
    await served.world.settle(ALPHA)
    events = await served.world.event_types(ALPHA, account_id)
    assert events[1:] == ["approval.requested", "approval.expired", "approval.requested"]
    only = {"status": "expired", "accountId": account_id}
    listed = (await served.get(risk, "/approvals", **only)).json()["items"]
    assert [item["approvalId"] for item in listed] == [first["approvalId"]]


async def test_the_same_key_asks_once(served: Site) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    account_id = await served.account(owner)
    path, key = f"/accounts/{account_id}/reset", {"Idempotency-Key": "r-1"}
    first = await served.send("POST", risk, path, YES, **key)
    place = first.headers["location"]
    assert (await served.get(risk, place)).json() == first.json()
    again = await served.send("POST", risk, path, YES, **key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = await served.send("POST", risk, path, {"reason": "another"}, **key)
    assert problem(other) == (409, "body_conflict")


async def test_what_is_approved_too_late_is_refused_with_its_reason(served: Site) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    async with served.executing():
        account_id = await funded(served, owner)
        path = f"/accounts/{account_id}"
        asked = await served.send("POST", owner, f"{path}/payouts", {"amount": "60"})
        order = {"symbol": "EURUSD", "side": "buy", "quantity": "1"}
        assert (await served.send("POST", owner, f"{path}/orders", order)).status_code == 201
        approve = f"/approvals/{asked.json()['payoutId']}/approve"
        done = (await served.send("POST", risk, approve, YES)).json()
    assert done["state"] == "refused"
    assert done["endedReason"].startswith("payout_gates: flat: 1 open")
    assert "payout" not in [kind for kind, _ in await ledger_holds(served, owner, account_id)]
    assert "payout.rejected" in await served.world.event_types(ALPHA, account_id)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "reset"}, "/accountId"),
        ({"kind": "gift"}, ""),
        ({"kind": "override", "accountId": ABSENT, "reason": "x"}, "/evidence"),
        ({"kind": "reset", "accountId": ABSENT, "reason": "x", "amount": "1"}, "/amount"),
    ],
)
async def test_a_request_names_what_is_wrong_with_it(
    served: Site, body: dict[str, Any], pointer: str
) -> None:
    risk = await served.person(Role.RISK_MANAGER)
    answer = await served.send("POST", risk, "/approvals", body)
    assert problem(answer) == (422, "invalid_fields")
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_requests_can_be_made_at_their_list(served: Site) -> None:
    risk, owner = await served.person(Role.RISK_MANAGER), await served.person(Role.TRADER)
    async with served.executing():
        account_id = await funded(served, owner)
    for body in ({"kind": "payout"}, {"kind": "reset", "reason": "x"}):
        answer = await served.send("POST", risk, "/approvals", {**body, "accountId": account_id})
        assert answer.status_code == (201 if body["kind"] == "payout" else 409), answer.text
    answer = await served.send("POST", risk, "/approvals", {"kind": "payout", "accountId": ABSENT})
    assert problem(answer) == (404, "not_found")
    pages = await served.pages(risk, "/approvals", limit=1, kind="payout")
    listed = [item["accountId"] for found in pages for item in found]
    assert listed.count(account_id) == 1
    everything = await served.pages(risk, "/approvals", limit=500, kind="payout")
    assert [item["accountId"] for found in everything for item in found] == listed
