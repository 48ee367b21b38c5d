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
    manifests: tuple[Manifest, ...]

    def of(self, kind: str) -> dict[str, Resource]:
        """Return the spine's resources of a type, by logical id."""
        found = self.spine["Resources"].items()
        return {name: resource for name, resource in found if resource["Type"] == kind}

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

    def alarms(self) -> set[str]:
        return {
            alarm["Properties"]["AlarmName"] for alarm in self.of("AWS::CloudWatch::Alarm").values()
        }


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
