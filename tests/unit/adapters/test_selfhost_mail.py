"""Mail into the outbox and over SMTP, against a small SMTP server that speaks real TLS."""

import asyncio
import contextlib
import datetime as dt
import email
import email.policy
import errno
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quantlab_adapters.selfhost.mail import FileMail, SmtpMail, SmtpServer
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.mail import MailMessage, MailRefused, MailUnavailable

MESSAGE = MailMessage("0190-invite", "trader@example.com", "Welcome", "Open https://x/?t=abc\nBye")
SENDER = "Northwind <no-reply@northwind.example>"


def _contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain = folder / "chain.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    return server, ssl.create_default_context(cafile=chain)


@dataclass
class FakeSmtp:
    """A server of one conversation at a time. replies replaces the answer to a verb."""

    context: ssl.SSLContext
    starttls: bool = True
    replies: dict[str, bytes] = field(default_factory=dict)
    verbs: list[str] = field(default_factory=list)
    content: bytes = b""
    encrypted: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.encrypted = writer.get_extra_info("ssl_object") is not None
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            verb = line.split()[0].decode().upper()
            self.verbs.append(verb)
            writer.write(self._reply(verb))
            await writer.drain()
            if verb == "STARTTLS" and verb not in self.replies:
                await writer.start_tls(self.context)
                self.encrypted = True
            elif verb == "DATA":
                self.content = await reader.readuntil(b"\r\n.\r\n")
                writer.write(self.replies.get("END", b"250 taken\r\n"))
            elif verb == "QUIT":
                break
        writer.close()

    def _reply(self, verb: str) -> bytes:
        if verb in self.replies:
            return self.replies[verb]
        if verb == "EHLO":
            extra = b"250-STARTTLS\r\n" if self.starttls and not self.encrypted else b""
            return b"250-hello\r\n" + extra + b"250 AUTH PLAIN\r\n"
        special = {"DATA": b"354 go\r\n", "AUTH": b"235 in\r\n", "STARTTLS": b"220 go\r\n"}
        special["QUIT"] = b"221 bye\r\n"
        return special.get(verb, b"250 ok\r\n")


@contextlib.asynccontextmanager
async def _running(fake: FakeSmtp, *, implicit: bool = False) -> AsyncIterator[int]:
    context = fake.context if implicit else None
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_outbox_holds_the_message_for_its_owner_only(tmp_path: Path) -> None:
    await FileMail(tmp_path / "outbox", SENDER).send(MESSAGE)
    path = tmp_path / "outbox" / "0190-invite.eml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "outbox").stat().st_mode & 0o777 == 0o700
    written = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert (written["To"], written["From"], written["Subject"]) == (
        "trader@example.com",
        SENDER,
        "Welcome",
    )
    assert written.get_content().splitlines() == ["Open https://x/?t=abc", "Bye"]
    assert [item.name for item in (tmp_path / "outbox").iterdir()] == ["0190-invite.eml"]


async def test_the_same_message_is_written_once(tmp_path: Path) -> None:
    mail = FileMail(tmp_path, SENDER)
    await mail.send(MESSAGE)
    before = (tmp_path / "0190-invite.eml").read_bytes()
    await mail.send(MailMessage("0190-invite", "trader@example.com", "Again", "other"))
    assert (tmp_path / "0190-invite.eml").read_bytes() == before


@pytest.mark.parametrize(
    ("message_id", "recipient", "subject"),
    [
        ("../escape", "a@example.com", "x"),
        ("", "a@example.com", "x"),
        ("ok", "a@example.com\r\nBcc: b@example.com", "x"),
        ("ok", "a@example.com", "x\r\nBcc: b@example.com"),
        ("ok", "a@example.com, b@example.com", "x"),
        ("ok", "nobody", "x"),
        ("ok", "", "x"),
    ],
)
async def test_a_message_that_could_reach_somebody_else_is_refused(
    tmp_path: Path, message_id: str, recipient: str, subject: str
) -> None:
    with pytest.raises(MailRefused):
        await FileMail(tmp_path / "out", SENDER).send(
            MailMessage(message_id, recipient, subject, "text")
        )
    assert not (tmp_path / "out").exists()


async def test_an_outbox_on_a_full_disk_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    mail = FileMail(tmp_path, SENDER)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MailUnavailable, match="No space left"):
            await mail.send(MESSAGE)
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    await mail.send(MESSAGE)
    assert os.listdir(tmp_path) == ["0190-invite.eml"]  # noqa: PTH208


async def test_an_outbox_that_is_no_folder_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("")
    with pytest.raises(Misconfigured, match="expected a folder at"):
        await FileMail(tmp_path / "outbox", SENDER).send(MESSAGE)


async def test_a_server_that_hangs_up_after_taking_the_mail_does_not_unsend_it(
    tmp_path: Path,
) -> None:
    server_context, _ = _contexts(tmp_path)
    fake = FakeSmtp(server_context, replies={"QUIT": b""})
    async with _running(fake) as port:
        await SmtpMail(SmtpServer("127.0.0.1", port, SENDER, "none")).send(MESSAGE)
    assert fake.verbs[-2:] == ["DATA", "QUIT"]
    assert b"Subject: Welcome" in fake.content


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_mail_goes_out_encrypted_and_signed_in(tmp_path: Path, tls: str) -> None:
    server_context, client_context = _contexts(tmp_path)
    fake = FakeSmtp(server_context)
    async with _running(fake, implicit=tls == "implicit") as port:
        settings = SmtpServer("127.0.0.1", port, SENDER, tls, "user", "password")
        await SmtpMail(settings, client_context).send(MESSAGE)
    assert fake.encrypted
    sent = [verb for verb in fake.verbs if verb not in {"EHLO", "STARTTLS"}]
    assert sent == ["AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
    if tls == "starttls":
        assert fake.verbs.index("STARTTLS") < fake.verbs.index("AUTH")
    assert b"Subject: Welcome\r\n" in fake.content


async def test_an_unknown_certificate_stops_the_mail_before_anything_is_said(
    tmp_path: Path,
) -> None:
    server_context, _ = _contexts(tmp_path)
    fake = FakeSmtp(server_context)
    async with _running(fake) as port:
        settings = SmtpServer("127.0.0.1", port, SENDER, username="user", password="password")
        with pytest.raises(MailUnavailable, match="SSLCertVerificationError"):
            await SmtpMail(settings).send(MESSAGE)
    assert not {"AUTH", "MAIL"} & set(fake.verbs)


async def test_a_server_without_tls_gets_no_password(tmp_path: Path) -> None:
    server_context, client_context = _contexts(tmp_path)
    fake = FakeSmtp(server_context, starttls=False)
    async with _running(fake) as port:
        settings = SmtpServer("127.0.0.1", port, SENDER, username="user", password="password")
        with pytest.raises(MailRefused, match="lacks what the settings ask for"):
            await SmtpMail(settings, client_context).send(MESSAGE)
    assert not {"AUTH", "MAIL"} & set(fake.verbs)
    with pytest.raises(ValueError, match="expected TLS"):
        SmtpMail(SmtpServer("127.0.0.1", 25, SENDER, "none", "user", "password"))


@pytest.mark.parametrize(
    ("verb", "reply", "fault"),
    [
        ("RCPT", b"550 no such user\r\n", MailRefused),
        ("RCPT", b"450 busy\r\n", MailUnavailable),
        ("MAIL", b"553 not you\r\n", MailRefused),
        ("MAIL", b"451 later\r\n", MailUnavailable),
        ("END", b"554 spam\r\n", MailRefused),
        ("END", b"452 full\r\n", MailUnavailable),
    ],
)
async def test_a_refusal_is_final_or_to_be_tried_again(
    tmp_path: Path, verb: str, reply: bytes, fault: type[Exception]
) -> None:
    server_context, _ = _contexts(tmp_path)
    fake = FakeSmtp(server_context, replies={verb: reply})
    async with _running(fake) as port:
        with pytest.raises(fault) as caught:
            await SmtpMail(SmtpServer("127.0.0.1", port, SENDER, "none")).send(MESSAGE)
    assert "abc" not in str(caught.value)


async def test_a_server_that_is_away_can_be_tried_again(tmp_path: Path) -> None:
    server_context, _ = _contexts(tmp_path)
    async with _running(FakeSmtp(server_context)) as port:
        pass
    with pytest.raises(MailUnavailable, match="ConnectionRefusedError") as caught:
        await SmtpMail(SmtpServer("127.0.0.1", port, SENDER)).send(MESSAGE)
    assert caught.value.retryable


def test_passwords_and_texts_stay_out_of_the_representation() -> None:
    settings = SmtpServer("h", 25, SENDER, username="user", password="hush-hush")
    assert "hush-hush" not in repr(settings)
    assert "abc" not in repr(MESSAGE)
