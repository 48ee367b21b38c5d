"""Who may do what: one table from role to permissions. What the table does not say is forbidden.

It must not know how a request proved its role.
"""

from collections.abc import Iterable
from enum import StrEnum


class Role(StrEnum):
    """What a user or a program is to a tenant."""

    PLATFORM_ADMIN = "platform_admin"
    TENANT_ADMIN = "tenant_admin"
    RISK_MANAGER = "risk_manager"
    TRADER = "trader"
    VIEWER = "viewer"
    BOT = "bot"


class Permission(StrEnum):
    """One thing a role may do; also the scopes an API key can be narrowed to."""

    ACCOUNTS_READ = "accounts_read"
    ACCOUNTS_CREATE = "accounts_create"
    ACCOUNTS_MANAGE = "accounts_manage"
    PAYOUTS_REQUEST = "payouts_request"
    APPROVALS_READ = "approvals_read"
    APPROVALS_DECIDE = "approvals_decide"
    ORDERS_READ = "orders_read"
    ORDERS_PLACE = "orders_place"
    RULES_READ = "rules_read"
    AUDIT_READ = "audit_read"
    SIGNALS_READ = "signals_read"
    SIGNALS_REDRIVE = "signals_redrive"
    MARKET_READ = "market_read"
    STRATEGIES_READ = "strategies_read"
    STRATEGIES_WRITE = "strategies_write"
    BACKTESTS_READ = "backtests_read"
    BACKTESTS_RUN = "backtests_run"
    STRATEGY_RUNS_READ = "strategy_runs_read"
    STRATEGY_RUNS_START = "strategy_runs_start"
    STRATEGY_RUNS_STOP = "strategy_runs_stop"
    STRATEGY_RUNS_KILL_ALL = "strategy_runs_kill_all"
    BOTS_READ = "bots_read"
    BOTS_MANAGE = "bots_manage"
    WEBHOOKS_READ = "webhooks_read"
    WEBHOOKS_MANAGE = "webhooks_manage"
    USERS_READ = "users_read"
    USERS_MANAGE = "users_manage"
    API_KEYS_MANAGE = "api_keys_manage"
    CONFIG_READ = "config_read"
    CONFIG_WRITE = "config_write"
    TENANTS_MANAGE = "tenants_manage"


_COLUMNS = (
    Role.PLATFORM_ADMIN,
    Role.TENANT_ADMIN,
    Role.RISK_MANAGER,
    Role.TRADER,
    Role.VIEWER,
    Role.BOT,
)

# An "o" is granted for what the actor owns, accounts or strategies, an "x" for all of the tenant.
_TABLE = {
    # permission               platform  tenant  risk  trader  viewer  bot
    Permission.ACCOUNTS_READ:   "   x       x      x      o       x     o ",
    Permission.ACCOUNTS_CREATE: "   x       x      .      .       .     . ",
    Permission.ACCOUNTS_MANAGE: "   x       x      x      .       .     . ",
    Permission.PAYOUTS_REQUEST: "   x       x      x      o       .     . ",
    Permission.APPROVALS_READ:  "   x       x      x      .       x     . ",
    Permission.APPROVALS_DECIDE: "  x       x      x      .       .     . ",
    Permission.ORDERS_READ:     "   x       x      x      o       x     o ",
    Permission.ORDERS_PLACE:    "   x       x      .      o       .     o ",
    Permission.RULES_READ:      "   x       x      x      o       x     o ",
    Permission.AUDIT_READ:      "   x       x      x      o       x     . ",
    Permission.SIGNALS_READ:    "   x       x      x      o       x     o ",
    Permission.SIGNALS_REDRIVE: "   x       x      .      .       .     . ",
    Permission.MARKET_READ:     "   x       x      x      x       x     x ",
    Permission.STRATEGIES_READ: "   x       x      x      o       .     . ",
    Permission.STRATEGIES_WRITE: "  x       x      .      o       .     . ",
    Permission.BACKTESTS_READ:  "   x       x      x      o       .     . ",
    Permission.BACKTESTS_RUN:   "   x       x      .      o       .     . ",
    Permission.STRATEGY_RUNS_READ: "x       x      x      o       x     . ",
    Permission.STRATEGY_RUNS_START: "x      x      .      o       .     . ",
    Permission.STRATEGY_RUNS_STOP: "x       x      x      o       .     . ",
    Permission.STRATEGY_RUNS_KILL_ALL: "x   x      x      .       .     . ",
    Permission.BOTS_READ:       "   x       x      x      o       x     . ",
    Permission.BOTS_MANAGE:     "   x       x      .      o       .     . ",
    Permission.WEBHOOKS_READ:   "   x       x      x      .       .     . ",
    Permission.WEBHOOKS_MANAGE: "   x       x      .      .       .     . ",
    Permission.USERS_READ:      "   x       x      x      .       .     . ",
    Permission.USERS_MANAGE:    "   x       x      .      .       .     . ",
    Permission.API_KEYS_MANAGE: "   x       x      .      .       .     . ",
    Permission.CONFIG_READ:     "   x       x      x      .       x     . ",
    Permission.CONFIG_WRITE:    "   x       x      .      .       .     . ",
    Permission.TENANTS_MANAGE:  "   x       .      .      .       .     . ",
}  # fmt: skip

_GRANTED: dict[str, frozenset[Permission]] = {
    role: frozenset(p for p, row in _TABLE.items() if row.split()[column] != ".")
    for column, role in enumerate(_COLUMNS)
}
_SEES_ALL: frozenset[str] = frozenset(
    role
    for column, role in enumerate(_COLUMNS)
    if all(row.split()[column] != "o" for row in _TABLE.values())
)


def permissions_of(role: str) -> frozenset[Permission]:
    """Return what a role may do; nothing for a role nobody knows."""
    return _GRANTED.get(role, frozenset())


def allowed(role: str, permission: str) -> bool:
    """Say whether the role holds the permission; an unknown role or permission is a no."""
    return permission in permissions_of(role)


def owns_only(role: str) -> bool:
    """Say whether the role sees only the accounts it owns; an unknown role does."""
    return role not in _SEES_ALL


def narrowed(role: str, scopes: Iterable[str]) -> frozenset[Permission]:
    """Return what an API key of the role may do: its scopes within the role's permissions."""
    wanted = frozenset(scopes)
    return frozenset(p for p in permissions_of(role) if p in wanted)


def unknown_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes that name no permission, in the order given."""
    known = frozenset(Permission)
    return tuple(scope for scope in scopes if scope not in known)
