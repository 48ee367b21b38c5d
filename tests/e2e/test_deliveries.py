"""On the cloud's queues: wakes doubled, out of order, held back; executors killed by timeouts."""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.accounting import assert_acknowledged_once, assert_answered_are_counted
from tests.support.aws_platform import AwsPlatform
from tests.support.cloud import BackDoor
from tests.support.load_house import (
    cleared,
    ends_of,
    fifty_bots,
    invariants,
    senders,
    settled,
)
from tests.support.running_platform import Platform
from tests.support.signals_load import LoadBot, Log

# Wakes are deliveries on a cloud's queues only.
pytestmark = [
    pytest.mark.stack,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("running", ["aws-local"], indirect=True, scope="package"),
]
ATTEMPTS, SEED = 1_000, 20140502
# An executor that waits for a lock longer than its timeout is killed in the middle of its turn;
# one that has just been started needs some of that time to import what it runs.
TIMEOUT_S, VISIBLE_AGAIN_S, LOCKED_S = 5, 6, 6.0
LOCKED_ACCOUNTS = 20
EVERY_S = 0.1


@pytest.fixture
def cloud(running: Platform) -> AwsPlatform:
    assert isinstance(running, AwsPlatform)
    return running


async def test_disturbed_deliveries_lose_and_double_nothing(cloud: AwsPlatform) -> None:
    door, bots = BackDoor(cloud), await fifty_bots(cloud)
    before, log = ends_of(cloud), Log()
    with _impatient(door), _disturbed(door, bots) as disturbed, _locking(cloud, bots):
        async with senders(cloud, bots, log, SEED) as sending:
            await sending.run(ATTEMPTS, cloud.senders)
    assert await settled(cloud), cloud.last_words()
    assert disturbed["doubled"] > ATTEMPTS / 20
    assert disturbed["held back"] > 0
    assert _killed(door) > 0

    assert not log.surprises, f"{len(log.surprises)}: " + "\n".join(log.surprises[:20])
    assert_answered_are_counted(ends_of(cloud).since(before), log)
    assert_acknowledged_once(cloud, log)
    findings = await invariants(cloud)
    assert not findings, str(findings)
    assert await cleared(cloud)


@contextmanager
def _impatient(door: BackDoor) -> Iterator[None]:
    """Give the executor little time and its messages a short absence; undo it afterwards."""
    functions, queues = door.client("lambda"), door.client("sqs")
    name, url = door.function_name("queue/order_execute"), door.queue_url("orders")
    timeout = functions.get_function_configuration(FunctionName=name)["Timeout"]
    asked = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    visibility = asked["Attributes"]["VisibilityTimeout"]

    def set_to(seconds: int, absence: str) -> None:
        functions.update_function_configuration(FunctionName=name, Timeout=seconds)
        queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": absence})

    set_to(TIMEOUT_S, str(VISIBLE_AGAIN_S))
    try:
        yield
    finally:
        set_to(timeout, visibility)


@contextmanager
def _disturbed(door: BackDoor, bots: list[LoadBot]) -> Iterator[dict[str, int]]:
    """Take wakes out of the queue and give them back twice and in another order."""
    counts = {"doubled": 0, "held back": 0}
    stop = threading.Event()
    thread = threading.Thread(target=_disturb, args=(door, bots, counts, stop))
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join(30)


def _disturb(
    door: BackDoor, bots: list[LoadBot], counts: dict[str, int], stop: threading.Event
) -> None:
    chance = random.Random(SEED)
    queues, url = door.client("sqs"), door.queue_url("orders")
    number = 0

    def send(body: str, group: str) -> None:
        nonlocal number
        number += 1
        queues.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId=group,
            MessageDeduplicationId=f"disturbed-{number}",
        )  # fmt: skip

    while not stop.wait(EVERY_S):
        for bot in chance.sample(bots, 6):
            wake = {"tenantId": bot.tenant_id, "accountId": bot.account_id}
            send(json.dumps(wake), chance.choice([bot.account_id, "another"]))
            counts["doubled"] += 1
        held: list[dict[str, Any]] = queues.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["MessageGroupId"]
        ).get("Messages", [])
        for message in reversed(held):
            for _ in range(2):
                send(message["Body"], message["Attributes"]["MessageGroupId"])
            # One that was held for too long is back in the queue: a third delivery.
            with contextlib.suppress(queues.exceptions.ReceiptHandleIsInvalid):
                queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            counts["held back"] += 1


@contextmanager
def _locking(cloud: AwsPlatform, bots: list[LoadBot]) -> Iterator[None]:
    """Hold busy accounts' rows for longer than an executor may run, again and again."""
    stop = threading.Event()
    thread = threading.Thread(target=_lock, args=(cloud, bots, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def _lock(cloud: AwsPlatform, bots: list[LoadBot], stop: threading.Event) -> None:
    chance = random.Random(SEED + 1)
    while not stop.wait(1.0):
        accounts = [bot.account_id for bot in chance.sample(bots, LOCKED_ACCOUNTS)]
        with cloud.database() as connection, connection.transaction():
            connection.execute(
                "select from account where account_id = any(%s::uuid[])"
                " order by tenant_id, account_id for update",
                (accounts,),
            )
            time.sleep(LOCKED_S)


def _killed(door: BackDoor) -> int:
    """Count the executions that ended by their timeout, as the cloud's log tells."""
    return len(door.log_lines("queue/order_execute", "timed out"))


async def test_wakes_of_nothing_and_of_nobody_do_no_harm(cloud: AwsPlatform) -> None:
    """A wake names a tenant and an account; one that names none waits among the dead letters."""
    door = BackDoor(cloud)
    queues, url = door.client("sqs"), door.queue_url("orders")
    before = door.waiting("orders", dead_letters=True)
    with _impatient(door):
        for number, body in enumerate(("no JSON", "{}", '{"tenantId":"nobody","accountId":null}')):
            queues.send_message(
                QueueUrl=url, MessageBody=body, MessageGroupId=f"wrong-{number}",
                MessageDeduplicationId=f"wrong-{time.time_ns()}",
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while door.waiting("orders", dead_letters=True) < before + 2:
            assert time.monotonic() < deadline, "two wakes nobody can read are not dead letters"
            await asyncio.sleep(0.5)
