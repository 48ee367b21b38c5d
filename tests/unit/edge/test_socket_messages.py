"""The message protocol: what is read, what is refused, what is written."""

import json

import pytest

from quantlab_app.ports.sockets import Channel, ChannelKind
from quantlab_app.use_cases.sockets import Grant, SocketRefusal, Subscribed, parse_channel
from quantlab_edge import socket

ACCOUNT = "00000000-0000-7000-8000-00000000000a"


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        (f"account:{ACCOUNT}", ChannelKind.ACCOUNT, ACCOUNT),
        ("quotes:EURUSD", ChannelKind.QUOTES, "EURUSD"),
        ("bars:ES:1m", ChannelKind.BARS, "ES"),
    ],
)
def test_channels_are_read(name: str, kind: ChannelKind, key: str) -> None:
    assert parse_channel(name) == Channel(kind, key, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "account:",
        f"account:{ACCOUNT.upper().replace('A', 'G')}",
        f"account:{ACCOUNT}\n",
        f"account:{ACCOUNT}:x",
        "quotes:eurusd",
        "quotes:EUR USD",
        "quotes:" + "X" * 33,
        "bars:EURUSD",
        "bars:EURUSD:5m",
        "orders:EURUSD",
    ],
)
def test_other_names_are_no_channels(name: str) -> None:
    assert parse_channel(name) is None


def test_messages_are_read() -> None:
    body = '{"action":"subscribe","channels":["quotes:ES"],"afterSeq":{"account:x":41}}'
    message = socket.read_subscribe(body)
    assert message.channels == ["quotes:ES"]
    assert message.after_seq == {"account:x": 41}
    assert isinstance(socket.read_message('{"action":"ping"}'), socket.Ping)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{", "expected a JSON object"),
        ("\ud800", "expected a JSON object"),
        ("[1]", "dictionary"),
        ('{"action":"sing"}', "action"),
        ('{"action":"unsubscribe"}', "channels"),
        ('{"action":"subscribe","channels":[1]}', "channels.0"),
        ('{"action":"subscribe","channels":["a"],"afterSeq":{"a":-1}}', "afterSeq.a"),
        ('{"action":"subscribe","channels":["a"],"afterSeq":{"a":9007199254740992}}', "afterSeq.a"),
        ('{"action":"subscribe","channels":["a"],"afterSeq":{"a":true}}', "afterSeq.a"),
        ('{"action":"ping","more":1}', "more"),
        ('{"action":"ping"}' + " " * 4096, "4096 bytes"),
        ('"' + "é" * 2100 + '"', "4096 bytes"),
    ],
)
def test_what_breaks_the_protocol_is_named(body: str, expected: str) -> None:
    with pytest.raises(socket.Malformed, match=expected):
        socket.read_message(body)


def test_a_message_of_another_action_is_no_subscription() -> None:
    with pytest.raises(socket.Malformed, match="expected subscribe"):
        socket.read_subscribe('{"action":"ping"}')


@pytest.mark.parametrize(
    ("body", "route"),
    [
        ('{"action":"subscribe"}', socket.SUBSCRIBE),
        ('{"action":"unsubscribe"}', socket.DEFAULT),
        ('{"action":["subscribe"]}', socket.DEFAULT),
        ("[]", socket.DEFAULT),
        ("{", socket.DEFAULT),
    ],
)
def test_routes_follow_the_action(body: str, route: str) -> None:
    assert socket.route_of(body) == route


def test_channel_names_are_read_once_and_the_first_bad_one_is_named() -> None:
    channels = socket.read_channels(["quotes:ES", "quotes:NQ", "quotes:ES"])
    assert [channel.key for channel in channels] == ["ES", "NQ"]
    with pytest.raises(socket.Malformed, match="bars:ES: expected"):
        socket.read_channels(["quotes:ES", "bars:ES"])


def test_a_subscription_is_answered_channel_by_channel() -> None:
    account = Channel(ChannelKind.ACCOUNT, ACCOUNT, f"account:{ACCOUNT}")
    quotes = Channel(ChannelKind.QUOTES, "ES", "quotes:ES")
    grants = (Grant(account, 41, 40), Grant(quotes))
    reply = socket.subscribed_reply(Subscribed(grants, {"quotes:NQ": SocketRefusal.NOT_FOUND}))
    assert reply.granted == grants
    first, second = map(json.loads, reply.messages)
    assert first == {
        "type": "subscribed",
        "channels": [account.name, "quotes:ES"],
        "seq": {account.name: 41},
    }
    assert (second["type"], second["code"], second["channel"]) == (
        "error",
        "not_found",
        "quotes:NQ",
    )


def test_refused_handshakes_have_a_status() -> None:
    assert socket.refused_connect(SocketRefusal.UNAUTHORIZED).status == 401
    assert socket.refused_connect(SocketRefusal.TOO_MANY_CONNECTIONS).status == 429
    assert socket.unavailable_reply().status == 503


def test_server_messages_are_written_as_the_contract_says() -> None:
    event = socket.event_text("account:x", 42, "order.filled", 1_500_000_000, {"price": "1.1"})
    assert json.loads(event) == {
        "type": "event",
        "channel": "account:x",
        "seq": 42,
        "event": {
            "eventType": "order.filled",
            "timestamp": "1970-01-01T00:00:01.500000Z",
            "payload": {"price": "1.1"},
        },
    }
    quote = {"symbol": "ES", "bid": "1.00", "ask": "1.25", "ts_ns": 0, "seq": 9}
    assert json.loads(socket.quote_text("quotes:ES", quote)) == {
        "type": "quote",
        "channel": "quotes:ES",
        "bid": "1.00",
        "ask": "1.25",
        "ts": "1970-01-01T00:00:00.000000Z",
        "seq": 9,
    }
    hint = {"type": "resync", "channel": "account:x", "fromSeq": 7}
    assert json.loads(socket.resync_text("account:x", 7)) == hint


def test_control_messages_are_read_as_they_were_written() -> None:
    account, quotes = parse_channel(f"account:{ACCOUNT}"), parse_channel("quotes:ES")
    assert account is not None
    assert quotes is not None
    granted = (Grant(account, 57, 41), Grant(account, 57, None), Grant(quotes))
    control = socket.Control("c-1=", "acme", granted, ("bars:ES:1m",))
    assert socket.read_control(socket.control_text(control)) == control
    assert json.loads(socket.control_text(control)) == {
        "connectionId": "c-1=",
        "tenantId": "acme",
        "granted": [
            {"channel": f"account:{ACCOUNT}", "headSeq": 57, "afterSeq": 41},
            {"channel": f"account:{ACCOUNT}", "headSeq": 57, "afterSeq": None},
            {"channel": "quotes:ES", "headSeq": 0, "afterSeq": 0},
        ],
        "dropped": ["bars:ES:1m"],
        "closed": False,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"connectionId":"c","tenantId":"t","granted":[{"channel":"x"}],"dropped":[]}',
    ],
)
def test_other_control_messages_are_refused(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        socket.read_control(body)
