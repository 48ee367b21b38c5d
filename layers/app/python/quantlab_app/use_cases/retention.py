"""Forgetting: each kind of record is kept for as long as it must be, then erased or dropped."""

from typing import Final

from quantlab.audit.chain import TENANT_STREAM
from quantlab.kernel.instants import SECOND_NS
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.each_tenant import of_each

DAY_NS: Final = 86_400 * SECOND_NS
PAGE: Final = 500
# Keys of signals and orders must hold against repetitions for seven days; our own need not.
INBOX_DAYS: Final = {("bot", "user", "operator", "strategy"): 7, ("watch", "schedule"): 1}
ATTEMPT_DAYS: Final = 30
WEBHOOK_DAYS: Final = 30
TICK_DAYS: Final = 30


async def forget(ports: Ports) -> int:
    """Make one round through every store; return how many records went."""
    now_ns = ports.clock.now_ns()

    async def of_tenant(tenant_id: str) -> int:
        scope = system_scope(tenant_id, "retention", f"retention-{now_ns}")
        gone = await _erase_payloads(ports, scope, now_ns)
        for kinds, days in INBOX_DAYS.items():
            before_ns = now_ns - days * DAY_NS
            gone += await ports.inbox.forget_before(tenant_id, before_ns, kinds)
        before_ns = now_ns - WEBHOOK_DAYS * DAY_NS
        return gone + await ports.webhook_deliveries.forget_before(tenant_id, before_ns)

    gone = await ports.unauthenticated.forget_before(now_ns - ATTEMPT_DAYS * DAY_NS)
    feed = await ports.quotes.feed_clock()
    if feed is not None:
        gone += await ports.tick_log.drop_ticks_before(feed.at(now_ns) - TICK_DAYS * DAY_NS)
    return gone + sum(await of_each(await ports.tenants.active(), of_tenant))


async def _erase_payloads(ports: Ports, scope: Scope, now_ns: int) -> int:
    """Erase the audit payloads of each account by its type; of the tenant by its longest."""
    config = await ports.tenant_configs.current(scope)
    days = max(kind.retention_days for kind in config.account_types.values())
    gone = await ports.audit_log.erase_payloads(
        scope.tenant_id, TENANT_STREAM, now_ns - days * DAY_NS
    )
    after: str | None = None
    while owned := await ports.accounts.page(scope, user_id=None, after=after, limit=PAGE):
        for one in owned:
            account = one.account
            rulebook = await ports.rulebooks.of(account)
            gone += await ports.audit_log.erase_payloads(
                scope.tenant_id, account.account_id, now_ns - rulebook.retention_days * DAY_NS
            )
        after = owned[-1].account.account_id
    return gone
