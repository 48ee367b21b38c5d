"""The operator's commands on real stores: send, count, walk chains, look after dead letters."""

import asyncio
import contextlib
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
import pytest
from tests.support.resources import Site, site
from tests.support.stack import FreshDatabase
from tests.support.world import ALPHA, BETA, Bot
from typer.testing import CliRunner

from quantlab_app.use_cases.signals import Receipt
from quantlab_server.cli.main import app

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.1"}
Result = TypeVar("Result")


class Desk:
    """A state folder, its stores, and the command line pointed at them."""

    def __init__(self, database: FreshDatabase, redis_url: str, state: Path) -> None:
        self.database, self.redis_url, self.state = database, redis_url, state

    def do(self, act: Callable[[Site], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            async with site(self.database.app_dsn, self.redis_url, self.state) as served:
                return await act(served)

        return asyncio.run(run())

    def cli(self, *words: str) -> tuple[int, Any]:
        environment = {
            "QUANTLAB_DATABASE_URL": self.database.app_dsn,
            "QUANTLAB_REDIS_URL": self.redis_url,
        }
        ran = CliRunner().invoke(app, [*words, "--state", str(self.state)], env=environment)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran.exit_code, json.loads(ran.stdout) if "--json" in words else ran.output


@pytest.fixture
def desk(fresh_database: FreshDatabase, redis_url: str, tmp_path: Path) -> Desk:
    return Desk(fresh_database, redis_url, tmp_path)


async def _traded(served: Site) -> tuple[Bot, str]:
    account_id = await served.world.account(ALPHA)
    bot = await served.world.bot(ALPHA, account_id)
    await served.world.quote("EURUSD", "1.08000", "1.08010")
    receipt = await served.world.send(bot, BUY)
    assert isinstance(receipt, Receipt)
    await served.world.settle(ALPHA)
    await served.chain(ALPHA, BETA)
    return bot, receipt.signal_id


def test_audit_chain_names_the_first_broken_link(desk: Desk) -> None:
    bot, _ = desk.do(_traded)
    code, found = desk.cli("audit", "chain", "--all", "--json")
    assert (code, found["whole"]) == (0, True)
    lengths = {c["accountId"]: c["length"] for t in found["tenants"] for c in t["chains"]}
    assert lengths[bot.account_id] == 7
    with psycopg.connect(desk.database.superuser_dsn) as connection:
        connection.execute(
            "update quantlab.audit_log set payload = '{\"forged\": true}'"
            " where stream_id = %s and seq = 4",
            (bot.account_id,),
        )
    code, found = desk.cli("audit", "chain", "--tenant", ALPHA, "--json")
    assert (code, found["whole"]) == (1, False)
    broken = {c["accountId"]: c["broken"] for t in found["tenants"] for c in t["chains"]}
    assert broken[bot.account_id]["seq"] == 4
    assert [one for key, one in broken.items() if key != bot.account_id and one] == []
    code, text = desk.cli("audit", "chain", "--tenant", ALPHA)
    assert code == 1
    assert "broken at 4" in text
    assert desk.cli("audit", "chain", "--tenant", BETA)[0] == 0


@pytest.mark.parametrize(
    ("seq", "forgery"),
    [
        (1, "delete from quantlab.audit_head where stream_id = %(id)s"),
        (1, """with gone as (delete from quantlab.audit_log where stream_id = %(id)s)
               delete from quantlab.audit_head where stream_id = %(id)s"""),
        (6, """with gone as (delete from quantlab.audit_log where stream_id = %(id)s and seq > 5)
               update quantlab.audit_head set seq = 5, hash = (select hash from quantlab.audit_log
                 where stream_id = %(id)s and seq = 5) where stream_id = %(id)s"""),
        (3, "update quantlab.audit_log set payload = '1.5' where stream_id = %(id)s and seq = 3"),
    ],
    ids=["head", "chain", "tail", "number"],
)  # fmt: skip
def test_audit_chain_finds_what_is_gone(desk: Desk, seq: int, forgery: str) -> None:
    bot, _ = desk.do(_traded)
    with psycopg.connect(desk.database.superuser_dsn) as connection:
        connection.execute(forgery, {"id": bot.account_id})
    code, found = desk.cli("audit", "chain", "--tenant", ALPHA, "--json")
    broken = {c["accountId"]: c["broken"] for t in found["tenants"] for c in t["chains"]}
    assert (code, broken[bot.account_id]["seq"]) == (1, seq)
    with psycopg.connect(desk.database.superuser_dsn) as connection:
        connection.execute("truncate quantlab.audit_log, quantlab.audit_head, quantlab.event")


def test_audit_chain_waits_for_what_is_on_its_way(desk: Desk) -> None:
    async def unchained(served: Site) -> str:
        bot, _ = await _traded(served)
        assert isinstance(await served.world.send(bot, BUY), Receipt)
        await served.world.settle(ALPHA)
        return await served.world.account(ALPHA)

    account_id = desk.do(unchained)
    code, found = desk.cli("audit", "chain", "--tenant", ALPHA, "--json")
    lengths = {c["accountId"]: c["length"] for t in found["tenants"] for c in t["chains"]}
    assert (code, lengths[account_id]) == (0, 0)


def test_audit_chain_wants_one_tenant_or_all(desk: Desk) -> None:
    desk.do(_traded)
    assert desk.cli("audit", "chain")[0] == 2
    assert desk.cli("audit", "chain", "--all", "--tenant", ALPHA)[0] == 2
    code, text = desk.cli("audit", "chain", "--tenant", "nobody")
    assert code == 2
    assert ALPHA in text


def test_a_command_is_named_by_its_identifier(desk: Desk) -> None:
    for command in ("show", "redrive"):
        code, text = desk.cli("inbox", command, "nope")
        assert (code, "UUID" in text) == (2, True)


def test_dead_letter_is_listed_shown_and_redriven(desk: Desk) -> None:
    async def bury(served: Site) -> str:
        bot, _ = await _traded(served)
        receipt = await served.world.send(bot, {"id": "dead", **BUY})
        assert isinstance(receipt, Receipt)
        ports = served.world.ports
        waiting = await ports.inbox.delivery(served.world.scope(ALPHA), receipt.signal_id)
        assert waiting is not None
        assert await ports.execution.bury(ALPHA, waiting.inbox_id, "InvariantBroken: a bug", 1)
        return receipt.signal_id

    signal_id = desk.do(bury)
    code, letters = desk.cli("inbox", "dead", "--json")
    assert code == 0
    assert [letter["signalId"] for letter in letters] == [signal_id]
    assert letters[0]["reason"] == "InvariantBroken: a bug"
    assert signal_id not in desk.cli("inbox", "dead", "--tenant", BETA)[1]
    _, shown = desk.cli("inbox", "show", signal_id, "--json")
    assert (shown["tenantId"], shown["status"]) == (ALPHA, "dead")
    assert shown["timeline"][-1]["event"] == "command.dead"
    assert desk.cli("inbox", "redrive", signal_id)[0] == 0
    code, text = desk.cli("inbox", "redrive", signal_id)
    assert code == 1
    assert "not dead" in text

    async def settle(served: Site) -> None:
        await served.world.settle(ALPHA)

    desk.do(settle)
    _, shown = desk.cli("inbox", "show", signal_id, "--json")
    assert shown["status"] == "executed"
    assert shown["timeline"][-1]["event"] == "webhook.trade_executed"
    assert desk.cli("inbox", "dead", "--json")[1] == []
    assert desk.cli("inbox", "show", "00000000-0000-7000-8000-00000000dead")[0] == 1


@pytest.mark.parametrize("mode", [(), ("--standard",), ("--by-token",)])
def test_signal_is_sent_in_every_mode(
    desk: Desk, mode: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, _ = desk.do(_traded)
    demo = {
        "url": "http://test",
        "tenants": [
            {
                "tenantId": ALPHA,
                "bots": [
                    {
                        "botId": bot.bot_id,
                        "secret": bot.secret,
                        "token": bot.token,
                        "symbol": "EURUSD",
                    }
                ],
            }
        ],
    }
    (desk.state / "demo.json").write_text(json.dumps(demo), encoding="utf-8")

    def post(url: str, *, content: bytes, headers: dict[str, str], timeout: float) -> Any:
        async def act(served: Site) -> httpx.Response:
            return await served.client.post(url, content=content, headers=headers)

        with contextlib.redirect_stdout(io.StringIO()):
            return desk.do(act)

    monkeypatch.setattr(httpx, "post", post)
    for _ in range(2):
        code, answer = desk.cli("signal", "send", "--quantity", "0.1", *mode, "--json")
        assert (code, answer["httpStatus"]) == (0, 202), answer
    same = ("signal", "send", "--quantity", "0.1", "--id", f"same{len(mode)}", *mode, "--json")
    assert [desk.cli(*same)[1]["httpStatus"] for _ in range(2)] == [202, 200]
    code, answer = desk.cli("signal", "send", "--secret", "whsec_AAAA", *mode, "--json")
    assert (code, answer["httpStatus"]) == (1, 401)
    code, counted = desk.cli("signal", "attempts", "--json")
    assert code == 0
    assert counted["total"] == sum(one["attempts"] for one in counted["counts"]) >= 1
    assert {one["reason"] for one in counted["counts"]} <= {"bad_signature", "bad_secret"}


def test_without_a_state_folder_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("inbox", "dead"), ("audit", "chain", "--all"), ("signal", "send")):
        with pytest.raises(SystemExit) as ended:
            app([*words, "--state", str(tmp_path)])
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (1, "")
        assert len(said.err.strip().splitlines()) == 1
        assert str(tmp_path) in said.err


def test_a_news_calendar_is_brought_from_a_file(desk: Desk, tmp_path: Path) -> None:
    desk.do(_traded)
    file = tmp_path / "news.json"
    release = {"at": "2026-03-06T13:30:00Z", "name": "NFP", "impact": "high", "currencies": ["USD"]}
    calendar = {"format": 1, "until": "2026-03-07T00:00:00Z", "events": [release]}
    file.write_text(json.dumps(calendar))
    words = ("tenant", "news", str(file), "--tenant", ALPHA)
    code, found = desk.cli(*words, "--json")
    assert (code, found["events"], found["changed"]) == (0, 1, True)
    assert desk.cli(*words, "--json")[1] == {**found, "changed": False}
    file.write_text(json.dumps({**calendar, "events": [{**release, "at": "noon"}]}))
    code, said = desk.cli(*words)
    assert (code, "/events/0/at: expected a time" in said) == (1, True)
    file.write_text("{")
    assert desk.cli(*words)[0] == 1
    assert desk.cli("tenant", "news", str(file), "--tenant", "nobody")[0] == 1
