"""What any endpoint asks of a request, however its route reads it."""

from typing import cast

from starlette.requests import Request

from quantlab_app.ports.container import Ports


def ports_of(request: Request) -> Ports:
    """Return the process's ports."""
    return cast(Ports, request.app.state.ports)


def source_of(request: Request) -> str:
    """Return the address a request came from."""
    return request.client.host if request.client else "unknown"
