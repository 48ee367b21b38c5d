"""Outbound webhooks decided: what a message says, when it is tried again, when an endpoint is ill.

The schedule is Svix's: at once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h after the attempt
before (https://docs.svix.com/retries); what a status means is Standard Webhooks 1.0.0's.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal

from quantlab.audit.chain import TENANT_STREAM
from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import dataclass, replace

RETRIES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
ATTEMPTS_MAX: Final = 1 + len(RETRIES_S)
JITTER_PPM: Final = 200_000
FAILING_NS: Final = 5 * 86_400 * SECOND_NS
SLOW_STATUSES: Final = frozenset({429, 502, 504})
GONE: Final = 410
PAUSE_S: Final = 5
PAUSE_MAX_S: Final = 300
RETRY_AFTER_MAX_S: Final = 86_400
TEST_EVENT: Final = "webhook.test"
_PPM: Final = 1_000_000
_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?\Z")

Ill = Literal["gone", "failing"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. status is None when nothing came, and then error says why.

    text is the first bytes of the answer; retry_after_s what it asked for.
    """

    status: int | None
    error: str | None
    duration_ms: int
    text: str = ""
    retry_after_s: int | None = None

    @property
    def taken(self) -> bool:
        """Say whether the receiver has taken the message: any status 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has been: failing since when, and how far it is being spared."""

    failing_since_ns: int | None = None
    slow_answers: int = 0
    paused_until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means: for the message, and for the endpoint (ill: disable it)."""

    status: Literal["pending", "delivered", "failed"]
    next_attempt_ns: int
    health: Health
    ill: Ill | None = None


def judge(answer: Answer, attempts: int, health: Health, now_ns: int, jitter_ppm: int) -> Verdict:
    """Judge the attempt of that number (from 1); jitter_ppm is random, from 0 to JITTER_PPM."""
    if answer.taken:
        return Verdict("delivered", now_ns, _better(health, now_ns))
    health = _worse(answer, health, now_ns)
    if answer.status == GONE:
        return Verdict("failed", now_ns, health, "gone")
    since_ns = health.failing_since_ns
    ill: Ill | None = None
    if since_ns is not None and now_ns - since_ns >= FAILING_NS:
        ill = "failing"
    if attempts >= ATTEMPTS_MAX or ill is not None:
        return Verdict("failed", now_ns, health, ill)
    wait_ns = RETRIES_S[attempts - 1] * SECOND_NS
    wait_ns += wait_ns * jitter_ppm // _PPM
    return Verdict("pending", max(now_ns + wait_ns, health.paused_until_ns), health)


def _better(health: Health, now_ns: int) -> Health:
    """Note a success; a pause that an answer sent beside it began goes on."""
    if health.paused_until_ns > now_ns:
        return replace(health, failing_since_ns=None)
    return Health()


def _worse(answer: Answer, health: Health, now_ns: int) -> Health:
    """Note a failure; an overloaded endpoint is left alone, twice as long each time."""
    if health.failing_since_ns is None:
        health = replace(health, failing_since_ns=now_ns)
    asked_s = min(answer.retry_after_s or 0, RETRY_AFTER_MAX_S)
    if answer.status not in SLOW_STATUSES and answer.status is not None and not asked_s:
        return health
    pause_s = min(PAUSE_S << min(health.slow_answers, 10), PAUSE_MAX_S)
    if health.paused_until_ns > now_ns:
        # Sent side by side with the answer that began the pause: one sign, not several.
        pause_s = 0
    else:
        health = replace(health, slow_answers=health.slow_answers + 1)
    until_ns = now_ns + max(pause_s, asked_s) * SECOND_NS
    return replace(health, paused_until_ns=max(until_ns, health.paused_until_ns))


def is_pattern(text: str) -> bool:
    """Say whether a text selects events: a type such as order.filled, or order.* for a family."""
    return _PATTERN.match(text) is not None


def selects(patterns: Iterable[str], event_type: str) -> bool:
    """Say whether patterns select a type; none select every type."""
    none = True
    for pattern in patterns:
        none = False
        if pattern == event_type:
            return True
        if pattern.endswith(".*") and event_type.startswith(pattern[:-1]):
            return True
    return none


def message_id(tenant_id: str, stream_id: str, seq: int) -> str:
    """Return the `webhook-id` of an event: the same at every endpoint and every attempt."""
    return f"msg_{derive_id('webhook_message', tenant_id, stream_id, seq)}"


def delivery_id(tenant_id: str, endpoint_id: str, stream_id: str, seq: int) -> str:
    """Return the identifier of an event's delivery to an endpoint: there is one."""
    return derive_id("webhook_delivery", tenant_id, endpoint_id, stream_id, seq)


def message(
    tenant_id: str,
    stream_id: str,
    seq: int,
    event_type: str,
    occurred_ns: int,
    payload: dict[str, Json],
) -> bytes:
    """Return the body: the same bytes at every attempt. accountId is null for a tenant's event."""
    return canonical_json(
        {
            "type": event_type,
            "timestamp": format_rfc3339(occurred_ns),
            "data": {
                "tenantId": tenant_id,
                "accountId": None if stream_id == TENANT_STREAM else stream_id,
                "seq": seq,
                "eventType": event_type,
                "payload": payload,
            },
        }
    )
