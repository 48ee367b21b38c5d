"""The channel of a backtest: whose it is, and what comes on it."""

import json
from dataclasses import replace

import pytest
from tests.support import sockets
from tests.support.sockets import House

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.backtests import Backtest
from quantlab_app.ports.sockets import BACKTESTS

pytestmark = pytest.mark.stack
RUN = Backtest(
    backtest_id="", user_id=sockets.USER, created_by=f"user:{sockets.USER}", strategy_id=None,
    version=None, source_hash="0" * 64, symbols=("EURUSD",), from_ns=1, to_ns=2, account_type=None,
    config_version=None, inputs={}, seed=0, created_ns=1,
)  # fmt: skip


async def queued(
    house: House, *, user_id: str | None = sockets.USER, tenant_id: str = sockets.TENANT
) -> str:
    run = replace(RUN, backtest_id=house.ports.ids.new_id(), user_id=user_id)
    scope = system_scope(tenant_id, "tests", "tests")
    assert await house.ports.backtests.add(scope, run, "on tick", 99, 99) is None
    return f"backtest:{run.backtest_id}"


async def tell(house: House, channel: str, tenant_id: str = sockets.TENANT, **what: object) -> None:
    message = {"tenantId": tenant_id, "backtestId": channel.partition(":")[2], **what}
    await house.ports.event_bus.publish(BACKTESTS, json.dumps(message).encode())


async def test_a_run_is_followed_by_its_owner_and_by_who_reads_all(house: House) -> None:
    mine, colleagues = await queued(house), await queued(house, user_id=sockets.OTHER_USER)
    firms = await queued(house, user_id=None)
    foreign = await queued(house, tenant_id=sockets.OTHER_TENANT)
    nobodys = f"backtest:{sockets.ACCOUNT}"
    everything = (mine, colleagues, firms, foreign, nobodys)
    for role, seen in (
        (Role.TRADER, [mine]),
        (Role.RISK_MANAGER, [mine, colleagues, firms]),
        (Role.VIEWER, []),
    ):
        async with house.client(role=role) as client:
            answers = [await client.subscribe(*everything)]
            expected = len(everything) - len(seen) + bool(seen)
            answers += [await client.receive() for _ in range(expected - 1)]
        granted = [one["channels"] for one in answers if one["type"] == "subscribed"]
        assert granted == ([seen] if seen else [])
        refused = {one["channel"] for one in answers if one["type"] == "error"}
        assert refused == set(everything) - set(seen)
        assert {one["code"] for one in answers if one["type"] == "error"} <= {"not_found"}


async def test_progress_and_the_end_arrive_as_the_contract_writes_them(house: House) -> None:
    mine, other = await queued(house), await queued(house)
    async with house.client() as client:
        await client.subscribe(mine)
        await tell(house, other, status="running", ticksDone=1, ticksTotal=2)
        await tell(house, mine, sockets.OTHER_TENANT, status="done", ticksDone=2, ticksTotal=2)
        await tell(house, mine, status="running", ticksDone=1, ticksTotal=2)
        assert await client.receive() == {
            "type": "backtest", "channel": mine, "status": "running", "ticksDone": 1,
            "ticksTotal": 2,
        }  # fmt: skip
        ending = {"endedAt": "2026-01-02T03:04:05.000000Z", "error": None, "traceHash": "0" * 64}
        await tell(house, mine, status="done", ticksDone=2, ticksTotal=2, **ending)
        assert await client.receive() == {
            "type": "backtest", "channel": mine, "status": "done", "ticksDone": 2,
            "ticksTotal": 2, **ending,
        }  # fmt: skip
        await client.send(action="unsubscribe", channels=[mine])
        assert (await client.receive())["type"] == "unsubscribed"
        await tell(house, mine, status="done", ticksDone=2, ticksTotal=2)
        assert await client.silent()
