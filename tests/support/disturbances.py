"""What disturbs a local cloud's queues during a run: late, doubled wakes; executors that die.

Wakes are deliveries on a cloud's queues only: elsewhere nothing is disturbed.
"""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.support.aws_platform import AwsPlatform
from tests.support.cloud import BackDoor
from tests.support.running_platform import Platform
from tests.support.signals_load import LoadBot

SEED = 20140502
# An executor that waits for a lock longer than its timeout is killed in the middle of its turn;
# one that has just been started needs some of that time to import what it runs.
TIMEOUT_S, VISIBLE_AGAIN_S, LOCKED_S = 5, 6, 8.0
LOCKED_ACCOUNTS, FREE_S = 8, 12.0
DISTURBED_EVERY_S = 0.2
DOUBLED_AT_ONCE = 6


@contextmanager
def disturbances(made: Platform, bots: list[LoadBot]) -> Iterator[None]:
    """Disturb the cloud while a run sends; assert afterwards that it was disturbed."""
    if not isinstance(made, AwsPlatform):
        yield
        return
    door, counts = BackDoor(made), {"doubled": 0, "held back": 0}
    with ExitStack() as stack:
        stack.enter_context(impatient(door))
        stack.enter_context(_beside(lambda stop: _disturb(door, bots, counts, stop)))
        stack.enter_context(_beside(lambda stop: _lock(made, bots, stop)))
        yield
    assert counts["doubled"] > DOUBLED_AT_ONCE
    assert counts["held back"] > 0
    assert door.log_lines("queue/order_execute", "timed out")


@contextmanager
def impatient(door: BackDoor, absence_s: int = VISIBLE_AGAIN_S) -> Iterator[None]:
    """Give the executor little time and its messages a short absence; undo it afterwards."""
    functions, queues = door.client("lambda"), door.client("sqs")
    name, url = door.function_name("queue/order_execute"), door.queue_url("orders")
    timeout = functions.get_function_configuration(FunctionName=name)["Timeout"]
    asked = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    visibility = asked["Attributes"]["VisibilityTimeout"]

    def set_to(seconds: int, absence: str) -> None:
        functions.update_function_configuration(FunctionName=name, Timeout=seconds)
        queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": absence})

    set_to(TIMEOUT_S, str(absence_s))
    try:
        yield
    finally:
        set_to(timeout, visibility)


@contextmanager
def _beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def _disturb(
    door: BackDoor, bots: list[LoadBot], counts: dict[str, int], stop: threading.Event
) -> None:
    """Take wakes out of the queue and give them back twice and in another order."""
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

    while not stop.wait(DISTURBED_EVERY_S):
        for bot in chance.sample(bots, DOUBLED_AT_ONCE):
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


def _lock(made: Platform, bots: list[LoadBot], stop: threading.Event) -> None:
    """Hold busy accounts' rows for longer than an executor may run, at once and again and again."""
    chance = random.Random(SEED + 1)
    while not stop.is_set():
        accounts = [bot.account_id for bot in chance.sample(bots, LOCKED_ACCOUNTS)]
        with made.database() as connection, connection.transaction():
            connection.execute(
                "select from account where account_id = any(%s::uuid[])"
                " order by tenant_id, account_id for update",
                (accounts,),
            )
            time.sleep(LOCKED_S)
        stop.wait(FREE_S)
