"""The ports of self-hosting: settings in, ports out."""

import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlsplit

from quantlab_app.ports.backtests import ResultFiles
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.mail import Mail
from quantlab_app.ports.market import TickArchive
from quantlab_app.ports.secrets import KeyAdministration, Keys, Secrets
from quantlab_edge.composition import PORT_NAMES, part
from quantlab_edge.settings import Settings
from quantlab_edge.store_ports import StorePorts

AWS_ONLY = frozenset({"pushes", "vault"})
# What an operator's command may use: checkpoints bring a compiler along, for the scheduler only.
OPERATING = PORT_NAMES - AWS_ONLY - {"checkpoints"}


async def build(
    settings: Settings, names: Collection[str] | None = None, patience_s: float | None = None
) -> Ports:
    """Make the named ports, all for None; the caller awaits `ports.close()` at the end."""
    wanted = PORT_NAMES if names is None else names
    composed = SelfHosted(settings)
    composed.patience_s = patience_s
    return await composed.ports(set(wanted) - AWS_ONLY, _refusal)


def _refusal(name: str) -> str:
    if name in AWS_ONLY:
        return f"self-hosting has no port {name}"
    return f"the manifests of this process do not name the port {name}"


def key_administration(state: Path) -> KeyAdministration:
    """Open the keys of a state folder for an operator; no store is needed."""
    from quantlab_adapters.selfhost.key_store import FileKeys

    return FileKeys(state / "keys")


class SelfHosted(StorePorts):
    """Stores by address, everything else in files below the state folder."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._own = settings

    async def store_urls(self) -> tuple[str, str]:
        own = self._own
        return own.database_url.get_secret_value(), own.redis_url.get_secret_value()

    def catalogue_file(self) -> Path:
        return self._own.configs / "instruments.json"

    def public_url(self) -> str:
        return self._own.public_url or self._own.url

    def native_folder(self) -> Path | None:
        return self._own.native_folder or self._own.state / "native"

    @part
    async def keys(self) -> Keys:
        from quantlab_adapters.selfhost.key_store import FileKeys

        return FileKeys(self._own.state / "keys")

    @part
    async def secrets(self) -> Secrets:
        from quantlab_adapters.selfhost.secrets import FileSecrets

        return FileSecrets(self._own.state / "secrets", os.environ)

    @part
    async def tick_archive(self) -> TickArchive:
        from quantlab_adapters.feeds.archive import FolderTickArchive

        return FolderTickArchive(self._own.state / "archive")

    @part
    async def result_files(self) -> ResultFiles:
        from quantlab_adapters.backtest_runs.files import FolderResultFiles

        return FolderResultFiles(self._own.state / "results")

    def spool_folder(self) -> Path:
        return self._own.state / "backtests"

    @part
    async def mail(self) -> Mail:
        """Choose the mail adapter: files in the state folder, or SMTP when an address is set."""
        from quantlab_adapters.selfhost.mail import FileMail, SmtpMail, SmtpServer

        settings = self._own
        if settings.smtp_url is None:
            return FileMail(settings.state / "outbox", settings.mail_sender)
        url = urlsplit(settings.smtp_url.get_secret_value())
        if url.scheme not in ("smtp", "smtps") or url.hostname is None:
            raise Misconfigured("QUANTLAB_SMTP_URL: expected smtp[s]://[user:password@]host[:port]")
        implicit = url.scheme == "smtps"
        return SmtpMail(
            SmtpServer(
                host=url.hostname,
                port=url.port or (465 if implicit else 587),
                sender=settings.mail_sender,
                tls="implicit" if implicit else "starttls",
                username=None if url.username is None else unquote(url.username),
                password=None if url.password is None else unquote(url.password),
            )
        )


def check_feed(text: str, configs: Path) -> None:
    """Raise Misconfigured for a feed line that the market feed could not play."""
    from quantlab_adapters.feeds.spec import build_source
    from quantlab_adapters.selfhost.clock import SystemClock
    from quantlab_edge.tenant_files import read_configs

    build_source(text, read_configs(configs).catalog, SystemClock(), seed=0)
