"""The process's environment as one typed model, read once at start."""

import os
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from quantlab_app.ports.shard import parse_shard

PREFIX: Final = "QUANTLAB_"


class PlatformSettings(BaseModel):
    """What every profile asks for, in variables with the prefix QUANTLAB_; what is given wins."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    public_url: str = ""
    issuer: str = "https://quantlab.example"
    audience: str = "quantlab"
    argon2_time_cost: int = Field(default=2, ge=1)
    argon2_memory_kib: int = Field(default=47_104, ge=8_192)
    argon2_concurrency: int = Field(default=2, ge=1, le=16)
    feed: str = "synthetic"
    feed_seed: int = 20140501
    pool_size: int = Field(default=8, ge=1)
    log_json: bool = False
    log_level: str = "INFO"
    # For development and tests: outbound webhooks may use http, and go to this machine.
    webhook_loopback: bool = False
    mail_sender: str = "QuantLab <no-reply@quantlab.example>"
    # Which share of the accounts an account_watch holds, INDEX/COUNT from 0: all shares must run.
    shard: str = "0/1"

    # Walls of the sandbox that this system may lack, for an operator who accepts that.
    sandbox_may_lack: str = ""

    @model_validator(mode="before")
    @classmethod
    def _with_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        variables = {name: f"{PREFIX}{name.upper()}" for name in cls.model_fields}
        found = {name: os.environ[key] for name, key in variables.items() if key in os.environ}
        return {**found, **given}

    @field_validator("shard")
    @classmethod
    def _is_shard(cls, text: str) -> str:
        parse_shard(text)
        return text


class Settings(PlatformSettings):
    """The variables of self-hosting; a wrong or missing one is named at start."""

    database_url: SecretStr
    redis_url: SecretStr
    state: Path
    configs: Path = Path("agent/configs")
    # Where compiled code is kept; else below the state.
    native_folder: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    trusted_proxies: str = ""
    smtp_url: SecretStr | None = None

    @property
    def url(self) -> str:
        """Where the server is reached when no public address is set."""
        return f"http://{self.host}:{self.port}"
