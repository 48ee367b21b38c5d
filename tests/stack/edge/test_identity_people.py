"""Users, invitations, resets and passwords on real stores."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.support.edge import BLUE, NORTH, PASSWORD, House, bearer, slug
from tests.support.identity_cases import NOBODY, admin, scope_of

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.identity import User
from quantlab_app.use_cases import users
from quantlab_edge.pagination import encode_cursor

pytestmark = pytest.mark.stack
NEW_PASSWORD = "a fresh battery staple"


async def test_invited_user_chooses_a_password_once(house: House) -> None:
    body = {"email": "New.Trader@Example.com", "name": "New", "role": "trader"}
    made = await house.client.post(f"/tenants/{NORTH}/users", json=body, headers=await admin(house))
    assert (made.status_code, made.json()["status"]) == (201, "invited")
    address = "new.trader@example.com"
    assert slug(await house.token(address)) == "invalid_grant"
    token = house.mailed_token(address)
    weak = {"token": token, "password": "short"}
    refused = await house.client.post("/invitations/accept", json=weak)
    assert slug(refused) == "invalid_fields"
    chosen = {"token": token, "password": NEW_PASSWORD}
    wrong_kind = await house.client.post("/password-resets/confirm", json=chosen)
    assert slug(wrong_kind) == "invalid_fields"
    assert (await house.client.post("/invitations/accept", json=chosen)).status_code == 204
    assert (await house.token(address, password=NEW_PASSWORD)).status_code == 200
    again = await house.client.post("/invitations/accept", json=chosen)
    assert slug(again) == "invalid_fields"


async def test_new_invitation_ends_the_one_before(house: House) -> None:
    headers = await admin(house)
    body = {"email": "slow@example.com", "name": "Slow"}
    made = (await house.client.post(f"/tenants/{NORTH}/users", json=body, headers=headers)).json()
    first = house.mailed_token("slow@example.com")
    route = f"/tenants/{NORTH}/users/{made['userId']}/invitation"
    assert (await house.client.post(route, headers=headers)).status_code == 204
    tokens = {text.partition("#token=")[2].strip() for text in house.mails_to("slow@example.com")}
    (second,) = tokens - {first}
    for token, expected in ((first, 422), (second, 204)):
        chosen = {"token": token, "password": NEW_PASSWORD}
        answer = await house.client.post("/invitations/accept", json=chosen)
        assert answer.status_code == expected
    assert (await house.client.post(route, headers=headers)).status_code == 409


async def test_invitation_expires(house: House) -> None:
    body = {"email": "late@example.com", "name": "Late"}
    await house.client.post(f"/tenants/{NORTH}/users", json=body, headers=await admin(house))
    house.clock.ahead_s = house.ports.identity_policy.invitation_ttl_s + 1
    chosen = {"token": house.mailed_token("late@example.com"), "password": NEW_PASSWORD}
    assert slug(await house.client.post("/invitations/accept", json=chosen)) == "invalid_fields"


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"email": "no address", "name": "A"}, 422, "invalid_fields"),
        ({"email": "a@b\r\nBcc: c@d", "name": "A"}, 422, "invalid_fields"),
        ({"email": "a@example.com", "name": ""}, 422, "invalid_fields"),
        ({"email": "a@example.com", "name": "A", "role": "king"}, 422, "invalid_fields"),
        ({"email": "a@example.com", "name": "A", "role": "platform_admin"}, 403, "forbidden"),
        ({"email": "a@example.com", "name": "A", "role": "bot"}, 403, "forbidden"),
        ({"email": "a@example.com", "name": "A", "password": "x" * 12}, 422, "invalid_fields"),
    ],
)
async def test_users_that_are_not_added(
    house: House, body: dict[str, str], status: int, expected: str
) -> None:
    answer = await house.client.post(
        f"/tenants/{NORTH}/users", json=body, headers=await admin(house)
    )
    assert (answer.status_code, slug(answer)) == (status, expected)


async def test_email_is_taken_in_one_tenant_only(house: House) -> None:
    body = {"email": "both@example.com", "name": "Both"}
    for tenant_id, expected in ((NORTH, 201), (NORTH, 409), (BLUE, 201)):
        answer = await house.client.post(
            f"/tenants/{tenant_id}/users", json=body, headers=await admin(house, tenant_id)
        )
        assert answer.status_code == expected


async def test_users_come_in_pages(house: House) -> None:
    headers = await admin(house, BLUE)
    added = [(await house.user(Role.VIEWER, BLUE)).user_id for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = await house.client.get(f"/tenants/{BLUE}/users", params=query, headers=headers)
        body = answer.json()
        assert len(body["items"]) <= 2
        assert all("password" not in str(item).lower() for item in body["items"])
        seen += [item["userId"] for item in body["items"]]
        cursor = body["nextCursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert [user_id for user_id in seen if user_id in added] == added


async def test_cursor_of_another_kind_is_refused(house: House) -> None:
    headers = await admin(house)
    for route in ("users", "api-keys"):
        cursors: list[list[str | int]] = [[1, "x"], [1 << 63, NOBODY], [NOBODY, 1]]
        for values in cursors:
            answer = await house.client.get(
                f"/tenants/{NORTH}/{route}",
                params={"cursor": encode_cursor(values)},
                headers=headers,
            )
            assert slug(answer) == "invalid_fields"


async def test_disabled_user_is_out_at_once(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    assert await house.me(login["access_token"]) == 200
    headers = await admin(house)
    route = f"/tenants/{NORTH}/users/{login['user'].user_id}"
    changed = await house.client.patch(route, json={"status": "disabled"}, headers=headers)
    assert changed.json()["status"] == "disabled"
    assert await house.me(login["access_token"]) == 401
    assert slug(await house.token(login["user"].email)) == "invalid_grant"
    assert slug(await house.refresh(login["refresh_token"])) == "invalid_grant"
    await house.client.patch(route, json={"status": "active"}, headers=headers)
    assert await house.me(login["access_token"]) == 401
    assert (await house.token(login["user"].email)).status_code == 200


async def test_last_administrator_stays(house: House) -> None:
    platform = system_scope(NORTH, "test", "test")
    platform = replace(platform, actor=replace(platform.actor, role=Role.PLATFORM_ADMIN))
    for user in await users.list_users(house.ports, platform, 500, None):
        if user.role is Role.TENANT_ADMIN:
            await users.set_user_status(house.ports, platform, user.user_id, "disabled")
    first, second = [await house.signed_in(Role.TENANT_ADMIN) for _ in range(2)]

    async def disable(whom: dict[str, Any], by: dict[str, Any]) -> httpx.Response:
        route = f"/tenants/{NORTH}/users/{whom['user'].user_id}"
        headers = bearer(by["access_token"])
        return await house.client.patch(route, json={"status": "disabled"}, headers=headers)

    both = await asyncio.gather(disable(first, second), disable(second, first))
    assert sorted(answer.status_code for answer in both) in ([200, 401], [200, 409])
    left = first if await house.me(first["access_token"]) == 200 else second
    alone = await disable(left, left)
    assert (alone.status_code, slug(alone)) == (409, "last_admin")
    assert await house.me(left["access_token"]) == 200
    gone = await users.set_user_status(house.ports, platform, left["user"].user_id, "disabled")
    assert isinstance(gone, User)


async def test_password_reset_ends_every_session(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    address = login["user"].email
    assert await house.me(login["access_token"]) == 200
    known = await house.client.post("/password-resets", json={"email": address, "tenantId": NORTH})
    unknown = await house.client.post("/password-resets", json={"email": "nobody@example.com"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert house.mails_to("nobody@example.com") == []
    chosen = {"token": house.mailed_token(address), "password": NEW_PASSWORD}
    assert (await house.client.post("/password-resets/confirm", json=chosen)).status_code == 204
    assert await house.me(login["access_token"]) == 401
    assert slug(await house.token(address)) == "invalid_grant"
    assert (await house.token(address, password=NEW_PASSWORD)).status_code == 200
    again = await house.client.post("/password-resets/confirm", json=chosen)
    assert slug(again) == "invalid_fields"


async def test_a_reset_that_was_asked_for_before_a_change_of_the_password_is_void(
    house: House,
) -> None:
    login = await house.signed_in(Role.TRADER)
    address, headers = login["user"].email, bearer(login["access_token"])
    await house.client.post("/password-resets", json={"email": address, "tenantId": NORTH})
    link = {"token": house.mailed_token(address), "password": "a password of a thief"}
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    changed = await house.client.post("/password-changes", json=body, headers=headers)
    assert changed.status_code == 204
    late = await house.client.post("/password-resets/confirm", json=link)
    assert slug(late) == "invalid_fields"
    assert (await house.token(address, password=NEW_PASSWORD)).status_code == 200


async def test_resets_are_not_mailed_without_limit(house: House) -> None:
    user = await house.user(Role.TRADER)
    most = house.ports.identity_policy.login_attempts_max
    for _ in range(most + 3):
        await house.client.post("/password-resets", json={"email": user.email, "tenantId": NORTH})
    assert len(house.mails_to(user.email)) == most


async def test_email_verification(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    headers = bearer(login["access_token"])
    assert (await house.client.post("/email-verifications", headers=headers)).status_code == 202
    token = {"token": house.mailed_token(login["user"].email)}
    confirmed = await house.client.post("/email-verifications/confirm", json=token)
    assert confirmed.status_code == 204
    found = await house.ports.users.find(scope_of(NORTH), login["user"].user_id)
    assert found is not None
    assert found.email_verified


async def test_password_change_ends_the_other_sessions(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    other = (await house.token(login["user"].email)).json()
    assert await house.me(other["access_token"]) == 200
    headers = bearer(login["access_token"])
    body = {"currentPassword": "wrong password", "newPassword": NEW_PASSWORD}
    refused = await house.client.post("/password-changes", json=body, headers=headers)
    assert slug(refused) == "invalid_fields"
    body["currentPassword"] = PASSWORD
    changed = await house.client.post("/password-changes", json=body, headers=headers)
    assert changed.status_code == 204
    assert await house.me(login["access_token"]) == 200
    assert await house.me(other["access_token"]) == 401
    answer = await house.token(login["user"].email, password=NEW_PASSWORD)
    assert answer.status_code == 200


async def test_a_sign_in_that_a_password_change_overtakes_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await house.signed_in(Role.TRADER)
    user = login["user"]
    verify, changes = house.ports.passwords.verify, []

    async def overtaken(password_hash: str | None, password: str) -> bool:
        fits = await verify(password_hash, password)
        if not changes:
            body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
            changes.append(body)
            headers = bearer(login["access_token"])
            changed = await house.client.post("/password-changes", json=body, headers=headers)
            assert changed.status_code == 204
        return fits

    monkeypatch.setattr(house.ports.passwords, "verify", overtaken)
    refused = await house.token(user.email)
    assert (refused.status_code, slug(refused)) == (400, "invalid_grant")
    assert (await house.token(user.email, password=NEW_PASSWORD)).status_code == 200
