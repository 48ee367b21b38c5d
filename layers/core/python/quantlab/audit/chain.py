"""One hash chain per account, and one per tenant for events without an account.

hash = SHA-256(RFC 8785 of {v, tenantId, accountId|null, seq, eventType, timestamp, payloadDigest,
prevHash}); payloadDigest = SHA-256(salt || RFC 8785 of the payload). Digests are written in
lower-case hexadecimal. The first entry of a chain has seq 1 and prevHash of 32 zero bytes.
"""

import hashlib
from collections.abc import Iterable

from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass

VERSION = 1
GENESIS = bytes(32)
SALT_BYTES = 16
TENANT_STREAM = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Entry:
    """One link. payload and salt are None once retention has erased them."""

    tenant_id: str
    stream_id: str
    seq: int
    event_type: str
    occurred_ns: int
    salt: bytes | None
    payload: Json
    payload_digest: bytes
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """The first link that does not hold, and why."""

    stream_id: str
    seq: int
    reason: str


def payload_digest(salt: bytes, payload: Json) -> bytes:
    """Return SHA-256(salt || canonical payload)."""
    return hashlib.sha256(salt + canonical_json(payload)).digest()


def link_hash(
    tenant_id: str,
    stream_id: str,
    seq: int,
    event_type: str,
    occurred_ns: int,
    digest: bytes,
    prev_hash: bytes,
) -> bytes:
    """Return the hash of one link."""
    return hashlib.sha256(
        canonical_json(
            {
                "v": VERSION,
                "tenantId": tenant_id,
                "accountId": None if stream_id == TENANT_STREAM else stream_id,
                "seq": seq,
                "eventType": event_type,
                "timestamp": format_rfc3339(occurred_ns),
                "payloadDigest": digest.hex(),
                "prevHash": prev_hash.hex(),
            }
        )
    ).digest()


def append(
    tenant_id: str,
    stream_id: str,
    seq: int,
    event_type: str,
    occurred_ns: int,
    payload: Json,
    salt: bytes,
    prev_hash: bytes,
) -> Entry:
    """Make the link that follows prev_hash."""
    digest = payload_digest(salt, payload)
    hashed = link_hash(tenant_id, stream_id, seq, event_type, occurred_ns, digest, prev_hash)
    return Entry(
        tenant_id, stream_id, seq, event_type, occurred_ns, salt, payload, digest, prev_hash, hashed
    )


def first_break(
    entries: Iterable[Entry], *, after_seq: int = 0, prev_hash: bytes = GENESIS
) -> Break | None:
    """Walk a stream's entries in order and name the first that does not follow, if any."""
    seq = after_seq
    for entry in entries:
        seq += 1
        reason = _fault(entry, seq, prev_hash)
        if reason is not None:
            return Break(entry.stream_id, seq, reason)
        prev_hash = entry.hash
    return None


def _digest_of(salt: bytes, payload: Json) -> bytes | None:
    """Return a stored payload's digest; None for one that nobody can have hashed."""
    try:
        return payload_digest(salt, payload)
    except ValueError:
        return None


def _fault(entry: Entry, seq: int, prev_hash: bytes) -> str | None:
    if entry.seq != seq:
        return f"expected seq {seq}, was {entry.seq}: an entry is missing or out of order"
    if entry.prev_hash != prev_hash:
        return "the previous hash is not that of the entry before"
    if (entry.salt is None) != (entry.payload is None):
        return "payload and salt must be erased together"
    if entry.salt is not None and _digest_of(entry.salt, entry.payload) != entry.payload_digest:
        return "the payload is not the one that was hashed"
    expected = link_hash(
        entry.tenant_id,
        entry.stream_id,
        entry.seq,
        entry.event_type,
        entry.occurred_ns,
        entry.payload_digest,
        prev_hash,
    )
    return None if entry.hash == expected else "the hash is not that of the entry's fields"
