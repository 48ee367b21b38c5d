"""Questions to a template."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quantlab_manifest import Manifest

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Synthesized:
    """The templates of one stage, and the manifests they were made from."""

    spine: dict[str, Any]
    tenants: dict[str, Any]
    alarms: dict[str, Any]
    manifests: tuple[Manifest, ...]
    stacks: frozenset[str]

    @property
    def templates(self) -> tuple[dict[str, Any], ...]:
        return self.spine, self.tenants, self.alarms

    def of(self, kind: str) -> dict[str, Resource]:
        """Return the spine's resources of a type, by logical id."""
        return typed(self.spine, kind)

    def function(self, manifest: Manifest) -> tuple[str, Resource]:
        """Return the one Lambda of a manifest."""
        wanted = f"{manifest.kind}/{manifest.name}"
        (found,) = (
            (name, resource["Properties"])
            for name, resource in self.of("AWS::Lambda::Function").items()
            if resource["Properties"]["Environment"]["Variables"]["QUANTLAB_FUNCTION"] == wanted
        )
        return found

    def role(self, manifest: Manifest) -> tuple[str, Resource]:
        _, function = self.function(manifest)
        name = function["Role"]["Fn::GetAtt"][0]
        return name, self.spine["Resources"][name]["Properties"]

    def queues(self, mapping: Resource) -> tuple[Resource, Resource]:
        """Return the queue that an event source mapping reads, and that of its dead letters."""
        found = self.of("AWS::SQS::Queue")
        queue = found[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        return queue, found[dead]["Properties"]

    def mapping(self, manifest: Manifest) -> Resource:
        """Return the one event source mapping of a manifest's Lambda."""
        logical, _ = self.function(manifest)
        (found,) = (
            resource["Properties"]
            for resource in self.of("AWS::Lambda::EventSourceMapping").values()
            if resource["Properties"]["FunctionName"] == {"Ref": logical}
        )
        return found

    def statements(self, manifest: Manifest) -> list[Resource]:
        """Return what a function's role allows, with what event sources added to it."""
        name, role = self.role(manifest)
        documents = [policy["PolicyDocument"] for policy in role["Policies"]]
        documents += [
            policy["Properties"]["PolicyDocument"]
            for policy in self.of("AWS::IAM::Policy").values()
            if {"Ref": name} in policy["Properties"]["Roles"]
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def alarm(self, manifest: Manifest, name: str) -> Resource:
        """Return the one alarm of a manifest that has this name."""
        wanted = f"{self.function(manifest)[1]['FunctionName']}-{name}"
        (found,) = (
            alarm["Properties"]
            for alarm in typed(self.alarms, "AWS::CloudWatch::Alarm").values()
            if alarm["Properties"]["AlarmName"] == wanted
        )
        return found


def typed(template: dict[str, Any], kind: str) -> dict[str, Resource]:
    """Return a template's resources of a type, by logical id."""
    found = template["Resources"].items()
    return {name: resource for name, resource in found if resource["Type"] == kind}


def several(value: Any) -> list[Any]:
    """Return a value that may stand alone as a list."""
    return value if isinstance(value, list) else [value]


def flat(value: Any) -> str:
    """Write what is only known later in angle brackets."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return separator.join(flat(part) for part in parts)
    raise AssertionError(f"not a name: {value}")


def texts(value: Any) -> Iterator[str]:
    """Return every text of a template."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
