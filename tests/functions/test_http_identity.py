"""What the HTTP functions of identity say of themselves: manifests, OpenAPI, who may come in."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.edge import FUNCTIONS, ROOT

from quantlab_manifest import HttpWake, load
from quantlab_server.app import create_app, openapi_text

PUBLIC = {
    ("POST", "/oauth2/token"),
    ("POST", "/oauth2/revoke"),
    ("GET", "/.well-known/jwks.json"),
    ("POST", "/invitations/accept"),
    ("POST", "/email-verifications/confirm"),
    ("POST", "/password-resets"),
    ("POST", "/password-resets/confirm"),
    ("GET", "/branding"),
    ("GET", "/health"),
    ("GET", "/metrics"),
}
MANIFESTS = [load(ROOT / "functions/http" / name / "function.toml") for name in FUNCTIONS]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(openapi_text(MANIFESTS))
    return read


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_only_the_routes_named_here_are_public(document: dict[str, Any]) -> None:
    found = operations(document)
    assert {route for route, operation in found.items() if operation["security"] == []} == PUBLIC
    both: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]
    assert all(
        operation["security"] == both for route, operation in found.items() if route not in PUBLIC
    )
    assert {"bearer", "apiKey"} == document["components"]["securitySchemes"].keys()


def test_every_operation_has_a_summary_an_id_and_problems(document: dict[str, Any]) -> None:
    found = operations(document)
    ids = [operation["operationId"] for operation in found.values()]
    assert len(ids) == len(set(ids))
    for route, operation in found.items():
        assert operation["summary"], route
        problem = operation["responses"]["default"]["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert "422" not in operation["responses"]
    references = json.dumps(document).split('"$ref": "#/components/schemas/')[1:]
    assert {item.partition('"')[0] for item in references} <= document["components"][
        "schemas"
    ].keys()


def test_every_path_parameter_is_declared(document: dict[str, Any]) -> None:
    for (_, path), operation in operations(document).items():
        declared = [
            item["name"] for item in operation.get("parameters", []) if item["in"] == "path"
        ]
        assert sorted(declared) == sorted(re.findall(r"\{(\w+)\}", path))


def test_fields_are_camel_case(document: dict[str, Any]) -> None:
    oauth = {"TokenAnswer"}
    for name, schema in document["components"]["schemas"].items():
        if name not in oauth:
            assert not [field for field in schema.get("properties", {}) if "_" in field], name


def test_document_is_the_same_every_time() -> None:
    assert openapi_text(MANIFESTS) == openapi_text(list(reversed(MANIFESTS)))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest.name)
def test_routes_begin_with_the_prefix_of_some_manifest(manifest: Any) -> None:
    assert isinstance(manifest.wake, HttpWake)
    paths = [
        path
        for path in json.loads(openapi_text([manifest]))["paths"]
        if path.startswith(manifest.wake.prefixes)
    ]
    assert paths


def test_application_without_ports_only_describes_itself() -> None:
    assert create_app(None, MANIFESTS).state.ports is None


@pytest.mark.parametrize("folder", sorted(FUNCTIONS))
def test_manifest_names_ports_that_exist(folder: str) -> None:
    from quantlab_app.ports.container import Ports

    manifest = load(Path(ROOT / "functions/http" / folder / "function.toml"))
    assert set(manifest.ports) <= set(Ports.__dataclass_fields__)
