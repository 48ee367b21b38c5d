"""Tokens on real stores: forgery, rotation, reuse, revocation, outages, browsers, second factor."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pyotp
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from tests.support import stack as stacks
from tests.support.edge import BLUE, NORTH, PASSWORD, House, bearer, running_house, slug

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope, system_scope
from quantlab_app.ports.sessions import Ended, LiveCredential
from quantlab_app.use_cases.identity import lookup_hash

pytestmark = pytest.mark.stack
BROWSER = {"x-client": "browser"}


@pytest.fixture
async def house(
    fresh_database: stacks.FreshDatabase, redis_url: str, tmp_path: Path
) -> AsyncIterator[House]:
    async with running_house(fresh_database.app_dsn, redis_url, tmp_path) as running:
        yield running


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


Forge = Callable[[dict[str, Any], dict[str, Any], Any], str]


def _encode(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    parts = b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    )
    return (parts + b"." + base64.urlsafe_b64encode(sign(parts)).rstrip(b"=")).decode()


def _with(header: dict[str, Any] | None = None, **changed: Any) -> Forge:
    def forge(old_header: dict[str, Any], old_claims: dict[str, Any], key: Any) -> str:
        claims = {name: v for name, v in {**old_claims, **changed}.items() if v is not ...}
        heads = {name: v for name, v in {**old_header, **(header or {})}.items() if v is not ...}
        private = jwt.get_algorithm_by_name("EdDSA").prepare_key(key.private_pem)
        return _encode(heads, claims, private.sign)

    return forge


def _unsigned(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    return _encode({**header, "alg": "none"}, claims, lambda _: b"")


def _hmac_with_public_key(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    def sign(parts: bytes) -> bytes:
        return hmac.new(key.public_pem, parts, hashlib.sha256).digest()

    return _encode({**header, "alg": "HS256"}, claims, sign)


def _foreign_key(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    return _encode(header, claims, Ed25519PrivateKey.generate().sign)


def _stripped(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    return _with()(header, claims, key).rpartition(".")[0] + "."


FORGERIES: dict[str, tuple[Forge, int]] = {
    "untouched": (_with(), 200),
    "alg none": (_unsigned, 401),
    "alg none, kept name": (_with({"alg": "none"}), 401),
    "HS256 with the public key": (_hmac_with_public_key, 401),
    "another key under our kid": (_foreign_key, 401),
    "no signature": (_stripped, 401),
    "no kid": (_with({"kid": ...}), 401),
    "unknown kid": (_with({"kid": "nobody"}), 401),
    "id token type": (_with({"typ": "JWT"}), 401),
    "wrong issuer": (_with(iss="https://evil.example"), 401),
    "no issuer": (_with(iss=...), 401),
    "wrong audience": (_with(aud="others"), 401),
    "audience list": (_with(aud=["quantlab", "others"]), 401),
    "no audience": (_with(aud=...), 401),
    "no expiry": (_with(exp=...), 401),
    "expired": (_with(exp=1_000_000_000), 401),
    "expiry as text": (_with(exp="9999999999"), 401),
    "issued in the future": (_with(iat=9_999_999_990, exp=9_999_999_999), 401),
    "no subject": (_with(sub=...), 401),
    "another subject": (_with(sub="00000000-0000-7000-8000-000000000000"), 401),
    "unknown session": (_with(sid="00000000-0000-7000-8000-000000000000"), 401),
    "no session": (_with(sid=...), 401),
    "no tenant": (_with(tenantId=...), 401),
    "other tenant, session at home": (_with(tenantId=BLUE), 401),
    "other tenant, session there": (_with(tenantId=BLUE, home=BLUE), 401),
    "a better role in the token": (_with(role="platform_admin"), 200),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_tokens_prove_nothing(house: House, name: str) -> None:
    forge, expected = FORGERIES[name]
    login = await house.signed_in(Role.VIEWER)
    token = login["access_token"]
    (key, *_) = await house.ports.keys.signing_keys("jwt")
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = forge(header, claims, key)
    answer = await house.client.get("/me", headers=bearer(forged))
    assert answer.status_code == expected, answer.text
    if expected == 200:
        assert answer.json()["role"] == "viewer"
    else:
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_token_ends_on_time(house: House) -> None:
    login = await house.signed_in(Role.VIEWER)
    house.clock.ahead_s = 890
    assert await house.me(login["access_token"]) == 200
    house.clock.ahead_s = 901
    assert await house.me(login["access_token"]) == 401


async def test_old_keys_verify_until_retired(house: House) -> None:
    old = await house.signed_in(Role.VIEWER)
    keys: Any = house.ports.keys
    await keys.rotate_signing_key("jwt")
    new = await house.signed_in(Role.VIEWER)
    kids = [jwt.get_unverified_header(item["access_token"])["kid"] for item in (old, new)]
    assert kids[0] != kids[1]
    published = (await house.client.get("/.well-known/jwks.json")).json()["keys"]
    assert {key["kid"] for key in published} >= set(kids)
    assert await house.me(old["access_token"]) == 200
    await keys.retire_signing_key("jwt", kids[0])
    assert await house.me(old["access_token"]) == 401
    assert await house.me(new["access_token"]) == 200


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


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_revocation_bites_on_the_next_request(house: House, kind: str) -> None:
    login = await house.signed_in(Role.TRADER)
    assert await house.me(login["access_token"]) == 200
    assert await house.me(login["access_token"]) == 200
    answer = await house.client.post("/oauth2/revoke", data={"token": login[kind]})
    assert answer.status_code == 200
    assert await house.me(login["access_token"]) == 401
    assert slug(await house.refresh(login["refresh_token"])) == "invalid_grant"


async def test_unknown_token_revokes_quietly(house: House) -> None:
    answer = await house.client.post("/oauth2/revoke", data={"token": "nobodys"})
    assert answer.status_code == 200


async def test_redis_down_asks_postgresql(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    await house.redis.cut()
    assert await house.me(login["access_token"]) == 200
    await house.ports.sessions.revoke(
        scope_of(NORTH), session_of(login), "logout", house.clock.now_ns()
    )
    assert await house.me(login["access_token"]) == 401


async def test_nobody_signs_in_without_the_counters_of_attempts(house: House) -> None:
    user = await house.user(Role.TRADER)
    await house.redis.cut()
    answer = await house.token(user.email)
    assert (answer.status_code, slug(answer)) == (503, "stores_unavailable")
    await house.redis.mend()
    assert (await house.token(user.email)).status_code == 200


async def test_postgresql_down_asks_redis(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    assert await house.me(login["access_token"]) == 200
    await house.database.cut()
    assert await house.me(login["access_token"]) == 200


async def test_both_down_is_503(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    assert await house.me(login["access_token"]) == 200
    await house.database.cut()
    await house.redis.cut()
    answer = await house.client.get("/me", headers=bearer(login["access_token"]))
    assert (answer.status_code, slug(answer)) == (503, "stores_unavailable")
    assert answer.headers["retry-after"]
    assert (await house.token(login["user"].email)).status_code == 503


async def test_revocation_during_a_redis_outage_is_not_forgotten(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    assert await house.me(login["access_token"]) == 200
    await house.redis.cut()
    answer = await house.client.post("/oauth2/revoke", data={"token": login["refresh_token"]})
    assert answer.status_code == 503
    await house.redis.mend()
    assert await house.me(login["access_token"]) == 401


async def test_reader_that_was_overtaken_by_a_revocation_puts_nothing_back(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    cache, name = house.ports.credential_cache, f"{NORTH}:{session_of(login)}"
    actor = Actor("user", login["user"].user_id, Role.TRADER)
    await house.client.post("/oauth2/revoke", data={"token": login["refresh_token"]})
    await cache.put("session", name, LiveCredential(NORTH, actor, None))
    assert await cache.get("session", name) == Ended()
    assert await house.me(login["access_token"]) == 401


async def test_another_run_of_redis_is_not_believed_at_once(house: House) -> None:
    login = await house.signed_in(Role.TRADER)
    assert await house.me(login["access_token"]) == 200
    await house.ports.sessions.revoke(
        scope_of(NORTH), session_of(login), "logout", house.clock.now_ns()
    )
    assert await house.me(login["access_token"]) == 200  # nobody told the cache
    cache: Any = house.ports.credential_cache
    cache._watch._run_id = b"an earlier run"
    await cache._redis.connection_pool.disconnect()
    assert await house.me(login["access_token"]) == 401


def scope_of(tenant_id: str) -> Scope:
    return system_scope(tenant_id, "tests", "tests")


def session_of(login: dict[str, Any]) -> str:
    claims = jwt.decode(login["access_token"], options={"verify_signature": False})
    return str(claims["sid"])


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
