"""The spine: every function with what wakes it and what it reaches."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import CfnOutput, Stack
from aws_cdk.aws_events import EventBus
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_s3 import BlockPublicAccess, Bucket, BucketEncryption
from aws_cdk.aws_secretsmanager import CfnSecret
from constructs import Construct

from quantlab_cdk.code import Code
from quantlab_cdk.findings import acknowledge
from quantlab_cdk.functions import Functions, pascal
from quantlab_cdk.gateway_http import HttpGateway
from quantlab_cdk.gateway_socket import SocketGateway
from quantlab_cdk.queues import WakeQueue
from quantlab_cdk.resources import Resources
from quantlab_cdk.schedules import schedule, sweep
from quantlab_cdk.stage import Stage
from quantlab_manifest import (
    GatewayWake,
    HttpWake,
    Manifest,
    QueueWake,
    ScheduleWake,
    SocketWake,
)

STORES_CONTENT: Final = '{"databaseUrl": "postgresql://...", "redisUrl": "rediss://..."}'
STORES_BY: Final = (
    "The stores come with a later stack, which rotates their passwords; until then the operator"
    " puts this secret's content."
)
KEYS_BY: Final = (
    "Keys are added, never exchanged: an old master key opens what it sealed. The operator rotates"
    " them by command."
)
NO_ACCESS_LOG: Final = (
    "One worker writes the tick archive and its digests stand in the audit log, which shows any"
    " change; who read it is a matter of the account's trail."
)
OUTPUTS: Final[Mapping[str, str]] = {
    "HttpUrl": "Base address of the HTTP API.",
    "SocketUrl": "Address of the WebSocket API.",
    "SocketEndpoint": "Management address of the WebSocket API.",
    "StoresSecretArn": f"Fill it before you deploy the tenants: {STORES_CONTENT}",
    "KeysSecretArn": "Filled by the first tenant that is deployed.",
    "Environment": "What a worker of this deployment needs in its environment, as JSON.",
}


class Spine(Stack):
    """One stack with everything but the tenants and what watches it."""

    def __init__(
        self, scope: Construct, stage: Stage, manifests: Sequence[Manifest], code: Code
    ) -> None:
        super().__init__(
            scope,
            "Spine",
            stack_name=f"{stage.prefix}-spine",
            description="QuantLabEngine: functions, gateways, queues and schedules.",
            env=stage.environment,
        )
        self.stage = stage
        self._http = HttpGateway(self, stage)
        self._socket = SocketGateway(self, stage)
        self._queues = {
            manifest.wake.queue: WakeQueue(self, stage, manifest, manifest.wake)
            for manifest in manifests
            if isinstance(manifest.wake, QueueWake)
        }
        self.resources = self._resources()
        functions = Functions(self, code, self.resources)
        # The authorizer first: routes refer to it.
        for manifest in sorted(manifests, key=lambda m: not isinstance(m.wake, GatewayWake)):
            self._wake(manifest, functions.make(manifest))
        self._outputs()

    def _wake(self, manifest: Manifest, function: Function) -> None:
        match manifest.wake:
            case HttpWake() as wake:
                self._http.route(manifest, wake, function)
            case SocketWake() as wake:
                self._socket.route(manifest, wake, function)
            case QueueWake(queue):
                self._queues[queue].feed(function)
                sweep(self, self.stage, manifest, function)
            case ScheduleWake() as wake:
                schedule(self, self.stage, manifest, wake, function)
            case GatewayWake():
                self._http.ask(function)

    def _resources(self) -> Resources:
        stores = self._secret("stores", f"Where the stores are: {STORES_CONTENT}", STORES_BY)
        keys = self._secret("keys", "Master and signing keys, made by the first tenant.", KEYS_BY)
        bus = EventBus(self, "Events", event_bus_name=f"{self.stage.prefix}-events")
        archive = self._archive()
        return Resources(
            stack=self,
            stage=self.stage,
            stores_secret_arn=stores.ref,
            keys_secret_arn=keys.ref,
            queue_urls={name: queue.queue.queue_url for name, queue in self._queues.items()},
            queue_arns={name: queue.queue.queue_arn for name, queue in self._queues.items()},
            event_bus_name=bus.event_bus_name,
            event_bus_arn=bus.event_bus_arn,
            archive_name=archive.bucket_name,
            archive_arn=archive.bucket_arn,
            public_url=self.stage.public_url or self._http.url,
            socket_endpoint=self._socket.endpoint,
            socket_connections_arn=self._socket.connections_arn,
        )

    def _secret(self, name: str, description: str, no_rotation: str) -> CfnSecret:
        """Make a secret without content: nothing secret passes through a template."""
        secret = CfnSecret(
            self,
            f"{pascal(name)}Secret",
            name=f"{self.stage.secrets_prefix}/{name}",
            description=description,
        )
        secret.apply_removal_policy(self.stage.removal)
        acknowledge(secret, "SMG4", no_rotation)
        return secret

    def _archive(self) -> Bucket:
        bucket = Bucket(
            self,
            "Archive",
            encryption=BucketEncryption.S3_MANAGED,
            block_public_access=BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            removal_policy=self.stage.removal,
        )
        acknowledge(bucket, "S1", NO_ACCESS_LOG)
        return bucket

    def _outputs(self) -> None:
        found = {
            "HttpUrl": self._http.url,
            "SocketUrl": self._socket.url,
            "SocketEndpoint": self._socket.endpoint,
            "StoresSecretArn": self.resources.stores_secret_arn,
            "KeysSecretArn": self.resources.keys_secret_arn,
            "Environment": self.to_json_string(self.resources.environment()),
        }
        for name, value in found.items():
            CfnOutput(self, name, value=value, description=OUTPUTS[name])
