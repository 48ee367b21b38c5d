"""Answers every message but subscriptions: ping, unsubscribe, and what breaks the protocol."""

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases import sockets
from quantlab_edge.socket import (
    Malformed,
    Ping,
    SocketEvent,
    SocketReply,
    malformed_reply,
    pong_reply,
    read_channels,
    read_message,
    unavailable_reply,
    unknown_connection,
    unsubscribed_reply,
)


async def handle(ports: Ports, event: SocketEvent) -> SocketReply:
    """Answer a ping, or forget the channels named."""
    try:
        message = read_message(event.body)
        if isinstance(message, Ping):
            return pong_reply()
        channels = read_channels(message.channels)
        holder = event.holder or await ports.subscriptions.holder(event.connection_id)
        if holder is None:
            return unknown_connection()
        names = await sockets.unsubscribe(ports, holder, event.connection_id, channels)
    except Malformed as error:
        return malformed_reply(error)
    except StoreUnavailable:
        return unavailable_reply()
    return unsubscribed_reply(names)
