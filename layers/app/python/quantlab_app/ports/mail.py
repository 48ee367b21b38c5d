"""Mail that leaves the platform."""

from dataclasses import field
from typing import Protocol

from quantlab.kernel.records import dataclass
from quantlab_app.ports.errors import Fault


class MailUnavailable(Fault):
    """The mail server did not take the message now; it may later."""

    retryable = True


class MailRefused(Fault):
    """The mail server will never take this message, or the message cannot be written."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """One message to one address. The text may carry a one-time link, so it is never logged."""

    message_id: str
    recipient: str
    subject: str
    text: str = field(repr=False)


class Mail(Protocol):
    """Where messages are handed over."""

    async def send(self, message: MailMessage) -> None:
        """Hand a message over for delivery; MailUnavailable or MailRefused when that failed."""
        ...
