"""Timers, the gateway's question and the process itself: what a Lambda keeps and what it says."""

import asyncio
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import psycopg
import pytest

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.use_cases.api_keys import revoke_api_key
from quantlab_edge import problems
from quantlab_edge.gateway import KnownContexts
from quantlab_manifest import ScheduleWake
from tests.support.gateway import MANIFESTS, authorizer_event, http_event, recorded
from tests.support.lambdas import PREFIX, Lambdas, Twins
from tests.support.stack import FreshDatabase
from tests.support.twin_site import Cast, api_key

pytestmark = pytest.mark.stack
SCHEDULES = [manifest.name for manifest in MANIFESTS if isinstance(manifest.wake, ScheduleWake)]
ME = http_event("GET", "/me")


def with_key(key: str) -> dict[str, Any]:
    return http_event("GET", "/me", headers={"x-api-key": key})


class Spoken:
    """Everything that a process writes to its output."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    def text(self) -> str:
        self._text += self._captured.readouterr().out
        return self._text

    def lines(self, function: str) -> list[Any]:
        texts = [line for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, texts) if line.get("function") == function]


@pytest.fixture
def spoken(
    hosts: Twins, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Spoken]:
    """A process whose output is read: what is made under it writes there."""
    monkeypatch.setattr(hosts, "lambdas", Lambdas(hosts.lambdas.settings))
    yield Spoken(capsys)
    hosts.lambdas.close()


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_timer_does_what_the_self_hosted_scheduler_does(
    hosts: Twins, people: Cast, vector: Callable[[str], Any], name: str
) -> None:
    function = importlib.import_module(f"functions.schedule.{name}.handler")
    hosts.do(function.handle(hosts.world.ports))
    at_home = hosts.do(function.handle(hosts.world.ports))
    for event in (recorded("timer"), vector("eventBridgeEvent")):
        assert hosts.lambdas.invoke(f"schedule/{name}", event) == {"handled": at_home}


def test_the_gateway_is_always_told_to_go_on(
    hosts: Twins, people: Cast, vector: Callable[[str], Any]
) -> None:
    for event in (authorizer_event(ME), vector("apiGatewayAuthorizerRequestEvent")):
        answer = hosts.lambdas.invoke("gateway/authorizer", event)
        assert answer == {"isAuthorized": True, "context": {}}
    answer = hosts.lambdas.invoke("gateway/authorizer", authorizer_event(with_key("qle_nobody")))
    assert answer["isAuthorized"] is True
    assert json.loads(answer["context"]["problem"])["slug"] == "unauthorized"


def test_what_the_gateway_is_told_is_text_and_holds_no_secret(hosts: Twins, people: Cast) -> None:
    event = http_event("GET", "/me", headers={"Authorization": f"Bearer {people.words['token']}"})
    context = hosts.lambdas.invoke("gateway/authorizer", authorizer_event(event))["context"]
    assert list(context) == ["principal"]
    assert isinstance(context["principal"], str)
    assert people.words["token"] not in context["principal"]


def test_a_revocation_shows_when_what_is_known_has_aged(
    hosts: Twins, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, text = hosts.do(api_key(hosts.world, people.scope))
    assert hosts.lambdas.request(with_key(text)).status == 200
    hosts.do(revoke_api_key(hosts.world.ports, people.scope, key_id))
    assert hosts.self_hosted(with_key(text)).status == 401
    handler = importlib.import_module("functions.gateway.authorizer.handler")
    monkeypatch.setattr(handler, "_known", KnownContexts())
    assert hosts.lambdas.request(with_key(text)).status == 401


def test_stores_that_are_down_are_said_in_our_words(
    hosts: Twins, people: Cast, downs: Lambdas
) -> None:
    answer = downs.request(with_key(people.words["apiKey"]))
    expected = problems.problem_body(
        problems.ProblemError("stores_unavailable", "Try again shortly."),
        answer.headers["x-correlation-id"],
    )
    assert (answer.status, answer.body) == (503, expected)
    assert answer.headers["retry-after"] == "1"


@pytest.fixture
def downs(hosts: Twins) -> Iterator[Lambdas]:
    """Lambdas whose stores answer nobody."""
    stores = {"databaseUrl": "postgresql://a:b@127.0.0.1:9/x", "redisUrl": "redis://127.0.0.1:9"}
    boto3.client("secretsmanager").create_secret(
        Name=f"{PREFIX}/down", SecretString=json.dumps(stores)
    )
    made = Lambdas({**hosts.lambdas.settings, "stores_secret": f"{PREFIX}/down"})
    yield made
    made.close()
    boto3.client("secretsmanager").delete_secret(
        SecretId=f"{PREFIX}/down", ForceDeleteWithoutRecovery=True
    )


def test_a_secret_that_is_not_there_is_our_failure_in_our_words(hosts: Twins, people: Cast) -> None:
    lost = Lambdas({**hosts.lambdas.settings, "stores_secret": f"{PREFIX}/lost"})
    answer = lost.request(http_event("GET", "/health"))
    assert (answer.status, answer.json()["type"]) == (500, f"{problems.TYPE_BASE}internal")
    lost.close()


def test_one_line_and_the_numbers_of_each_call(hosts: Twins, people: Cast, spoken: Spoken) -> None:
    event = http_event(
        "GET", "/tenants/northwind-capital", headers={"x-api-key": people.words["apiKey"]}
    )
    for _ in range(2):
        hosts.lambdas.request(event)
    found = spoken.lines("http/tenants")
    calls = [line for line in found if line.get("message") == "call"]
    assert [call["cold_start"] for call in calls] == [True, False]
    first = calls[0]
    assert (first["tenant"], first["outcome"], first["status"]) == (
        "northwind-capital",
        "done",
        200,
    )
    assert first["request_id"] == "lambda-request-0001"
    assert first["duration"] > 0
    assert len(first["correlation_id"]) == 36
    assert [(call["calls"], call["errors"]) for call in calls] == [(1, 0)] * 2
    (metrics,) = first["_aws"]["CloudWatchMetrics"]
    named = [*metrics["Dimensions"][0], *(one["Name"] for one in metrics["Metrics"])]
    assert metrics["Namespace"] == "QuantLab"
    assert set(named) <= set(first)
    assert people.words["apiKey"] not in json.dumps(found)


def test_a_failure_is_written_down_and_counted(hosts: Twins, people: Cast, spoken: Spoken) -> None:
    with pytest.raises(KeyError):
        hosts.lambdas.invoke("socket/connect", {})
    found = spoken.lines("socket/connect")
    call = next(line for line in found if line.get("message") == "call")
    assert (call["outcome"], call["exception"]) == ("failed", "KeyError")
    assert call["errors"] == 1
    assert any("Traceback" in line.get("exception", "") for line in found)


def test_a_bot_token_in_a_path_is_in_no_line(hosts: Twins, people: Cast, spoken: Spoken) -> None:
    path = f"/webhooks/signals/{people.words['botToken']}"
    assert hosts.lambdas.request(http_event("POST", path, body="{}")).status == 401
    assert people.words["botToken"] not in spoken.text()


def test_a_call_that_was_cut_off_leaves_the_next_one_whole(
    hosts: Twins, people: Cast, spoken: Spoken, fresh_database: FreshDatabase
) -> None:
    """What it began is ended: its task, and the locks its connection held."""
    entry = hosts.lambdas.entry("http/accounts")
    path = f"/tenants/northwind-capital/accounts/{people.account_id}"
    event = http_event("GET", path, headers={"x-api-key": people.words["apiKey"]})
    assert hosts.lambdas.request(event).status == 200
    whole, sandbox = entry._function, entry._sandbox

    async def hang(ports: Ports) -> None:
        accounts: Any = ports.accounts
        async with accounts._database.tenant("northwind-capital") as connection:
            await connection.execute("select * from account for update")
            asyncio.get_running_loop().call_soon(_cut_off)
            await asyncio.sleep(60)

    entry._function = lambda _event, _context, _call: sandbox.run(hang)
    with pytest.raises(SystemExit):
        hosts.lambdas.invoke("http/accounts", event)
    entry._function = whole
    assert hosts.lambdas.request(event).status == 200
    assert "cut_off" in spoken.text()
    with psycopg.connect(fresh_database.superuser_dsn) as connection:
        connection.execute("select * from quantlab.account for update nowait")


def _cut_off() -> None:
    raise SystemExit("the runtime ends the process")


def test_connections_that_were_lost_between_calls_are_made_again(
    hosts: Twins, people: Cast, fresh_database: FreshDatabase
) -> None:
    event = http_event(
        "GET", "/tenants/northwind-capital/accounts", headers={"x-api-key": people.words["apiKey"]}
    )
    assert hosts.lambdas.request(event).status == 200
    with psycopg.connect(fresh_database.superuser_dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert hosts.lambdas.request(event).status == 200


def test_a_port_that_the_manifest_does_not_name_is_refused(hosts: Twins, people: Cast) -> None:
    hosts.lambdas.request(http_event("GET", "/nothing"))
    ports = hosts.lambdas.entry("http/not_found")._sandbox._ports
    assert ports is not None
    with pytest.raises(Misconfigured, match="http/not_found does not name the port accounts"):
        ports.accounts.find  # noqa: B018


def test_a_kind_that_no_lambda_runs_is_refused(hosts: Twins) -> None:
    with pytest.raises(Misconfigured, match="no Lambda runs functions of the kind worker"):
        Lambdas(hosts.lambdas.settings).entry("worker/market_feed")
