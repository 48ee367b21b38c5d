"""What a test does to a local cloud behind the platform's back: its queues, functions and logs."""

from typing import Any

import boto3

from tests.support.aws_platform import AwsPlatform

PREFIX = "quantlab-aws-local"


class BackDoor:
    """The cloud a platform was deployed to, as an operator reaches it."""

    def __init__(self, made: AwsPlatform) -> None:
        self._session = boto3.Session("test", "test", region_name="us-east-1")
        self._endpoint = made.endpoint

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._endpoint)  # type: ignore[call-overload]

    def queue_url(self, queue: str, *, dead_letters: bool = False) -> str:
        name = f"{PREFIX}-{queue}{'-dead' if dead_letters else ''}.fifo"
        return str(self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])

    def waiting(self, queue: str, *, dead_letters: bool = False) -> int:
        asked = self.client("sqs").get_queue_attributes(
            QueueUrl=self.queue_url(queue, dead_letters=dead_letters),
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])

    def function_name(self, identity: str) -> str:
        return f"{PREFIX}-{identity.replace('/', '-')}"

    def log_lines(self, identity: str, text: str) -> list[str]:
        group = f"/aws/lambda/{self.function_name(identity)}"
        pages = self.client("logs").get_paginator("filter_log_events")
        return [
            event["message"]
            for page in pages.paginate(logGroupName=group)
            for event in page["events"]
            if text in event["message"]
        ]
