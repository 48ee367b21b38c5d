"""How the hub finds its functions, and what it keeps out of log lines."""

import logging
from dataclasses import dataclass
from typing import Any, cast

import pytest
from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from quantlab_app.ports.errors import Misconfigured
from quantlab_server import hub


@dataclass(frozen=True)
class Wake:
    route: str


@dataclass(frozen=True)
class Socket:
    name: str
    wake: Wake
    kind: str = "socket"


FUNCTIONS = [
    Socket("connect", Wake("$connect")),
    Socket("disconnect", Wake("$disconnect")),
    Socket("subscribe", Wake("subscribe")),
    Socket("default", Wake("$default")),
]


def attached(functions: list[Socket]) -> list[str]:
    app = FastAPI()
    hub.attach(app, cast("Any", object()), functions)
    return [route.path for route in app.router.routes if isinstance(route, WebSocketRoute)]


def test_the_socket_has_one_path_when_its_functions_are_there() -> None:
    assert attached(FUNCTIONS) == ["/ws"]
    assert attached([]) == []


def test_a_missing_function_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"\['\$disconnect', 'subscribe'\]"):
        attached([FUNCTIONS[0], FUNCTIONS[3]])


def test_tickets_are_kept_out_of_handshake_lines() -> None:
    line = logging.LogRecord(
        "uvicorn.error", logging.INFO, "", 0, '%s - "WebSocket %s" [accepted]',
        ("127.0.0.1:1", "/ws?ticket=secret&x=1"), None,
    )  # fmt: skip
    assert hub._redact_ticket(line)
    assert line.getMessage() == '127.0.0.1:1 - "WebSocket /ws?ticket=***&x=1" [accepted]'
