"""What functions reach, by name: the source of their environment and of their roles."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import ArnFormat, Stack

from quantlab_cdk.stage import Stage

_ADDRESS: Final = re.compile(r"<?([^<>\s]+@([^<>\s]+?))>?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Names, addresses and ARNs of one deployment."""

    stack: Stack
    stage: Stage
    stores_secret_arn: str
    keys_secret_arn: str
    queue_urls: Mapping[str, str]
    queue_arns: Mapping[str, str]
    event_bus_name: str
    event_bus_arn: str
    archive_name: str
    archive_arn: str
    public_url: str
    socket_endpoint: str
    socket_connections_arn: str

    def secret_arn(self, name: str) -> str:
        """Return the ARN of a secret below our prefix, with the suffix that the service adds."""
        # Six characters and a hyphen: a bare * would also match longer names.
        return self.stack.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{self.stage.secrets_prefix}/{name}-??????",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    @property
    def mail_identity_arns(self) -> Sequence[str]:
        """Return the sender's identities: its domain, and the address itself."""
        match = _ADDRESS.search(self.stage.mail_sender)
        if match is None:
            raise ValueError(f"-c mail_sender: expected an address, got {self.stage.mail_sender!r}")
        return [
            self.stack.format_arn(service="ses", resource="identity", resource_name=identity)
            for identity in (match[2], match[1])
        ]

    def environment(self) -> dict[str, str]:
        """Return the variables of every function; nothing in them is secret."""
        local = self.stage.local_endpoint
        return {
            "QUANTLAB_PROFILE": "aws",
            "QUANTLAB_STAGE": self.stage.name,
            "QUANTLAB_STORES_SECRET": self.stores_secret_arn,
            "QUANTLAB_KEYS_SECRET": self.keys_secret_arn,
            "QUANTLAB_SECRETS_PREFIX": self.stage.secrets_prefix,
            **{f"QUANTLAB_QUEUE_{name.upper()}": url for name, url in self.queue_urls.items()},
            "QUANTLAB_EVENT_BUS": self.event_bus_name,
            "QUANTLAB_SOCKET_ENDPOINT": self.socket_endpoint,
            "QUANTLAB_ARCHIVE_BUCKET": self.archive_name,
            "QUANTLAB_MAIL_SENDER": self.stage.mail_sender,
            "QUANTLAB_PUBLIC_URL": self.public_url,
            **({} if local is None else {"AWS_ENDPOINT_URL": local}),
        }
