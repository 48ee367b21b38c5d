"""The sender against real sockets: every way of failing, and every way round the guard."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.support.receiver import Receiver, babble, drip, hang_up, status, stay_silent
from tests.support.set_clock import SetClock

from quantlab.kernel.instants import SECOND_NS
from quantlab_adapters.internet import webhook_sender
from quantlab_adapters.internet.webhook_sender import SHOWN_BYTES, HttpxWebhookSender

NOW_S = 1_800_000_000


@pytest.fixture
async def sender() -> AsyncIterator[HttpxWebhookSender]:
    made = HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=True, timeout_s=0.5)
    yield made
    await made.close()


def leading(*addresses: str) -> HttpxWebhookSender:
    """Make a guarded sender for which every name leads to these addresses."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=False, resolve=resolve)


async def test_what_is_posted(receiver: Receiver, sender: HttpxWebhookSender) -> None:
    receiver.answers = [status(202, "taken", set_cookie="a=b"), status(204, "")]
    for _ in range(2):
        answer = await sender.send(receiver.url, {"webhook-id": "msg_1"}, b'{"a":1}')
        assert answer.taken
        assert answer.error is None
    first, second = receiver.received
    assert first.line == "POST /hooks?for=tests HTTP/1.1"
    assert first.body == b'{"a":1}'
    assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-id"] == "msg_1"
    assert "cookie" not in second.headers


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(
    receiver: Receiver, sender: HttpxWebhookSender, code: int
) -> None:
    receiver.answers = [status(code, "", location=f"http://127.0.0.1:{receiver.port}/other")]
    answer = await sender.send(receiver.url, {}, b"{}")
    assert (answer.status, answer.taken) == (code, False)
    assert len(receiver.received) == 1


async def test_every_way_of_failing_is_an_answer(
    receiver: Receiver, sender: HttpxWebhookSender
) -> None:
    for behaviour, word in (
        (hang_up, "RemoteProtocolError"),
        (babble, "RemoteProtocolError"),
        (stay_silent, "no answer within 0.5 s"),
    ):
        receiver.answers = [behaviour]
        answer = await sender.send(receiver.url, {}, b"{}")
        assert (answer.status, answer.taken) == (None, False)
        assert word in str(answer.error), (behaviour, answer)
    receiver.answers = [status(500, "broken")]
    answer = await sender.send(receiver.url, {}, b"{}")
    assert (answer.status, answer.text, answer.error) == (500, "broken", None)
    nobody = await sender.send("http://127.0.0.1:1/", {}, b"{}")
    assert nobody.status is None
    assert "ConnectError" in str(nobody.error)
    nowhere = await sender.send("https://nobody.invalid/", {}, b"{}")
    assert nowhere.error == "the host's name leads to no address"


async def test_only_the_first_bytes_of_an_answer_are_kept(
    receiver: Receiver, sender: HttpxWebhookSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How soon an answer must come is held below.
    monkeypatch.setattr(webhook_sender, "BODY_S", 30)
    receiver.answers = [status(200, "x" * 5_000_000), status(200, "a\0b")]
    assert (await sender.send(receiver.url, {}, b"{}")).text == "x" * SHOWN_BYTES
    assert (await sender.send(receiver.url, {}, b"{}")).text == "a\ufffdb"


async def test_an_answer_without_end_is_kept_as_far_as_it_came_soon(
    receiver: Receiver, sender: HttpxWebhookSender
) -> None:
    receiver.answers = [drip]
    endless = await sender.send(receiver.url, {}, b"{}")
    assert (endless.status, endless.text) == (200, "beg")


async def test_retry_after_is_read_as_seconds_or_as_a_date(
    receiver: Receiver, sender: HttpxWebhookSender
) -> None:
    for text, wanted in (
        ("120", 120),
        (formatdate(NOW_S + 90, usegmt=True), 90),
        (formatdate(NOW_S - 90, usegmt=True), 0),
        ("soon", None),
        ("-5", None),
        ("9" * 20, None),
        ("", None),
    ):
        receiver.answers = [status(429, "", retry_after=text)]
        assert (await sender.send(receiver.url, {}, b"{}")).retry_after_s == wanted, text


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"],
)
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    for addresses in ((address,), ("8.8.8.8", address)):
        answer = await leading(*addresses).send("https://hooks.example.com/", {}, b"{}")
        assert answer.status is None
        assert answer.error == "refused: the host's name leads to an address that is not public"
        assert address not in answer.error, "what our name service says is nobody's business"


async def test_numbers_in_disguise_lead_nowhere(receiver: Receiver) -> None:
    guarded = HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=False)
    for host in ("2130706433", "0x7f000001", "127.1", "localhost", "127.0.0.1", "[::1]", "0"):
        answer = await guarded.send(f"https://{host}:{receiver.port}/", {}, b"{}")
        assert answer.status is None
        assert str(answer.error).startswith("refused: "), (host, answer)
    http = await guarded.send(receiver.url, {}, b"{}")
    assert http.error == "refused: expected an address that begins with https://"
    assert receiver.received == []


async def test_what_was_judged_is_what_is_connected_to(receiver: Receiver) -> None:
    """A name that changes its mind after the check: only the first answer is ever used."""
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    sender = HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=True, resolve=rebinding)
    url = f"http://rebind.example.com:{receiver.port}/"
    assert (await sender.send(url, {}, b"{}")).taken
    assert receiver.received[0].headers["host"] == f"rebind.example.com:{receiver.port}"
    assert asked == ["rebind.example.com"]
    second = await sender.send(url, {}, b"{}")
    assert "not public" in str(second.error), "asked and judged anew for each attempt"
    await sender.close()


async def test_the_next_address_is_tried_when_one_does_not_let_us_connect(
    receiver: Receiver,
) -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.99", "127.0.0.1"]

    sender = HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=True, resolve=two)
    url = f"http://two.example.com:{receiver.port}/"
    assert (await sender.send(url, {}, b"{}")).taken
    await sender.close()


async def test_the_environment_names_no_proxy(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    sender = HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=True)
    assert (await sender.send(receiver.url, {}, b"{}")).taken
    await sender.close()


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Make a certificate that nobody else has signed, in cert.pem, and serve it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_the_certificate_must_be_the_hosts_though_the_address_is_pinned(
    tmp_path: Path,
) -> None:
    context = certificate(tmp_path, "right.example.com")
    names = []
    context.set_servername_callback(lambda _socket, name, _context: names.append(name))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    strict = HttpxWebhookSender(SetClock(NOW_S * SECOND_NS), loopback=True, resolve=here)
    unknown = await strict.send(f"https://right.example.com:{port}/", {}, b"{}")
    assert "CERTIFICATE_VERIFY_FAILED" in str(unknown.error)
    strict._tls.load_verify_locations(tmp_path / "cert.pem")
    assert (await strict.send(f"https://right.example.com:{port}/", {}, b"{}")).taken
    wrong = await strict.send(f"https://wrong.example.com:{port}/", {}, b"{}")
    assert "CERTIFICATE_VERIFY_FAILED" in str(wrong.error)
    assert names == ["right.example.com", "right.example.com", "wrong.example.com"]
    await strict.close()
    server.close()
