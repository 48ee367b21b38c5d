"""Each tenant's file becomes a custom resource that changes when the file does."""

import json
from pathlib import Path

import pytest

from quantlab_cdk.places import CONFIGS
from quantlab_cdk.tenants import (
    DOCUMENT_BYTES_MAX,
    TYPE,
    TenantFileError,
    shared_digest,
    tenant_document,
)
from quantlab_manifest import DeployWake
from tests.infra.template import Synthesized, flat

FILES = sorted((CONFIGS / "tenants").glob("*.json"))


def test_every_tenant_is_provisioned(aws: Synthesized) -> None:
    found = {
        resource["Properties"]["tenantId"]: resource
        for resource in aws.tenants["Resources"].values()
        if resource["Type"] == TYPE
    }
    assert set(found) == {path.stem for path in FILES}
    (provisioner,) = (m for m in aws.manifests if isinstance(m.wake, DeployWake))
    name = aws.function(provisioner)[1]["FunctionName"]
    for path in FILES:
        properties = found[path.stem]["Properties"]
        assert json.loads(properties["document"]) == json.loads(path.read_bytes())
        assert flat(properties["ServiceToken"]).endswith(f":function:{name}")
        assert int(properties["ServiceTimeout"]) >= provisioner.timeout_s


def test_no_stack_takes_anything_from_the_spine_that_changes(aws: Synthesized) -> None:
    """What one stack imports the other can never replace: layers change with every release."""
    assert "Outputs" not in aws.tenants
    for template in aws.templates:
        assert "Fn::ImportValue" not in json.dumps(template)
        assert not any("Export" in output for output in template.get("Outputs", {}).values())


def test_what_tenants_refer_to_counts_as_a_change(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    profile = tmp_path / "profiles" / "strict.json"
    profile.write_text("{}")
    before = shared_digest(tmp_path)
    assert shared_digest(tmp_path) == before
    profile.write_text('{"a": 1}')
    assert shared_digest(tmp_path) != before


def test_a_file_that_cannot_travel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text(json.dumps({"tenantId": "large", "x": "x" * DOCUMENT_BYTES_MAX}))
    with pytest.raises(TenantFileError, match=r"large\.json: expected at most"):
        tenant_document(path)
    path.write_text('{"tenantId": "other"}')
    with pytest.raises(TenantFileError, match="expected an object whose tenantId is large"):
        tenant_document(path)
