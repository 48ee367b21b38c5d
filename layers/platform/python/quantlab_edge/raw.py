"""What endpoints stand on that read the request themselves, without FastAPI: the hot path.

It must not import FastAPI or pydantic, directly or not: a Lambda of raw routes starts without them.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

RawEndpoint = Callable[[Request], Awaitable[Response]]


class RawRoute(Route):
    """A route whose endpoint takes the request and gives the response; what it raises goes on."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await cast(RawEndpoint, self.endpoint)(Request(scope, receive, send))
        await response(scope, receive, send)
