"""An HTTP application made of functions' routers, and its edge: the same on every profile.

It must not know any resource, nor what carries requests to it.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders, State
from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quantlab_app.ports.container import Ports
from quantlab_edge import observe, problems
from quantlab_edge.raw import RawRoute

BODY_BYTES_MAX: Final = 65_536
_CORRELATION_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{8,64}\Z")
_TOKEN_SEGMENT: Final = re.compile(r"(/webhooks/signals/)[^/]+")

_access_log = structlog.get_logger("quantlab.access")
_error_log = structlog.get_logger("quantlab.http")


class Note(Protocol):
    """Writes down what a request was and how it ended."""

    def __call__(self, event: str, **fields: Any) -> object: ...


def furnish(
    app: Starlette,
    routers: Sequence[Router],
    ports: Ports | None,
    *,
    describe: Callable[[], bytes],
    behind_gateway: bool = False,
    note: Note | None = None,
) -> None:
    """Give an application some functions' routes; `app.state.ports` may be set until a request.

    describe writes the OpenAPI document, of more functions than these perhaps. Behind a gateway
    its authorizer has judged the credentials before a request comes here.
    """
    app.state.ports = ports
    app.state.describe = describe
    app.state.behind_gateway = behind_gateway
    app.router.redirect_slashes = False
    problems.install(app)
    for router in routers:
        # As they are: to include a router is to build each of its routes a second time.
        app.router.routes.extend(router.routes)
    app.add_middleware(Edge, state=app.state, straight=_straight(routers), note=note or _log)


def _log(event: str, **fields: Any) -> None:
    # Logging is set up after this module was imported: the logger is asked for each line.
    _access_log.info(event, **fields)


def _straight(routers: Iterable[Router]) -> dict[tuple[str, str], RawRoute]:
    """Return the raw routes of one fixed path: the edge calls them without asking the routers."""
    return {
        (method, route.path): route
        for router in routers
        for route in router.routes
        if isinstance(route, RawRoute) and "{" not in route.path
        for method in route.methods or ()
    }


class Edge:
    """One ASGI layer around every request: correlation id, body limit, log line, last resort."""

    def __init__(
        self,
        app: ASGIApp,
        state: State,
        straight: Mapping[tuple[str, str], RawRoute],
        note: Note,
    ) -> None:
        self._app = app
        self._state = state
        self._straight = straight
        self._note = note

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
            exchange.record(self._note)

    def _correlation_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-correlation-id" and _CORRELATION_ID.match(value):
                return cast(bytes, value).decode()
        ports: Ports | None = self._state.ports
        return ports.ids.new_id() if ports else ""


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

    @property
    def _body_bytes_max(self) -> int:
        """What the route takes that the framework has found; it reads the body behind that."""
        return getattr(self._scope.get("route"), "body_bytes_max", BODY_BYTES_MAX)

    def _announces_too_much(self) -> bool:
        limit = self._body_bytes_max
        return any(
            name == b"content-length" and (not value.isdigit() or int(value) > limit)
            for name, value in self._scope["headers"]
        )

    async def receive(self) -> Message:
        """Hand on the body up to its limit; who reads a larger one is told so, and may count it."""
        if not self._received and self._announces_too_much():
            raise _BodyTooLarge(status_code=413)
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._body_bytes_max:
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

    def record(self, note: Note) -> None:
        seconds = time.perf_counter() - self._started
        scope = self._scope
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"]
        observe.http_requests.labels(route, method, str(self._status)).inc()
        observe.http_seconds.labels(route).observe(seconds)
        note(
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
