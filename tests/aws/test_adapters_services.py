"""The adapters against moto's server: real HTTP, real clients, the services' own answers."""

import asyncio
import base64
import dataclasses
import hashlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto.server import ThreadedMotoServer

from quantlab.market.quote import Quote
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_adapters.aws.archive import S3TickArchive
from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.aws.event_bus import BYTES_MAX, EventBridgeBus
from quantlab_adapters.aws.inbox import WakingInbox
from quantlab_adapters.aws.keys import ManagedKeys, ManagedVault, make_first_keys
from quantlab_adapters.aws.mail import SesMail
from quantlab_adapters.aws.secrets import ManagedSecrets, StoredValues
from quantlab_adapters.aws.wakes import GATHERED_NS, GATHERING, SqsWakes
from quantlab_adapters.feeds import archive
from quantlab_adapters.selfhost.clock import SystemClock, SystemIds
from quantlab_adapters.selfhost.key_store import FileKeys
from quantlab_app.ports.errors import Misconfigured, NotFound, StoreUnavailable
from quantlab_app.ports.inbox import Accepted, NewCommand
from quantlab_app.ports.mail import MailMessage, MailRefused, MailUnavailable
from quantlab_app.ports.secrets import DecryptionRefused
from quantlab_manifest import QueueWake, load_all

PREFIX = "quantlab/test"
KEYS = f"{PREFIX}/keys"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
async def clients(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clients]:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    made = Clients(socket_endpoint=server)
    yield made
    await made.close()


@pytest.fixture
def values(clients: Clients) -> StoredValues:
    return StoredValues(clients)


def _queue(clients: Clients, name: str) -> str:
    attributes: Any = {"FifoQueue": "true"}
    return clients.sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]


async def _received(clients: Clients, url: str) -> list[dict[str, Any]]:
    """Take what the queue holds; a group's next message comes when the one before is deleted."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await clients.call(
            lambda: clients.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            )
        )
        messages: Any = answer.get("Messages", [])
        if not messages:
            return found
        for message in messages:
            found.append({**json.loads(message["Body"]), "attributes": message["Attributes"]})
            clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@dataclasses.dataclass
class Table:
    """An inbox in memory: the first with a key wins."""

    rows: dict[bytes, str] = dataclasses.field(default_factory=dict)
    dead: str | None = None

    async def accept(self, scope: Scope, command: NewCommand) -> Accepted:
        first = self.rows.setdefault(command.idempotency_key, command.signal_id)
        return Accepted(first, new=first == command.signal_id, same_body=True)

    async def redrive(self, scope: Scope, signal_id: str) -> bool:
        return signal_id == self.dead

    async def delivery(self, scope: Scope, signal_id: str) -> None:
        return None


def _command(key: bytes, account_id: str | None) -> NewCommand:
    return NewCommand(SystemIds().new_id(), account_id, "bot", "b", key, bytes(32), "trade", {}, 1)


async def test_each_new_row_wakes_once_in_the_group_of_its_account(clients: Clients) -> None:
    url = _queue(clients, "orders")
    wakes = SqsWakes(clients, {"orders": url}, SystemIds(), SystemClock())
    table: Any = Table(dead="dead-signal")
    inbox = WakingInbox(table, wakes)
    scope = system_scope("alpha", "test", "test")
    first, note = _command(b"1", "account-1"), _command(b"2", None)
    await inbox.accept(scope, first)
    await inbox.accept(scope, _command(b"1", "account-1"))
    await inbox.accept(scope, note)
    assert await inbox.redrive(scope, "dead-signal")
    assert not await inbox.redrive(scope, "other")
    messages = await _received(clients, url)
    told = [(m["tenantId"], m["accountId"], m["attributes"]["MessageGroupId"]) for m in messages]
    assert sorted(told, key=str) == [
        ("alpha", "account-1", "account-1"),
        ("alpha", None, "tenant:alpha"),
        ("alpha", None, "tenant:alpha"),
    ]
    deduplication = [m["attributes"]["MessageDeduplicationId"] for m in messages]
    assert {first.signal_id, note.signal_id} < set(deduplication)
    assert len(set(deduplication)) == 3


async def test_wakes_with_fresh_ids_are_not_swallowed(clients: Clients) -> None:
    url = _queue(clients, "publish")
    wakes = SqsWakes(clients, {"publish": url}, SystemIds(), SystemClock())
    for _ in range(3):
        await wakes.wake("publish", "alpha")
    heard = wakes.listen("publish")
    assert [await anext(heard) for _ in range(3)] == ["alpha"] * 3
    with pytest.raises(Misconfigured, match="expected a queue of publish"):
        await wakes.wake("orders", "alpha")


@dataclasses.dataclass
class SetClock:
    """A clock that stands where it was set."""

    at_ns: int = 0

    def now_ns(self) -> int:
        return self.at_ns


async def test_wakes_of_a_gathering_queue_are_one_message_a_moment(clients: Clients) -> None:
    url = _queue(clients, "audit")
    clock = SetClock()
    ours, theirs = (SqsWakes(clients, {"audit": url}, SystemIds(), clock) for _ in range(2))
    for clock.at_ns in (2 * GATHERED_NS, 3 * GATHERED_NS - 1, 3 * GATHERED_NS):
        for wakes in (ours, ours, theirs):
            await wakes.wake("audit", "alpha")
        await theirs.wake("audit", "beta")
    heard = [message["tenantId"] for message in await _received(clients, url)]
    assert sorted(heard) == ["alpha", "alpha", "beta", "beta"]


def test_the_queues_that_gather_are_those_whose_manifests_say_so() -> None:
    root = Path(__file__).parents[2]
    wakes = [manifest.wake for manifest in load_all(root / "functions")]
    gathering = {one.queue for one in wakes if isinstance(one, QueueWake) and one.gathers}
    assert gathering == GATHERING


async def test_wakes_of_one_moment_share_calls_of_ten(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _queue(clients, "audit")
    wakes = SqsWakes(clients, {"audit": url}, SystemIds(), SystemClock())
    calls = 0
    inner = clients.call

    async def call(work: Any) -> Any:
        nonlocal calls
        calls += 1
        return await inner(work)

    monkeypatch.setattr(clients, "call", call)
    tenants = [f"tenant-{number}" for number in range(12)]
    await asyncio.gather(*(wakes.wake("audit", tenant) for tenant in tenants))
    assert calls == 2
    heard = await _received(clients, url)
    assert sorted(message["tenantId"] for message in heard) == sorted(tenants)


async def test_of_wakes_that_share_a_call_only_what_was_refused_is_told(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    wakes = SqsWakes(clients, {"audit": "https://sqs/audit.fifo"}, SystemIds(), SystemClock())
    failed = {"Id": "1", "Code": "ThrottlingException", "SenderFault": False}
    wakes._send_batch = lambda *_: {"Failed": [failed]}  # type: ignore[assignment,method-assign,typeddict-item,return-value]
    await asyncio.gather(*(wakes.wake("audit", tenant) for tenant in ("alpha", "beta", "gamma")))
    told = capsys.readouterr().out
    assert told.count("wake_failed") == 1
    assert "beta" in told
    assert "ThrottlingException" in told


async def test_a_wake_that_fails_leaves_the_row_accepted(clients: Clients, server: str) -> None:
    wakes = SqsWakes(
        clients, {"orders": f"{server}/123456789012/gone.fifo"}, SystemIds(), SystemClock()
    )
    table: Any = Table()
    command = _command(b"1", "account-1")
    scope = system_scope("alpha", "test", "test")
    accepted = await WakingInbox(table, wakes).accept(scope, command)
    assert accepted == Accepted(command.signal_id, new=True, same_body=True)


@dataclasses.dataclass
class Bus:
    """An inner bus that keeps what was published."""

    sent: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)

    async def publish(self, topic: str, body: bytes) -> None:
        self.sent.append((topic, body))

    async def listen(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        on_attached()


def _events(*payloads: Any) -> bytes:
    events = [
        {"seq": n, "eventType": "order.filled", "occurredNs": n * 10**9, "payload": payload}
        for n, payload in enumerate(payloads, 1)
    ]
    streams = [{"streamId": "stream-1", "events": events}]
    return orjson.dumps({"tenantId": "alpha", "streams": streams})


async def test_events_reach_both_buses_and_other_topics_the_inner_one(clients: Clients) -> None:
    url = clients.sqs.create_queue(QueueName="heard")["QueueUrl"]
    clients.events.create_event_bus(Name="events")
    pattern = json.dumps({"source": ["quantlab"]})
    clients.events.put_rule(Name="all", EventBusName="events", EventPattern=pattern)
    arn = "arn:aws:sqs:us-east-1:123456789012:heard"
    clients.events.put_targets(Rule="all", EventBusName="events", Targets=[{"Id": "q", "Arn": arn}])
    inner = Bus()
    bus = EventBridgeBus(inner, clients, "events")
    body = _events(*({"n": n} for n in range(23)))
    await bus.publish("events", body)
    await bus.publish("accounts", b"[]")
    assert inner.sent == [("events", body), ("accounts", b"[]")]
    heard = []
    while len(heard) < 23:
        answer = clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        messages = answer.get("Messages", [])
        assert messages
        heard += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert {event["detail-type"] for event in heard} == {"order.filled"}
    assert sorted((e["detail"] for e in heard), key=lambda d: d["seq"])[4] == {
        "tenantId": "alpha",
        "streamId": "stream-1",
        "seq": 5,
        "occurredAt": "1970-01-01T00:00:05.000000Z",
        "payload": {"n": 4},
    }


async def test_calls_stay_within_the_limits_of_event_bridge(clients: Clients) -> None:
    calls: list[list[dict[str, Any]]] = []
    bus = EventBridgeBus(Bus(), clients, "events")

    async def put_group(group: Any) -> dict[int, str]:
        calls.append([entry for _, entry in group])
        return {}

    bus._put_group = put_group  # type: ignore[method-assign]
    await bus.publish("events", _events("x" * 200_000, "y" * 100_000, "z" * 300_000, *range(12)))
    assert [len(group) for group in calls] == [1, 10, 4]
    for group in calls:
        assert sum(len(e["Source"] + e["DetailType"] + e["Detail"]) for e in group) <= BYTES_MAX
    omitted = json.loads(calls[1][1]["Detail"])
    assert (omitted["payload"], omitted["payloadOmitted"]) == (None, True)


async def test_messages_of_one_moment_share_calls_and_each_has_its_own_fault(
    clients: Clients,
) -> None:
    bus = EventBridgeBus(Bus(), clients, "events")
    calls: list[list[int]] = []

    async def put_group(group: Any) -> dict[int, str]:
        calls.append([place for place, _ in group])
        return {1: "ThrottlingException"} if len(calls) == 1 else {}

    bus._put_group = put_group  # type: ignore[method-assign]
    done = await asyncio.gather(
        *(bus.publish("events", _events(*range(count))) for count in (4, 2, 6)),
        return_exceptions=True,
    )
    assert calls == [[0] * 4 + [1] * 2 + [2] * 4, [2] * 2]
    assert [type(one) for one in done] == [type(None), StoreUnavailable, type(None)]


async def test_what_event_bridge_refused_is_a_fault(clients: Clients) -> None:
    bus = EventBridgeBus(Bus(), clients, "no-such-bus")
    with pytest.raises((StoreUnavailable, Misconfigured)):
        await bus.publish("events", _events({}))


async def test_secrets_are_the_tenants_own(clients: Clients, values: StoredValues) -> None:
    secrets = ManagedSecrets(values, PREFIX)
    vault = ManagedVault(values, PREFIX, KEYS)
    assert await vault.keep("secret:market/oanda", "one", tenant_id="alpha")
    assert not await vault.keep("secret:market/oanda", "two", tenant_id="alpha")
    assert await vault.keep("secret:market/oanda", "ours", tenant_id=None)
    assert await secrets.resolve("secret:market/oanda", tenant_id="alpha") == b"one"
    assert await secrets.resolve("secret:market/oanda", tenant_id=None) == b"ours"
    with pytest.raises(Misconfigured, match="quantlab/test/tenants/beta/market/oanda"):
        await secrets.resolve("secret:market/oanda", tenant_id="beta")
    for tenant_id, reference in (("../x", "secret:a"), ("alpha", "secret:../beta/a")):
        with pytest.raises(Misconfigured):
            await secrets.resolve(reference, tenant_id=tenant_id)


async def test_a_secret_is_remembered_for_a_short_while(clients: Clients) -> None:
    manager = clients.secrets_manager
    manager.create_secret(Name="changing", SecretString="first")
    lasting, forgetful = StoredValues(clients), StoredValues(clients, life_s=0)
    assert await lasting.read("changing") == await forgetful.read("changing") == b"first"
    manager.put_secret_value(SecretId="changing", SecretString="second")
    assert await lasting.read("changing") == b"first"
    assert await forgetful.read("changing") == b"second"


async def test_first_keys_are_made_once_among_all_who_try(clients: Clients) -> None:
    clients.secrets_manager.create_secret(Name="race", SecretString="{}")
    made = await asyncio.gather(*(make_first_keys(StoredValues(clients), "race") for _ in range(6)))
    assert made.count(True) == 1
    assert not await make_first_keys(StoredValues(clients), "race")
    keys = ManagedKeys(StoredValues(clients), "race")
    assert len(await keys.signing_keys("jwt")) == 1
    assert (await keys.signing_keys("jwt"))[0].kid != (await keys.signing_keys("audit"))[0].kid


@pytest.mark.parametrize(
    "content",
    ["not json", '{"masters": {}}', '{"masters": {"1": "AA=="}, "jwt": [], "audit": []}', "[]"],
)
async def test_keys_that_are_none_are_refused(clients: Clients, content: str) -> None:
    name = f"bad-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    clients.secrets_manager.create_secret(Name=name, SecretString=content)
    with pytest.raises(Misconfigured, match=name):
        await ManagedKeys(StoredValues(clients), name).encrypt("alpha", "bot_secret", b"x")
    with pytest.raises(Misconfigured, match=name):
        await make_first_keys(StoredValues(clients), name)


async def test_what_one_profile_sealed_the_other_opens(clients: Clients, tmp_path: Path) -> None:
    files = FileKeys(tmp_path / "keys")
    sealed = await files.encrypt("alpha", "bot_secret", b"hidden")
    master = base64.b64encode((tmp_path / "keys" / "master.key").read_bytes()).decode()
    pems = {
        purpose: [key.private_pem.decode() for key in await files.signing_keys(purpose)]
        for purpose in ("jwt", "audit")
    }
    content = json.dumps({"masters": {"1": master}, **pems})
    clients.secrets_manager.create_secret(Name="portable", SecretString=content)
    keys = ManagedKeys(StoredValues(clients), "portable")
    assert await keys.decrypt("alpha", "bot_secret", sealed) == b"hidden"
    again = await keys.encrypt("alpha", "bot_secret", b"hidden too")
    assert await files.decrypt("alpha", "bot_secret", again) == b"hidden too"
    assert await keys.signing_keys("jwt") == await files.signing_keys("jwt")
    assert await keys.signing_keys("audit") == await files.signing_keys("audit")
    for tenant_id, purpose in (("beta", "bot_secret"), ("alpha", "totp")):
        with pytest.raises(DecryptionRefused):
            await keys.decrypt(tenant_id, purpose, sealed)


async def test_new_master_and_signing_keys_take_over(clients: Clients) -> None:
    manager = clients.secrets_manager
    manager.create_secret(Name="rotated", SecretString="{}")
    values = StoredValues(clients, life_s=0)
    await make_first_keys(values, "rotated")
    keys = ManagedKeys(values, "rotated")
    old = await keys.encrypt("alpha", "bot_secret", b"old")
    first = json.loads(manager.get_secret_value(SecretId="rotated")["SecretString"])
    manager.create_secret(Name="second", SecretString="{}")
    await make_first_keys(values, "second")
    second = json.loads(manager.get_secret_value(SecretId="second")["SecretString"])
    both = {
        "masters": {"1": first["masters"]["1"], "2": second["masters"]["1"]},
        "jwt": second["jwt"] + first["jwt"],
        "audit": first["audit"],
    }
    manager.put_secret_value(SecretId="rotated", SecretString=json.dumps(both))
    new = await keys.encrypt("alpha", "bot_secret", b"new")
    assert (old[0], new[0]) == (1, 2)
    assert await keys.decrypt("alpha", "bot_secret", old) == b"old"
    assert len(await keys.signing_keys("jwt")) == 2


async def test_ticks_come_back_from_the_bucket_as_they_were(clients: Clients) -> None:
    clients.s3.create_bucket(Bucket="ticks")
    store = S3TickArchive(clients, "ticks", archive.encode, archive.decode)
    quotes = [Quote("EURUSD", 110_000 + n, 110_002 + n, 10**18 + n, n) for n in range(1000)]
    digest = await store.store("ticks/EURUSD/1.parquet", quotes)
    content = clients.s3.get_object(Bucket="ticks", Key="ticks/EURUSD/1.parquet")["Body"].read()
    assert digest == hashlib.sha256(content).hexdigest()
    assert await store.load("ticks/EURUSD/1.parquet") == quotes
    with pytest.raises(NotFound):
        await store.load("ticks/EURUSD/2.parquet")
    with pytest.raises(Misconfigured):
        await store.load("../other")
    with pytest.raises(Misconfigured):
        await S3TickArchive(clients, "no-bucket", archive.encode, archive.decode).store("a", quotes)


async def test_mail_is_handed_over(clients: Clients, server: str) -> None:
    clients.ses.create_email_identity(EmailIdentity="no-reply@quantlab.example")
    mail = SesMail(clients, "QuantLab <no-reply@quantlab.example>")
    await mail.send(MailMessage("m-1", "ada@example.com", "Hello", "A link."))
    kept = await asyncio.to_thread(_kept_by_moto, server)
    assert "ada@example.com" in kept


def _kept_by_moto(server: str) -> str:
    with urllib.request.urlopen(f"{server}/moto-api/data.json") as answer:  # noqa: S310
        found = json.loads(answer.read())
    return json.dumps(found.get("ses", found.get("sesv2", {})))


@pytest.mark.parametrize(
    ("recipient", "subject"),
    [("nobody", "x"), ("a@b, c@d", "x"), ("", "x"), ("a@b", "two\r\nlines"), ("@b", "x")],
)
async def test_mail_that_cannot_be_written_is_refused(
    clients: Clients, recipient: str, subject: str
) -> None:
    with pytest.raises(MailRefused):
        await SesMail(clients, "a@quantlab.example").send(
            MailMessage("m-1", recipient, subject, "text")
        )


async def test_mail_of_a_sender_nobody_verified_is_refused(clients: Clients) -> None:
    with pytest.raises((MailRefused, MailUnavailable)):
        await SesMail(clients, "stranger@other.example").send(
            MailMessage("m-1", "ada@example.com", "Hello", "text")
        )
