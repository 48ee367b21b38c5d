"""Outbound webhooks: the published schedule, what each answer means, when an endpoint is ill."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.audit.chain import TENANT_STREAM
from quantlab.kernel.instants import SECOND_NS
from quantlab.webhooks.outbound import (
    ATTEMPTS_MAX,
    FAILING_NS,
    JITTER_PPM,
    PAUSE_MAX_S,
    Answer,
    Health,
    delivery_id,
    is_pattern,
    judge,
    message,
    message_id,
    selects,
)

NOW = 1_800_000_000 * SECOND_NS
OK, FAILS, SLOW = (Answer(status, None, 5) for status in (200, 500, 429))
NOBODY = Answer(None, "timeout", 15_000)
ACCOUNT = "0196f3a2-0000-7000-8000-000000000001"


def test_the_schedule_is_the_published_one() -> None:
    waits, now_ns, attempts = [], NOW, 1
    while (verdict := judge(FAILS, attempts, Health(), now_ns, 0)).status == "pending":
        waits.append((verdict.next_attempt_ns - now_ns) // SECOND_NS)
        now_ns, attempts = verdict.next_attempt_ns, attempts + 1
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]
    assert (attempts, verdict.status) == (8, "failed")
    assert sum(waits) == 99_305


@given(st.integers(1, ATTEMPTS_MAX - 1), st.integers(0, JITTER_PPM))
def test_jitter_never_shortens_a_wait_and_adds_a_fifth_at_most(attempts: int, ppm: int) -> None:
    plain = judge(FAILS, attempts, Health(), NOW, 0).next_attempt_ns - NOW
    wait = judge(FAILS, attempts, Health(), NOW, ppm).next_attempt_ns - NOW
    assert plain <= wait <= plain * 12 // 10


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_delivers_and_heals(status: int) -> None:
    ill = Health(NOW - 5, 3, NOW - 1)
    verdict = judge(replace(OK, status=status), 4, ill, NOW, 0)
    assert (verdict.status, verdict.health, verdict.ill) == ("delivered", Health(), None)


@pytest.mark.parametrize("status", [100, 301, 302, 307, 400, 401, 404, 500, 503])
def test_anything_else_is_a_failure(status: int) -> None:
    verdict = judge(replace(OK, status=status), 1, Health(), NOW, 0)
    assert (verdict.status, verdict.health.failing_since_ns) == ("pending", NOW)


def test_gone_disables_at_once() -> None:
    verdict = judge(Answer(410, None, 5), 1, Health(), NOW, 0)
    assert (verdict.status, verdict.ill) == ("failed", "gone")


def test_an_endpoint_is_ill_after_five_days_without_a_success_and_not_before() -> None:
    since = Health(failing_since_ns=NOW)
    before = judge(FAILS, 1, since, NOW + FAILING_NS - 1, 0)
    after = judge(FAILS, 1, since, NOW + FAILING_NS, 0)
    assert (before.status, before.ill) == ("pending", None)
    assert (after.status, after.ill) == ("failed", "failing")
    assert after.health.failing_since_ns == NOW, "the first failure counts, not the last"


@pytest.mark.parametrize("answer", [SLOW, NOBODY, *(Answer(s, None, 5) for s in (502, 504))])
def test_an_overloaded_endpoint_is_spared_twice_as_long_each_time(answer: Answer) -> None:
    health, now_ns, pauses = Health(), NOW, []
    for _ in range(9):
        health = judge(answer, 1, health, now_ns, 0).health
        pauses.append((health.paused_until_ns - now_ns) // SECOND_NS)
        now_ns = health.paused_until_ns
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert max(pauses) == PAUSE_MAX_S


def test_a_plain_failure_pauses_nothing() -> None:
    assert judge(FAILS, 1, Health(), NOW, 0).health.paused_until_ns == 0


def test_answers_that_come_side_by_side_are_one_sign() -> None:
    once = judge(SLOW, 1, Health(), NOW, 0).health
    assert judge(SLOW, 1, once, NOW + 1, 0).health == once
    taken = judge(OK, 1, once, NOW + 1, 0).health
    assert taken == replace(once, failing_since_ns=None), "a success beside it does not end a pause"


@pytest.mark.parametrize("status", [429, 503])
def test_what_retry_after_asks_for_is_kept(status: int) -> None:
    verdict = judge(Answer(status, None, 5, "", 3_600), 1, Health(), NOW, 0)
    assert verdict.next_attempt_ns == NOW + 3_600 * SECOND_NS
    assert verdict.health.paused_until_ns == NOW + 3_600 * SECOND_NS
    endless = judge(Answer(status, None, 5, "", 10**9), 1, Health(), NOW, 0)
    assert endless.next_attempt_ns == NOW + 86_400 * SECOND_NS
    late = judge(Answer(status, None, 5, "", 1), 3, Health(), NOW, 0)
    assert late.next_attempt_ns == NOW + 1_800 * SECOND_NS, "and never shortens the schedule"


def test_patterns() -> None:
    assert selects([], "order.filled")
    assert selects(["order.filled"], "order.filled")
    assert selects(["account.*", "order.*"], "order.filled")
    assert selects(["rule.warning.*"], "rule.warning.daily_loss")
    assert not selects(["order.*"], "orders.filled")
    assert not selects(["order"], "order.filled")
    assert not selects(["order.fill"], "order.filled")
    for text in ("order.filled", "order.*", "rule.violation.daily_loss", "rule.warning.*"):
        assert is_pattern(text)
    for text in ("", "*", ".*", "order.", "order.**", "Order.filled", "order filled", "order.*.x"):
        assert not is_pattern(text)


def test_identifiers_are_those_of_the_event() -> None:
    assert message_id("a", ACCOUNT, 5) == message_id("a", ACCOUNT, 5)
    names = {message_id(*key) for key in (("a", ACCOUNT, 5), ("b", ACCOUNT, 5), ("a", ACCOUNT, 6))}
    assert len(names) == 3
    assert delivery_id("a", "x", ACCOUNT, 5) != delivery_id("a", "y", ACCOUNT, 5)


def test_a_message_has_its_documented_shape() -> None:
    body = message("alpha", ACCOUNT, 7, "order.filled", NOW, {"price": "1.10010", "z": "é"})
    assert json.loads(body) == {
        "type": "order.filled",
        "timestamp": "2027-01-15T08:00:00.000000Z",
        "data": {
            "tenantId": "alpha",
            "accountId": ACCOUNT,
            "seq": 7,
            "eventType": "order.filled",
            "payload": {"price": "1.10010", "z": "é"},
        },
    }
    ours = json.loads(message("alpha", TENANT_STREAM, 1, "config.version_created", NOW, {}))
    assert ours["data"]["accountId"] is None
