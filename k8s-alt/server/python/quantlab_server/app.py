"""The ASGI host: every HTTP function of the manifests in one application.

It must not know any resource; routes come from functions/http alone.
"""

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, cast

import uvicorn
from fastapi import FastAPI
from starlette.routing import Router

from quantlab_app.ports.container import Ports
from quantlab_edge import problems
from quantlab_edge.asgi import furnish
from quantlab_edge.settings import Settings
from quantlab_edge.typed import new_app
from quantlab_manifest import HttpWake
from quantlab_server import hub

BUSIEST: Final = "webhooks"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Manifest(Protocol):
    """What the server reads of a function's manifest."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def wake(self) -> object: ...


def create_app(ports: Ports | None, manifests: Sequence[Manifest]) -> FastAPI:
    """Make the application; without ports it can only describe itself."""
    app = new_app()
    furnish(app, _routers(manifests), ports, describe=_Described(manifests))
    if ports is not None:
        hub.attach(app, ports, cast(Sequence[hub.Manifest], manifests))
    return app


def _routers(manifests: Iterable[Manifest]) -> list[Router]:
    # Routes are tried in order: those of the busiest path first.
    found = sorted(_http(manifests), key=lambda one: (one.name != BUSIEST, one.name))
    return [_router(one, "handler") for one in found]


def _http(manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest.kind == "http")


def _router(manifest: Manifest, module: str) -> Router:
    found = importlib.import_module(f"functions.http.{manifest.name}.{module}")
    return cast(Router, found.router)


def openapi_text(manifests: Sequence[Manifest]) -> str:
    """Return the OpenAPI document as it is committed: sorted, two spaces, one line end."""
    document = _described(manifests)
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _described(manifests: Iterable[Manifest]) -> dict[str, Any]:
    app = new_app()
    for manifest in _http(manifests):
        raw = isinstance(manifest.wake, HttpWake) and manifest.wake.raw
        app.router.routes.extend(_router(manifest, "description" if raw else "handler").routes)
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

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self._manifests = manifests
        self._body: bytes | None = None

    def __call__(self) -> bytes:
        if self._body is None:
            document = _described(self._manifests)
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
