"""Access tokens: EdDSA JWTs under the key port's signing keys. No other algorithm is known here."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quantlab.kernel.instants import SECOND_NS
from quantlab_app.ports.identity import AccessClaims
from quantlab_app.ports.secrets import Keys, SigningKey

_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"
_LEEWAY_S: Final = 5
_TEXTS: Final = ("sub", "sid", "tenantId", "home", "role")


class JwtAccessTokens:
    """AccessTokens port. The newest key signs; every key of the store verifies."""

    def __init__(self, keys: Keys, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def issue(self, claims: AccessClaims) -> str:
        key = (await self._keys.signing_keys("jwt"))[0]
        payload = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": claims.subject,
            "sid": claims.session_id,
            "tenantId": claims.tenant_id,
            "home": claims.home_tenant_id,
            "role": claims.role,
            "iat": claims.issued_ns // SECOND_NS,
            "exp": claims.expires_ns // SECOND_NS,
        }
        headers = {"kid": key.kid, "typ": _TYPE}
        return jwt.encode(payload, key.private_pem, algorithm=_ALGORITHM, headers=headers)

    async def verify(self, token: str, now_ns: int) -> AccessClaims | None:
        keys = {key.kid: key for key in await self._keys.signing_keys("jwt")}
        try:
            header = jwt.get_unverified_header(token)
            key = keys.get(str(header.get("kid")))
            if key is None or header.get("typ") != _TYPE:
                return None
            payload = jwt.decode(
                token,
                Ed25519PublicKey.from_public_bytes(key.public_raw),
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["iss", "aud", "exp", "iat", "sub"],
                    "verify_exp": False,  # against our own clock, below
                    "verify_iat": False,
                    "strict_aud": True,
                },
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None
        return _claims(payload, now_ns)

    async def jwks(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return {"keys": [_jwk(key) for key in await self._keys.signing_keys("jwt")]}


def _claims(payload: Mapping[str, Any], now_ns: int) -> AccessClaims | None:
    if not all(isinstance(payload.get(name), str) and payload[name] for name in _TEXTS):
        return None
    issued, expires = payload["iat"], payload["exp"]
    if type(issued) is not int or type(expires) is not int:
        return None
    now_s = now_ns // SECOND_NS
    if expires <= now_s or issued > now_s + _LEEWAY_S:
        return None
    return AccessClaims(
        subject=payload["sub"],
        session_id=payload["sid"],
        tenant_id=payload["tenantId"],
        home_tenant_id=payload["home"],
        role=payload["role"],
        issued_ns=issued * SECOND_NS,
        expires_ns=expires * SECOND_NS,
    )


def _jwk(key: SigningKey) -> dict[str, str]:
    x = base64.urlsafe_b64encode(key.public_raw).rstrip(b"=").decode()
    return {
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": _ALGORITHM, "kid": key.kid, "x": x
    }  # fmt: skip
