"""The ports of one process, by name; function manifests list the names they use.

Their types are read by type checkers only: a process imports those of the ports it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from quantlab.market.catalog import Catalog
    from quantlab_app.ports.accounts import Accounts, Rulebooks, Tenants
    from quantlab_app.ports.approvals import Approvals
    from quantlab_app.ports.audit import AuditLog, Outbox, Wakes
    from quantlab_app.ports.backtests import BacktestRunner, Backtests, ResultFiles
    from quantlab_app.ports.bad_ticks import BadTickRanges
    from quantlab_app.ports.bots import Bots, KnownBots, Stamps
    from quantlab_app.ports.clock import Clock, Ids
    from quantlab_app.ports.configs import TenantConfigs
    from quantlab_app.ports.execution import Execution
    from quantlab_app.ports.halts import Halts
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
    from quantlab_app.ports.judging import Checkpoints, QuickenWatch
    from quantlab_app.ports.links import AccountLinks
    from quantlab_app.ports.live_strategies import StrategyRuns, StrategySandbox
    from quantlab_app.ports.mail import Mail
    from quantlab_app.ports.market import (
        Bars,
        QuoteRefusals,
        Quotes,
        QuoteSink,
        TickArchive,
        TickLog,
        TickSegments,
        TickSource,
    )
    from quantlab_app.ports.metrics import MetricsBoard, Probe
    from quantlab_app.ports.news import NewsCalendars
    from quantlab_app.ports.outbound import WebhookDeliveries, WebhookEndpoints, WebhookSender
    from quantlab_app.ports.recordings import Recordings
    from quantlab_app.ports.secrets import Keys, Secrets, Vault
    from quantlab_app.ports.sessions import CredentialCache, LoginAttempts, Sessions, Tickets
    from quantlab_app.ports.shard import Shard
    from quantlab_app.ports.signals import SignalCounts, SignalLimits, UnauthenticatedAttempts
    from quantlab_app.ports.sockets import EventBus, EventLog, Pushes, Subscriptions
    from quantlab_app.ports.strategies import Strategies


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything a use case may reach."""

    clock: Clock
    ids: Ids
    catalog: Catalog
    tenants: Tenants
    tenant_configs: TenantConfigs
    rulebooks: Rulebooks
    secrets: Secrets
    keys: Keys
    vault: Vault
    mail: Mail
    accounts: Accounts
    account_links: AccountLinks
    news_calendars: NewsCalendars
    approvals: Approvals
    bad_tick_ranges: BadTickRanges
    recordings: Recordings
    strategies: Strategies
    backtests: Backtests
    backtest_runner: BacktestRunner
    result_files: ResultFiles
    strategy_runs: StrategyRuns
    strategy_sandbox: StrategySandbox
    bots: Bots
    known_bots: KnownBots
    webhook_endpoints: WebhookEndpoints
    webhook_deliveries: WebhookDeliveries
    webhook_sender: WebhookSender
    stamps: Stamps
    inbox: Inbox
    execution: Execution
    halts: Halts
    quicken_watch: QuickenWatch
    shard: Shard
    checkpoints: Checkpoints | None
    outbox: Outbox
    audit_log: AuditLog
    wakes: Wakes
    signal_counts: SignalCounts
    signal_limits: SignalLimits
    unauthenticated: UnauthenticatedAttempts
    quotes: Quotes
    quote_sink: QuoteSink
    bars: Bars
    tick_log: TickLog
    tick_segments: TickSegments
    tick_archive: TickArchive
    open_tick_source: Callable[[], TickSource]
    note_quote_refusals: Callable[[Sequence[QuoteRefusals]], Awaitable[None]]
    event_bus: EventBus
    event_log: EventLog
    subscriptions: Subscriptions
    pushes: Pushes
    identity_policy: IdentityPolicy
    directory: Directory
    users: Users
    api_keys: ApiKeys
    account_owners: AccountOwners
    access_tokens: AccessTokens
    passwords: Passwords
    one_time_codes: OneTimeCodes
    sessions: Sessions
    credential_cache: CredentialCache
    tickets: Tickets
    login_attempts: LoginAttempts
    metrics_board: MetricsBoard
    probes: Sequence[Probe]
    close: Callable[[], Awaitable[None]]
