"""On the cloud's queues, wakes nobody can read become dead letters; the soak disturbs the rest."""

import asyncio
import time

import pytest

from tests.support.aws_platform import AwsPlatform
from tests.support.cloud import BackDoor
from tests.support.disturbances import impatient
from tests.support.running_platform import Platform

# Wakes are deliveries on a cloud's queues only.
pytestmark = [
    pytest.mark.stack,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("running", ["aws-local"], indirect=True, scope="package"),
]
ABSENCE_S = 2


async def test_wakes_of_nothing_and_of_nobody_do_no_harm(running: Platform) -> None:
    """A wake names a tenant and an account; one that names none waits among the dead letters."""
    assert isinstance(running, AwsPlatform)
    door = BackDoor(running)
    queues, url = door.client("sqs"), door.queue_url("orders")
    before = door.waiting("orders", dead_letters=True)
    with impatient(door, ABSENCE_S):
        for number, body in enumerate(("no JSON", "{}", '{"tenantId":"nobody","accountId":null}')):
            queues.send_message(
                QueueUrl=url, MessageBody=body, MessageGroupId=f"wrong-{number}",
                MessageDeduplicationId=f"wrong-{time.time_ns()}",
            )  # fmt: skip
        deadline = time.monotonic() + 300
        while door.waiting("orders", dead_letters=True) < before + 2:
            assert time.monotonic() < deadline, "two wakes nobody can read are not dead letters"
            await asyncio.sleep(0.5)
