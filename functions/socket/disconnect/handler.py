"""Forgets a socket that has closed."""

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases import sockets
from quantlab_edge.socket import SocketEvent, SocketReply, unavailable_reply


async def handle(ports: Ports, event: SocketEvent) -> SocketReply:
    """Remove what is recorded of the connection; without a store it ends with its token."""
    try:
        holder = event.holder or await ports.subscriptions.holder(event.connection_id)
        if holder is not None:
            await sockets.close_socket(ports, holder, event.connection_id)
    except StoreUnavailable:
        return unavailable_reply()
    return SocketReply()
