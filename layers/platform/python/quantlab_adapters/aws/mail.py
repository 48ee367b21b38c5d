"""Mail through SES."""

from email.errors import MessageError
from email.headerregistry import Address
from typing import Final

from botocore.exceptions import ClientError

from quantlab_adapters.aws.clients import Clients, error_code
from quantlab_app.ports.errors import Fault
from quantlab_app.ports.mail import MailMessage, MailRefused, MailUnavailable

_REFUSED: Final = frozenset(
    {
        "AccountSuspendedException", "BadRequestException", "MailFromDomainNotVerifiedException",
        "MessageRejected", "NotFoundException",
    }
)  # fmt: skip


class SesMail:
    """Mail port."""

    def __init__(self, clients: Clients, sender: str) -> None:
        self._clients = clients
        self._sender = sender

    async def send(self, message: MailMessage) -> None:
        recipient = _address(message)

        def send() -> None:
            try:
                self._clients.ses.send_email(
                    FromEmailAddress=self._sender,
                    Destination={"ToAddresses": [recipient]},
                    Content={
                        "Simple": {
                            "Subject": {"Data": message.subject, "Charset": "UTF-8"},
                            "Body": {"Text": {"Data": message.text, "Charset": "UTF-8"}},
                        }
                    },
                )
            except ClientError as error:
                if error_code(error) in _REFUSED:
                    raise MailRefused(f"SES: {error_code(error)}") from error
                raise

        try:
            await self._clients.call(send)
        except MailRefused:
            raise
        except Fault as fault:
            raise MailUnavailable(str(fault)) from fault


def _address(message: MailMessage) -> str:
    try:
        found = Address(addr_spec=message.recipient)
    except (ValueError, MessageError, IndexError) as error:
        raise MailRefused(f"message {message.message_id} has an unusable header") from error
    if not (found.username and found.domain) or set(message.subject) & set("\r\n"):
        raise MailRefused(f"message {message.message_id} has an unusable header")
    return found.addr_spec
