"""Raw routes: the same in an application of FastAPI's and in one of Starlette's."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from quantlab_app.ports.errors import Conflict, StoreUnavailable
from quantlab_edge import observe
from quantlab_edge.asgi import BODY_BYTES_MAX, furnish
from quantlab_edge.problems import ProblemError
from quantlab_edge.raw import RawRoute
from quantlab_edge.requests import ports_of, source_of
from quantlab_edge.typed import new_app

FAULTS: dict[str, Exception] = {
    "busy": ProblemError("rate_limited", "Slow down.", (), 7),
    "store": StoreUnavailable("PostgreSQL: OperationalError"),
    "conflict": Conflict("bot_name"),
    "bug": RuntimeError("the password is hunter2"),
}


@dataclass
class Ids:
    def new_id(self) -> str:
        return "fresh-correlation-id"


async def echo(request: Request) -> Response:
    return Response(await request.body() + source_of(request).encode())


async def fail(request: Request) -> Response:
    assert ports_of(request).ids.new_id()
    await request.body()
    raise FAULTS[request.path_params["name"]]


ROUTER = Router(
    [
        RawRoute("/raw/echo", echo, methods=["POST"]),
        RawRoute("/raw/faults/{name}", fail, methods=["POST"]),
    ]
)


async def answers(app: Starlette, method: str, path: str, content: bytes) -> dict[str, Any]:
    noted: list[dict[str, Any]] = []
    furnish(
        app, [ROUTER], SimpleNamespace(ids=Ids()),  # type: ignore[arg-type]
        describe=bytes, note=lambda _event, **fields: noted.append(fields),
    )  # fmt: skip
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
        answer = await client.request(method, path, content=content)
    (line,) = noted
    return {
        "status": answer.status_code,
        "headers": dict(answer.headers),
        "body": answer.content,
        "noted": {name: value for name, value in line.items() if name != "ms"},
    }


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/raw/echo", b"abc", 200),
        ("POST", "/raw/echo", b"x" * (BODY_BYTES_MAX + 1), 413),
        ("POST", "/raw/faults/busy", b"x" * (BODY_BYTES_MAX + 1), 413),
        ("GET", "/raw/echo", b"", 405),
        ("HEAD", "/raw/faults/busy", b"", 405),
        ("POST", "/raw/echo/", b"", 404),
        ("POST", "/", b"", 404),
        ("POST", "/raw/faults/busy", b"", 429),
        ("POST", "/raw/faults/store", b"", 503),
        ("POST", "/raw/faults/conflict", b"", 409),
        ("POST", "/raw/faults/bug", b"", 500),
    ],
)
async def test_both_kinds_of_application_answer_alike(
    method: str, path: str, content: bytes, status: int
) -> None:
    with_fastapi = await answers(new_app(), method, path, content)
    without = await answers(Starlette(), method, path, content)
    assert without == with_fastapi
    assert without["status"] == status
    assert without["headers"]["x-correlation-id"] == "fresh-correlation-id"


@pytest.mark.parametrize("new", [new_app, Starlette])
@pytest.mark.parametrize(("method", "status"), [("POST", "429"), ("GET", "405")])
async def test_requests_are_counted_by_route(
    new: type[Starlette], method: str, status: str
) -> None:
    counted = observe.http_requests.labels("/raw/faults/{name}", method, status)
    before = counted._value.get()
    await answers(new(), method, "/raw/faults/busy", b"")
    assert counted._value.get() == before + 1
