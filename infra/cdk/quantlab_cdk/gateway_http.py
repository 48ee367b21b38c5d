"""The HTTP API: each path to its function, credentials judged by the authorizer on the way."""

from typing import Final

from aws_cdk import ArnFormat, Fn, RemovalPolicy, Stack
from aws_cdk.aws_apigatewayv2 import CfnApi, CfnAuthorizer, CfnIntegration, CfnRoute, CfnStage
from aws_cdk.aws_iam import ServicePrincipal
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_logs import LogGroup, RetentionDays
from constructs import Construct

from quantlab_cdk.findings import acknowledge
from quantlab_cdk.functions import pascal
from quantlab_cdk.stage import Stage
from quantlab_manifest import EVERYTHING_ELSE, HttpWake, Manifest

PAYLOAD: Final = "2.0"
STAGE: Final = "$default"
INTEGRATION_TIMEOUT_MS_MAX: Final = 30_000
OWN_ANSWERS: Final = (
    "The authorizer is asked on every route that takes credentials; this one takes none."
)
ACCESS_LOG: Final = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "route": "$context.routeKey",
    "status": "$context.status",
    "latencyMs": "$context.responseLatency",
    "ip": "$context.identity.sourceIp",
    "error": "$context.integrationErrorMessage",
}


class HttpGateway(Construct):
    """An HTTP API whose routes are added function by function."""

    def __init__(self, scope: Construct, stage: Stage) -> None:
        super().__init__(scope, "Http")
        self.api = CfnApi(self, "Api", name=f"{stage.prefix}-http", protocol_type="HTTP")
        self.url = _url(self.api, stage)
        self._authorizer: CfnAuthorizer | None = None
        logs = LogGroup(
            self,
            "AccessLogs",
            retention=RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        CfnStage(
            self,
            "Stage",
            api_id=self.api.ref,
            stage_name=STAGE,
            auto_deploy=True,
            access_log_settings=CfnStage.AccessLogSettingsProperty(
                destination_arn=logs.log_group_arn, format=Stack.of(self).to_json_string(ACCESS_LOG)
            ),
        )

    def ask(self, function: Function) -> None:
        """Have an authorizer judge the credentials of every route that takes some.

        It is asked whatever headers there are, and never remembered: it has a memory of its own.
        """
        self._authorizer = CfnAuthorizer(
            self,
            "Authorizer",
            api_id=self.api.ref,
            name="credentials",
            authorizer_type="REQUEST",
            authorizer_uri=_invocation(function),
            authorizer_payload_format_version=PAYLOAD,
            authorizer_result_ttl_in_seconds=0,
            enable_simple_responses=True,
            identity_source=[],
        )
        self._permit(function, f"authorizers/{self._authorizer.ref}")

    def route(self, manifest: Manifest, wake: HttpWake, function: Function) -> None:
        """Send what a manifest names, and all below it, to its function."""
        integration = CfnIntegration(
            self,
            f"{pascal(manifest.name)}Integration",
            api_id=self.api.ref,
            integration_type="AWS_PROXY",
            integration_uri=function.function_arn,
            payload_format_version=PAYLOAD,
            timeout_in_millis=min(manifest.timeout_s * 1000, INTEGRATION_TIMEOUT_MS_MAX),
        )
        for key in route_keys(wake):
            route = CfnRoute(
                self,
                f"Route {key}",
                api_id=self.api.ref,
                route_key=key,
                target=f"integrations/{integration.ref}",
            )
            if wake.public:
                acknowledge(route, "APIG4", OWN_ANSWERS)
            else:
                self._guard(route)
        self._permit(function, "*/*")

    def _guard(self, route: CfnRoute) -> None:
        if self._authorizer is None:
            raise ValueError(f"{route.route_key} takes credentials, but nobody judges them")
        route.authorization_type = "CUSTOM"
        route.authorizer_id = self._authorizer.ref

    def _permit(self, function: Function, what: str) -> None:
        arn = Stack.of(self).format_arn(
            service="execute-api",
            resource=self.api.ref,
            resource_name=what,
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
        function.add_permission(
            "HttpGateway", principal=ServicePrincipal("apigateway.amazonaws.com"), source_arn=arn
        )


def route_keys(wake: HttpWake) -> tuple[str, ...]:
    """Return the gateway's names of a manifest's paths."""
    keys = []
    for prefix in wake.prefixes:
        if prefix == EVERYTHING_ELSE:
            keys.append(prefix)
        else:
            keys += [f"ANY {prefix}", f"ANY {prefix.rstrip('/')}/{{proxy+}}"]
    return tuple(keys)


def _invocation(function: Function) -> str:
    region = Stack.of(function).region
    return Fn.sub(
        "arn:${AWS::Partition}:apigateway:${Region}:lambda:path/2015-03-31/functions/${Arn}/invocations",
        {"Region": region, "Arn": function.function_arn},
    )


def _url(api: CfnApi, stage: Stage) -> str:
    if stage.local_endpoint is not None:
        return f"{stage.local_endpoint}/_aws/execute-api/{api.ref}"
    stack = Stack.of(api)
    return f"https://{api.ref}.execute-api.{stack.region}.{stack.url_suffix}"
