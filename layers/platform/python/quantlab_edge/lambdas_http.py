"""HTTP functions behind API Gateway: one function's router as an application, carried by Mangum.

An application of raw routes alone is Starlette's; FastAPI is imported for others.
"""

from typing import Any, Final
from urllib.parse import unquote

import structlog
from mangum import Mangum
from mangum.handlers import HTTPGateway
from mangum.types import Response, Scope
from starlette.applications import Starlette
from starlette.routing import Router

from quantlab_edge import problems
from quantlab_edge.asgi import furnish
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox
from quantlab_edge.packed import packed_openapi

TEXTS: Final = ["text/", "application/json", problems.MEDIA_TYPE]

_log = structlog.get_logger("quantlab.http")


class HttpFunction:
    """Answers the requests that the gateway brings; its authorizer has judged who asks."""

    def __init__(self, router: Router, sandbox: Sandbox, *, raw: bool) -> None:
        self._sandbox = sandbox
        self._app = _new_app(raw=raw)
        furnish(
            self._app,
            [router],
            None,
            describe=packed_openapi,
            behind_gateway=True,
            note=self._note,
        )
        self._call: Call | None = None
        sandbox.hold_loop()
        self._mangum = Mangum(
            self._app, lifespan="off", custom_handlers=[ExactGateway], text_mime_types=TEXTS
        )

    def __call__(self, event: Any, context: Any, call: Call) -> Any:
        self._call = call
        try:
            self._app.state.ports = self._sandbox.ports()
        except Exception as error:  # noqa: BLE001 - the last resort, as the edge has it
            return _unable(error, call)
        answer = self._mangum(event, context)
        if answer["statusCode"] >= 500:
            call.fail()
        return answer

    def _note(self, event: str, **fields: Any) -> None:
        if self._call is not None:
            self._call.note(event, **fields)


class ExactGateway(HTTPGateway):
    """Requests of the payload format 2.0, read as our own server reads them."""

    @classmethod
    def infer(cls, event: Any, context: Any, config: Any) -> bool:
        return event.get("version") == "2.0" and super().infer(event, context, config)

    @property
    def scope(self) -> Scope:
        request = self.event["requestContext"]
        raw_path = _without_stage(self.event["rawPath"], request["stage"])
        headers = {name.lower(): value for name, value in self.event.get("headers", {}).items()}
        if self.event.get("cookies"):
            headers["cookie"] = "; ".join(self.event["cookies"])
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request["http"]["method"],
            "scheme": headers.get("x-forwarded-proto", "https"),
            "path": unquote(raw_path),
            "raw_path": raw_path.encode(),
            "root_path": "",
            "query_string": self.event.get("rawQueryString", "").encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": (request["http"]["sourceIp"], 0),
            "server": (request.get("domainName", ""), 443),
            "aws.event": self.event,
            "aws.context": self.context,
        }
        return scope

    def __call__(self, response: Response) -> dict[str, Any]:
        answer = super().__call__(response)
        names = {name.lower() for name, _ in response["headers"]}
        if b"content-type" not in names:
            answer.get("headers", {}).pop("content-type", None)
        return answer


def _new_app(*, raw: bool) -> Starlette:
    if raw:
        return Starlette()
    from quantlab_edge.typed import new_app

    return new_app()


def _without_stage(path: str, stage: str) -> str:
    """Take the stage's name off a path; the default stage has none in it."""
    prefix = f"/{stage}"
    if stage != "$default" and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :]
    return path or "/"


def _unable(error: Exception, call: Call) -> dict[str, Any]:
    """Answer without ports: not even a store's address is known."""
    problem = problems.problem_of(error)
    _log.error("without ports", exc_info=error)
    call.fail(status=problem.status)
    correlation_id = str(call.fields["correlation_id"])
    response = problems.problem_response(problem, correlation_id)
    return {
        "statusCode": problem.status,
        "headers": {**response.headers, "x-correlation-id": correlation_id},
        "body": bytes(response.body).decode(),
        "isBase64Encoded": False,
    }
