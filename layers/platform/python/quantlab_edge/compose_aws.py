"""The ports on AWS: a function gets those its manifest names, and nothing else is imported."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.composition import PORT_NAMES, REQUEST_PATIENCE_S, part
from quantlab_edge.packed import packed_configs
from quantlab_edge.store_ports import StorePorts

if TYPE_CHECKING:
    from quantlab_adapters.aws.clients import Clients
    from quantlab_adapters.aws.secrets import StoredValues
    from quantlab_adapters.aws.wakes import SqsWakes
    from quantlab_app.ports.audit import Wakes
    from quantlab_app.ports.backtests import ResultFiles
    from quantlab_app.ports.container import Ports
    from quantlab_app.ports.execution import Execution
    from quantlab_app.ports.inbox import Inbox
    from quantlab_app.ports.mail import Mail
    from quantlab_app.ports.market import TickArchive
    from quantlab_app.ports.secrets import Keys, Secrets, Vault
    from quantlab_app.ports.sockets import EventBus, Pushes
    from quantlab_edge.settings_aws import AwsSettings

# A sandbox that was stopped in the middle may not hold an account for long.
SESSION = {"idle_in_transaction_session_timeout": "10s", "lock_timeout": "10s"}


async def build(settings: AwsSettings, names: Collection[str] | None) -> Ports:
    """Make the named ports, all for None; the caller awaits `ports.close()` at the end."""
    return await OnAws(settings).ports(
        PORT_NAMES if names is None else names,
        lambda name: f"{settings.function} does not name the port {name} in its manifest",
    )


class OnAws(StorePorts):
    """Stores by a secret, queues, buses and buckets by their names."""

    def __init__(self, settings: AwsSettings) -> None:
        super().__init__(settings)
        self._own = settings
        if settings.function.startswith("http/"):
            self.patience_s = REQUEST_PATIENCE_S

    @part
    async def store_urls(self) -> tuple[str, str]:
        secret_id = self._own.stores_secret
        raw = await (await self.values()).read(secret_id)
        try:
            found = json.loads(raw)
            return str(found["databaseUrl"]), str(found["redisUrl"])
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(f"{secret_id}: expected databaseUrl and redisUrl") from error

    def catalogue_file(self) -> Path:
        return (self._own.configs or packed_configs()) / "instruments.json"

    def public_url(self) -> str:
        return self._own.public_url

    def session(self) -> dict[str, Any]:
        return {"min_size": 0, "session": SESSION}

    @part
    async def clients(self) -> Clients:
        from quantlab_adapters.aws.clients import Clients

        clients = Clients(socket_endpoint=self._own.socket_endpoint)
        self.closes(clients.close)
        return clients

    @part
    async def values(self) -> StoredValues:
        from quantlab_adapters.aws.secrets import StoredValues

        return StoredValues(await self.clients())

    @part
    async def secrets(self) -> Secrets:
        from quantlab_adapters.aws.secrets import ManagedSecrets

        return ManagedSecrets(await self.values(), self._own.secrets_prefix)

    @part
    async def keys(self) -> Keys:
        from quantlab_adapters.aws.keys import ManagedKeys

        return ManagedKeys(await self.values(), self._own.keys_secret)

    @part
    async def vault(self) -> Vault:
        from quantlab_adapters.aws.keys import ManagedVault

        own = self._own
        return ManagedVault(await self.values(), own.secrets_prefix, own.keys_secret)

    @part
    async def sqs_wakes(self) -> SqsWakes:
        from quantlab_adapters.aws.wakes import SqsWakes

        clients, queues = await self.clients(), self._own.queues
        return SqsWakes(clients, queues, await self.ids(), await self.clock())

    async def wakes(self) -> Wakes:
        return await self.sqs_wakes()

    @part
    async def inbox(self) -> Inbox:
        from quantlab_adapters.aws.inbox import WakingInbox

        return WakingInbox(await super().inbox(), await self.sqs_wakes())

    @part
    async def execution(self) -> Execution:
        from quantlab_adapters.postgres.execution import PostgresExecution

        # Nothing runs between two calls of a Lambda: what was sent is dropped at once.
        execution = PostgresExecution(await self.database(), drop_after_s=0)
        self.closes(execution.close)
        return execution

    @part
    async def event_bus(self) -> EventBus:
        from quantlab_adapters.aws.event_bus import EventBridgeBus

        inner = await super().event_bus()
        return EventBridgeBus(inner, await self.clients(), self._own.event_bus)

    @part
    async def pushes(self) -> Pushes:
        from quantlab_adapters.aws.pushes import GatewayPushes

        return GatewayPushes(await self.clients())

    @part
    async def mail(self) -> Mail:
        from quantlab_adapters.aws.mail import SesMail

        return SesMail(await self.clients(), self._own.mail_sender)

    @part
    async def result_files(self) -> ResultFiles:
        from quantlab_adapters.aws.results import S3ResultFiles

        return S3ResultFiles(await self.clients(), self._own.archive_bucket)

    def spool_folder(self) -> Path:
        return Path(tempfile.gettempdir()) / "quantlab-backtests"

    @part
    async def tick_archive(self) -> TickArchive:
        from quantlab_adapters.aws.archive import S3TickArchive
        from quantlab_adapters.feeds import archive

        clients, bucket = await self.clients(), self._own.archive_bucket
        return S3TickArchive(clients, bucket, archive.encode, archive.decode)
