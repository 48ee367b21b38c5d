"""The ASGI host: every HTTP function of the manifests in one application, and its edge.

It must not know any resource; routes come from functions/http alone.
"""

import importlib
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quantlab_app.ports.container import Ports
from quantlab_edge import observe, problems
from quantlab_edge.http import RawRoute
from quantlab_edge.settings import Settings
from quantlab_server import hub

BODY_BYTES_MAX: Final = 65_536
BUSIEST: Final = "webhooks"
TITLE: Final = "QuantLabEngine"
VERSION: Final = "0.1.0"
_CORRELATION_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{8,64}\Z")
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_TOKEN_SEGMENT: Final = re.compile(r"(/webhooks/signals/)[^/]+")

_access_log = structlog.get_logger("quantlab.access")
_error_log = structlog.get_logger("quantlab.http")


class Manifest(Protocol):
    """What the server reads of a function's manifest."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...


def create_app(ports: Ports | None, manifests: Sequence[Manifest]) -> FastAPI:
    """Make the application; without ports it can only describe itself."""
    app = FastAPI(
        title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None,
        redirect_slashes=False, separate_input_output_schemas=False,
    )  # fmt: skip
    app.state.ports = ports
    problems.install(app)
    routers = _routers(manifests)
    for router in routers:
        app.include_router(router)
    if ports is not None:
        hub.attach(app, ports, cast(Sequence[hub.Manifest], manifests))
    app.add_route("/openapi.json", _OpenApi(app).answer, include_in_schema=False)
    app.add_middleware(Edge, ports=ports, straight=_straight(routers))
    return app


def _straight(routers: Iterable[APIRouter]) -> dict[tuple[str, str], RawRoute]:
    """Return the raw routes of one fixed path: the edge calls them without asking the routers."""
    return {
        (method, route.path): route
        for router in routers
        for route in router.routes
        if isinstance(route, RawRoute) and "{" not in route.path
        for method in route.methods or ()
    }


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
    document = create_app(None, manifests).openapi()
    return json.dumps(_described(document), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _described(document: dict[str, Any]) -> dict[str, Any]:
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


class _OpenApi:
    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._body: bytes | None = None

    async def answer(self, _request: Request) -> Response:
        if self._body is None:
            document = _described(self._app.openapi())
            self._body = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
        return Response(self._body, media_type="application/json")


class Edge:
    """One ASGI layer around every request: correlation id, body limit, log line, last resort."""

    def __init__(
        self, app: ASGIApp, ports: Ports | None, straight: Mapping[tuple[str, str], RawRoute]
    ) -> None:
        self._app = app
        self._ports = ports
        self._straight = straight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._correlation_id(scope))
        route = self._straight.get((scope["method"], scope["path"]))
        if route is not None:
            scope["route"] = route
        app = self._app if route is None else route.handle
        try:
            await app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the last resort of the edge
            await exchange.fail(error)
        finally:
            exchange.record()

    def _correlation_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-correlation-id" and _CORRELATION_ID.match(value):
                return cast(bytes, value).decode()
        return self._ports.ids.new_id() if self._ports else ""


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_id", "_receive", "_received", "_scope", "_send", "_started", "_status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, correlation_id: str) -> None:
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        self._scope = scope
        self._receive = receive
        self._send = send
        self._id = correlation_id
        self._received = 0
        self._status = 0
        self._started = time.perf_counter()

    def _announces_too_much(self) -> bool:
        return any(
            name == b"content-length" and (not value.isdigit() or int(value) > BODY_BYTES_MAX)
            for name, value in self._scope["headers"]
        )

    async def receive(self) -> Message:
        """Hand on the body up to its limit; who reads a larger one is told so, and may count it."""
        if not self._received and self._announces_too_much():
            raise _BodyTooLarge(status_code=413)
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > BODY_BYTES_MAX:
                raise _BodyTooLarge(status_code=413)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-correlation-id"] = self._id
            headers["x-content-type-options"] = "nosniff"
        await self._send(message)

    async def fail(self, error: Exception) -> None:
        problem = problems.problem_of(error)
        if problem.status == 500:
            _error_log.error("unhandled", correlation_id=self._id, exc_info=error)
        if self._status:
            return
        response = problems.problem_response(problem, self._id)
        await response(self._scope, self._receive, self.send)

    def record(self) -> None:
        seconds = time.perf_counter() - self._started
        scope = self._scope
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"]
        observe.http_requests.labels(route, method, str(self._status)).inc()
        observe.http_seconds.labels(route).observe(seconds)
        _access_log.info(
            "request",
            method=method,
            path=_TOKEN_SEGMENT.sub(r"\1***", scope["path"]),
            status=self._status,
            ms=round(seconds * 1000, 2),
            correlation_id=self._id,
            **scope["state"].get("log", {}),
        )


class _BodyTooLarge(HTTPException):
    """Raised while a body is read; the framework lets its own exceptions through unchanged."""


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
