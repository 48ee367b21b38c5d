"""The WebSocket API: each route to its function; answers go back by the management address."""

from typing import Final
from urllib.parse import urlsplit

from aws_cdk import ArnFormat, Stack
from aws_cdk.aws_apigatewayv2 import CfnApi, CfnIntegration, CfnRoute, CfnStage
from aws_cdk.aws_iam import ServicePrincipal
from aws_cdk.aws_lambda import Function
from constructs import Construct

from quantlab_cdk.findings import acknowledge
from quantlab_cdk.functions import pascal
from quantlab_cdk.stage import Stage
from quantlab_manifest import Manifest, SocketWake

STAGE: Final = "live"
SELECTION: Final = "$request.body.action"
TICKET: Final = (
    "A socket is opened by a single-use ticket that the connect function takes and checks; the"
    " other routes exist on an open socket only."
)
NO_ACCOUNT_ROLE: Final = (
    "Access logs of a WebSocket API need one role for the whole AWS account; a stack must not"
    " replace it. Every route is a function that logs one line per call."
)


class SocketGateway(Construct):
    """A WebSocket API whose routes are added function by function."""

    def __init__(self, scope: Construct, stage: Stage) -> None:
        super().__init__(scope, "Socket")
        self.api = CfnApi(
            self,
            "Api",
            name=f"{stage.prefix}-socket",
            protocol_type="WEBSOCKET",
            route_selection_expression=SELECTION,
        )
        live = CfnStage(self, "Stage", api_id=self.api.ref, stage_name=STAGE, auto_deploy=True)
        acknowledge(live, "APIG1", NO_ACCOUNT_ROLE)
        stack = Stack.of(self)
        host = f"{self.api.ref}.execute-api.{stack.region}.{stack.url_suffix}"
        if stage.local_endpoint is None:
            self.url = f"wss://{host}/{STAGE}"
            self.endpoint = f"https://{host}/{STAGE}"
        else:
            place = f"/_aws/execute-api/{self.api.ref}/{STAGE}"
            self.url = f"ws://{urlsplit(stage.local_endpoint).netloc}{place}"
            self.endpoint = f"{stage.local_endpoint}{place}"

    @property
    def connections_arn(self) -> str:
        return self._arn(f"{STAGE}/*/@connections/*")

    def route(self, manifest: Manifest, wake: SocketWake, function: Function) -> None:
        """Send one route to its function."""
        integration = CfnIntegration(
            self,
            f"{pascal(manifest.name)}Integration",
            api_id=self.api.ref,
            integration_type="AWS_PROXY",
            integration_uri=self._invocation(function),
        )
        route = CfnRoute(
            self,
            f"{pascal(manifest.name)}Route",
            api_id=self.api.ref,
            route_key=wake.route,
            authorization_type="NONE",
            target=f"integrations/{integration.ref}",
        )
        acknowledge(route, "APIG4", TICKET)
        function.add_permission(
            "SocketGateway",
            principal=ServicePrincipal("apigateway.amazonaws.com"),
            source_arn=self._arn(f"*/{wake.route}"),
        )

    def _arn(self, what: str) -> str:
        return Stack.of(self).format_arn(
            service="execute-api",
            resource=self.api.ref,
            resource_name=what,
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )

    def _invocation(self, function: Function) -> str:
        stack = Stack.of(self)
        return (
            f"arn:{stack.partition}:apigateway:{stack.region}:lambda:path/2015-03-31/functions/"
            f"{function.function_arn}/invocations"
        )
