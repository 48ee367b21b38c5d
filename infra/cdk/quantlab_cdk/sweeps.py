"""Sweeps over several machines: an array job of AWS Batch, a shard each, on spare Fargate.

It is there where the context names an image (`-c sweep_image=...`), and knows nothing of the spine.
"""

import re
from typing import Any, Final

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk.aws_batch import CfnComputeEnvironment, CfnJobDefinition, CfnJobQueue
from aws_cdk.aws_ec2 import (
    FlowLogDestination,
    FlowLogOptions,
    GatewayVpcEndpointAwsService,
    GatewayVpcEndpointOptions,
    Peer,
    Port,
    SecurityGroup,
    SubnetConfiguration,
    SubnetType,
    Vpc,
)
from aws_cdk.aws_iam import PolicyDocument, PolicyStatement, Role, ServicePrincipal
from aws_cdk.aws_logs import LogGroup, RetentionDays
from aws_cdk.aws_s3 import BlockPublicAccess, Bucket, BucketEncryption, LifecycleRule
from constructs import Construct

from quantlab_cdk.findings import TAKES_NO_RESOURCE, acknowledge, acknowledge_wildcard
from quantlab_cdk.stage import Stage, WrongContextError

VCPUS_MAX: Final = 64
VCPUS: Final = 1
MEMORY_MB: Final = 4096
TRIES: Final = 5
ATTEMPT_S: Final = 24 * 3600
KEPT_DAYS: Final = 90
HTTPS: Final = 443
CACHE: Final = "/tmp/quantlab"  # noqa: S108 - a container of one task has no other user
# Fields of the ARN of a repository, where the image is one of Amazon's registry.
_ECR: Final = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)")
NO_ACCESS_LOG: Final = (
    "Results of backtests, made by one role and judged by the sweep that merges them; who read"
    " them is no matter of an account."
)
NAMED_BY_OPERATOR: Final = (
    "A sweep is a prefix that the operator names when it is split; the resource names the one"
    " bucket of sweeps."
)
OUTPUTS: Final = {
    "SweepBucket": "Split sweeps into it: quantlab sweep split --place s3://BUCKET/NAME.",
    "SweepQueue": "Submit array jobs to it, of as many children as the sweep has shards.",
    "SweepJob": "The job definition of a shard; its parameter is place.",
}


class Sweeps(Stack):
    """A network of its own, a bucket, a queue, and the job that runs one shard."""

    def __init__(self, scope: Construct, stage: Stage, image: str) -> None:
        if stage.is_local:
            raise WrongContextError("-c sweep_image: a local cloud has no AWS Batch")
        super().__init__(
            scope,
            "Sweeps",
            stack_name=f"{stage.prefix}-sweeps",
            description="QuantLabEngine: sweeps of backtests over several machines.",
            env=stage.environment,
        )
        self._stage = stage
        self._logs = LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/batch/{stage.prefix}-sweeps",
            retention=RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        bucket = self._bucket()
        queue = self._queue(self._vpc())
        job = CfnJobDefinition(
            self,
            "Shard",
            job_definition_name=f"{stage.prefix}-sweep-shard",
            type="container",
            platform_capabilities=["FARGATE"],
            propagate_tags=True,
            retry_strategy=CfnJobDefinition.RetryStrategyProperty(attempts=TRIES),
            timeout=CfnJobDefinition.TimeoutProperty(attempt_duration_seconds=ATTEMPT_S),
            container_properties=self._container(image, bucket),
        )
        found = {
            "SweepBucket": bucket.bucket_name,
            "SweepQueue": queue.ref,
            "SweepJob": job.ref,
        }
        for name, value in found.items():
            CfnOutput(self, name, value=value, description=OUTPUTS[name])

    def _bucket(self) -> Bucket:
        bucket = Bucket(
            self,
            "Bucket",
            encryption=BucketEncryption.S3_MANAGED,
            block_public_access=BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[
                LifecycleRule(
                    expiration=Duration.days(KEPT_DAYS),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=self._stage.removal,
        )
        acknowledge(bucket, "S1", NO_ACCESS_LOG)
        return bucket

    def _vpc(self) -> Vpc:
        """Make public subnets without a way in: shards fetch an image and reach a bucket."""
        destination = FlowLogDestination.to_cloud_watch_logs(self._logs)
        return Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,  # it would take a Lambda with a role to do so
            subnet_configuration=[
                SubnetConfiguration(
                    name="shards", subnet_type=SubnetType.PUBLIC, map_public_ip_on_launch=False
                )
            ],
            gateway_endpoints={
                "S3": GatewayVpcEndpointOptions(service=GatewayVpcEndpointAwsService.S3)
            },
            flow_logs={"Flows": FlowLogOptions(destination=destination)},
        )

    def _queue(self, vpc: Vpc) -> CfnJobQueue:
        group = SecurityGroup(
            self,
            "Shards",
            vpc=vpc,
            description="Shards of sweeps: out by HTTPS, nothing in.",
            allow_all_outbound=False,
        )
        group.add_egress_rule(Peer.any_ipv4(), Port.tcp(HTTPS), "The registry and the bucket.")
        machines = CfnComputeEnvironment(
            self,
            "Machines",
            type="MANAGED",
            compute_environment_name=f"{self._stage.prefix}-sweeps",
            replace_compute_environment=False,
            compute_resources=CfnComputeEnvironment.ComputeResourcesProperty(
                type="FARGATE_SPOT",
                maxv_cpus=VCPUS_MAX,
                subnets=vpc.select_subnets(subnet_type=SubnetType.PUBLIC).subnet_ids,
                security_group_ids=[group.security_group_id],
            ),
        )
        return CfnJobQueue(
            self,
            "Queue",
            job_queue_name=f"{self._stage.prefix}-sweeps",
            priority=1,
            compute_environment_order=[
                CfnJobQueue.ComputeEnvironmentOrderProperty(
                    compute_environment=machines.ref, order=1
                )
            ],
        )

    def _container(self, image: str, bucket: Bucket) -> Any:
        needs = {"VCPU": VCPUS, "MEMORY": MEMORY_MB}
        return CfnJobDefinition.ContainerPropertiesProperty(
            image=image,
            command=["quantlab", "sweep", "shard", "Ref::place", "--jobs", str(VCPUS)],
            environment=[
                CfnJobDefinition.EnvironmentProperty(name="QUANTLAB_NATIVE_FOLDER", value=CACHE)
            ],
            resource_requirements=[
                CfnJobDefinition.ResourceRequirementProperty(type=kind, value=str(value))
                for kind, value in needs.items()
            ],
            runtime_platform=CfnJobDefinition.RuntimePlatformProperty(
                cpu_architecture="ARM64", operating_system_family="LINUX"
            ),
            network_configuration=CfnJobDefinition.NetworkConfigurationProperty(
                assign_public_ip="ENABLED"
            ),
            log_configuration=CfnJobDefinition.LogConfigurationProperty(
                log_driver="awslogs",
                options={
                    "awslogs-group": self._logs.log_group_name,
                    "awslogs-region": self.region,
                    "awslogs-stream-prefix": "shard",
                },
            ),
            execution_role_arn=self._starter(image).role_arn,
            job_role_arn=self._worker(bucket).role_arn,
        )

    def _starter(self, image: str) -> Role:
        """Return what fetches the image and writes the log."""
        statements = [
            PolicyStatement(
                sid="Logs",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[self._logs.log_group_arn],
            )
        ]
        repository = _ECR.match(image)
        if repository is not None:
            account, region, name = repository.groups()
            arn = f"arn:{Aws.PARTITION}:ecr:{region}:{account}:repository/{name}"
            actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
            statements += [
                PolicyStatement(sid="Image", actions=actions, resources=[arn]),
                PolicyStatement(
                    sid="Registry", actions=["ecr:GetAuthorizationToken"], resources=["*"]
                ),
            ]
        role = self._role(
            "Starter", "Fetches the image of shards and writes their log.", statements
        )
        if repository is not None:
            acknowledge_wildcard(role, "*", TAKES_NO_RESOURCE)
        return role

    def _worker(self, bucket: Bucket) -> Role:
        """Return what a shard itself may do."""
        objects = bucket.arn_for_objects("*")
        statements = [
            PolicyStatement(
                sid="Files", actions=["s3:GetObject", "s3:PutObject"], resources=[objects]
            ),
            # Without it the service says of a file that is not there that it is forbidden.
            PolicyStatement(sid="Absent", actions=["s3:ListBucket"], resources=[bucket.bucket_arn]),
        ]
        role = self._role("Worker", "What a shard of a sweep may do.", statements)
        acknowledge_wildcard(role, objects, NAMED_BY_OPERATOR)
        return role

    def _role(self, name: str, description: str, statements: list[PolicyStatement]) -> Role:
        ours = {"StringEquals": {"aws:SourceAccount": self.account}}
        return Role(
            self,
            name,
            description=description,
            assumed_by=ServicePrincipal("ecs-tasks.amazonaws.com", conditions=ours),
            inline_policies={"Shards": PolicyDocument(statements=statements)},
        )
