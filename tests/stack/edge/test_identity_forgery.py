"""Tokens that prove nothing: forged, expired, revoked, or judged while stores are down."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.edge import BLUE, NORTH, House, bearer, slug
from tests.support.identity_cases import scope_of

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor
from quantlab_app.ports.sessions import Ended, LiveCredential

pytestmark = pytest.mark.stack


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


def session_of(login: dict[str, Any]) -> str:
    claims = jwt.decode(login["access_token"], options={"verify_signature": False})
    return str(claims["sid"])
