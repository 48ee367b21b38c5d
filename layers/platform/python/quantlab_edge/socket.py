"""The one message protocol of API Gateway and the self-hosted hub: what comes in, what goes out.

It must not hold connections: a function gets a SocketEvent and answers with a SocketReply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from quantlab.kernel.instants import format_rfc3339
from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.ports.sockets import Channel
from quantlab_app.use_cases.sockets import (
    SUBSCRIPTIONS_MAX,
    Grant,
    SocketRefusal,
    Subscribed,
    parse_channel,
)

CONNECT: Final = "$connect"
DISCONNECT: Final = "$disconnect"
SUBSCRIBE: Final = "subscribe"
DEFAULT: Final = "$default"
# The bus topic of control messages.
SOCKETS: Final = "sockets"

MESSAGE_BYTES_MAX: Final = 4096
CHANNEL_CHARS_MAX: Final = 64
CLOSE_NORMAL: Final = 1000
CLOSE_POLICY: Final = 1008
CLOSE_OVERLOADED: Final = 1013
CLOSE_UNAUTHORIZED: Final = 4401

_SEQ_MAX: Final = (1 << 53) - 1

_DETAILS: Final = {
    SocketRefusal.UNAUTHORIZED: "expected a ticket that stands, or one that was not used yet",
    SocketRefusal.TOO_MANY_CONNECTIONS: "the tenant has as many connections as it may",
    SocketRefusal.NOT_FOUND: "there is no such channel for this credential",
    SocketRefusal.TOO_MANY_SUBSCRIPTIONS: f"a connection holds {SUBSCRIPTIONS_MAX} at most",
}
_STATUS: Final = {
    SocketRefusal.UNAUTHORIZED: 401,
    SocketRefusal.TOO_MANY_CONNECTIONS: 429,
}


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """What a socket function is woken by.

    holder is filled in by a host that keeps connections itself; without it the function asks the
    subscriptions port who holds the connection.
    """

    connection_id: str
    route: str
    body: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    holder: TicketHolder | None = None


@dataclass(frozen=True, slots=True)
class SocketReply:
    """What the host does next: send messages, open the channels granted, drop those left.

    misuse says that the client broke the protocol, which a host only bears so often.
    """

    status: int = 200
    messages: tuple[str, ...] = ()
    holder: TicketHolder | None = None
    granted: tuple[Grant, ...] = ()
    dropped: tuple[str, ...] = ()
    misuse: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """What a function tells the process that posts to its connection, by the topic `sockets`.

    All empty it says that the connection has opened.
    """

    connection_id: str
    tenant_id: str
    granted: tuple[Grant, ...] = ()
    dropped: tuple[str, ...] = ()
    closed: bool = False


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_ChannelName = Annotated[str, Field(min_length=1, max_length=CHANNEL_CHARS_MAX)]
_ChannelNames = Annotated[list[_ChannelName], Field(min_length=1, max_length=SUBSCRIPTIONS_MAX)]


class Subscribe(_Message):
    """Listen to channels; an account's channel may go on after a known event."""

    action: Literal["subscribe"]
    channels: _ChannelNames
    after_seq: dict[_ChannelName, Annotated[int, Field(ge=0, le=_SEQ_MAX)]] = Field(
        default_factory=dict, alias="afterSeq", max_length=SUBSCRIPTIONS_MAX
    )


class Unsubscribe(_Message):
    """Stop listening to channels."""

    action: Literal["unsubscribe"]
    channels: _ChannelNames


class Ping(_Message):
    """Ask for a sign of life."""

    action: Literal["ping"]


ClientMessage = Subscribe | Unsubscribe | Ping
_client_message: TypeAdapter[ClientMessage] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="action")]
)


class Malformed(ValueError):
    """A message that breaks the protocol; its text may be shown to the client."""


def read_message(body: str) -> ClientMessage:
    """Read a client's message; Malformed says what was expected and where."""
    if len(body) > MESSAGE_BYTES_MAX or len(body.encode("utf-8", "replace")) > MESSAGE_BYTES_MAX:
        raise Malformed(f"expected at most {MESSAGE_BYTES_MAX} bytes")
    try:
        return _client_message.validate_python(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise Malformed("expected a JSON object") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        names = [str(part) for part in first["loc"]]
        place = ".".join(names[1:] if len(names) > 1 else names)
        raise Malformed(f"{place}: {first['msg']}" if place else str(first["msg"])) from None


def read_subscribe(body: str) -> Subscribe:
    """Read a subscription; Malformed for any other message."""
    message = read_message(body)
    if not isinstance(message, Subscribe):
        raise Malformed("action: expected subscribe")
    return message


def read_channels(names: Sequence[str]) -> list[Channel]:
    """Read channel names, each once; Malformed names the first that is none."""
    channels = []
    for name in dict.fromkeys(names):
        channel = parse_channel(name)
        if channel is None:
            raise Malformed(
                f"{name}: expected account:<id>, quotes:<symbol>, bars:<symbol>:1m or backtest:<id>"
            )
        channels.append(channel)
    return channels


def route_of(body: str) -> str:
    """Choose a message's route as API Gateway does, by its field `action`."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return DEFAULT
    wanted = isinstance(message, dict) and message.get("action") == SUBSCRIBE
    return SUBSCRIBE if wanted else DEFAULT


def control_text(control: Control) -> bytes:
    """Write a control message for the bus."""
    granted = [
        {"channel": g.channel.name, "headSeq": g.head_seq, "afterSeq": g.after_seq}
        for g in control.granted
    ]
    return orjson.dumps(
        {
            "connectionId": control.connection_id,
            "tenantId": control.tenant_id,
            "granted": granted,
            "dropped": control.dropped,
            "closed": control.closed,
        }
    )


def read_control(body: bytes) -> Control:
    """Read a control message; ValueError, KeyError or TypeError for anything else."""
    message = orjson.loads(body)
    return Control(
        connection_id=message["connectionId"],
        tenant_id=message["tenantId"],
        granted=tuple(_read_grant(grant) for grant in message["granted"]),
        dropped=tuple(message["dropped"]),
        closed=message["closed"],
    )


def _read_grant(grant: Mapping[str, Any]) -> Grant:
    channel = parse_channel(grant["channel"])
    if channel is None:
        raise ValueError(f"expected a channel, got {grant['channel']!r}")
    return Grant(channel, grant["headSeq"], grant["afterSeq"])


def refused_connect(refusal: SocketRefusal) -> SocketReply:
    """Answer a handshake with a refusal."""
    body = error_text(refusal, _DETAILS[refusal])
    return SocketReply(status=_STATUS[refusal], messages=(body,))


def malformed_reply(error: Malformed) -> SocketReply:
    """Answer a message that breaks the protocol."""
    return SocketReply(status=400, messages=(error_text("malformed", str(error)),), misuse=True)


def unavailable_reply() -> SocketReply:
    """Answer when a store that must be asked does not answer."""
    text = error_text("unavailable", "a store does not answer, try again shortly")
    return SocketReply(status=503, messages=(text,))


def unknown_connection() -> SocketReply:
    """Answer on a connection whose token has ended or that was never opened."""
    detail = _DETAILS[SocketRefusal.UNAUTHORIZED]
    return SocketReply(status=401, messages=(error_text(SocketRefusal.UNAUTHORIZED, detail),))


def subscribed_reply(outcome: Subscribed) -> SocketReply:
    """Answer a subscription: one message for what was granted, one for each channel that was not.

    `seq` is each account's newest event at that moment.
    """
    messages = [
        error_text(refusal, _DETAILS[refusal], name) for name, refusal in outcome.refused.items()
    ]
    if outcome.granted:
        names = [grant.channel.name for grant in outcome.granted]
        heads = {g.channel.name: g.head_seq for g in outcome.granted if g.channel.kind == "account"}
        messages.insert(0, _text({"type": "subscribed", "channels": names, "seq": heads}))
    return SocketReply(messages=tuple(messages), granted=outcome.granted)


def unsubscribed_reply(names: tuple[str, ...]) -> SocketReply:
    """Answer the end of a subscription."""
    text = _text({"type": "unsubscribed", "channels": list(names)})
    return SocketReply(messages=(text,), dropped=names)


def pong_reply() -> SocketReply:
    """Answer a ping."""
    return SocketReply(messages=('{"type":"pong"}',))


def error_text(code: str, detail: str, channel: str | None = None) -> str:
    """Write an error message."""
    document = {"type": "error", "code": str(code), "detail": detail}
    if channel is not None:
        document["channel"] = channel
    return _text(document)


def resync_text(channel: str, from_seq: int) -> str:
    """Write the hint that events from this one on must be fetched from the log."""
    return _text({"type": "resync", "channel": channel, "fromSeq": from_seq})


def event_text(
    channel: str, seq: int, event_type: str, occurred_ns: int, payload: Mapping[str, Any]
) -> str:
    """Write one event of an account."""
    event = event_document(event_type, occurred_ns, payload)
    return _text({"type": "event", "channel": channel, "seq": seq, "event": event})


def event_document(event_type: str, occurred_ns: int, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as clients see it, on the socket and over HTTP."""
    moment = format_rfc3339(occurred_ns)
    return {"eventType": event_type, "timestamp": moment, "payload": payload}


def quote_text(channel: str, message: Mapping[str, Any]) -> str:
    """Write one quote from its message on the bus."""
    return _text(
        {
            "type": "quote",
            "channel": channel,
            "bid": message["bid"],
            "ask": message["ask"],
            "ts": format_rfc3339(message["ts_ns"]),
            "seq": message["seq"],
        }
    )


def backtest_text(channel: str, message: Mapping[str, Any]) -> str:
    """Write how far a backtest is, or how it ended, from its message on the bus."""
    told = {
        name: value for name, value in message.items() if name not in {"tenantId", "backtestId"}
    }
    return _text({"type": "backtest", "channel": channel, **told})


def bar_text(channel: str, message: Mapping[str, Any]) -> str:
    """Write one bar, finished or still growing, from its message on the bus."""
    return _text(
        {
            "type": "bar",
            "channel": channel,
            "start": format_rfc3339(message["start_ns"]),
            "open": message["open"],
            "high": message["high"],
            "low": message["low"],
            "close": message["close"],
            "ticks": message["tick_count"],
            "final": message["closed"],
        }
    )


def _text(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document).decode()
