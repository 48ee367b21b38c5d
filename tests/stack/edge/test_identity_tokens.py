"""Tokens on real stores: sign-in, rotation, reuse, limits, browsers, second factor."""

import asyncio
from typing import Any

import jwt
import psycopg
import pyotp
import pytest
from argon2 import PasswordHasher
from psycopg import sql
from tests.support import stack as stacks
from tests.support.edge import BLUE, NORTH, PASSWORD, House, bearer, slug
from tests.support.identity_cases import scope_of

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.identity import lookup_hash

pytestmark = pytest.mark.stack
BROWSER = {"x-client": "browser"}


async def test_password_grant_opens_a_session(house: House) -> None:
    user = await house.user(Role.TRADER)
    answer = await house.token(user.email.upper())
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (body["token_type"], body["expires_in"], body["tenantId"], body["role"]) == (
        "Bearer", 900, NORTH, "trader",
    )  # fmt: skip
    me = await house.client.get("/me", headers=bearer(body["access_token"]))
    assert (me.json()["id"], me.json()["tenantId"]) == (user.user_id, NORTH)
    keys = (await house.client.get("/.well-known/jwks.json")).json()["keys"]
    header = jwt.get_unverified_header(body["access_token"])
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert header["alg"] == "EdDSA"
    assert header["kid"] in [key["kid"] for key in keys]
    assert claims["exp"] - claims["iat"] == 900
    assert {"iss", "aud", "sub", "sid"} <= claims.keys()


@pytest.mark.parametrize(
    ("tenant_id", "fields"),
    [
        (NORTH, {"password": "wrong password"}),
        (NORTH, {"username": "nobody@example.com"}),
        (NORTH, {"password": PASSWORD + "x" * 200}),
        (BLUE, {}),
        ("no-such-tenant", {}),
    ],
)
async def test_wrong_credentials_all_look_alike(
    house: House, tenant_id: str, fields: dict[str, str]
) -> None:
    user = await house.user(Role.TRADER)
    answer = await house.token(user.email, tenant_id=tenant_id, **fields)
    assert (answer.status_code, slug(answer)) == (400, "invalid_grant")
    assert answer.json()["error"] == "invalid_grant"
    assert answer.json()["detail"] == "The credentials or the token do not hold."


async def test_unknown_user_costs_a_hash_like_a_known_one(house: House) -> None:
    user = await house.user(Role.TRADER)
    verified: list[str | None] = []
    verify = house.ports.passwords.verify

    async def recorded(password_hash: str | None, password: str) -> bool:
        verified.append(password_hash)
        return await verify(password_hash, password)

    house.ports.passwords.verify = recorded  # type: ignore[method-assign]
    await house.token(user.email, password="wrong password")
    await house.token("nobody@example.com")
    assert [bool(item) for item in verified] == [True, False]
    assert not await verify(None, "a password that is nobody's")


async def test_tenant_follows_from_host_or_email(house: House) -> None:
    user = await house.user(Role.TRADER, BLUE)
    assert (await house.token(user.email, tenant_id=None)).json()["tenantId"] == BLUE
    config = await house.ports.tenant_configs.current(scope_of(BLUE))
    host = {"host": config.branding.host_names[0]}
    form = {"grant_type": "password", "username": user.email, "password": PASSWORD}
    assert (await house.client.post("/oauth2/token", data=form, headers=host)).status_code == 200
    stranger = await house.user(Role.TRADER, NORTH)
    form["username"] = stranger.email
    answer = await house.client.post("/oauth2/token", data=form, headers=host)
    assert slug(answer) == "invalid_grant"


@pytest.mark.parametrize(
    ("content", "media_type", "status", "expected"),
    [
        ('{"grant_type":"password"}', "application/json", 415, "unsupported_media_type"),
        ("grant_type=client_credentials", None, 400, "unsupported_grant_type"),
        ("grant_type=password&username=a", None, 400, "invalid_request"),
        ("grant_type=password&grant_type=password", None, 400, "invalid_request"),
        ("grant_type=refresh_token", None, 400, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=nobodys", None, 400, "invalid_grant"),
        ("&".join(f"a{n}=1" for n in range(50)), None, 400, "invalid_request"),
        (b"grant_type=\xff%ff", None, 400, "invalid_request"),
        ("grant_type=password&username=a%00&password=b", None, 400, "invalid_request"),
        ("", None, 400, "unsupported_grant_type"),
    ],
)
async def test_unusable_token_requests(
    house: House, content: str, media_type: str | None, status: int, expected: str
) -> None:
    headers = {"content-type": media_type or "application/x-www-form-urlencoded"}
    answer = await house.client.post("/oauth2/token", content=content, headers=headers)
    assert (answer.status_code, slug(answer)) == (status, expected)


async def test_refresh_rotates(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    answer = await house.refresh(login["refresh_token"])
    body = answer.json()
    assert body["refresh_token"] != login["refresh_token"]
    assert await house.me(body["access_token"]) == 200
    assert (await house.refresh(body["refresh_token"])).status_code == 200


async def test_reused_refresh_token_ends_the_family(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    other = await house.token(login["user"].email)
    second = (await house.refresh(login["refresh_token"])).json()
    assert await house.me(second["access_token"]) == 200
    assert slug(await house.refresh(login["refresh_token"])) == "invalid_grant"
    assert slug(await house.refresh(second["refresh_token"])) == "invalid_grant"
    assert await house.me(login["access_token"]) == 401
    assert await house.me(second["access_token"]) == 401
    assert await house.me(other.json()["access_token"]) == 200


async def test_simultaneous_refreshes_give_one_answer(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    answers = await asyncio.gather(*(house.refresh(login["refresh_token"]) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 5
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert await house.me(winner["access_token"]) == 401


async def test_refresh_token_expires(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    house.clock.ahead_s = house.ports.identity_policy.refresh_ttl_s + 1
    assert slug(await house.refresh(login["refresh_token"])) == "invalid_grant"


async def test_only_digests_are_kept(house: House, fresh_database: stacks.FreshDatabase) -> None:
    login = await house.signed_in(Role.TRADER)
    secrets = (login["refresh_token"], login["access_token"], PASSWORD)
    with psycopg.connect(
        fresh_database.superuser_dsn, options="-c search_path=quantlab"
    ) as connection:
        for table in ("app_user", "session", "refresh_token", "directory", "mail_token"):
            query = sql.SQL("select * from {}").format(sql.Identifier(table))
            text = str(connection.execute(query).fetchall())
            assert not any(secret in text for secret in secrets)
        (found,) = connection.execute(
            "select count(*) from refresh_token where token_hash = %s",
            (lookup_hash(login["refresh_token"]),),
        ).fetchone() or (0,)
    assert found == 1


async def test_attempts_are_limited_per_login(house: House) -> None:
    user, other = await house.user(Role.TRADER), await house.user(Role.TRADER)
    most = house.ports.identity_policy.login_attempts_max
    for _ in range(most):
        assert slug(await house.token(user.email, password="wrong password")) == "invalid_grant"
    answer = await house.token(user.email)
    assert (answer.status_code, slug(answer)) == (429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 300
    assert (await house.token(other.email)).status_code == 200


async def test_good_sign_ins_are_not_limited(house: House) -> None:
    user = await house.user(Role.TRADER)
    for _ in range(house.ports.identity_policy.login_attempts_max + 2):
        assert (await house.token(user.email)).status_code == 200


async def test_hash_is_renewed_when_parameters_change(house: House) -> None:
    user = await house.user(Role.TRADER)
    hasher: Any = house.ports.passwords
    hasher._hasher = PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1)
    assert (await house.token(user.email)).status_code == 200
    found = await house.ports.users.find(scope_of(NORTH), user.user_id)
    assert found is not None
    assert found.password_hash is not None
    assert "t=2" in found.password_hash
    assert (await house.token(user.email)).status_code == 200


async def test_browser_keeps_the_refresh_token_in_a_cookie(house: House) -> None:
    user = await house.user(Role.TRADER)
    form = {
        "grant_type": "password", "username": user.email, "password": PASSWORD, "tenant_id": NORTH
    }  # fmt: skip
    answer = await house.client.post("/oauth2/token", data=form, headers=BROWSER)
    assert "refresh_token" not in answer.json()
    refresh, csrf = sorted(answer.headers.get_list("set-cookie"), reverse=True)
    assert refresh.startswith("ql_refresh=")
    assert all(part in refresh for part in ("HttpOnly", "SameSite=strict", "Path=/oauth2"))
    assert "HttpOnly" not in csrf
    cookies = {name: answer.cookies[name] for name in ("ql_refresh", "ql_csrf")}
    house.client.cookies.clear()
    wanted = {"grant_type": "refresh_token"}
    jar = "; ".join(f"{name}={value}" for name, value in cookies.items())
    attempts: list[dict[str, str]] = [
        {"cookie": jar},
        {"cookie": jar, "x-csrf-token": "guessed"},
        {"cookie": f"ql_refresh={cookies['ql_refresh']}; ql_csrf=x", "x-csrf-token": "x"},
        {"cookie": f"ql_refresh={cookies['ql_refresh']}", "x-csrf-token": cookies["ql_csrf"]},
    ]
    for headers in attempts:
        for route in ("/oauth2/token", "/oauth2/revoke"):
            refused = await house.client.post(route, data=wanted, headers=headers)
            assert (refused.status_code, slug(refused)) == (403, "csrf_failed")
    good = {"cookie": jar, "x-csrf-token": cookies["ql_csrf"]}
    renewed = await house.client.post("/oauth2/token", data=wanted, headers=good)
    assert renewed.status_code == 200, renewed.text
    assert renewed.cookies["ql_refresh"] != cookies["ql_refresh"]
    assert renewed.json()["csrf_token"] == renewed.cookies["ql_csrf"]
    left = {
        "cookie": f"ql_refresh={renewed.cookies['ql_refresh']}; "
        f"ql_csrf={renewed.cookies['ql_csrf']}",
        "x-csrf-token": renewed.cookies["ql_csrf"],
    }
    house.client.cookies.clear()
    gone = await house.client.post("/oauth2/revoke", data=wanted, headers=left)
    assert gone.status_code == 200
    assert all("Max-Age=0" in line for line in gone.headers.get_list("set-cookie"))
    assert await house.me(renewed.json()["access_token"]) == 401


async def test_second_factor(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    headers, address = bearer(login["access_token"]), login["user"].email
    enrolled = (await house.client.post("/totp", headers=headers)).json()
    assert enrolled["uri"].startswith("otpauth://totp/")
    assert (await house.token(address)).status_code == 200  # not confirmed yet
    codes = pyotp.TOTP(enrolled["secret"])

    def code(late_s: int = 0) -> str:
        house.clock.ahead_s += 30
        return codes.at(house.clock.now_ns() // 1_000_000_000 - late_s)

    wrong = await house.client.post("/totp/confirm", json={"code": "000000"}, headers=headers)
    assert slug(wrong) == "invalid_fields"
    first = code()
    confirmed = await house.client.post("/totp/confirm", json={"code": first}, headers=headers)
    assert confirmed.status_code == 204
    asked = await house.token(address)
    assert (slug(asked), asked.json()["error"]) == ("totp_required", "invalid_grant")
    assert slug(await house.token(address, totp_code=first)) == "invalid_grant"  # replayed
    second = code()
    assert (await house.token(address, totp_code=second)).status_code == 200
    assert slug(await house.token(address, totp_code=second)) == "invalid_grant"
    assert slug(await house.token(address, totp_code=code(late_s=150))) == "invalid_grant"
    again = await house.client.post("/totp", headers=headers)
    assert again.status_code == 409
    ended = await house.client.post("/totp/disable", json={"code": code()}, headers=headers)
    assert ended.status_code == 204
    assert (await house.token(address)).status_code == 200


async def test_second_factor_is_asked_after_the_password_only(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    headers = bearer(login["access_token"])
    enrolled = (await house.client.post("/totp", headers=headers)).json()
    code = pyotp.TOTP(enrolled["secret"]).at(house.clock.now_ns() // 1_000_000_000)
    await house.client.post("/totp/confirm", json={"code": code}, headers=headers)
    answer = await house.token(login["user"].email, password="wrong password")
    assert slug(answer) == "invalid_grant"


async def test_platform_administrator_acts_in_one_tenant_at_a_time(house: House) -> None:
    login = await house.signed_in(Role.PLATFORM_ADMIN)
    home = bearer(login["access_token"])
    assert (await house.client.get(f"/tenants/{BLUE}", headers=home)).status_code == 404
    switch = await house.client.post("/oauth2/tenant-tokens", json={"tenantId": BLUE}, headers=home)
    assert "refresh_token" not in switch.json()
    there = bearer(switch.json()["access_token"])
    assert (await house.client.get(f"/tenants/{BLUE}", headers=there)).status_code == 200
    assert (await house.client.get(f"/tenants/{NORTH}", headers=there)).status_code == 404
    await house.client.post("/oauth2/revoke", data={"token": login["refresh_token"]})
    assert (await house.client.get(f"/tenants/{BLUE}", headers=there)).status_code == 401


@pytest.mark.parametrize("tenant_id", ["no-such-tenant", ""])
async def test_no_token_for_a_tenant_that_is_none(house: House, tenant_id: str) -> None:
    login = await house.signed_in(Role.PLATFORM_ADMIN)
    answer = await house.client.post(
        "/oauth2/tenant-tokens",
        json={"tenantId": tenant_id},
        headers=bearer(login["access_token"]),
    )
    assert answer.status_code == 404


async def test_only_platform_administrators_switch_tenants(house: House) -> None:
    login = await house.signed_in(Role.TENANT_ADMIN)
    answer = await house.client.post(
        "/oauth2/tenant-tokens", json={"tenantId": BLUE}, headers=bearer(login["access_token"])
    )
    assert slug(answer) == "forbidden"
