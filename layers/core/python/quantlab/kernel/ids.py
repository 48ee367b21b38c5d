"""Identifiers derived from what they name, so that a repeated decision names the same things."""

import hashlib


def derive_id(*parts: str | int) -> str:
    """Return a version 8 UUID (RFC 9562) from the SHA-256 of the parts."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
