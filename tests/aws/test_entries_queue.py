"""Batches of SQS FIFO through the queue functions' Lambdas, on the real database."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

from quantlab.webhooks.signature import sign
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases.signals import Receipt
from quantlab_app.use_cases.webhook_endpoints import NewSecret, create_endpoint
from quantlab_manifest import QueueWake
from tests.support.gateway import MANIFESTS, filled, http_event, recorded
from tests.support.lambdas import Twins
from tests.support.twin_site import Cast, executing
from tests.support.world import ALPHA, BETA, Bot

pytestmark = pytest.mark.stack
QUEUES = [manifest.name for manifest in MANIFESTS if isinstance(manifest.wake, QueueWake)]
_numbers = itertools.count()


def batch(function: str, name: str, **words: str) -> Any:
    found = next(case for case in recorded(f"queue/{function}") if case["name"] == name)
    return filled(found["event"], {"dedup": f"d{next(_numbers)}", **words})


async def signal(hosts: Twins, bot: Bot) -> None:
    """Have a command wait."""
    body = {"id": f"s{next(_numbers)}", "symbol": "EURUSD", "action": "buy", "quantity": "0.1"}
    assert isinstance(await hosts.world.send(bot, body), Receipt)


def filled_orders(hosts: Twins, bot: Bot) -> int:
    types = hosts.do(hosts.world.event_types(bot.tenant_id, bot.account_id))
    return types.count("order.filled")


def fresh_bot(hosts: Twins, tenant_id: str) -> Bot:
    async def make() -> Bot:
        # The feed speaks when a test makes it; after ten silent seconds nothing fills.
        await hosts.world.quote("EURUSD", "1.10000", "1.10002")
        return await hosts.world.bot(tenant_id, await hosts.world.account(tenant_id))

    return hosts.do(make())


def failing(answer: Any) -> list[int]:
    return [int(item["itemIdentifier"][:8]) for item in answer["batchItemFailures"]]


@pytest.mark.parametrize("name", QUEUES)
def test_every_queue_function_has_recorded_batches(name: str) -> None:
    assert recorded(f"queue/{name}")


def test_an_account_is_settled_as_the_self_hosted_runner_settles_it(
    hosts: Twins, people: Cast
) -> None:
    on_aws, at_home = fresh_bot(hosts, ALPHA), fresh_bot(hosts, ALPHA)
    for bot in (on_aws, at_home, on_aws, at_home):
        hosts.do(signal(hosts, bot))
    answer = hosts.lambdas.invoke(
        "queue/order_execute", batch("order_execute", "one account", account=on_aws.account_id)
    )
    assert answer == {"batchItemFailures": []}
    assert (filled_orders(hosts, on_aws), filled_orders(hosts, at_home)) == (2, 0)
    hosts.do(hosts.world.settle(ALPHA))
    types = [hosts.do(hosts.world.event_types(ALPHA, bot.account_id)) for bot in (on_aws, at_home)]
    assert types[0] == types[1]


def test_a_message_delivered_twice_changes_nothing(hosts: Twins, people: Cast) -> None:
    bot = fresh_bot(hosts, ALPHA)
    hosts.do(signal(hosts, bot))
    for _ in range(3):
        event = batch("order_execute", "one account", account=bot.account_id)
        assert hosts.lambdas.invoke("queue/order_execute", event) == {"batchItemFailures": []}
    assert filled_orders(hosts, bot) == 1


def test_accounts_of_several_tenants_share_a_batch(hosts: Twins, people: Cast) -> None:
    ours, theirs = fresh_bot(hosts, ALPHA), fresh_bot(hosts, BETA)
    for bot in (ours, theirs):
        hosts.do(signal(hosts, bot))
    words = {"account": ours.account_id, "foreignAccount": theirs.account_id}
    event = batch("order_execute", "two accounts of two tenants", **words)
    assert hosts.lambdas.invoke("queue/order_execute", event) == {"batchItemFailures": []}
    assert [filled_orders(hosts, bot) for bot in (ours, theirs)] == [1, 1]


def test_a_bad_record_in_the_middle_comes_back_with_those_behind_it_only(
    hosts: Twins, people: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records 2 (unreadable) and 4 are of one group; 1, 3 and 5 are done."""
    first, other, theirs = (fresh_bot(hosts, tenant) for tenant in (ALPHA, ALPHA, BETA))
    for bot in (first, other, theirs):
        hosts.do(signal(hosts, bot))
    words = {"account": first.account_id, "other": other.account_id}
    event = batch("order_execute", "a bad record in the middle", **words)
    assert failing(hosts.lambdas.invoke("queue/order_execute", event)) == [2, 4]
    assert [filled_orders(hosts, bot) for bot in (first, theirs)] == [1, 1]


def test_a_tenant_of_nobody_has_nothing_to_settle(hosts: Twins, people: Cast) -> None:
    event = batch("order_execute", "a tenant of nobody", account=people.account_id)
    assert hosts.lambdas.invoke("queue/order_execute", event) == {"batchItemFailures": []}


def test_an_account_that_is_none_comes_back_alone(hosts: Twins, people: Cast) -> None:
    bot = fresh_bot(hosts, ALPHA)
    hosts.do(signal(hosts, bot))
    event = batch("order_execute", "an account that is none", account=bot.account_id)
    assert failing(hosts.lambdas.invoke("queue/order_execute", event)) == [2]
    assert filled_orders(hosts, bot) == 1


def test_a_batch_of_which_nothing_can_be_read_fails(
    hosts: Twins, people: Cast, vector: Callable[[str], Any]
) -> None:
    with pytest.raises(BatchProcessingError):
        hosts.lambdas.invoke("queue/order_execute", batch("order_execute", "no wakes at all"))
    with pytest.raises(BatchProcessingError):
        hosts.lambdas.invoke("queue/order_execute", vector("sqsEvent"))


@pytest.mark.parametrize("name", QUEUES)
def test_a_timer_sweeps_what_no_message_named(hosts: Twins, people: Cast, name: str) -> None:
    """Lost wakes: the work is there, no message is."""
    bot = fresh_bot(hosts, ALPHA)
    hosts.do(signal(hosts, bot))
    if name != "order_execute":
        hosts.do(hosts.world.settle(ALPHA))
    swept = hosts.lambdas.invoke(f"queue/{name}", recorded("timer"))
    assert swept.keys() == {"tenants", "rows"}
    if name == "order_execute":
        assert filled_orders(hosts, bot) == 1
    if name == "audit_append":
        assert swept["rows"] > 0


@pytest.mark.parametrize("case", ["a tenant", "two"])
def test_the_audit_log_is_fed(hosts: Twins, people: Cast, case: str) -> None:
    bot = fresh_bot(hosts, ALPHA)
    hosts.do(signal(hosts, bot))
    hosts.do(hosts.world.settle())
    answer = hosts.lambdas.invoke("queue/audit_append", batch("audit_append", case))
    assert answer == {"batchItemFailures": []}
    assert ALPHA not in hosts.do(hosts.world.ports.outbox.tenants_waiting("audit", 0.0))


def test_events_that_were_not_sent_are_sent(hosts: Twins, people: Cast) -> None:
    answer = hosts.lambdas.invoke("queue/event_publish", batch("event_publish", "a tenant"))
    assert answer == {"batchItemFailures": []}


def test_a_webhook_goes_all_the_way_by_its_own_messages(hosts: Twins, people: Cast) -> None:
    """What the appender's function sends is what the deliverer's function reads."""
    deliveries = hosts.world.ports.webhook_deliveries
    scope = hosts.world.scope(ALPHA)
    # One that has failed nothing yet, and so is not spared.
    made = hosts.do(
        create_endpoint(hosts.world.ports, people.scope, "https://hooks.invalid/own", "", ())
    )
    assert isinstance(made, NewSecret)
    endpoint_id = made.endpoint.endpoint_id

    def attempts() -> int:
        page = deliveries.page(scope, endpoint_id, status=None, before=None, limit=500)
        return sum(len(one.attempts) for one in hosts.do(page))

    bot = fresh_bot(hosts, ALPHA)
    hosts.do(signal(hosts, bot))
    hosts.do(hosts.world.settle(ALPHA))
    hosts.lambdas.invoke("queue/audit_append", batch("audit_append", "a tenant"))
    received = boto3.client("sqs").receive_message(
        QueueUrl=hosts.lambdas.settings["queue_webhooks"], MaxNumberOfMessages=10
    )["Messages"]
    assert {"tenantId": ALPHA, "accountId": None} in [json.loads(one["Body"]) for one in received]
    before = attempts()
    answer = hosts.lambdas.invoke("queue/webhook_deliver", batch("webhook_deliver", "a tenant"))
    assert answer == {"batchItemFailures": []}
    assert attempts() > before


def test_a_signal_goes_all_the_way_by_its_own_message(hosts: Twins, people: Cast) -> None:
    """What the webhook function sends is what the executor's function reads."""
    bot = fresh_bot(hosts, ALPHA)
    body = f'{{"id":"way-{next(_numbers)}","symbol":"EURUSD","action":"buy","quantity":"0.1"}}'
    now_s = hosts.world.ports.clock.now_ns() // 1_000_000_000
    headers = {"x-bot-id": bot.bot_id, "x-signature": sign(bot.secret, now_s, body.encode())}
    event = http_event("POST", "/webhooks/signals", headers=headers, body=body)
    assert hosts.lambdas.request(event).status == 202
    url = hosts.lambdas.settings["queue_orders"]
    received = boto3.client("sqs").receive_message(
        QueueUrl=url, AttributeNames=["All"], MaxNumberOfMessages=10
    )["Messages"]
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:orders.fifo",
            "awsRegion": "eu-central-1",
        }
        for message in received
    ]
    assert bot.account_id in [record["attributes"]["MessageGroupId"] for record in records]
    answer = hosts.lambdas.invoke("queue/order_execute", {"Records": records})
    assert answer == {"batchItemFailures": []}
    assert filled_orders(hosts, bot) == 1


def test_a_store_that_is_down_fails_every_message_once(
    hosts: Twins, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others need not wait for the same store."""
    function = hosts.lambdas.entry("queue/order_execute")._function
    tried = []

    async def handle(ports: Any, *arguments: Any) -> int:
        tried.append(arguments)
        raise StoreUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(function, "_handle", handle)
    words = {"account": people.account_id, "foreignAccount": people.account_id}
    event = batch("order_execute", "two accounts of two tenants", **words)
    with pytest.raises(BatchProcessingError):
        hosts.lambdas.invoke("queue/order_execute", event)
    assert len(tried) == 1


def test_both_hosts_may_execute_at_once(hosts: Twins, people: Cast) -> None:
    bots = [fresh_bot(hosts, ALPHA) for _ in range(3)]

    async def begin() -> Any:
        for _ in range(5):
            for bot in bots:
                await signal(hosts, bot)
        block = executing(hosts.world)
        await block.__aenter__()
        return block

    block = hosts.do(begin())
    try:
        for bot in bots:
            event = batch("order_execute", "one account", account=bot.account_id)
            answer = hosts.lambdas.invoke("queue/order_execute", event)
            assert answer == {"batchItemFailures": []}
            # The message was done only when every row of its account was.
            assert filled_orders(hosts, bot) == 5
    finally:
        hosts.do(block.__aexit__(None, None, None))
