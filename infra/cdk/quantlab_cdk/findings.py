"""Findings of cdk-nag that are accepted, each with its reason."""

from typing import Any, Final

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import Construct

PACK: Final = "AwsSolutions"
LOG_STREAMS: Final = (
    "Streams of a log group are named by the service; the resource names the one group."
)

TAKES_NO_RESOURCE: Final = (
    "The token of a registry is for all of it: ecr:GetAuthorizationToken takes no resource."
)


def acknowledge(construct: Construct, finding: str, reason: str) -> None:
    """Accept a finding, such as SQS3, on a construct and what is below it."""
    rule = f"{PACK}::{PACK}-{finding}"
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_wildcard(construct: Construct, resource: str, reason: str) -> None:
    """Accept that a role names resources with a wildcard, on this very pattern."""
    shown = _shown(Stack.of(construct).resolve(resource))
    if "*" in shown:
        acknowledge(construct, f"IAM5[Resource::{shown}]", reason)


def _shown(value: Any) -> str:
    """Write a resolved name as cdk-nag does: what is only known later stands in angle brackets."""
    if isinstance(value, str):
        return value
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": ["", parts]}:
            return "".join(_shown(part) for part in parts)
    raise ValueError(f"expected a name, got {value!r}")
