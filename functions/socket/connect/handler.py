"""Opens a socket for the holder of a ticket."""

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases import sockets
from quantlab_edge.socket import SocketEvent, SocketReply, refused_connect, unavailable_reply


async def handle(ports: Ports, event: SocketEvent) -> SocketReply:
    """Redeem the ticket of the query; `batched=1` asks for several messages in one frame."""
    ticket = event.query.get("ticket", "")
    batched = event.query.get("batched") == "1"
    try:
        outcome = await sockets.open_socket(ports, event.connection_id, ticket, batched=batched)
    except StoreUnavailable:
        return unavailable_reply()
    if isinstance(outcome, sockets.SocketRefusal):
        return refused_connect(outcome)
    return SocketReply(holder=outcome)
