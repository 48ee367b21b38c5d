"""The environment of a Lambda or of a worker on AWS, checked at cold start."""

from pathlib import Path

from pydantic import Field, ValidationError

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.settings import PlatformSettings

_URL = r"^https?://\S+$"
_NAME = r"^\S+$"


class AwsSettings(PlatformSettings):
    """Names of what the stack made. What is secret stands in Secrets Manager, never here."""

    function: str = Field(pattern=r"^[a-z]+/[a-z_]+$")
    stage: str = Field(pattern=_NAME)
    stores_secret: str = Field(pattern=_NAME)
    keys_secret: str = Field(pattern=_NAME)
    secrets_prefix: str = Field(pattern=r"^\S*[^\s/]$")
    queue_orders: str = Field(pattern=_URL)
    queue_audit: str = Field(pattern=_URL)
    queue_publish: str = Field(pattern=_URL)
    queue_webhooks: str = Field(pattern=_URL)
    event_bus: str = Field(pattern=_NAME)
    socket_endpoint: str = Field(pattern=_URL)
    archive_bucket: str = Field(pattern=_NAME)
    mail_sender: str = Field(pattern=r"@")
    public_url: str = Field(pattern=_URL)
    configs: Path | None = None
    pool_size: int = Field(default=2, ge=1)
    log_json: bool = True

    @property
    def queues(self) -> dict[str, str]:
        """The queues' addresses by the name that manifests and wakes use."""
        return {
            "orders": self.queue_orders,
            "audit": self.queue_audit,
            "publish": self.queue_publish,
            "webhooks": self.queue_webhooks,
        }


def read_aws_settings() -> AwsSettings:
    """Read the environment; Misconfigured names every variable that is missing or wrong."""
    try:
        return AwsSettings.model_validate({})
    except ValidationError as error:
        found = "; ".join(
            f"QUANTLAB_{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise Misconfigured(found) from error
