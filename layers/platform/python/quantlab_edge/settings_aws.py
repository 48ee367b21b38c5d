"""The environment of a Lambda or of a worker on AWS, checked at cold start."""

from pathlib import Path

from quantlab_edge.environment import between, matching, variable
from quantlab_edge.settings import PlatformSettings

_URL = matching(r"https?://\S+")
_NAME = matching(r"\S+")


class AwsSettings(PlatformSettings):
    """Names of what the stack made. What is secret stands in Secrets Manager, never here."""

    function: str = variable(check=matching(r"[a-z]+/[a-z_]+"))
    stage: str = variable(check=_NAME)
    stores_secret: str = variable(check=_NAME)
    keys_secret: str = variable(check=_NAME)
    secrets_prefix: str = variable(check=matching(r"\S*[^\s/]"))
    queue_orders: str = variable(check=_URL)
    queue_audit: str = variable(check=_URL)
    queue_publish: str = variable(check=_URL)
    queue_webhooks: str = variable(check=_URL)
    event_bus: str = variable(check=_NAME)
    socket_endpoint: str = variable(check=_URL)
    archive_bucket: str = variable(check=_NAME)
    mail_sender: str = variable(check=matching(r".*@.*"))
    public_url: str = variable(check=_URL)
    configs: Path | None = None
    pool_size: int = variable(default=2, check=between(1))
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
