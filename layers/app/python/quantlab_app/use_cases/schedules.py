"""What the clock does to accounts: checkpoints of the rules and the end of trading days."""

from typing import Final

from quantlab.engine import commands
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.approvals import expire
from quantlab_app.use_cases.own_commands import OwnCommand, accept_all, own_command

CHECKPOINT_NS: Final = 300 * SECOND_NS


async def checkpoint_rules(ports: Ports) -> int:
    """Have every account with open positions judged once per checkpoint; return how many.

    Requests that nobody decided in time end here as well.
    """
    checkpoint_ns = ports.clock.now_ns() // CHECKPOINT_NS * CHECKPOINT_NS
    accepted = 0
    for tenant_id in await ports.tenants.active():
        await expire(ports, tenant_id)
        account_ids = [
            owned.account.account_id
            for owned in await ports.accounts.watched(tenant_id)
            if owned.account.positions
        ]
        accepted += await accept_all(
            ports.inbox,
            [
                _checkpoint(ports, tenant_id, account_id, checkpoint_ns)
                for account_id in account_ids
            ],
        )
    return accepted


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
    accepted = 0
    for tenant_id in await ports.tenants.with_due_reset(now_ns):
        due = await ports.accounts.due_resets(tenant_id, now_ns)
        accepted += await accept_all(
            ports.inbox,
            [_roll(ports, tenant_id, account_id, reset_ns) for account_id, reset_ns in due.items()],
        )
    return accepted


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
