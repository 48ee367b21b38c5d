"""What self-hosting and every other profile read of the environment at start."""

from pathlib import Path

from quantlab_app.ports.shard import parse_shard
from quantlab_edge.environment import Environment, between, variable


class PlatformSettings(Environment):
    """What every profile asks for."""

    public_url: str = ""
    issuer: str = "https://quantlab.example"
    audience: str = "quantlab"
    argon2_time_cost: int = variable(default=2, check=between(1))
    argon2_memory_kib: int = variable(default=47_104, check=between(8_192))
    argon2_concurrency: int = variable(default=2, check=between(1, 16))
    feed: str = "synthetic"
    feed_seed: int = 20140501
    pool_size: int = variable(default=8, check=between(1))
    log_json: bool = False
    log_level: str = "INFO"
    # For development and tests: outbound webhooks may use http, and go to this machine.
    webhook_loopback: bool = False
    mail_sender: str = "QuantLab <no-reply@quantlab.example>"
    # Which share of the accounts an account_watch holds, INDEX/COUNT from 0: all shares must run.
    shard: str = variable(default="0/1", check=parse_shard)

    # Walls of the sandbox that this system may lack, for an operator who accepts that.
    sandbox_may_lack: str = ""


class Settings(PlatformSettings):
    """The variables of self-hosting; addresses of stores and mail hold passwords."""

    database_url: str
    redis_url: str
    state: Path
    configs: Path = Path("agent/configs")
    # Where compiled code is kept; else below the state.
    native_folder: Path | None = None
    host: str = "127.0.0.1"
    port: int = variable(default=8080, check=between(1, 65_535))
    trusted_proxies: str = ""
    smtp_url: str | None = None

    @property
    def url(self) -> str:
        """Where the server is reached when no public address is set."""
        return f"http://{self.host}:{self.port}"
