"""Mail into a folder, or to an SMTP server."""

import asyncio
import contextlib
import re
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Literal

from quantlab_adapters.selfhost.private_files import private_folder, write_private
from quantlab_app.ports.mail import MailMessage, MailRefused, MailUnavailable

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


class FileMail:
    """The mail port into FOLDER/<message id>.eml; the same id is written once."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, message: MailMessage) -> None:
        content = _written(message, self._sender).as_bytes()
        await asyncio.to_thread(self._write, message.message_id, content)

    def _write(self, message_id: str, content: bytes) -> None:
        try:
            write_private(private_folder(self._folder) / f"{message_id}.eml", content)
        except OSError as error:
            raise MailUnavailable(f"outbox {self._folder}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where and how to reach the mail server. tls "none" is for a relay on this machine only."""

    host: str
    port: int
    sender: str
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_s: int = 10


class SmtpMail:
    """The mail port on an SMTP server; certificates are checked."""

    def __init__(self, server: SmtpServer, context: ssl.SSLContext | None = None) -> None:
        if server.tls == "none" and server.password is not None:
            raise ValueError("expected TLS where a password is sent, was none")
        self._server = server
        self._context = context or ssl.create_default_context()

    async def send(self, message: MailMessage) -> None:
        written = _written(message, self._server.sender)
        await asyncio.to_thread(self._deliver, written)

    def _deliver(self, written: EmailMessage) -> None:
        with _translated(self._server), contextlib.closing(self._connected()) as connection:
            if self._server.tls == "starttls":
                connection.starttls(context=self._context)
            if self._server.username is not None:
                connection.login(self._server.username, self._server.password or "")
            connection.send_message(written)
            # The message is taken: a bad farewell must not make the caller send it again.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.quit()

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.tls == "implicit":
            return smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.timeout_s, context=self._context
            )
        return smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)


def _written(message: MailMessage, sender: str) -> EmailMessage:
    if not _FILE_NAME.match(message.message_id):
        raise MailRefused("expected a message id of letters, digits, dots and hyphens")
    written = EmailMessage(policy=SMTP)
    try:
        written["From"] = sender
        written["To"] = message.recipient
        written["Subject"] = message.subject
        written["Message-ID"] = f"<{message.message_id}@{sender.rpartition('@')[2].rstrip('>')}>"
    except (ValueError, MessageError, IndexError) as error:
        raise MailRefused(f"message {message.message_id} has an unusable header") from error
    recipients = written["To"].addresses
    if len(recipients) != 1 or not (recipients[0].username and recipients[0].domain):
        raise MailRefused(f"message {message.message_id} expects one address to go to")
    written.set_content(message.text)
    return written


@contextlib.contextmanager
def _translated(server: SmtpServer) -> Iterator[None]:
    where = f"mail server {server.host}:{server.port}"
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        fault = MailRefused if min(codes) >= 500 else MailUnavailable
        raise fault(f"{where} refused the recipient ({min(codes)})") from error
    except smtplib.SMTPResponseException as error:
        fault = MailRefused if error.smtp_code >= 500 else MailUnavailable
        raise fault(f"{where} answered {error.smtp_code}") from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused(f"{where} lacks what the settings ask for: {error}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise MailUnavailable(f"{where}: {type(error).__name__}") from error
