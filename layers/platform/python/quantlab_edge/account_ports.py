"""The ports of tenants and their accounts: all on PostgreSQL, whatever the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab_app.ports.shard import Shard, parse_shard
from quantlab_edge.composition import Composition, part

if TYPE_CHECKING:
    from quantlab_adapters.postgres.configs import PostgresTenantConfigs
    from quantlab_adapters.postgres.database import Database
    from quantlab_app.ports.accounts import Accounts, Rulebooks, Tenants
    from quantlab_app.ports.approvals import Approvals
    from quantlab_app.ports.backtests import Backtests
    from quantlab_app.ports.bad_ticks import BadTickRanges
    from quantlab_app.ports.halts import Halts
    from quantlab_app.ports.links import AccountLinks
    from quantlab_app.ports.live_strategies import StrategyRuns
    from quantlab_app.ports.news import NewsCalendars
    from quantlab_app.ports.recordings import Recordings
    from quantlab_app.ports.strategies import Strategies


class AccountPorts(Composition):
    """One method a port, by the name of the container."""

    @part
    async def database(self) -> Database:
        from quantlab_adapters.postgres.database import Database

        database = Database(
            (await self.store_urls())[0],
            max_size=self.settings.pool_size,
            patience_s=self.patience_s,
            **self.session(),
        )
        self.closes(database.close)
        await database.open()
        return database

    def session(self) -> dict[str, Any]:
        """Return what a profile asks of the sessions with PostgreSQL."""
        return {}

    @part
    async def tenants(self) -> Tenants:
        from quantlab_adapters.postgres.configs import PostgresTenants

        return PostgresTenants(await self.database())

    @part
    async def tenant_configs(self) -> PostgresTenantConfigs:
        from quantlab_adapters.postgres.configs import PostgresTenantConfigs

        return PostgresTenantConfigs(await self.database())

    @part
    async def rulebooks(self) -> Rulebooks:
        from quantlab_adapters.postgres.configs import PinnedRulebooks

        return PinnedRulebooks(await self.tenant_configs())

    @part
    async def accounts(self) -> Accounts:
        from quantlab_adapters.postgres.accounts import PostgresAccounts

        return PostgresAccounts(await self.database())

    @part
    async def account_links(self) -> AccountLinks:
        from quantlab_adapters.postgres.links import PostgresAccountLinks

        return PostgresAccountLinks(await self.database())

    @part
    async def news_calendars(self) -> NewsCalendars:
        from quantlab_adapters.postgres.news import PostgresNewsCalendars

        return PostgresNewsCalendars(await self.database())

    @part
    async def approvals(self) -> Approvals:
        from quantlab_adapters.postgres.approvals import PostgresApprovals

        return PostgresApprovals(await self.database())

    @part
    async def bad_tick_ranges(self) -> BadTickRanges:
        from quantlab_adapters.postgres.bad_ticks import PostgresBadTickRanges

        return PostgresBadTickRanges(await self.database())

    @part
    async def halts(self) -> Halts:
        from quantlab_adapters.postgres.halts import PostgresHalts

        return PostgresHalts(await self.database())

    @part
    async def shard(self) -> Shard:
        return parse_shard(self.settings.shard)

    @part
    async def recordings(self) -> Recordings:
        from quantlab_adapters.postgres.recordings import PostgresRecordings

        return PostgresRecordings(await self.database())

    @part
    async def strategies(self) -> Strategies:
        from quantlab_adapters.postgres.strategies import PostgresStrategies

        return PostgresStrategies(await self.database())

    @part
    async def backtests(self) -> Backtests:
        from quantlab_adapters.postgres.backtests import PostgresBacktests

        return PostgresBacktests(await self.database())

    @part
    async def strategy_runs(self) -> StrategyRuns:
        from quantlab_adapters.postgres.strategy_runs import PostgresStrategyRuns

        return PostgresStrategyRuns(await self.database())
