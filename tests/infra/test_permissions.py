"""Roles allow what ports need and nothing else; nothing secret stands in a template."""

import dataclasses
import re

import pytest

from quantlab_app.ports.container import Ports
from quantlab_cdk.app import lambdas
from quantlab_cdk.permissions import GRANTS, UnknownPortError, grants_of
from quantlab_manifest import Manifest
from tests.infra.template import Synthesized, flat, several, texts

MANIFESTS = lambdas()
SECRET = re.compile(
    r"-----BEGIN|postgres(ql)?://[^.\s]*:[^.\s]*@|rediss?://[^.\s]*:[^.\s]*@|AKIA[0-9A-Z]{16}"
)


def name(manifest: Manifest) -> str:
    return f"{manifest.kind}-{manifest.name}"


def test_every_port_says_what_it_may_do() -> None:
    ports = {field.name for field in dataclasses.fields(Ports)} - {"close"}
    assert set(GRANTS) == ports


def test_an_unknown_port_is_refused() -> None:
    with pytest.raises(UnknownPortError, match="telepathy"):
        grants_of(["telepathy"])


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_a_role_allows_what_its_ports_need(aws: Synthesized, manifest: Manifest) -> None:
    statements = {
        statement["Sid"]: statement for statement in aws.statements(manifest) if "Sid" in statement
    }
    grants = {grant.name: grant for grant in grants_of(manifest.ports)}
    assert set(statements) == {*grants, "Logs"}
    for sid, grant in grants.items():
        assert set(several(statements[sid]["Action"])) == set(grant.actions)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_no_role_has_a_wildcard_without_a_reason(aws: Synthesized, manifest: Manifest) -> None:
    reasons = {grant.name for grant in grants_of(manifest.ports) if grant.wildcard_reason}
    for statement in aws.statements(manifest):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in several(statement["Action"]))
        for resource in map(flat, several(statement["Resource"])):
            assert resource != "*"
            assert "*" not in resource or statement.get("Sid") in {*reasons, "Logs"}


def test_a_reason_stands_only_where_there_is_a_wildcard(aws: Synthesized) -> None:
    found = {
        statement["Sid"]
        for manifest in MANIFESTS
        for statement in aws.statements(manifest)
        if any("*" in flat(resource) for resource in several(statement["Resource"]))
    } - {"Logs"}
    reasons = {g.name for m in MANIFESTS for g in grants_of(m.ports) if g.wildcard_reason}
    assert found == reasons


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_logs_go_to_the_functions_own_group(aws: Synthesized, manifest: Manifest) -> None:
    (logs,) = (item for item in aws.statements(manifest) if item.get("Sid") == "Logs")
    group = f":log-group:/aws/lambda/{aws.function(manifest)[1]['FunctionName']}:*"
    assert flat(logs["Resource"]).endswith(group)


def test_only_deployments_write_secrets(aws: Synthesized) -> None:
    for manifest in MANIFESTS:
        actions = {
            action for item in aws.statements(manifest) for action in several(item["Action"])
        }
        writes = {item for item in actions if item.startswith("secretsmanager:")} - {
            "secretsmanager:GetSecretValue"
        }
        assert not writes or manifest.kind == "deploy", manifest.name


@pytest.mark.parametrize("stage", ["aws", "local"])
def test_nothing_secret_stands_in_a_template(stage: str, request: pytest.FixtureRequest) -> None:
    found: Synthesized = request.getfixturevalue(stage)
    for template in found.templates:
        assert [text for text in texts(template) if SECRET.search(text)] == []
    for secret in found.of("AWS::SecretsManager::Secret").values():
        assert not {"SecretString", "GenerateSecretString"} & set(secret["Properties"])


def test_the_check_for_secrets_would_notice() -> None:
    assert SECRET.search("postgresql://user:pass@host/db")
    assert SECRET.search("-----BEGIN PRIVATE KEY-----")
