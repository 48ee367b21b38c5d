"""The one place where adapters are built: settings in, ports out."""

import json
import os
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from quantlab.market.catalog import Catalog, parse_catalog
from quantlab_adapters.feeds.archive import FolderTickArchive
from quantlab_adapters.feeds.spec import build_source
from quantlab_adapters.postgres.accounts import PostgresAccounts
from quantlab_adapters.postgres.api_keys import PostgresApiKeys
from quantlab_adapters.postgres.attempts import PostgresUnauthenticatedAttempts
from quantlab_adapters.postgres.audit import PostgresAuditLog, PostgresOutbox
from quantlab_adapters.postgres.bots import PostgresBots, StoredKnownBots
from quantlab_adapters.postgres.configs import (
    PinnedRulebooks,
    PostgresTenantConfigs,
    PostgresTenants,
)
from quantlab_adapters.postgres.database import Database
from quantlab_adapters.postgres.event_log import PostgresEventLog
from quantlab_adapters.postgres.execution import PostgresExecution
from quantlab_adapters.postgres.identity import (
    PostgresAccountOwners,
    PostgresDirectory,
    PostgresSessions,
)
from quantlab_adapters.postgres.inbox import PostgresInbox
from quantlab_adapters.postgres.market import PostgresBars, PostgresTickLog, PostgresTickSegments
from quantlab_adapters.postgres.probe import PostgresProbe
from quantlab_adapters.postgres.signal_counts import PostgresSignalCounts
from quantlab_adapters.postgres.users import PostgresUsers
from quantlab_adapters.postgres.wakes import PostgresWakes
from quantlab_adapters.redis import client as redis_client
from quantlab_adapters.redis.event_bus import RedisEventBus
from quantlab_adapters.redis.metrics import RedisMetricsBoard
from quantlab_adapters.redis.probe import RedisProbe
from quantlab_adapters.redis.quotes import RedisQuotes, RedisQuoteSink
from quantlab_adapters.redis.sessions import (
    RedisCredentialCache,
    RedisLoginAttempts,
    RedisTickets,
    ServerWatch,
)
from quantlab_adapters.redis.signals import RedisSignalLimits, RedisStamps
from quantlab_adapters.redis.subscriptions import RedisSubscriptions
from quantlab_adapters.selfhost.access_tokens import JwtAccessTokens
from quantlab_adapters.selfhost.clock import SystemClock, SystemIds
from quantlab_adapters.selfhost.key_store import FileKeys
from quantlab_adapters.selfhost.mail import FileMail, SmtpMail, SmtpServer
from quantlab_adapters.selfhost.one_time_codes import TotpCodes
from quantlab_adapters.selfhost.passwords import Argon2Passwords
from quantlab_adapters.selfhost.secrets import FileSecrets
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.identity import IdentityPolicy
from quantlab_app.ports.mail import Mail
from quantlab_app.ports.market import QuoteRefusals
from quantlab_app.ports.secrets import KeyAdministration, Keys
from quantlab_app.use_cases import tenant_events
from quantlab_edge.settings import Settings


async def build(settings: Settings) -> Ports:
    """Connect the self-hosted family; the caller awaits `ports.close()` at the end.

    Time-zone data comes from the pinned tzdata package, never from the machine.
    """
    zoneinfo.reset_tzpath(to=())
    catalog = _catalog(settings.configs)
    clock, ids = SystemClock(), SystemIds()
    keys = FileKeys(settings.state / "keys")
    url = settings.redis_url.get_secret_value()
    redis = redis_client.connect(url)
    watch = ServerWatch()
    watched = redis_client.connect(url, on_connect=watch.connected)
    database = Database(settings.database_url.get_secret_value(), max_size=settings.pool_size)
    await database.open()
    order_path = _order_path(database, redis, keys)

    async def close() -> None:
        for part in ("inbox", "execution", "audit_log"):
            await order_path[part].close()
        await redis.aclose()
        await watched.aclose()
        await database.close()

    return Ports(
        clock=clock,
        ids=ids,
        catalog=catalog,
        secrets=FileSecrets(settings.state / "secrets", os.environ),
        keys=keys,
        mail=_mail(settings),
        event_log=PostgresEventLog(database),
        event_bus=RedisEventBus(redis),
        subscriptions=RedisSubscriptions(redis, clock),
        credential_cache=RedisCredentialCache(watched, watch),
        metrics_board=RedisMetricsBoard(redis),
        probes=(PostgresProbe(database), RedisProbe(redis)),
        **order_path,
        **_market(settings, database, redis, catalog, order_path),
        **_identity(settings, database, redis, keys),
        close=close,
    )


def key_administration(state: Path) -> KeyAdministration:
    """Open the keys of a state folder for an operator; no store is needed."""
    return FileKeys(state / "keys")


def _catalog(configs: Path) -> Catalog:
    path = configs / "instruments.json"
    try:
        return parse_catalog(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise Misconfigured(f"expected the instrument catalogue at {path}: {error}") from error


def _order_path(database: Database, redis: redis_client.Client, keys: Keys) -> dict[str, Any]:
    configs = PostgresTenantConfigs(database)
    stamps = RedisStamps(redis)
    return {
        "tenants": PostgresTenants(database),
        "tenant_configs": configs,
        "rulebooks": PinnedRulebooks(configs),
        "accounts": PostgresAccounts(database),
        "bots": PostgresBots(database),
        "known_bots": StoredKnownBots(database, keys, configs, stamps.current),
        "stamps": stamps,
        "inbox": PostgresInbox(database),
        "execution": PostgresExecution(database),
        "outbox": PostgresOutbox(database),
        "audit_log": PostgresAuditLog(database),
        "wakes": PostgresWakes(database),
        "signal_counts": PostgresSignalCounts(database),
        "signal_limits": RedisSignalLimits(redis),
        "unauthenticated": PostgresUnauthenticatedAttempts(database),
    }


def _market(
    settings: Settings,
    database: Database,
    redis: redis_client.Client,
    catalog: Catalog,
    order_path: dict[str, Any],
) -> dict[str, Any]:
    clock = SystemClock()
    ticks = {symbol: instrument.tick for symbol, instrument in catalog.instruments.items()}

    async def note_quote_refusals(refusals: Sequence[QuoteRefusals]) -> None:
        tenants = await order_path["tenants"].active()
        await tenant_events.note_quote_refusals(
            order_path["inbox"], SystemIds(), clock, tenants, refusals
        )

    return {
        "quotes": RedisQuotes(redis),
        "quote_sink": RedisQuoteSink(redis, ticks),
        "bars": PostgresBars(database),
        "tick_log": PostgresTickLog(database),
        "tick_segments": PostgresTickSegments(database),
        "tick_archive": FolderTickArchive(settings.state / "archive"),
        "open_tick_source": lambda: build_source(
            settings.feed, catalog, clock, seed=settings.feed_seed
        ),
        "note_quote_refusals": note_quote_refusals,
    }


def _identity(
    settings: Settings, database: Database, redis: redis_client.Client, keys: Keys
) -> dict[str, Any]:
    policy = IdentityPolicy(public_url=settings.public_url or settings.url)
    return {
        "identity_policy": policy,
        "directory": PostgresDirectory(database),
        "users": PostgresUsers(database),
        "sessions": PostgresSessions(database),
        "api_keys": PostgresApiKeys(database),
        "account_owners": PostgresAccountOwners(database),
        "access_tokens": JwtAccessTokens(keys, issuer=settings.issuer, audience=settings.audience),
        "passwords": Argon2Passwords(
            time_cost=settings.argon2_time_cost,
            memory_kib=settings.argon2_memory_kib,
            parallelism=1,
            concurrency=settings.argon2_concurrency,
        ),
        "one_time_codes": TotpCodes(),
        "tickets": RedisTickets(redis, SystemIds(), ttl_s=policy.ticket_ttl_s),
        "login_attempts": RedisLoginAttempts(redis),
    }


def _mail(settings: Settings) -> Mail:
    """Choose the mail adapter: files in the state folder, or SMTP when an address is set."""
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
