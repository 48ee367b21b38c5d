"""What the clock does to accounts: checkpoints of the rules and the end of trading days."""

from collections.abc import Sequence
from typing import Final

import structlog

from quantlab.engine import commands
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import replace
from quantlab_app.ports.container import Ports
from quantlab_app.ports.judging import Moment
from quantlab_app.use_cases.approvals import expire
from quantlab_app.use_cases.each_tenant import of_each
from quantlab_app.use_cases.execution import market_now
from quantlab_app.use_cases.own_commands import OwnCommand, accept_all, own_command

CHECKPOINT_NS: Final = 300 * SECOND_NS
CHECKPOINTS_KEPT: Final = 2

_log = structlog.get_logger("quantlab.checkpoint")


async def checkpoint_rules(ports: Ports) -> int:
    """Have every account with open positions judged once per checkpoint; return how many asked.

    Where the core is compiled, it judges them in bulk and only those that need their writer get a
    command; elsewhere each account gets one. Requests that nobody decided in time end here as well.
    """
    checkpoint_ns = ports.clock.now_ns() // CHECKPOINT_NS * CHECKPOINT_NS
    market, now_ns = await market_now(ports)
    moment = Moment(checkpoint_ns, market, now_ns)

    async def checkpoint(tenant_id: str) -> int:
        await expire(ports, tenant_id)
        halted = await ports.halts.present(tenant_id)
        seen = replace(moment, market=replace(market, halted=halted))
        return await accept_all(
            ports.inbox,
            [
                _checkpoint(ports, tenant_id, account_id, checkpoint_ns)
                for account_id in await _asking(ports, tenant_id, seen)
            ],
        )

    return sum(await of_each(await ports.tenants.active(), checkpoint))


async def _asking(ports: Ports, tenant_id: str, moment: Moment) -> Sequence[str]:
    checkpoints = ports.checkpoints
    if checkpoints is None:
        return [
            owned.account.account_id
            for owned in await ports.accounts.watched(tenant_id)
            if owned.account.positions
        ]
    swept = await checkpoints.sweep(tenant_id, moment, ports.rulebooks.of)
    await checkpoints.forget(tenant_id, moment.checkpoint_ns - CHECKPOINTS_KEPT * CHECKPOINT_NS)
    _log.info("checkpoint", tenant_id=tenant_id, judged=swept.judged, asking=len(swept.asking))
    return swept.asking


def _checkpoint(ports: Ports, tenant_id: str, account_id: str, checkpoint_ns: int) -> OwnCommand:
    name = commands.CHECK_RULES
    return own_command(
        ports.clock,
        ports.ids,
        "schedule",
        tenant_id,
        account_id,
        name,
        {"checkpoint": format_rfc3339(checkpoint_ns)},
        (name, checkpoint_ns),
    )


async def roll_days(ports: Ports) -> int:
    """Wake accounts whose trading day is over, once per reset; return how many."""
    now_ns = ports.clock.now_ns()

    async def roll(tenant_id: str) -> int:
        due = await ports.accounts.due_resets(tenant_id, now_ns)
        return await accept_all(
            ports.inbox,
            [_roll(ports, tenant_id, account_id, reset_ns) for account_id, reset_ns in due.items()],
        )

    return sum(await of_each(await ports.tenants.with_due_reset(now_ns), roll))


def _roll(ports: Ports, tenant_id: str, account_id: str, reset_ns: int) -> OwnCommand:
    name = commands.ROLL_DAY
    return own_command(
        ports.clock,
        ports.ids,
        "schedule",
        tenant_id,
        account_id,
        name,
        {"resetAt": format_rfc3339(reset_ns)},
        (name, reset_ns),
    )
