"""What endpoints stand on that read the request themselves, without FastAPI: the hot path.

It must not import FastAPI, directly or not: a Lambda of raw routes starts without it.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

RawEndpoint = Callable[[Request], Awaitable[Response]]


class RawRoute(Route):
    """A route whose endpoint takes the request and gives the response; what it raises goes on."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say as well which route it is: FastAPI's router leaves that to the route."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await cast(RawEndpoint, self.endpoint)(Request(scope, receive, send))
        await response(scope, receive, send)
