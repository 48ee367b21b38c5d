"""Bad ticks over HTTP and the command line: marked, recomputed, corrected by two, once."""

import asyncio
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.invariants import check
from tests.support.program_cases import TYPE, record_steps
from tests.support.resources import Person, Site, problem
from tests.support.rule_cases import rule
from tests.support.stack import FreshDatabase
from tests.support.world import ALPHA, BETA
from typer.testing import CliRunner

from quantlab.engine.replay import verify
from quantlab.kernel.canonical import canonical_json
from quantlab.market.quote import Quote
from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.replay import read_recording
from quantlab_server.cli.main import app

pytestmark = pytest.mark.stack
YES = {"reason": "looked at"}
_hundreds = itertools.count(1)
BUY = {"symbol": "EURUSD", "side": "buy", "quantity": "1"}


async def tick(served: Site, price: str) -> Quote:
    """Log a tick and publish it, as the feed does."""
    quote = await served.world.quote("EURUSD", price, price)
    await served.world.ports.tick_log.append([quote])
    await served.world.ports.tick_log.close()
    return quote


async def ordered(served: Site, owner: Person, account_id: str, **fields: str) -> None:
    path = f"/accounts/{account_id}/orders"
    answer = await served.send("POST", owner, path, {**BUY, **fields})
    assert answer.status_code == 201, answer.text


async def spiked(served: Site, owner: Person) -> tuple[str, str, Quote]:
    """Break one account over a tick far off the market; another one trades before it."""
    # Tests of a module share the tick log, and no two ticks a seq.
    served.world.seq = 100 * next(_hundreds)
    tight = rule("daily_loss", anchor="balance", loss={"amount": "50.00"}, comparator="lt")
    await record_steps(served.world, tight)
    broken, calm = [await served.account(owner, TYPE) for _ in range(2)]
    await tick(served, "1.08000")
    for account_id in (broken, calm):
        await ordered(served, owner, account_id)
    await ordered(served, owner, calm, side="sell")
    spike = await tick(served, "1.07000")
    await ordered(served, owner, broken, quantity="0.01")
    await tick(served, "1.07990")
    shown = (await served.get(owner, f"/accounts/{broken}")).json()
    assert (shown["status"], shown["statusReason"]) == ("disabled", "daily_loss")
    return broken, calm, spike


async def marked(served: Site, person: Person, spike: Quote) -> str:
    body = {"symbol": "EURUSD", "fromSeq": spike.seq, "toSeq": spike.seq, "reason": "off market"}
    key = {"idempotency-key": f"spike-{spike.seq}"}
    answers = [await served.send("POST", person, "/bad-ticks", body, **key) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 200], answers[0].text
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["ticks"] == 1
    return str(answers[0].json()["rangeId"])


async def balance_of(served: Site, person: Person, account_id: str) -> int:
    shown = (await served.get(person, f"/accounts/{account_id}")).json()
    return int(shown["balance"].replace(".", ""))


async def test_a_spike_is_marked_recomputed_and_corrected_by_two_once(
    served: Site, fresh_database: FreshDatabase
) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    admin = await served.person(Role.TENANT_ADMIN)
    async with served.executing():
        broken, calm, spike = await spiked(served, owner)
        lost = await balance_of(served, owner, broken)
        range_id = await marked(served, risk, spike)
        path = f"/bad-ticks/{range_id}"
        done = await served.send("POST", risk, f"{path}/recompute", {"limit": 1})
        assert (done.status_code, done.json()["more"]) == (200, False), done.text
        found = done.json()["items"][0]
        assert (found["accountId"], found["affected"], found["problem"]) == (broken, True, None)
        told = found["difference"]
        assert (told["status"], told["statusWithout"], told["liftsRule"]) == (
            "disabled", "active", "daily_loss",
        )  # fmt: skip
        assert told["fillsUndone"] != []
        assert told["violationsUndone"] != []
        assert found["digest"] == hashlib.sha256(canonical_json(told)).hexdigest()
        listed = (await served.get(risk, f"{path}/differences", affected=True)).json()["items"]
        assert listed == [found]
        assert (await balance_of(served, owner, broken)) == lost
        asks = [
            await served.send("POST", who, f"{path}/corrections", {"accountId": broken})
            for who in (risk, admin, risk)
        ]
        assert [one.status_code for one in asks] == [201, 200, 200], asks[0].text
        assert len({one.json()["approvalId"] for one in asks}) == 1
        asked = asks[0].json()
        assert asked["subject"]["amount"] == found["amount"]
        assert asked["subject"]["differenceDigest"] == found["digest"]
        approve = f"/approvals/{asked['approvalId']}/approve"
        assert problem(await served.send("POST", risk, approve, YES))[1] == "approval_same_person"
        decided = await asyncio.gather(
            *(served.send("POST", admin, approve, YES) for _ in range(3))
        )
        states = sorted(one.json().get("state", "problem") for one in decided)
        assert states == ["executed", "problem", "problem"], [one.text for one in decided]
        again = await served.send("POST", admin, f"{path}/corrections", {"accountId": broken})
        assert (again.status_code, again.json()["state"]) == (200, "executed")
        quiet = await served.send("POST", risk, f"{path}/corrections", {"accountId": calm})
        assert problem(quiet) == (409, "nothing_to_correct")
    await assert_corrected(served, owner, broken, lost, found)
    taken_back = await served.send("POST", risk, f"{path}/withdraw", YES)
    assert problem(taken_back) == (409, "ticks_corrected")
    await assert_the_books_hold(served, fresh_database, broken)


async def assert_corrected(
    served: Site, owner: Person, account_id: str, lost: int, found: dict[str, Any]
) -> None:
    shown = (await served.get(owner, f"/accounts/{account_id}")).json()
    assert (shown["status"], shown["statusReason"]) == ("active", None)
    amount = int(found["amount"].replace(".", ""))
    assert await balance_of(served, owner, account_id) == lost + amount > lost
    rows = (await served.get(owner, f"/accounts/{account_id}/ledger")).json()["items"]
    corrections = [row["amount"] for row in rows if row["kind"] == "correction"]
    assert corrections == [found["amount"]]
    await served.chain(ALPHA)
    logs = await served.get(
        owner, f"/accounts/{account_id}/audit-logs", eventType="account.corrected"
    )
    said = [entry["payload"] for entry in logs.json()["items"]]
    assert [one["differenceDigest"] for one in said] == [found["digest"]]
    assert said[0]["lifted"] == "daily_loss"


async def assert_the_books_hold(
    served: Site, fresh_database: FreshDatabase, account_id: str
) -> None:
    ports, scope = served.world.ports, served.world.scope(ALPHA)
    report = verify(await read_recording(ports, scope, account_id))
    assert report.difference is None, str(report.difference)
    await served.world.settle()
    await served.chain()
    with psycopg.connect(fresh_database.superuser_dsn, row_factory=dict_row) as connection:
        connection.execute("set search_path = quantlab")
        findings = check(connection, ports.catalog)
        noted = connection.execute(
            "select payload from event where tenant_id = %s"
            " and event_type = 'market.ticks_marked_bad'",
            (ALPHA,),
        ).fetchall()
    assert not findings, str(findings)
    assert findings.checked["ledger is not that of the fills"] >= 2
    assert {row["payload"]["reason"] for row in noted} >= {"off market"}


async def test_another_asks_again_after_a_no_and_marks_can_be_withdrawn(served: Site) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    admin = await served.person(Role.TENANT_ADMIN)
    foreign = await served.person(Role.TENANT_ADMIN, BETA)
    async with served.executing():
        broken, _, spike = await spiked(served, owner)
        range_id = await marked(served, risk, spike)
        path, body = f"/bad-ticks/{range_id}", {"accountId": broken}
        first = (await served.send("POST", risk, f"{path}/corrections", body)).json()
        no = await served.send("POST", admin, f"/approvals/{first['approvalId']}/reject", YES)
        assert no.json()["state"] == "rejected"
        again = await served.send("POST", risk, f"{path}/corrections", body)
        assert again.status_code == 201, again.text
        assert again.json()["approvalId"] != first["approvalId"]
        held = await served.send("POST", risk, f"{path}/withdraw", YES)
        assert problem(held) == (409, "ticks_corrected")
        second = f"/approvals/{again.json()['approvalId']}/reject"
        assert (await served.send("POST", admin, second, YES)).is_success
        withdrawn = await served.send("POST", risk, f"{path}/withdraw", YES)
        assert withdrawn.json()["withdrawnReason"] == "looked at", withdrawn.text
    for rest, given in (("withdraw", YES), ("recompute", {}), ("corrections", body)):
        answer = await served.send("POST", risk, f"{path}/{rest}", given)
        assert problem(answer) == (409, "ticks_withdrawn"), rest
    for person in (owner, foreign):
        for rest, given in (("withdraw", YES), ("recompute", {}), ("corrections", body)):
            answer = await served.send("POST", person, f"{path}/{rest}", given)
            wanted = (404, "not_found") if person is foreign else (403, "forbidden")
            assert problem(answer) == wanted, rest
    assert problem(await served.get(foreign, path)) == (404, "not_found")
    assert (await served.get(foreign, "/bad-ticks")).json()["items"] == []
    pages = await served.pages(risk, "/bad-ticks", limit=1)
    assert range_id in [item["rangeId"] for found in pages for item in found]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"symbol": "NOPE"}, "/symbol"),
        ({"toSeq": 1}, "/toSeq"),
        ({"fromSeq": 10**9, "toSeq": 10**9}, "/fromSeq"),
        ({"fromSeq": 0}, "/fromSeq"),
        ({"reason": ""}, "/reason"),
        ({"extra": 1}, "/extra"),
    ],
)
async def test_a_wrong_range_is_named(served: Site, wrong: dict[str, Any], pointer: str) -> None:
    risk = await served.person(Role.RISK_MANAGER)
    body = {"symbol": "EURUSD", "fromSeq": 2, "toSeq": 2, "reason": "x", **wrong}
    answer = await served.send("POST", risk, "/bad-ticks", body)
    assert problem(answer) == (422, "invalid_fields")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_the_command_line_marks_recomputes_and_asks(
    served: Site, fresh_database: FreshDatabase, redis_url: str, tmp_path: Path
) -> None:
    owner, admin = await served.person(Role.TRADER), await served.person(Role.TENANT_ADMIN)
    own = ("--tenant", ALPHA, "--state", str(tmp_path), "--json")

    async def cli(*words: str) -> tuple[int, Any]:
        environment = {
            "QUANTLAB_DATABASE_URL": fresh_database.app_dsn,
            "QUANTLAB_REDIS_URL": redis_url,
        }
        ran = await asyncio.to_thread(
            CliRunner().invoke, app, ["bad-ticks", *words, *own], env=environment
        )
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran.exit_code, json.loads(ran.stdout) if ran.stdout else ran.output

    async with served.executing():
        broken, _, spike = await spiked(served, owner)
        seqs = ("--from-seq", str(spike.seq), "--to-seq", str(spike.seq))
        for new in (True, False):
            code, found = await cli("mark", "--symbol", "EURUSD", *seqs, "--reason", "spike")
            assert (code, found["new"], found["markedBy"]) == (0, new, "system:command-line")
        code, done = await cli("recompute", found["rangeId"])
        assert (code, [one["accountId"] for one in done["affected"]]) == (0, [broken]), done
        assert (await cli("recompute", found["rangeId"]))[1]["recomputed"] == 0
        code, asked = await cli("request", found["rangeId"])
        assert (code, list(asked)) == (0, [broken]), asked
        approve = f"/approvals/{asked[broken]['approvalId']}/approve"
        done = await served.send("POST", admin, approve, YES)
        assert done.json()["state"] == "executed", done.text
        assert (await cli("request", found["rangeId"]))[1][broken]["state"] == "executed"
    assert found["rangeId"] in [one["rangeId"] for one in (await cli("list"))[1]]
    assert (await cli("withdraw", found["rangeId"], "--reason", "no"))[0] == 1
    await assert_the_books_hold(served, fresh_database, broken)


async def test_without_a_bad_tick_the_last_one_before_it_counts_though_nobody_had_used_it(
    served: Site,
) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    async with served.executing():
        served.world.seq = 100 * next(_hundreds)
        await record_steps(served.world)
        account_id = await served.account(owner, TYPE)
        await tick(served, "1.08000")
        await ordered(served, owner, account_id)
        await ordered(served, owner, account_id, side="sell")
        await tick(served, "1.08200")
        spike = await tick(served, "1.07000")
        await ordered(served, owner, account_id)
        await tick(served, "1.08100")
        range_id = await marked(served, risk, spike)
        done = await served.send("POST", risk, f"/bad-ticks/{range_id}/recompute", {})
    (found,) = (one for one in done.json()["items"] if one["accountId"] == account_id)
    told = found["difference"]
    assert told["fillsUndone"] == [f"buy 1.00 EURUSD at 1.07000, tick {spike.seq}"]
    assert told["fillsInstead"] == [f"buy 1.00 EURUSD at 1.08200, tick {spike.seq - 1}"]
    assert found["amount"] == "-1200.00"
