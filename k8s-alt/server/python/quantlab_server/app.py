"""The ASGI host: every HTTP function of the manifests in one application.

It must not know any resource; routes come from functions/http alone.
"""

import importlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, cast

import uvicorn
from fastapi import APIRouter, FastAPI

from quantlab_app.ports.container import Ports
from quantlab_edge import problems
from quantlab_edge.asgi import make_app
from quantlab_edge.http import RawRoute
from quantlab_edge.settings import Settings
from quantlab_server import hub

BUSIEST: Final = "webhooks"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Manifest(Protocol):
    """What the server reads of a function's manifest."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...


def create_app(ports: Ports | None, manifests: Sequence[Manifest]) -> FastAPI:
    """Make the application; without ports it can only describe itself."""
    app = make_app(_routers(manifests), ports, describe=_Described())
    if ports is not None:
        hub.attach(app, ports, cast(Sequence[hub.Manifest], manifests))
    return app


def _routers(manifests: Iterable[Manifest]) -> list[APIRouter]:
    # Routes are tried in order: those of the busiest path first.
    names = sorted(
        (manifest.name for manifest in manifests if manifest.kind == "http"),
        key=lambda name: (name != BUSIEST, name),
    )
    return [
        cast(APIRouter, importlib.import_module(f"functions.http.{name}.handler").router)
        for name in names
    ]


def openapi_text(manifests: Sequence[Manifest]) -> str:
    """Return the OpenAPI document as it is committed: sorted, two spaces, one line end."""
    document = _described(create_app(None, manifests))
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _described(app: FastAPI) -> dict[str, Any]:
    for route in app.routes:
        if isinstance(route, RawRoute):
            route.describe()
    document = app.openapi()
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    answer = {
        "description": "Any refusal",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = answer
            _name_path_parameters(path, operation)
    return document


def _name_path_parameters(path: str, operation: dict[str, Any]) -> None:
    """Declare what a path names and its endpoint does not take: the tenant, read by the edge."""
    known = [item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"]
    missing = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PARAMETER.findall(path)
        if name not in known
    ]
    if missing:
        operation["parameters"] = missing + operation.get("parameters", [])


_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457 problem document.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "correlationId"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "correlationId": {"type": "string"},
        "error": {"type": "string", "description": "OAuth 2 error code, token route only."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "expected", "got"],
                "properties": {
                    "pointer": {"type": "string"},
                    "expected": {"type": "string"},
                    "got": {"type": "string"},
                },
            },
        },
    },
}


class _Described:
    """What the routes of this installation are: written when first asked for."""

    def __init__(self) -> None:
        self._body: bytes | None = None

    def __call__(self, app: FastAPI) -> bytes:
        if self._body is None:
            document = _described(app)
            self._body = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
        return self._body


def server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """Make the server of the `server` role; the caller awaits `serve()`."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http="httptools",
            **hub.SERVER_OPTIONS,
            lifespan="off",
            access_log=False,
            server_header=False,
            date_header=True,
            log_config=None,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
            backlog=2048,
        )
    )
