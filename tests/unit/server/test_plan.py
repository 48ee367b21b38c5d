"""Processes from manifests."""

from pathlib import Path

import pytest

from quantlab_manifest import (
    DeployWake,
    GatewayWake,
    HttpWake,
    Kind,
    Manifest,
    QueueWake,
    ScheduleWake,
    Wake,
    WorkerWake,
)
from quantlab_server.plan import one, roles_of
from quantlab_server.refusal import Refusal


def manifest(kind: Kind, name: str, wake: Wake) -> Manifest:
    return Manifest(name, kind, "A function.", 128, 30, 1, (), (), wake, Path("functions") / name)


ALL = (
    manifest("http", "orders", HttpWake(("/orders",), "router")),
    manifest("http", "accounts", HttpWake(("/accounts",), "router")),
    manifest("queue", "order_execute", QueueWake("orders")),
    manifest("schedule", "day_roll", ScheduleWake(60_000)),
    manifest("schedule", "retention", ScheduleWake(60_000)),
    manifest("worker", "market_feed", WorkerWake()),
)


def test_one_process_each_for_queues_and_workers_and_one_for_the_rest() -> None:
    assert [(role.name, role.arguments) for role in roles_of(ALL)] == [
        ("queue:order_execute", ("queue", "order_execute")),
        ("worker:market_feed", ("worker", "market_feed")),
        ("scheduler", ("scheduler",)),
        ("server", ("server",)),
    ]


def test_no_schedule_means_no_scheduler() -> None:
    assert [role.name for role in roles_of(ALL[2:3])] == ["queue:order_execute"]


def test_what_is_only_on_aws_has_no_process() -> None:
    only = (
        manifest("gateway", "authorizer", GatewayWake("authorizer")),
        manifest("deploy", "tenant", DeployWake("tenant")),
        manifest("worker", "socket_push", WorkerWake("aws")),
    )
    assert roles_of(only) == ()
    assert roles_of((*ALL, *only)) == roles_of(ALL)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    assert one(ALL, "worker", "market_feed") is ALL[5]
    with pytest.raises(Refusal, match="expected one of order_execute"):
        one(ALL, "queue", "order_repeat")
