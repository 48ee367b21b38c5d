"""The stack of sweeps: an array job on Fargate whose role reaches one bucket; off by default."""

import json
from typing import Any

import pytest
from aws_cdk import App

from quantlab_cdk.places import ROOT
from quantlab_cdk.stage import WrongContextError, stage_of
from quantlab_cdk.sweeps import Sweeps
from quantlab_server.backtests.shards import INDEXES
from quantlab_server.backtests.splitting import SHARDS_MAX
from quantlab_server.cli.sweep_shards import shard
from tests.infra.template import Resource, flat, several, typed

OURS = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/firm/quantlab:1.2"
PUBLIC = "registry.example/quantlab@sha256:0"


def template(image: str, stage: str = "aws") -> dict[str, Any]:
    settings = json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]
    context = settings | {"stage": stage, "sweep_image": image}
    app = App(context=context, analytics_reporting=False)
    found = stage_of(app.node)
    assert found.sweep_image is not None
    Sweeps(app, found, found.sweep_image)
    written: dict[str, Any] = app.synth().get_stack_artifact("Sweeps").template
    return written


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return template(OURS)


def only(found: dict[str, Any], kind: str) -> tuple[str, Resource]:
    ((name, resource),) = typed(found, kind).items()
    return name, resource["Properties"]


def role(found: dict[str, Any], attribute: str) -> list[Resource]:
    _, job = only(found, "AWS::Batch::JobDefinition")
    name = job["ContainerProperties"][attribute]["Fn::GetAtt"][0]
    properties = found["Resources"][name]["Properties"]
    trust = properties["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert "ManagedPolicyArns" not in properties
    (policy,) = properties["Policies"]
    statements: list[Resource] = policy["PolicyDocument"]["Statement"]
    assert all(one["Effect"] == "Allow" for one in statements)
    return statements


def test_the_job_runs_the_shard_of_a_place(ours: dict[str, Any]) -> None:
    _, job = only(ours, "AWS::Batch::JobDefinition")
    container = job["ContainerProperties"]
    assert container["Command"][:4] == ["quantlab", "sweep", "shard", "Ref::place"]
    assert callable(shard)
    assert "AWS_BATCH_JOB_ARRAY_INDEX" in INDEXES
    assert SHARDS_MAX == 10_000  # the most children of an array job
    assert container["Image"] == OURS
    assert (job["PlatformCapabilities"], job["RetryStrategy"]["Attempts"]) == (["FARGATE"], 5)
    assert container["RuntimePlatform"]["CpuArchitecture"] == "ARM64"
    needs = {one["Type"]: one["Value"] for one in container["ResourceRequirements"]}
    assert needs == {"VCPU": "1", "MEMORY": "4096"}


def test_its_queue_leads_to_fargate(ours: dict[str, Any]) -> None:
    name, machines = only(ours, "AWS::Batch::ComputeEnvironment")
    _, queue = only(ours, "AWS::Batch::JobQueue")
    assert [one["ComputeEnvironment"] for one in queue["ComputeEnvironmentOrder"]] == [
        {"Ref": name}
    ]
    resources = machines["ComputeResources"]
    assert resources["Type"] == "FARGATE_SPOT"
    assert {subnet["Ref"] for subnet in resources["Subnets"]} == set(
        typed(ours, "AWS::EC2::Subnet")
    )


def test_nothing_comes_in_and_only_https_goes_out(ours: dict[str, Any]) -> None:
    _, group = only(ours, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    (way,) = group["SecurityGroupEgress"]
    assert (way["FromPort"], way["ToPort"], way["IpProtocol"]) == (443, 443, "tcp")
    assert not typed(ours, "AWS::EC2::SecurityGroupIngress")
    assert not typed(ours, "AWS::EC2::NatGateway")


def test_a_shard_reaches_the_bucket_of_sweeps_and_nothing_else(ours: dict[str, Any]) -> None:
    bucket, properties = only(ours, "AWS::S3::Bucket")
    assert all(properties["PublicAccessBlockConfiguration"].values())
    found = {
        (action, flat(one["Resource"]))
        for one in role(ours, "JobRoleArn")
        for action in several(one["Action"])
    }
    assert found == {
        ("s3:GetObject", f"<{bucket}.Arn>/*"),
        ("s3:PutObject", f"<{bucket}.Arn>/*"),
        ("s3:ListBucket", f"<{bucket}.Arn>"),
    }


def test_what_starts_it_reads_the_one_repository(ours: dict[str, Any]) -> None:
    statements = {one["Sid"]: one for one in role(ours, "ExecutionRoleArn")}
    assert set(statements) == {"Logs", "Image", "Registry"}
    image = flat(statements["Image"]["Resource"])
    assert image.endswith(":ecr:eu-west-1:123456789012:repository/firm/quantlab")
    assert several(statements["Registry"]["Action"]) == ["ecr:GetAuthorizationToken"]
    logs, _ = only(ours, "AWS::Logs::LogGroup")
    assert flat(statements["Logs"]["Resource"]) == f"<{logs}.Arn>"
    # Of a registry of others nothing has to be allowed.
    statements = {one["Sid"]: one for one in role(template(PUBLIC), "ExecutionRoleArn")}
    assert set(statements) == {"Logs"}


def test_a_local_cloud_has_none() -> None:
    with pytest.raises(WrongContextError, match="-c sweep_image: a local cloud has no AWS Batch"):
        template(OURS, "aws-local")
