"""Users, invitations, resets, API keys, tickets, tenants and health on real stores."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import stack as stacks
from tests.support.edge import BLUE, NORTH, PASSWORD, House, bearer, running_house, slug

from quantlab.tenancy.permissions import Permission, Role, permissions_of
from quantlab.tenancy.scope import Actor, Scope, system_scope
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.identity import User
from quantlab_app.use_cases import api_keys, identity, users
from quantlab_app.use_cases.api_keys import ApiKeyRefusal
from quantlab_app.use_cases.users import UserRefusal
from quantlab_edge.http import require_account
from quantlab_edge.pagination import encode_cursor
from quantlab_edge.problems import ProblemError

pytestmark = pytest.mark.stack
NEW_PASSWORD = "a fresh battery staple"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def house(
    fresh_database: stacks.FreshDatabase, redis_url: str, tmp_path: Path
) -> AsyncIterator[House]:
    async with running_house(fresh_database.app_dsn, redis_url, tmp_path) as running:
        yield running


async def admin(house: House, tenant_id: str = NORTH) -> dict[str, str]:
    return bearer((await house.signed_in(Role.TENANT_ADMIN, tenant_id))["access_token"])


async def make_key(house: House, **body: Any) -> dict[str, Any]:
    answer = await house.client.post(
        f"/tenants/{NORTH}/api-keys",
        json={"name": "a key", "role": "tenant_admin", **body},
        headers=await admin(house),
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


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


async def test_api_key_works_until_revoked(house: House) -> None:
    made = await make_key(house)
    key = {"x-api-key": made["apiKey"]}
    assert made["apiKey"].startswith("qle_")
    assert len(made["apiKey"]) == 4 + 43
    for _ in range(2):
        assert (await house.client.get(f"/tenants/{NORTH}/users", headers=key)).status_code == 200
    listed = await house.client.get(f"/tenants/{NORTH}/api-keys?limit=500", headers=key)
    assert made["apiKeyId"] in [item["apiKeyId"] for item in listed.json()["items"]]
    assert made["apiKey"] not in listed.text
    route = f"/tenants/{NORTH}/api-keys/{made['apiKeyId']}"
    assert (await house.client.delete(route, headers=await admin(house))).status_code == 204
    assert (await house.client.get(f"/tenants/{NORTH}/users", headers=key)).status_code == 401
    assert (await house.client.delete(route, headers=await admin(house))).status_code == 204


async def test_api_key_ends_on_time(house: House) -> None:
    expires = "2030-01-01T00:00:00Z"
    key = {"x-api-key": (await make_key(house, expiresAt=expires))["apiKey"]}
    assert (await house.client.get("/me", headers=key)).status_code == 200
    house.clock.ahead_s = 40 * 365 * 86_400
    assert (await house.client.get("/me", headers=key)).status_code == 401


async def test_api_key_does_only_what_its_scopes_say(house: House) -> None:
    made = await make_key(house, scopes=["users_read"])
    key = {"x-api-key": made["apiKey"]}
    assert (await house.client.get(f"/tenants/{NORTH}/users", headers=key)).status_code == 200
    body = {"email": "x@example.com", "name": "X"}
    refused = await house.client.post(f"/tenants/{NORTH}/users", json=body, headers=key)
    assert (refused.status_code, slug(refused)) == (403, "forbidden")
    assert (await house.client.get(f"/tenants/{NORTH}", headers=key)).status_code == 403


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "platform_admin"}, "/role"),
        ({"role": "trader"}, "/role"),
        ({"role": "viewer", "scopes": ["users_manage"]}, "/scopes"),
        ({"scopes": ["tenants_manage"]}, "/scopes"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["fly"]}, "/scopes/0"),
        ({"expiresAt": "2001-01-01T00:00:00Z"}, "/expiresAt"),
        ({"expiresAt": "tomorrow"}, "/expiresAt"),
    ],
)
async def test_api_keys_that_are_not_made(house: House, body: dict[str, Any], pointer: str) -> None:
    whole = {"name": "a key", "role": "tenant_admin", **body}
    answer = await house.client.post(
        f"/tenants/{NORTH}/api-keys", json=whole, headers=await admin(house)
    )
    assert slug(answer) == "invalid_fields"
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_narrow_key_hands_out_nothing_more(house: House) -> None:
    scopes = frozenset({Permission.API_KEYS_MANAGE, Permission.USERS_MANAGE})
    narrow = Scope(NORTH, Actor("api_key", NOBODY, Role.TENANT_ADMIN, scopes), "tests")
    made = await api_keys.create_api_key(house.ports, narrow, name="wide", role=Role.TENANT_ADMIN)
    assert made is ApiKeyRefusal.SCOPE_NOT_ALLOWED
    user = await users.create_user(
        house.ports, narrow, email="w@example.com", name="W", role=Role.TENANT_ADMIN
    )
    assert user is UserRefusal.ROLE_NOT_ALLOWED


@pytest.mark.parametrize("key", ["", "qle_", "qle_" + "x" * 43, "x" * 47, "qle_" + "y" * 4000])
async def test_unknown_api_keys_prove_nothing(house: House, key: str) -> None:
    answer = await house.client.get("/me", headers={"x-api-key": key})
    assert (answer.status_code, slug(answer)) == (401, "unauthorized")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer not.a.token"},
        {"authorization": "Bearer " + "x" * 9000},
    ],
)
async def test_no_credentials(house: House, headers: dict[str, str]) -> None:
    for route in ("/me", f"/tenants/{NORTH}/users", "/tenants/no-such-tenant/users"):
        answer = await house.client.get(route, headers=headers)
        assert (answer.status_code, slug(answer)) == (401, "unauthorized")


async def test_two_credentials_at_once_are_refused(house: House) -> None:
    login = await house.signed_in(Role.TENANT_ADMIN)
    both = bearer(login["access_token"]) | {"x-api-key": (await make_key(house))["apiKey"]}
    assert (await house.client.get("/me", headers=both)).status_code == 401


async def test_other_tenants_do_not_exist(house: House) -> None:
    login = await house.signed_in(Role.TRADER, NORTH)
    made = await make_key(house)
    ours = ({"x-api-key": made["apiKey"]}, await admin(house, NORTH))
    theirs = await admin(house, BLUE)
    user_id, key_id = login["user"].user_id, made["apiKeyId"]
    routes = [
        ("GET", "", None),
        ("GET", "/users", None),
        ("POST", "/users", {"email": "spy@example.com", "name": "Spy"}),
        ("GET", f"/users/{user_id}", None),
        ("PATCH", f"/users/{user_id}", {"status": "disabled"}),
        ("POST", f"/users/{user_id}/invitation", None),
        ("GET", "/api-keys", None),
        ("POST", "/api-keys", {"name": "spy"}),
        ("DELETE", f"/api-keys/{key_id}", None),
    ]
    for method, path, body in routes:
        for tenant_id, headers in ((BLUE, ours[0]), (BLUE, ours[1]), (NORTH, theirs)):
            answer = await house.client.request(
                method, f"/tenants/{tenant_id}{path}", json=body, headers=headers
            )
            assert (answer.status_code, slug(answer)) == (404, "not_found"), (method, path)
    # The right tenant in the path does not help with a foreign object either.
    for method, path, body in routes:
        if user_id in path or key_id in path:
            answer = await house.client.request(
                method, f"/tenants/{BLUE}{path}", json=body, headers=theirs
            )
            assert answer.status_code == 404, (method, path)
    assert await house.me(login["access_token"]) == 200


@pytest.mark.parametrize("role", [Role.TENANT_ADMIN, Role.RISK_MANAGER, Role.TRADER, Role.VIEWER])
async def test_routes_ask_the_permission_table(house: House, role: Role) -> None:
    headers = bearer((await house.signed_in(role))["access_token"])
    granted = permissions_of(role)
    for path, permission in (
        ("", Permission.CONFIG_READ),
        ("/users", Permission.USERS_READ),
        ("/api-keys", Permission.API_KEYS_MANAGE),
    ):
        answer = await house.client.get(f"/tenants/{NORTH}{path}", headers=headers)
        assert answer.status_code == (200 if permission in granted else 403), path
    me = (await house.client.get("/me", headers=headers)).json()
    assert set(me["permissions"]) == granted


async def test_ticket_opens_once(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    answer = await house.client.post("/socket-tickets", headers=bearer(login["access_token"]))
    assert (answer.status_code, answer.json()["expiresInSeconds"]) == (201, 30)
    ticket = answer.json()["ticket"]
    holder = await house.ports.tickets.redeem(ticket)
    assert holder is not None
    assert holder.scope.actor == Actor("user", login["user"].user_id, Role.TRADER)
    assert holder.scope.tenant_id == NORTH
    ends_in_s = (holder.expires_ns - house.clock.now_ns()) / 1e9
    assert 800 < ends_in_s <= 900
    assert await house.ports.tickets.redeem(ticket) is None
    assert await identity.still_stands(house.ports, holder)
    await house.client.post("/oauth2/revoke", data={"token": login["refresh_token"]})
    assert not await identity.still_stands(house.ports, holder)


async def test_ticket_of_a_key_keeps_its_scopes(house: House) -> None:
    made = await make_key(house, scopes=["accounts_read"])
    answer = await house.client.post("/socket-tickets", headers={"x-api-key": made["apiKey"]})
    holder = await house.ports.tickets.redeem(answer.json()["ticket"])
    assert holder is not None
    assert holder.scope.actor.scopes == frozenset({Permission.ACCOUNTS_READ})
    assert await identity.still_stands(house.ports, holder)
    house.clock.ahead_s = house.ports.identity_policy.api_key_socket_ttl_s + 1
    assert not await identity.still_stands(house.ports, holder)


async def test_no_ticket_without_redis(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    await house.redis.cut()
    answer = await house.client.post("/socket-tickets", headers=bearer(login["access_token"]))
    assert (answer.status_code, slug(answer)) == (503, "stores_unavailable")


async def test_tenant_and_branding(house: House) -> None:
    tenant = (await house.client.get(f"/tenants/{NORTH}", headers=await admin(house))).json()
    config = await house.ports.tenant_configs.current(scope_of(NORTH))
    assert tenant["configVersion"] == config.version
    assert [item["id"] for item in tenant["accountTypes"]] == list(config.account_types)
    host = config.branding.host_names[0]
    public = await house.client.get("/branding", params={"host": host.upper()})
    assert public.json() == tenant["branding"]
    unknown = await house.client.get("/branding", params={"host": "nobody.example"})
    assert (unknown.status_code, slug(unknown)) == (404, "not_found")


async def test_suspended_tenant_is_out(house: House, fresh_database: stacks.FreshDatabase) -> None:
    login = await house.signed_in(Role.TRADER, BLUE)
    owner = fresh_database.superuser_dsn
    with psycopg.connect(owner, options="-c search_path=quantlab", autocommit=True) as connection:
        change = "update tenant set status = %s where tenant_id = %s"
        connection.execute(change, ("suspended", BLUE))
        try:
            assert await house.me(login["access_token"]) == 401
            assert slug(await house.refresh(login["refresh_token"])) == "invalid_grant"
        finally:
            connection.execute(change, ("active", BLUE))


async def test_account_owner_is_asked(house: House, fresh_database: stacks.FreshDatabase) -> None:
    owner, other = await house.user(Role.TRADER), await house.user(Role.TRADER)
    account_id = house.ports.ids.new_id()
    config = await house.ports.tenant_configs.current(scope_of(NORTH))
    with psycopg.connect(
        fresh_database.superuser_dsn, options="-c search_path=quantlab"
    ) as connection:
        connection.execute(
            "insert into account (tenant_id, account_id, user_id, status, account_type,"
            " config_version, currency, currency_digits, initial_balance_minor, balance_minor,"
            " high_water_minor, day_date, day_started_ns, day_next_reset_ns,"
            " day_start_balance_minor, day_start_equity_minor)"
            " values (%s, %s, %s, 'active', 'a', %s, 'USD', 2, 1, 1, 1, '2026-01-01', 0, 1, 1, 1)",
            (NORTH, account_id, owner.user_id, config.version),
        )
    await require_account(house.ports, actor_scope(owner.user_id, Role.TRADER), account_id)
    await require_account(house.ports, actor_scope(other.user_id, Role.VIEWER), account_id)
    with pytest.raises(ProblemError) as refused:
        await require_account(house.ports, actor_scope(other.user_id, Role.TRADER), account_id)
    assert refused.value.status == 404
    with pytest.raises(NotFound):
        await require_account(house.ports, scope_of(BLUE), account_id)
    with pytest.raises(ProblemError):
        await require_account(house.ports, scope_of(NORTH), "not-an-id")


async def test_application_login_cannot_rewrite_identity(
    fresh_database: stacks.FreshDatabase,
) -> None:
    forbidden = (
        "update app_user set role = 'tenant_admin'",
        "update app_user set email = 'x@example.com'",
        "delete from app_user",
        "update session set user_id = gen_random_uuid()",
        "update api_key set scopes = '{}'",
        "update api_key set expires_ns = null",
        "delete from api_key",
        "update mail_token set expires_ns = 1",
        "truncate session",
    )
    with psycopg.connect(
        fresh_database.app_dsn, options="-c search_path=quantlab", autocommit=True
    ) as connection:
        for statement in forbidden:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        for table in ("app_user", "session", "refresh_token", "api_key", "mail_token"):
            row = connection.execute(
                "select relrowsecurity and relforcerowsecurity from pg_class"
                " where oid = %s::regclass",
                (f"quantlab.{table}",),
            ).fetchone()
            assert row == (True,)


def actor_scope(user_id: str, role: Role) -> Scope:
    return Scope(NORTH, Actor("user", user_id, role), "tests")


def scope_of(tenant_id: str) -> Scope:
    return system_scope(tenant_id, "tests", "tests")


async def test_health_names_the_store_that_is_down(house: House) -> None:
    good = await house.client.get("/health")
    assert good.status_code == 200
    assert {item["name"]: item["status"] for item in good.json()["stores"]} == {
        "postgresql": "up", "redis": "up",
    }  # fmt: skip
    await house.redis.cut()
    bad = await house.client.get("/health")
    assert (bad.status_code, bad.json()["status"]) == (503, "down")
    assert {item["name"]: item["status"] for item in bad.json()["stores"]} == {
        "postgresql": "up", "redis": "down",
    }  # fmt: skip


async def test_metrics_join_the_numbers_of_all_processes(house: House) -> None:
    left = "# HELP quantlab_logins_total x\n# TYPE quantlab_logins_total counter\n"
    left += 'quantlab_logins_total{result="granted"} 7.0\n'
    await house.ports.metrics_board.put("queue:orders", "9:abc", left)
    await house.signed_in(Role.TRADER)
    text = (await house.client.get("/metrics")).text
    samples = {
        (sample.labels["role"], sample.labels.get("instance")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "quantlab_logins_total" and sample.labels["result"] == "granted"
    }
    assert samples[("queue:orders", "9:abc")] == 7
    assert samples[("server", "self")] >= 1
    await house.redis.cut()
    assert "quantlab_http_requests_total" in (await house.client.get("/metrics")).text
