"""Socket functions behind API Gateway: it holds the connections, we post what is to be said.

What a function grants or drops is told to the process that posts events, after its answer.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sessions import TicketHolder
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox
from quantlab_edge.socket import (
    CONNECT,
    DISCONNECT,
    SOCKETS,
    Control,
    Malformed,
    SocketEvent,
    SocketReply,
    control_text,
    malformed_reply,
    unavailable_reply,
)

Handle = Callable[[Ports, SocketEvent], Awaitable[SocketReply]]
OVER: Final = 401

_log = structlog.get_logger("quantlab.socket")


class SocketFunction:
    """Answers the messages of one route."""

    def __init__(self, handle: Handle, route: str, sandbox: Sandbox) -> None:
        self._handle = handle
        self._route = route
        self._sandbox = sandbox
        self._follow = _FOLLOW.get(route, say)

    def __call__(self, event: Any, context: Any, call: Call) -> dict[str, Any]:  # noqa: ARG002
        request = event["requestContext"]
        call.note("socket", connection_id=request["connectionId"], route=self._route)
        reply = self._sandbox.run(lambda ports: self._answer(ports, event, call))
        call.note("socket", status=reply.status)
        if reply.status >= 500:
            call.fail()
        if self._route == CONNECT and reply.status >= 400:
            headers = {"content-type": "application/json", "cache-control": "no-store"}
            body = "".join(reply.messages)
            return {"statusCode": reply.status, "headers": headers, "body": body}
        return {"statusCode": reply.status}

    async def _answer(self, ports: Ports, event: Any, call: Call) -> SocketReply:
        connection_id = event["requestContext"]["connectionId"]
        holder = None if self._route == CONNECT else await _holder(ports, connection_id)
        reply = await self._reply(ports, event, connection_id, holder)
        holder = holder or reply.holder
        if holder is not None:
            call.note("socket", tenant=holder.scope.tenant_id)
        return await self._follow(ports, connection_id, holder, reply)

    async def _reply(
        self, ports: Ports, event: Any, connection_id: str, holder: TicketHolder | None
    ) -> SocketReply:
        if event.get("isBase64Encoded"):
            return malformed_reply(Malformed("expected a text message"))
        message = SocketEvent(
            connection_id=connection_id,
            route=self._route,
            body=event.get("body") or "",
            query=event.get("queryStringParameters") or {},
            holder=holder,
        )
        return await self._handle(ports, message)


async def opened(
    ports: Ports, connection_id: str, holder: TicketHolder | None, reply: SocketReply
) -> SocketReply:
    """Tell that a connection is there."""
    if holder is not None:
        await _tell(ports, Control(connection_id, holder.scope.tenant_id))
    return reply


async def ended(
    ports: Ports, connection_id: str, holder: TicketHolder | None, reply: SocketReply
) -> SocketReply:
    """Tell that a connection is gone."""
    if holder is not None:
        await _tell(ports, Control(connection_id, holder.scope.tenant_id, closed=True))
    return reply


async def say(
    ports: Ports, connection_id: str, holder: TicketHolder | None, reply: SocketReply
) -> SocketReply:
    """Post the answer, and only then have events follow it."""
    closed = reply.status == OVER
    for text in reply.messages:
        if not await ports.pushes.post(connection_id, text):
            closed = True
            break
    if holder is not None and (reply.granted or reply.dropped or closed):
        tenant_id = holder.scope.tenant_id
        control = Control(connection_id, tenant_id, reply.granted, reply.dropped, closed)
        try:
            await _tell(ports, control)
        except StoreUnavailable as fault:
            # The client believes that it is subscribed: it must come again.
            _log.warning("not told", connection_id=connection_id, cause=str(fault))
            reply, closed = unavailable_reply(), True
            for text in reply.messages:
                await ports.pushes.post(connection_id, text)
    if closed:
        await ports.pushes.drop(connection_id)
    return reply


_FOLLOW: Final = {CONNECT: opened, DISCONNECT: ended}


async def _tell(ports: Ports, control: Control) -> None:
    await ports.event_bus.publish(SOCKETS, control_text(control))


async def _holder(ports: Ports, connection_id: str) -> TicketHolder | None:
    """Look up who holds a connection; without a store the function says what there is to say."""
    try:
        return await ports.subscriptions.holder(connection_id)
    except StoreUnavailable:
        return None
