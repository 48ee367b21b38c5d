"""The ports that every profile builds on PostgreSQL and Redis, and those that need no store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import orjson

from quantlab.market.catalog import Catalog, parse_catalog
from quantlab.market.sessions import parse_calendar
from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.account_ports import AccountPorts
from quantlab_edge.composition import part
from quantlab_edge.native import NativePorts

if TYPE_CHECKING:
    from pathlib import Path

    from quantlab_adapters.redis.client import Client
    from quantlab_adapters.redis.signals import RedisStamps
    from quantlab_app.ports.audit import AuditLog, Outbox, Wakes
    from quantlab_app.ports.bots import Bots, KnownBots
    from quantlab_app.ports.clock import Clock, Ids
    from quantlab_app.ports.execution import Execution
    from quantlab_app.ports.identity import (
        AccessTokens,
        AccountOwners,
        ApiKeys,
        Directory,
        IdentityPolicy,
        OneTimeCodes,
        Passwords,
        Users,
    )
    from quantlab_app.ports.inbox import Inbox
    from quantlab_app.ports.market import (
        Bars,
        QuoteRefusals,
        Quotes,
        QuoteSink,
        TickLog,
        TickSegments,
        TickSource,
    )
    from quantlab_app.ports.metrics import MetricsBoard, Probe
    from quantlab_app.ports.outbound import WebhookDeliveries, WebhookEndpoints, WebhookSender
    from quantlab_app.ports.sessions import CredentialCache, LoginAttempts, Sessions, Tickets
    from quantlab_app.ports.signals import SignalCounts, SignalLimits, UnauthenticatedAttempts
    from quantlab_app.ports.sockets import EventBus, EventLog, Subscriptions


def read_catalog(path: Path) -> Catalog:
    """Read the instrument catalogue and the calendars of sessions beside it."""
    try:
        found = sorted(path.parent.glob("calendars/*.json"))
        calendars = [parse_calendar(orjson.loads(file.read_bytes())) for file in found]
        by_name = {calendar.name: calendar for calendar in calendars}
        return parse_catalog(orjson.loads(path.read_bytes()), by_name)
    except OSError as error:
        raise Misconfigured(f"expected the instrument catalogue at {path}: {error}") from error


class StorePorts(AccountPorts, NativePorts):
    """One method a port, by the name of the container."""

    @part
    async def redis(self) -> Client:
        from quantlab_adapters.redis.client import connect

        client = connect((await self.store_urls())[1])
        self.closes(client.aclose)
        return client

    @part
    async def clock(self) -> Clock:
        from quantlab_adapters.selfhost.clock import SystemClock

        return SystemClock()

    @part
    async def ids(self) -> Ids:
        from quantlab_adapters.selfhost.clock import SystemIds

        return SystemIds()

    @part
    async def catalog(self) -> Catalog:
        return read_catalog(self.catalogue_file())

    @part
    async def bots(self) -> Bots:
        from quantlab_adapters.postgres.bots import PostgresBots

        return PostgresBots(await self.database())

    @part
    async def known_bots(self) -> KnownBots:
        from quantlab_adapters.postgres.known_bots import StoredKnownBots

        stamps = await self.stamps()
        return StoredKnownBots(
            await self.database(), await self.keys(), await self.tenant_configs(), stamps.current
        )

    @part
    async def webhook_endpoints(self) -> WebhookEndpoints:
        from quantlab_adapters.postgres.webhook_endpoints import PostgresWebhookEndpoints

        return PostgresWebhookEndpoints(await self.database())

    @part
    async def webhook_deliveries(self) -> WebhookDeliveries:
        from quantlab_adapters.postgres.webhook_deliveries import PostgresWebhookDeliveries

        return PostgresWebhookDeliveries(await self.database())

    @part
    async def webhook_sender(self) -> WebhookSender:
        from quantlab_adapters.internet.webhook_sender import HttpxWebhookSender

        loopback = self.settings.webhook_loopback
        sender = HttpxWebhookSender(await self.clock(), loopback=loopback)
        self.closes(sender.close)
        return sender

    @part
    async def stamps(self) -> RedisStamps:
        from quantlab_adapters.redis.signals import RedisStamps

        return RedisStamps(await self.redis())

    @part
    async def inbox(self) -> Inbox:
        from quantlab_adapters.postgres.inbox import PostgresInbox

        inbox = PostgresInbox(await self.database())
        self.closes(inbox.close)
        return inbox

    @part
    async def execution(self) -> Execution:
        from quantlab_adapters.postgres.execution import PostgresExecution

        execution = PostgresExecution(await self.database())
        self.closes(execution.close)
        return execution

    @part
    async def outbox(self) -> Outbox:
        from quantlab_adapters.postgres.audit import PostgresOutbox

        return PostgresOutbox(await self.database())

    @part
    async def audit_log(self) -> AuditLog:
        from quantlab_adapters.postgres.audit import PostgresAuditLog

        audit_log = PostgresAuditLog(await self.database())
        self.closes(audit_log.close)
        return audit_log

    @part
    async def wakes(self) -> Wakes:
        from quantlab_adapters.postgres.wakes import PostgresWakes

        return PostgresWakes(await self.database())

    @part
    async def signal_counts(self) -> SignalCounts:
        from quantlab_adapters.postgres.signal_counts import PostgresSignalCounts

        return PostgresSignalCounts(await self.database())

    @part
    async def signal_limits(self) -> SignalLimits:
        from quantlab_adapters.redis.signals import RedisSignalLimits

        return RedisSignalLimits(await self.redis())

    @part
    async def unauthenticated(self) -> UnauthenticatedAttempts:
        from quantlab_adapters.postgres.attempts import PostgresUnauthenticatedAttempts

        return PostgresUnauthenticatedAttempts(await self.database())

    @part
    async def quotes(self) -> Quotes:
        from quantlab_adapters.redis.quotes import RedisQuotes

        return RedisQuotes(await self.redis())

    @part
    async def quote_sink(self) -> QuoteSink:
        from quantlab_adapters.redis.quotes import RedisQuoteSink

        instruments = (await self.catalog()).instruments
        ticks = {symbol: instrument.tick for symbol, instrument in instruments.items()}
        return RedisQuoteSink(await self.redis(), ticks)

    @part
    async def bars(self) -> Bars:
        from quantlab_adapters.postgres.market import PostgresBars

        return PostgresBars(await self.database())

    @part
    async def tick_log(self) -> TickLog:
        from quantlab_adapters.postgres.market import PostgresTickLog

        return PostgresTickLog(await self.database())

    @part
    async def tick_segments(self) -> TickSegments:
        from quantlab_adapters.postgres.market import PostgresTickSegments

        return PostgresTickSegments(await self.database())

    @part
    async def open_tick_source(self) -> Callable[[], TickSource]:
        from quantlab_adapters.feeds.spec import build_source

        settings, catalog, clock = self.settings, await self.catalog(), await self.clock()
        return lambda: build_source(settings.feed, catalog, clock, seed=settings.feed_seed)

    @part
    async def note_quote_refusals(
        self,
    ) -> Callable[[Sequence[QuoteRefusals]], Awaitable[None]]:
        from quantlab_app.use_cases import tenant_events

        tenants, inbox = await self.tenants(), await self.inbox()
        ids, clock = await self.ids(), await self.clock()

        async def note(refusals: Sequence[QuoteRefusals]) -> None:
            await tenant_events.note_quote_refusals(
                inbox, ids, clock, await tenants.active(), refusals
            )

        return note

    @part
    async def event_bus(self) -> EventBus:
        from quantlab_adapters.redis.event_bus import RedisEventBus

        return RedisEventBus(await self.redis())

    @part
    async def event_log(self) -> EventLog:
        from quantlab_adapters.postgres.event_log import PostgresEventLog

        return PostgresEventLog(await self.database())

    @part
    async def subscriptions(self) -> Subscriptions:
        from quantlab_adapters.redis.subscriptions import RedisSubscriptions

        return RedisSubscriptions(await self.redis(), await self.clock())

    @part
    async def identity_policy(self) -> IdentityPolicy:
        from quantlab_app.ports.identity import IdentityPolicy

        return IdentityPolicy(public_url=self.public_url())

    @part
    async def directory(self) -> Directory:
        from quantlab_adapters.postgres.identity import PostgresDirectory

        return PostgresDirectory(await self.database())

    @part
    async def users(self) -> Users:
        from quantlab_adapters.postgres.users import PostgresUsers

        return PostgresUsers(await self.database())

    @part
    async def api_keys(self) -> ApiKeys:
        from quantlab_adapters.postgres.api_keys import PostgresApiKeys

        return PostgresApiKeys(await self.database())

    @part
    async def account_owners(self) -> AccountOwners:
        from quantlab_adapters.postgres.identity import PostgresAccountOwners

        return PostgresAccountOwners(await self.database())

    @part
    async def access_tokens(self) -> AccessTokens:
        from quantlab_adapters.selfhost.access_tokens import JwtAccessTokens

        settings = self.settings
        return JwtAccessTokens(
            await self.keys(), issuer=settings.issuer, audience=settings.audience
        )

    @part
    async def passwords(self) -> Passwords:
        from quantlab_adapters.selfhost.passwords import Argon2Passwords

        return Argon2Passwords(
            time_cost=self.settings.argon2_time_cost,
            memory_kib=self.settings.argon2_memory_kib,
            parallelism=1,
            concurrency=self.settings.argon2_concurrency,
        )

    @part
    async def one_time_codes(self) -> OneTimeCodes:
        from quantlab_adapters.selfhost.one_time_codes import TotpCodes

        return TotpCodes()

    @part
    async def sessions(self) -> Sessions:
        from quantlab_adapters.postgres.identity import PostgresSessions

        return PostgresSessions(await self.database())

    @part
    async def credential_cache(self) -> CredentialCache:
        from quantlab_adapters.redis.client import connect
        from quantlab_adapters.redis.sessions import RedisCredentialCache, ServerWatch

        watch = ServerWatch()
        watched = connect((await self.store_urls())[1], on_connect=watch.connected)
        self.closes(watched.aclose)
        return RedisCredentialCache(watched, watch)

    @part
    async def tickets(self) -> Tickets:
        from quantlab_adapters.redis.sessions import RedisTickets

        policy = await self.identity_policy()
        return RedisTickets(await self.redis(), await self.ids(), ttl_s=policy.ticket_ttl_s)

    @part
    async def login_attempts(self) -> LoginAttempts:
        from quantlab_adapters.redis.sessions import RedisLoginAttempts

        return RedisLoginAttempts(await self.redis())

    @part
    async def metrics_board(self) -> MetricsBoard:
        from quantlab_adapters.redis.metrics import RedisMetricsBoard

        return RedisMetricsBoard(await self.redis())

    @part
    async def probes(self) -> Sequence[Probe]:
        from quantlab_adapters.postgres.probe import PostgresProbe
        from quantlab_adapters.redis.probe import RedisProbe

        return (PostgresProbe(await self.database()), RedisProbe(await self.redis()))
