"""Accounts over HTTP: opening, equity and floors, status, and who sees which."""

import dataclasses
from decimal import Decimal

import pytest
from tests.support.resources import Site, problem
from tests.support.world import ALPHA, BETA

from quantlab.tenancy.permissions import Role

pytestmark = pytest.mark.stack
ABSENT = "00000000-0000-7000-8000-00000000dead"


async def test_account_is_opened_pinned_with_its_deposit_and_audited(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    owner = await served.person(Role.TRADER)
    body = {"userId": owner.user_id, "accountType": "evaluation-50k", "name": "First try"}
    answer = await served.send("POST", admin, "/accounts", body)
    assert answer.status_code == 201, answer.text
    account = answer.json()
    assert answer.headers["location"] == f"/tenants/{ALPHA}/accounts/{account['accountId']}"
    assert (account["balance"], account["equity"], account["highWater"]) == ("50000.00",) * 3
    assert (account["userId"], account["name"]) == (owner.user_id, "First try")
    assert account["configVersion"] == served.world.configs[ALPHA].version
    assert (account["status"], account["day"]["over"]) == ("active", False)
    assert (await served.get(owner, f"/accounts/{account['accountId']}")).json() == account
    await served.chain(ALPHA)
    logs = (await served.get(owner, f"/accounts/{account['accountId']}/audit-logs")).json()["items"]
    assert [entry["eventType"] for entry in logs] == ["account.created"]
    assert logs[0]["payload"]["initialBalance"] == "50000.00"
    ledger = (await served.get(owner, f"/accounts/{account['accountId']}/ledger")).json()
    assert [(row["kind"], row["amount"]) for row in ledger["items"]] == [("deposit", "50000.00")]


async def test_floors_tell_the_distance_at_the_present_equity(served: Site) -> None:
    owner = await served.person(Role.TRADER)
    account_id = await served.account(owner, "evaluation-50k")
    shown = (await served.get(owner, f"/accounts/{account_id}")).json()
    assert {floor["rule"] for floor in shown["floors"]} == {"daily_loss", "max_drawdown"}
    for floor in shown["floors"]:
        left = Decimal(shown["equity"]) - Decimal(floor["floor"])
        assert Decimal(floor["distance"]) == left
        assert 0 < left < Decimal(shown["equity"])
    rules = (await served.get(owner, f"/accounts/{account_id}/rules")).json()
    by_rule = {rule["ruleId"]: rule for rule in rules["items"]}
    for floor in shown["floors"]:
        assert by_rule[floor["ruleId"]]["floor"] == floor["floor"]
        assert by_rule[floor["ruleId"]]["state"] == "ok"


async def test_unknown_equity_is_null_with_its_reason_and_floors_without_distance(
    served: Site,
) -> None:
    owner = await served.person(Role.TRADER)
    account_id = await served.account(owner, "evaluation-50k")
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    order = {"symbol": "EURUSD", "side": "buy", "quantity": "0.1"}
    async with served.executing():
        answer = await served.send("POST", owner, f"/accounts/{account_id}/orders", order)
    assert answer.status_code == 201, answer.text
    await served.world.quote("EURUSD", "1.08000", "1.08010", age_s=100_000)
    shown = (await served.get(owner, f"/accounts/{account_id}")).json()
    assert (shown["equity"], shown["equityUnknownReason"]) == (None, "quote_stale")
    assert shown["floors"]
    assert {floor["distance"] for floor in shown["floors"]} == {None}
    assert all(Decimal(floor["floor"]) > 0 for floor in shown["floors"])
    rules = (await served.get(owner, f"/accounts/{account_id}/rules")).json()
    assert rules["equityUnknownReason"] == "quote_stale"
    assert {rule["state"] for rule in rules["items"] if rule["floor"]} == {"unknown"}
    position = (await served.get(owner, f"/accounts/{account_id}/positions")).json()["items"][0]
    unknown = (position["price"], position["openProfit"], position["unknownReason"])
    assert unknown == (None, None, "quote_stale")


async def test_same_key_opens_once_and_another_body_conflicts(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    body = {"userId": admin.user_id, "accountType": "demo-100k"}
    key = {"Idempotency-Key": "open-1"}
    first = await served.send("POST", admin, "/accounts", body, **key)
    again = await served.send("POST", admin, "/accounts", body, **key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = {**body, "accountType": "evaluation-50k"}
    conflict = await served.send("POST", admin, "/accounts", other, **key)
    assert problem(conflict) == (409, "body_conflict")
    listed = [item for page in await served.pages(admin, "/accounts") for item in page]
    assert sum(item["userId"] == admin.user_id for item in listed) == 1


NOT_OPENED: tuple[tuple[dict[str, object], str], ...] = (
    ({"userId": ABSENT}, "/userId"),
    ({"userId": "nobody"}, "/userId"),
    ({"accountType": "no-such-type"}, "/accountType"),
    ({"accountType": 7}, "/accountType"),
    ({"name": ""}, "/name"),
    ({"name": "two\nlines"}, "/name"),
    ({"balance": "1000000"}, "/balance"),
)


async def test_what_cannot_be_opened_names_the_field(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    for change, pointer in NOT_OPENED:
        body = {"userId": admin.user_id, "accountType": "demo-100k", **change}
        answer = await served.send("POST", admin, "/accounts", body)
        assert problem(answer) == (422, "invalid_fields"), change
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_user_of_another_tenant_gets_no_account(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    foreigner = await served.person(Role.TRADER, BETA)
    body = {"userId": foreigner.user_id, "accountType": "demo-100k"}
    assert problem(await served.send("POST", admin, "/accounts", body)) == (422, "invalid_fields")


@pytest.mark.parametrize("role", [Role.TRADER, Role.VIEWER, Role.RISK_MANAGER])
async def test_opening_needs_the_permission(served: Site, role: Role) -> None:
    person = await served.person(role)
    body = {"userId": person.user_id, "accountType": "demo-100k"}
    assert problem(await served.send("POST", person, "/accounts", body)) == (403, "forbidden")


ACCOUNT_PATHS = (
    "", "/orders", f"/orders/{ABSENT}", "/fills", "/positions", "/ledger", "/rules",
    "/violations", "/audit-logs",
)  # fmt: skip


async def test_what_is_not_yours_does_not_exist(served: Site) -> None:
    owner, colleague = await served.person(Role.TRADER), await served.person(Role.TRADER)
    foreigner = await served.person(Role.TENANT_ADMIN, BETA)
    account_id = await served.account(owner)
    for path in ACCOUNT_PATHS:
        own = await served.get(owner, f"/accounts/{account_id}{path}")
        assert own.status_code == (404 if ABSENT in path else 200), own.text
        for person in (colleague, foreigner):
            answer = await served.get(person, f"/accounts/{account_id}{path}")
            assert problem(answer) == (404, "not_found"), path
        through = await served.get(foreigner, f"/tenants/{ALPHA}/accounts/{account_id}{path}")
        assert problem(through) == (404, "not_found"), path
        assert problem(await served.get(owner, f"/accounts/not-an-id{path}"))[0] == 404
        assert problem(await served.get(owner, f"/accounts/{ABSENT}{path}"))[0] == 404
    assert (await served.get(colleague, "/accounts")).json()["items"] == []
    listed = [item for page in await served.pages(foreigner, "/accounts") for item in page]
    assert account_id not in {item["accountId"] for item in listed}


async def test_pages_are_stable_while_accounts_are_opened(served: Site) -> None:
    viewer = await served.person(Role.VIEWER)
    owner = await served.person(Role.TRADER)
    opened = [await served.account(owner) for _ in range(5)]
    first = (await served.get(viewer, "/accounts", limit=2)).json()
    late = await served.account(owner)
    seen = [item["accountId"] for item in first["items"]]
    cursor = first["nextCursor"]
    while cursor is not None:
        page = (await served.get(viewer, "/accounts", limit=2, cursor=cursor)).json()
        seen += [item["accountId"] for item in page["items"]]
        cursor = page["nextCursor"]
    assert seen == sorted(set(seen))
    assert {*opened, late} <= set(seen)


NOT_CURSORS = ("x", "WyJ4Il0", "bnVsbA", "%00", "WyJcdTAwMDAiXQ", "W10", "WzEsMiwzLDRd")


@pytest.mark.parametrize(
    "path", ["/accounts", "/accounts/{a}/orders", "/accounts/{a}/ledger", "/audit-logs", "/bots"]
)
async def test_cursor_that_is_not_ours_is_refused(served: Site, path: str) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    account_id = await served.account(admin)
    for cursor in NOT_CURSORS:
        answer = await served.get(admin, path.format(a=account_id), cursor=cursor)
        assert problem(answer) == (422, "invalid_fields"), cursor


async def test_seq_beyond_64_bits_is_no_cursor(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    account_id = await served.account(admin)
    answer = await served.get(
        admin, f"/accounts/{account_id}/fills", cursor="WzkyMjMzNzIwMzY4NTQ3NzU4MDhd"
    )
    assert problem(answer) == (422, "invalid_fields")


async def test_status_is_changed_by_the_writer(served: Site) -> None:
    risk, owner = await served.person(Role.RISK_MANAGER), await served.person(Role.TRADER)
    account_id = await served.account(owner)
    path = f"/accounts/{account_id}"
    order = {"symbol": "EURUSD", "side": "buy", "quantity": "1"}
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    async with served.executing():
        off = await served.send("PATCH", risk, path, {"status": "disabled", "reason": "news"})
        assert (off.status_code, off.json()["status"]) == (200, "disabled"), off.text
        assert off.json()["statusReason"] == "news"
        refused = await served.send("POST", owner, f"{path}/orders", order)
        assert problem(refused) == (403, "account_disabled")
        on = await served.send("PATCH", risk, path, {"status": "active", "reason": "over"})
        assert on.json()["status"] == "active"
        assert (await served.send("POST", owner, f"{path}/orders", order)).status_code == 201
        gone = await served.send("PATCH", risk, path, {"status": "closed", "reason": "left"})
        assert (gone.json()["status"], gone.json()["openPositions"]) == ("closed", 0)
        again = await served.send("PATCH", risk, path, {"status": "active", "reason": "back"})
        assert problem(again) == (403, "account_closed")
        late = await served.send("POST", owner, f"{path}/orders", order)
        assert problem(late) == (403, "account_closed")
    await served.chain(ALPHA)
    logs = await served.get(owner, f"{path}/audit-logs", eventType="account.disabled")
    assert logs.json()["items"][0]["payload"]["by"] == f"user:{risk.user_id}"


async def test_trader_and_foreign_admin_cannot_switch(served: Site) -> None:
    owner = await served.person(Role.TRADER)
    foreigner = await served.person(Role.TENANT_ADMIN, BETA)
    account_id = await served.account(owner)
    change = {"status": "disabled", "reason": "no"}
    answer = await served.send("PATCH", owner, f"/accounts/{account_id}", change)
    assert problem(answer) == (403, "forbidden")
    answer = await served.send("PATCH", foreigner, f"/accounts/{account_id}", change)
    assert problem(answer) == (404, "not_found")
    anyone = dataclasses.replace(owner, headers={})
    assert problem(await served.get(anyone, f"/accounts/{account_id}")) == (401, "unauthorized")


async def bulk(served: Site, count: int) -> tuple[list[dict[str, object]], str]:
    owner = await served.person(Role.TRADER)
    new = {"userId": owner.user_id, "accountType": "demo-100k"}
    names = (f"{owner.user_id}-{number}" for number in range(count))
    return [{**new, "clientReference": name} for name in names], owner.user_id


async def counted(served: Site, user_id: str) -> int:
    return len(await served.world.ports.accounts.ids_of(served.world.scope(ALPHA), user_id))


async def test_a_hundred_accounts_are_opened_together_and_once(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    new, user_id = await bulk(served, 100)
    key = {"Idempotency-Key": "many-1"}
    first = await served.send("POST", admin, "/accounts", {"accounts": new}, **key)
    assert first.status_code == 201, first.text
    items = first.json()["items"]
    assert [item["clientReference"] for item in items] == [one["clientReference"] for one in new]
    again = await served.send("POST", admin, "/accounts", {"accounts": new}, **key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert await counted(served, user_id) == 100
    other = await served.send("POST", admin, "/accounts", {"accounts": new[:99]}, **key)
    assert other.status_code == 200  # the same first 99 accounts
    changed = [*new[:50], {**new[50], "name": "Another"}, *new[51:]]
    answer = await served.send("POST", admin, "/accounts", {"accounts": changed}, **key)
    assert problem(answer) == (409, "body_conflict")
    too_many = {"accounts": [*new, new[0]]}
    answer = await served.send("POST", admin, "/accounts", too_many, **{"Idempotency-Key": "m-2"})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/accounts"]


async def test_one_wrong_account_opens_none_and_is_named(served: Site) -> None:
    admin = await served.person(Role.TENANT_ADMIN)
    new, user_id = await bulk(served, 20)
    taken = await served.send("POST", admin, "/accounts", {**new[3]})
    assert taken.status_code == 201, taken.text
    cases = (
        ({17: {"accountType": "none"}},
         ["/accounts/3/clientReference", "/accounts/17/accountType"]),
        ({17: {"userId": ABSENT}}, ["/accounts/3/clientReference", "/accounts/17/userId"]),
        ({3: {"clientReference": "x"}, 9: {"clientReference": new[8]["clientReference"]}},
         ["/accounts/9/clientReference"]),
        ({17: {"userId": "nobody"}}, ["/accounts/17/userId"]),
        ({2: {"balance": "1"}}, ["/accounts/2/balance"]),
    )  # fmt: skip
    for changes, pointers in cases:
        body = [{**one, **changes.get(index, {})} for index, one in enumerate(new)]
        answer = await served.send(
            "POST", admin, "/accounts", {"accounts": body}, **{"Idempotency-Key": str(pointers)}
        )
        assert problem(answer) == (422, "invalid_fields"), answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == pointers
        assert await counted(served, user_id) == 1
    keyless = await served.send("POST", admin, "/accounts", {"accounts": new[4:6]})
    assert keyless.json()["errors"][0]["pointer"] == "header/Idempotency-Key"
    risk = await served.person(Role.RISK_MANAGER)
    answer = await served.send("POST", risk, "/accounts", {"accounts": new[4:6]})
    assert problem(answer) == (403, "forbidden")
