"""Whose credentials a request carries. It stops nobody: the function behind words the answer."""

from typing import Final

from starlette.requests import Request

from quantlab_app.ports.container import Ports
from quantlab_edge.gateway import Context, KnownContexts
from quantlab_edge.http import credentials_of, prove
from quantlab_edge.problems import ProblemError, correlation_id_of

_known: Final = KnownContexts()


async def handle(ports: Ports, request: Request) -> Context:
    """Return the principal or the problem; nothing for a request without credentials."""
    sent = await credentials_of(request)
    if sent is None:
        return {}
    now_ns = ports.clock.now_ns()
    name = _known.name(sent.scheme, sent.text)
    known = _known.find(name, now_ns)
    if known is not None:
        return known
    try:
        return _known.prove(name, await prove(ports, sent, correlation_id_of(request)), now_ns)
    except ProblemError as problem:
        return _known.refuse(name, problem, now_ns)
