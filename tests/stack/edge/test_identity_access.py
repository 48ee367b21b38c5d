"""API keys, tickets, tenants and health on real stores: who is let in, and who is not."""

from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import stack as stacks
from tests.support.edge import BLUE, NORTH, House, bearer, slug
from tests.support.identity_cases import NOBODY, admin, scope_of

from quantlab.tenancy.permissions import Permission, Role, permissions_of
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.errors import NotFound
from quantlab_app.use_cases import api_keys, identity, users
from quantlab_app.use_cases.api_keys import ApiKeyRefusal
from quantlab_app.use_cases.users import UserRefusal
from quantlab_edge.http import require_account
from quantlab_edge.problems import ProblemError

pytestmark = pytest.mark.stack


async def make_key(house: House, **body: Any) -> dict[str, Any]:
    answer = await house.client.post(
        f"/tenants/{NORTH}/api-keys",
        json={"name": "a key", "role": "tenant_admin", **body},
        headers=await admin(house),
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


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
