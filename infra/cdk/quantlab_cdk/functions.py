"""One Lambda from one manifest: code, role, log group; all of them named alike."""

from typing import Final

from aws_cdk import ArnFormat, AssetHashType, Duration, RemovalPolicy, Stack
from aws_cdk.aws_iam import PolicyDocument, PolicyStatement, Role, ServicePrincipal
from aws_cdk.aws_lambda import Code as LambdaCode
from aws_cdk.aws_lambda import Function, LayerVersion
from aws_cdk.aws_logs import LogGroup, RetentionDays
from constructs import Construct

from quantlab_cdk.code import Asset, Code, identity
from quantlab_cdk.findings import LOG_STREAMS, acknowledge, acknowledge_wildcard
from quantlab_cdk.permissions import grants_of
from quantlab_cdk.resources import Resources
from quantlab_manifest import Manifest

HANDLER: Final = "quantlab_edge.lambdas.handler"
THIS_PYTHON: Final = "A local cloud runs functions on the Python of this machine."
LOG_RETENTION: Final = RetentionDays.ONE_MONTH


def pascal(text: str) -> str:
    """Return a name as construct ids are written."""
    return "".join(part.capitalize() for part in text.split("_"))


def function_name(prefix: str, manifest: Manifest) -> str:
    """Return the name of a function's Lambda, the same for ever."""
    return f"{prefix}-{manifest.kind}-{manifest.name}"


class Functions(Construct):
    """Makes Lambdas that share layers and an environment."""

    def __init__(self, scope: Construct, code: Code, resources: Resources) -> None:
        super().__init__(scope, "Functions")
        self._code = code
        self._resources = resources
        self._layers = [_layer(self, resources, name, code.layers[name]) for name in code.layers]
        self._environment = resources.environment()

    def make(self, manifest: Manifest) -> Function:
        """Make the Lambda of a manifest; what wakes it is added by the caller."""
        stage = self._resources.stage
        place = Construct(self, pascal(manifest.kind) + pascal(manifest.name))
        name = function_name(stage.prefix, manifest)
        logs = LogGroup(
            place,
            "Logs",
            log_group_name=f"/aws/lambda/{name}",
            retention=LOG_RETENTION,
            removal_policy=RemovalPolicy.DESTROY,
        )
        asset = self._code.functions[identity(manifest)]
        reserved = manifest.concurrency if manifest.kind != "queue" else None
        function = Function(
            place,
            "Function",
            function_name=name,
            description=manifest.description,
            runtime=stage.runtime,
            architecture=stage.architecture,
            handler=HANDLER,
            code=_uploaded(asset),
            layers=self._layers,
            memory_size=manifest.memory_mb,
            timeout=Duration.seconds(stage.timeout_s(manifest.timeout_s)),
            reserved_concurrent_executions=reserved,
            environment=self._environment | {"QUANTLAB_FUNCTION": identity(manifest)},
            role=self._role(place, name, manifest),
            log_group=logs,
        )
        if stage.is_local:
            acknowledge(function, "L1", THIS_PYTHON)
        return function

    def _role(self, place: Construct, name: str, manifest: Manifest) -> Role:
        grants = grants_of(manifest.ports)
        streams = self._log_streams(name)
        statements = [grant.statement(self._resources) for grant in grants]
        statements.append(
            PolicyStatement(
                sid="Logs",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[streams],
            )
        )
        role = Role(
            place,
            "Role",
            description=f"What {identity(manifest)} may do.",
            assumed_by=ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={"Function": PolicyDocument(statements=statements)},
        )
        acknowledge_wildcard(role, streams, LOG_STREAMS)
        for grant in grants:
            for resource in grant.on(self._resources) if grant.wildcard_reason else ():
                acknowledge_wildcard(role, resource, grant.wildcard_reason or "")
        return role

    def _log_streams(self, name: str) -> str:
        return Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"/aws/lambda/{name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )


def _uploaded(asset: Asset) -> LambdaCode:
    return LambdaCode.from_asset(
        str(asset.packed()), asset_hash=asset.digest, asset_hash_type=AssetHashType.CUSTOM
    )


def _layer(scope: Construct, resources: Resources, name: str, asset: Asset) -> LayerVersion:
    stage = resources.stage
    return LayerVersion(
        scope,
        f"{pascal(name)}Layer",
        layer_version_name=f"{stage.prefix}-{name}",
        description=f"{name}, {asset.digest[:20]}",
        code=_uploaded(asset),
        compatible_runtimes=[stage.runtime],
        compatible_architectures=[stage.architecture],
        removal_policy=RemovalPolicy.DESTROY,
    )
