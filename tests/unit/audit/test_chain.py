import hashlib
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from quantlab.audit.chain import GENESIS, TENANT_STREAM, Entry, append, first_break

STREAM = "0190b5f0-0000-7000-8000-000000000000"


def chain(length: int, stream_id: str = STREAM) -> list[Entry]:
    entries: list[Entry] = []
    for seq in range(1, length + 1):
        prev = entries[-1].hash if entries else GENESIS
        payload = {"n": seq, "text": "é"}
        salt = bytes([seq]) * 16
        entries.append(append("acme", stream_id, seq, "order.filled", seq, payload, salt, prev))
    return entries


def test_hash_is_the_one_the_design_defines() -> None:
    entry = chain(1)[0]
    digest = hashlib.sha256(b"\x01" * 16 + rfc8785.dumps({"n": 1, "text": "é"})).digest()
    envelope = {
        "v": 1,
        "tenantId": "acme",
        "accountId": STREAM,
        "seq": 1,
        "eventType": "order.filled",
        "timestamp": "1970-01-01T00:00:00.000000Z",
        "payloadDigest": digest.hex(),
        "prevHash": "00" * 32,
    }
    assert entry.payload_digest == digest
    assert entry.hash == hashlib.sha256(rfc8785.dumps(envelope)).digest()


def test_the_tenants_own_stream_has_no_account() -> None:
    assert chain(1, TENANT_STREAM)[0].hash != chain(1)[0].hash


def test_a_whole_chain_holds_and_erased_payloads_leave_it_whole() -> None:
    entries = chain(5)
    assert first_break(entries) is None
    entries[2] = replace(entries[2], salt=None, payload=None)
    assert first_break(entries) is None
    assert first_break(entries[3:], after_seq=3, prev_hash=entries[2].hash) is None


CHANGES: list[dict[str, Any]] = [
    {"event_type": "order.rejected"},
    {"occurred_ns": 10**9},
    {"payload": {"n": 99}},
    {"payload": {"n": 1.5}},
    {"payload": {"n": 1 << 60}},
    {"payload": {"\u00e9": 1}},
    {"payload": "\ud800"},
    {"salt": b"\x63" * 16},
    {"salt": None},
    {"payload_digest": b"\x00" * 32},
    {"prev_hash": b"\x11" * 32},
    {"hash": b"\x22" * 32},
    {"tenant_id": "other"},
    {"stream_id": TENANT_STREAM},
    {"seq": 9},
]


@given(st.integers(0, 4), st.sampled_from(CHANGES))
def test_any_change_is_found_at_its_place(index: int, change: dict[str, Any]) -> None:
    entries = chain(5)
    entries[index] = replace(entries[index], **change)
    broken = first_break(entries)
    assert broken is not None
    assert broken.seq == index + 1


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_missing_entry_is_found(index: int) -> None:
    entries = chain(5)
    del entries[index]
    broken = first_break(entries)
    assert broken is not None
    assert broken.seq == index + 1
    assert "missing" in broken.reason
