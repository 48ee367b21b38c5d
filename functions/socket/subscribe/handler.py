"""Subscribes a connection to channels."""

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases import sockets
from quantlab_edge.socket import (
    Malformed,
    SocketEvent,
    SocketReply,
    malformed_reply,
    read_channels,
    read_subscribe,
    subscribed_reply,
    unavailable_reply,
    unknown_connection,
)


async def handle(ports: Ports, event: SocketEvent) -> SocketReply:
    """Grant the channels that the holder may listen to and name those refused."""
    try:
        message = read_subscribe(event.body)
        channels = read_channels(message.channels)
        holder = event.holder or await ports.subscriptions.holder(event.connection_id)
        if holder is None or holder.expires_ns <= ports.clock.now_ns():
            return unknown_connection()
        outcome = await sockets.subscribe(
            ports, holder, event.connection_id, channels, message.after_seq
        )
    except Malformed as error:
        return malformed_reply(error)
    except StoreUnavailable:
        return unavailable_reply()
    return subscribed_reply(outcome)
