"""Every manifest has its Lambda and what wakes it; the stages differ in what the context says."""

import platform
import re
import sys

import pytest

from quantlab_adapters.aws.wakes import GATHERED_NS
from quantlab_cdk.alarms import alarm_names
from quantlab_cdk.app import lambdas
from quantlab_cdk.gateway_http import route_keys
from quantlab_cdk.queues import TRIES
from quantlab_manifest import HttpWake, Manifest, QueueWake, ScheduleWake, SocketWake
from tests.infra.template import Synthesized, flat, several, texts, typed

MANIFESTS = lambdas()
RESOURCES_MAX = 500
TEMPLATE_BYTES_MAX = 1_000_000


def of(kind: type) -> list[Manifest]:
    found = [manifest for manifest in MANIFESTS if isinstance(manifest.wake, kind)]
    assert found
    return found


def name(manifest: Manifest) -> str:
    return f"{manifest.kind}-{manifest.name}"


@pytest.fixture(params=["aws", "local"])
def stage(request: pytest.FixtureRequest) -> Synthesized:
    found: Synthesized = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_it_has_a_lambda_of_its_size(stage: Synthesized, manifest: Manifest) -> None:
    _, function = stage.function(manifest)
    assert function["MemorySize"] == manifest.memory_mb
    least_s = 60 if "aws-local" in function["FunctionName"] else 0
    assert function["Timeout"] == max(manifest.timeout_s, least_s)
    assert function["Handler"] == "quantlab_edge.lambdas.handler"
    assert len(function["Layers"]) == 4
    queue = isinstance(manifest.wake, QueueWake)
    reserved = function.get("ReservedConcurrentExecutions")
    assert reserved == (None if queue else manifest.concurrency)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_it_has_a_role_of_its_own(stage: Synthesized, manifest: Manifest) -> None:
    logical, role = stage.role(manifest)
    used_by = [
        function["Properties"]["Role"]["Fn::GetAtt"][0]
        for function in stage.of("AWS::Lambda::Function").values()
    ]
    assert used_by.count(logical) == 1
    assert "ManagedPolicyArns" not in role


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_its_alarms_are_there_and_somebody_hears_them(
    stage: Synthesized, manifest: Manifest
) -> None:
    (topic,) = typed(stage.alarms, "AWS::SNS::Topic")
    for alarm in alarm_names(manifest):
        assert several(stage.alarm(manifest, alarm)["AlarmActions"]) == [{"Ref": topic}]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_its_alarms_look_at_it_by_the_names_that_are_deployed(
    stage: Synthesized, manifest: Manifest
) -> None:
    """Of a name that does not exist there would be no data, which most alarms take for well."""
    function = stage.function(manifest)[1]["FunctionName"]
    queues = set()
    if isinstance(manifest.wake, QueueWake):
        queues = {queue["QueueName"] for queue in stage.queues(stage.mapping(manifest))}
    seen: dict[str, set[str]] = {"FunctionName": set(), "QueueName": set()}
    for alarm in alarm_names(manifest):
        (dimension,) = stage.alarm(manifest, alarm)["Dimensions"]
        seen[dimension["Name"]].add(dimension["Value"])
    assert seen == {"FunctionName": {function}, "QueueName": queues}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_its_log_is_kept_for_a_while(stage: Synthesized, manifest: Manifest) -> None:
    _, function = stage.function(manifest)
    logs = stage.of("AWS::Logs::LogGroup")[function["LoggingConfig"]["LogGroup"]["Ref"]]
    assert logs["Properties"]["LogGroupName"] == f"/aws/lambda/{function['FunctionName']}"
    assert logs["Properties"]["RetentionInDays"] == 30


@pytest.mark.parametrize("manifest", of(HttpWake), ids=name)
def test_its_paths_lead_to_it(stage: Synthesized, manifest: Manifest) -> None:
    assert isinstance(manifest.wake, HttpWake)
    logical, _ = stage.function(manifest)
    (integration,) = (
        key
        for key, resource in stage.of("AWS::ApiGatewayV2::Integration").items()
        if resource["Properties"]["IntegrationUri"] == {"Fn::GetAtt": [logical, "Arn"]}
    )
    assert (
        stage.of("AWS::ApiGatewayV2::Integration")[integration]["Properties"][
            "PayloadFormatVersion"
        ]
        == "2.0"
    )
    routes = [
        resource["Properties"]
        for resource in stage.of("AWS::ApiGatewayV2::Route").values()
        if flat(resource["Properties"]["Target"]) == f"integrations/<{integration}>"
    ]
    assert {route["RouteKey"] for route in routes} == set(route_keys(manifest.wake))
    kinds = {route.get("AuthorizationType", "NONE") for route in routes}
    assert kinds == {"NONE" if manifest.wake.public else "CUSTOM"}


def test_one_place_in_a_path_has_one_name(stage: Synthesized) -> None:
    """The gateway refuses two names of a variable at the same place."""
    names: dict[str, str] = {}
    for resource in stage.of("AWS::ApiGatewayV2::Route").values():
        path = resource["Properties"]["RouteKey"].removeprefix("ANY ")
        place = ""
        for part in path.split("/"):
            if part.startswith("{") and part != "{proxy+}":
                assert names.setdefault(place, part) == part
                part = "{}"  # noqa: PLW2901 - all names of a place are one
            place += f"/{part}"


def test_the_authorizer_is_asked_about_everything_and_never_remembered(stage: Synthesized) -> None:
    (authorizer,) = stage.of("AWS::ApiGatewayV2::Authorizer").values()
    properties = authorizer["Properties"]
    assert properties["AuthorizerResultTtlInSeconds"] == 0
    assert properties.get("IdentitySource", []) == []
    assert properties["EnableSimpleResponses"] is True
    assert properties["AuthorizerPayloadFormatVersion"] == "2.0"


@pytest.mark.parametrize("manifest", of(SocketWake), ids=name)
def test_its_socket_route_leads_to_it(stage: Synthesized, manifest: Manifest) -> None:
    assert isinstance(manifest.wake, SocketWake)
    logical, _ = stage.function(manifest)
    (route,) = (
        resource["Properties"]
        for resource in stage.of("AWS::ApiGatewayV2::Route").values()
        if resource["Properties"]["RouteKey"] == manifest.wake.route
        and flat(resource["Properties"]["ApiId"]).startswith("<Socket")
    )
    integration = flat(route["Target"]).removeprefix("integrations/<").removesuffix(">")
    uri = stage.spine["Resources"][integration]["Properties"]["IntegrationUri"]
    assert f"<{logical}.Arn>/invocations" in flat(uri)


@pytest.mark.parametrize("manifest", of(QueueWake), ids=name)
def test_its_queue_feeds_it(stage: Synthesized, manifest: Manifest) -> None:
    assert isinstance(manifest.wake, QueueWake)
    mapping = stage.mapping(manifest)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == max(2, manifest.concurrency)
    queue, dead = stage.queues(mapping)
    assert queue["FifoQueue"] is True
    assert queue["QueueName"].endswith(f"-{manifest.wake.queue}.fifo")
    assert queue["VisibilityTimeout"] == 6 * manifest.timeout_s
    assert queue["RedrivePolicy"]["maxReceiveCount"] == TRIES
    held_back_ns = queue.get("DelaySeconds", 0) * 1_000_000_000
    assert held_back_ns == (2 * GATHERED_NS if manifest.wake.gathers else 0)
    assert dead["QueueName"].endswith(f"-{manifest.wake.queue}-dead.fifo")
    assert dead["FifoQueue"] is True
    assert dead["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


@pytest.mark.parametrize("manifest", of(ScheduleWake), ids=name)
def test_its_timer_wakes_it(stage: Synthesized, manifest: Manifest) -> None:
    assert isinstance(manifest.wake, ScheduleWake)
    logical, _ = stage.function(manifest)
    (rule,) = (
        resource["Properties"]
        for resource in stage.of("AWS::Events::Rule").values()
        if resource["Properties"]["Targets"][0]["Arn"] == {"Fn::GetAtt": [logical, "Arn"]}
    )
    match = re.fullmatch(r"rate\((\d+) (minute|hour)s?\)", rule["ScheduleExpression"])
    assert match is not None
    every_ms = int(match[1]) * {"minute": 60_000, "hour": 3_600_000}[match[2]]
    assert every_ms == max(60_000, manifest.wake.every_ms)


@pytest.mark.parametrize("manifest", of(QueueWake), ids=name)
def test_its_queue_is_swept_every_minute(stage: Synthesized, manifest: Manifest) -> None:
    logical, _ = stage.function(manifest)
    (rule,) = (
        resource["Properties"]
        for resource in stage.of("AWS::Events::Rule").values()
        if resource["Properties"]["Targets"][0]["Arn"] == {"Fn::GetAtt": [logical, "Arn"]}
    )
    assert rule["ScheduleExpression"] == "rate(1 minute)"


def test_every_lambda_may_be_called_by_what_wakes_it(stage: Synthesized) -> None:
    permitted = {
        flat(permission["Properties"]["FunctionName"])
        for permission in stage.of("AWS::Lambda::Permission").values()
    }
    for manifest in MANIFESTS:
        if manifest.kind in {"http", "socket", "queue", "schedule", "gateway"}:
            assert f"<{stage.function(manifest)[0]}.Arn>" in permitted, manifest.name


def test_the_cloud_runs_on_arm_and_this_machine_on_what_it_has(
    aws: Synthesized, local: Synthesized
) -> None:
    def machines(stage: Synthesized) -> set[tuple[str, str]]:
        return {
            (function["Properties"]["Architectures"][0], function["Properties"]["Runtime"])
            for function in stage.of("AWS::Lambda::Function").values()
        }

    here = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    assert machines(aws) == {("arm64", "python3.14")}
    assert machines(local) == {(here, f"python3.{sys.version_info.minor}")}


def test_the_local_stage_has_all_that_the_cloud_has(aws: Synthesized, local: Synthesized) -> None:
    """MiniStack knows every type that is used: nothing has to be left out."""
    for left, right in zip(aws.templates, local.templates, strict=True):
        kinds = [
            sorted(resource["Type"] for resource in template["Resources"].values())
            for template in (left, right)
        ]
        assert kinds[0] == kinds[1]
    assert "AWS_ENDPOINT_URL" not in set(texts(aws.spine))
    assert aws.stacks == local.stacks == {"Spine", "Tenants", "Alarms"}


def test_a_stack_stays_within_what_the_service_takes(stage: Synthesized) -> None:
    for template in stage.templates:
        assert len(template["Resources"]) < RESOURCES_MAX * 0.8
        assert sum(map(len, texts(template))) < TEMPLATE_BYTES_MAX * 0.8


def test_what_is_kept_outlives_the_stack_on_aws_only(aws: Synthesized, local: Synthesized) -> None:
    for kind in ("AWS::S3::Bucket", "AWS::SecretsManager::Secret"):
        assert {item["DeletionPolicy"] for item in aws.of(kind).values()} == {"Retain"}
        assert {item["DeletionPolicy"] for item in local.of(kind).values()} == {"Delete"}


def test_what_is_reserved_leaves_room_in_an_account(aws: Synthesized) -> None:
    """An account begins with 1000 executions at once, of which 100 cannot be reserved."""
    reserved = [
        function["Properties"].get("ReservedConcurrentExecutions", 0)
        for function in aws.of("AWS::Lambda::Function").values()
    ]
    assert 0 < sum(reserved) <= 500
