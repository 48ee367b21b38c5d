"""Signatures of signals and of outbound webhooks, compared in constant time over the raw bytes.

Two header forms: `X-Signature: t=<unix>,v1=<hex>` signs "t.body" with the secret's text; Standard
Webhooks 1.0.0 signs "id.t.body" with the bytes behind `whsec_`.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable

from quantlab.kernel.records import dataclass

MAX_SIGNATURES = 8
_UNIX = re.compile(r"\d{1,12}\Z")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a header claims: the moment, what was signed before the body, and the signatures."""

    timestamp_s: int
    prefix: bytes
    signatures: tuple[bytes, ...]
    standard: bool
    message_id: str | None = None


def read_signature_header(text: str) -> Signed | None:
    """Read `t=<unix>,v1=<hex>[,v1=<hex>]`; None when it is not of that form."""
    timestamp = None
    signatures = []
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        if key == "t" and timestamp is None and _UNIX.match(value):
            timestamp = value
        elif key == "v1":
            try:
                signatures.append(bytes.fromhex(value))
            except ValueError:
                return None
        else:
            return None
    if timestamp is None or not 0 < len(signatures) <= MAX_SIGNATURES:
        return None
    return Signed(int(timestamp), f"{timestamp}.".encode(), tuple(signatures), standard=False)


def read_standard_headers(message_id: str, timestamp: str, signature: str) -> Signed | None:
    """Read the three Standard Webhooks headers; unknown signature versions are passed over."""
    if not message_id or len(message_id) > 256 or not _UNIX.match(timestamp):
        return None
    signatures = []
    for part in signature.split()[:MAX_SIGNATURES]:
        version, _, value = part.partition(",")
        if version == "v1":
            try:
                signatures.append(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError):
                return None
    if not signatures:
        return None
    prefix = f"{message_id}.{timestamp}.".encode()
    return Signed(int(timestamp), prefix, tuple(signatures), standard=True, message_id=message_id)


def standard_key(secret: str) -> bytes | None:
    """Return the key bytes of a `whsec_` secret (the prefix may be absent); None if not base64."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return None


def verify(signed: Signed, body: bytes, secrets: Iterable[str]) -> bool:
    """Say whether any signature holds under any of the secrets, comparing all of them."""
    holds = False
    for secret in secrets:
        key = standard_key(secret) if signed.standard else secret.encode()
        if not key:
            continue
        expected = hmac.digest(key, signed.prefix + body, "sha256")
        for signature in signed.signatures:
            holds |= hmac.compare_digest(expected, signature)
    return holds


def sign(secret: str, timestamp_s: int, body: bytes) -> str:
    """Return the `X-Signature` header value of a body."""
    prefix = f"{timestamp_s}.".encode()
    return f"t={timestamp_s},v1={hmac.digest(secret.encode(), prefix + body, 'sha256').hex()}"


def sign_standard(
    secrets: Iterable[str], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Return the three Standard Webhooks headers of a body, with a signature for each secret."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = (hmac.digest(standard_key(secret) or b"", signed, "sha256") for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }


def secret_matches(given: str, secrets: Iterable[str]) -> bool:
    """Compare a secret sent in a body with the bot's, in constant time."""
    holds = False
    for secret in secrets:
        holds |= hmac.compare_digest(given.encode(), secret.encode())
    return holds
