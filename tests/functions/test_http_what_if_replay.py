"""What if by a replay: what the present no longer shows, over HTTP and the command line."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from functions.http.what_if import handler
from tests.functions.test_http_bad_ticks import marked, ordered, tick
from tests.support.program_cases import TYPE, record_steps
from tests.support.resources import Person, Site
from tests.support.rule_cases import percent, rule
from tests.support.stack import FreshDatabase
from tests.support.world import ALPHA
from typer.testing import CliRunner

from quantlab.kernel.instants import format_rfc3339
from quantlab.market.quote import Quote
from quantlab.tenancy.permissions import Role
from quantlab_server.cli.main import app

pytestmark = pytest.mark.stack
LOOSE = rule("daily_loss", anchor="balance", loss=percent("50"), comparator="lt")
STRICT = {
    "format": 1,
    "name": "strict",
    "rules": [rule("daily_loss", anchor="balance", loss={"amount": "50.00"}, comparator="lt")],
}
_thousands = itertools.count(500)


async def dipped(served: Site, owner: Person) -> tuple[str, Quote]:
    """Hold a position through a dip of 100.00 that is over; flat again without a loss."""
    served.world.seq = 1000 * next(_thousands)
    await record_steps(served.world, LOOSE)
    account_id = await served.account(owner, TYPE)
    await tick(served, "1.08000")
    await ordered(served, owner, account_id)
    dip = await tick(served, "1.07900")
    await tick(served, "1.08000")
    await ordered(served, owner, account_id, side="sell")
    await tick(served, "1.08010")
    return account_id, dip


async def asked(served: Site, risk: Person, account_id: str, **body: Any) -> dict[str, Any]:
    """Return what is said of one account, whichever page it is on."""
    cursor: dict[str, str] = {}
    while True:
        path = "/what-if" + (f"?cursor={cursor['cursor']}" if cursor else "")
        answer = await served.send("POST", risk, path, body)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page["items"]:
            if item["accountId"] == account_id:
                return dict(item)
        cursor = {"cursor": page["nextCursor"]}


async def test_a_dip_that_is_over_shows_in_the_replay_alone(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, risk = await served.person(Role.TRADER), await served.person(Role.RISK_MANAGER)
    async with served.executing():
        account_id, dip = await dipped(served, owner)
        now = await asked(served, risk, account_id, profile=STRICT)
        assert (now["outcome"], now["replay"]) == ("fine", None)
        then = await asked(served, risk, account_id, profile=STRICT, replay=True)
        assert (then["outcome"], then["detail"]) == ("breach", None)
        own, other = then["replay"]["own"], then["replay"]["other"]
        assert (own["status"], own["broken"], own["balance"]) == ("active", [], now["balance"])
        assert (other["status"], other["statusReason"]) == ("disabled", "daily_loss")
        assert [one["at"] for one in other["broken"]] == [format_rfc3339(dip.ts_ns)]
        assert "floor 9,950.00" in other["broken"][0]["arithmetic"]
        assert then["equity"] == other["equity"]
        assert then["verdicts"][0]["rule"] == "daily_loss"
        monkeypatch.setattr(handler, "REPLAYED_TICKS_MAX", 1)
        long = await asked(served, risk, account_id, profile=STRICT, replay=True)
        assert (long["outcome"], long["replay"]) == ("unknown", None)
        assert long["detail"] == f"account {account_id} has more than 1 ticks to replay"
        monkeypatch.undo()
        await marked(served, risk, dip)
        without = await asked(served, risk, account_id, profile=STRICT, replay=True)
        assert (without["outcome"], without["replay"]["other"]["broken"]) == ("fine", [])
    shown = (await served.get(owner, f"/accounts/{account_id}")).json()
    assert shown["status"] == "active"


async def test_the_command_line_replays_without_a_bound(
    served: Site, fresh_database: FreshDatabase, redis_url: str, tmp_path: Path
) -> None:
    owner = await served.person(Role.TRADER)
    async with served.executing():
        account_id, _ = await dipped(served, owner)
    strict = tmp_path / "strict.json"
    strict.write_text(json.dumps(STRICT), encoding="utf-8")

    async def cli(*words: str) -> tuple[int, str]:
        environment = {
            "QUANTLAB_DATABASE_URL": fresh_database.app_dsn,
            "QUANTLAB_REDIS_URL": redis_url,
        }
        own = ("--tenant", ALPHA, "--state", str(tmp_path), "--json")
        ran = await asyncio.to_thread(
            CliRunner().invoke, app, ["replay", "under", account_id, *words, *own], env=environment
        )
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran.exit_code, ran.output

    code, said = await cli("--profile", str(strict))
    assert code == 0, said
    found = json.loads(said)
    assert (found["outcome"], found["other"]["statusReason"]) == ("breach", "daily_loss")
    assert (found["commands"], found["own"]["broken"]) == (2, [])
    strict.write_text(json.dumps({**STRICT, "rules": 7}), encoding="utf-8")
    code, said = await cli("--profile", str(strict))
    assert (code, said.count("\n")) == (1, 1)
    assert f"{strict}/rules: expected" in said
    assert (await cli())[0] == 2
