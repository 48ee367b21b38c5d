"""Many signals of many bots, a third of them bad: every attempt has one end, every book holds.

On a cloud its queues deliver late, twice and in another order, and executors die by their timeout.
"""

import os

import pytest

from tests.support.accounting import assert_acknowledged_once
from tests.support.disturbances import disturbances
from tests.support.load_house import (
    ALPHA,
    BETA,
    cleared,
    ends_of,
    fifty_bots,
    invariants,
    senders,
    settled,
    triggered,
    unnoticed,
)
from tests.support.running_platform import Platform
from tests.support.signals_load import ACCEPTED, DUPLICATE, Log

pytestmark = [pytest.mark.stack, pytest.mark.e2e, pytest.mark.timeout(900)]
ATTEMPTS = 1_000
FULL = int(os.environ.get("QUANTLAB_SOAK", "10000"))
SEED = 20140501
SABOTAGES = {
    "gap in event_seq": "delete from event where (tenant_id, stream_id, seq) ="
    " (select tenant_id, stream_id, seq from event where seq = 2 limit 1)",
    "events and audit log differ": "update event set payload = '{}' where"
    " (tenant_id, stream_id, seq) = (select tenant_id, stream_id, seq from event limit 1)",
    "broken chain": "update audit_log set payload = '{}' where (tenant_id, stream_id, seq) ="
    " (select tenant_id, stream_id, seq from audit_log where seq = 3 limit 1)",
    "head is not the last link": "update audit_head set seq = seq + 1 where"
    " (tenant_id, stream_id) = (select tenant_id, stream_id from audit_head limit 1)",
    "ledger and balance": "update account set balance_minor = balance_minor + 1 where account_id ="
    " (select account_id from fill limit 1)",
    "carry": "update account set carry_micro = 0 where account_id ="
    " (select account_id from account where carry_micro <> 0 limit 1)",
    "ledger is not that of the fills": "delete from ledger_entry where (account_id, event_seq) ="
    " (select account_id, event_seq from ledger_entry where kind = 'commission' limit 1)"
    " and kind = 'commission'",
    "positions are not the sum of the fills": "update position set cost = cost + 1 where"
    " (account_id, symbol) = (select account_id, symbol from position limit 1)",
    "money of a fill": "update fill set realised_minor = realised_minor + 1 where fill_id ="
    " (select fill_id from fill limit 1)",
    "rate of a fill": "update fill set rate_num = rate_num + 1 where fill_id ="
    " (select fill_id from fill limit 1)",
    "price of a fill": "update fill set price_ticks = price_ticks + 1 where fill_id ="
    " (select fill_id from fill limit 1)",
    "quote of a fill in the tick log": "delete from tick where seq ="
    " (select quote_seq from fill limit 1)",
    "fill without an order": "delete from orders where order_id ="
    " (select order_id from fill limit 1)",
    "fills of an order": "delete from fill where fill_id = (select fill_id from fill limit 1)",
    "orders of an executed signal": """update inbox set payload = '{"action": "cancel"}'"""
    " where signal_id = (select signal_id from inbox where outcome = 'executed' and"
    " source_kind = 'bot' and payload->>'action' in ('buy', 'sell') limit 1)",
    "signal not carried out": "update inbox set state = 2, outcome = 'dead' where signal_id ="
    " (select signal_id from inbox where source_kind = 'bot' limit 1)",
}


async def test_ends_sum_to_the_attempts_and_every_book_holds(running: Platform) -> None:
    await _soak(running, ATTEMPTS)


# The books of both hosts are the same tables, and the checks look at nothing else.
@pytest.mark.parametrize("running", ["self-hosted"], indirect=True, scope="package")
def test_checks_notice_damage(running: Platform) -> None:
    assert unnoticed(running, SABOTAGES) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("QUANTLAB_SOAK" not in os.environ, reason="by hand: make soak")
async def test_ends_sum_to_the_attempts_at_full_length(running: Platform) -> None:
    await _soak(running, FULL)


async def _soak(running: Platform, attempts: int) -> None:
    bots = await fifty_bots(running)
    before, log = ends_of(running), Log()
    with disturbances(running, bots):
        async with senders(running, bots, log, SEED) as sending:
            await sending.run(attempts, running.senders)
    assert await triggered(running)
    await settled(running)

    assert not log.surprises, f"{len(log.surprises)}: " + "\n".join(log.surprises[:20])
    assert log.unknown == 0
    assert len(log.answers) >= attempts
    _assert_every_kind_came(log)

    ends = ends_of(running).since(before)
    assert ends.total == len(log.answers)
    told = log.ends()
    assert set(ends.accepted) <= {"executed", "rejected"}
    assert sum(ends.accepted.values()) == told[ACCEPTED]
    assert ends.duplicates == told[DUPLICATE]
    assert ends.refused == log.refused()
    assert ends.counted == log.counted()
    assert_acknowledged_once(running, log)

    findings = await invariants(running)
    assert not findings, str(findings)
    assert findings.checked["quote of a fill in the tick log"] > attempts / 4
    assert await cleared(running)
    _assert_run_was_real(running, ends.accepted)


def _assert_every_kind_came(log: Log) -> None:
    kinds = {answer.kind for answer in log.answers}
    assert len(kinds) == 14
    assert log.ends()["rate_limited"] > 0
    bad = sum(answer.end != ACCEPTED for answer in log.answers)
    assert bad > len(log.answers) / 4


def _assert_run_was_real(running: Platform, accepted: dict[str, int]) -> None:
    """Most signals traded, both tenants did, some accounts broke a rule, stops were watched."""
    assert accepted["executed"] > sum(accepted.values()) / 2
    with running.database() as connection:
        fills = connection.execute(
            "select tenant_id, count(*) as n from fill group by 1"
        ).fetchall()
        row = connection.execute(
            "select (select count(*) from violation) as violations,"
            " (select count(*) from account where status = 'disabled') as disabled,"
            " (select count(*) from event where event_type = 'order.triggered') as triggered,"
            " (select count(*) from account where carry_micro <> 0) as carries,"
            " (select count(*) from fill where rate_num <> rate_den) as converted"
        ).fetchone()
    assert {row["tenant_id"] for row in fills} == {ALPHA, BETA}
    assert row is not None
    assert all(row.values()), row
