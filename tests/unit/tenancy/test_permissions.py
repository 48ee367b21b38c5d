"""The whole permission table, spelled out a second time so that a change is seen in review."""

import pytest

from quantlab.tenancy.permissions import (
    Permission,
    Role,
    allowed,
    narrowed,
    owns_only,
    permissions_of,
    unknown_scopes,
)
from quantlab.tenancy.scope import Actor, Scope, system_scope

READS = {"accounts_read", "orders_read", "rules_read", "signals_read", "market_read"}

EXPECTED = {
    "platform_admin": {str(permission) for permission in Permission},
    "tenant_admin": {str(permission) for permission in Permission} - {"tenants_manage"},
    "risk_manager": READS
    | {"strategy_runs_read"}
    | {"accounts_manage", "audit_read", "bots_read", "users_read", "config_read"}
    | {
        "webhooks_read",
        "strategies_read",
        "backtests_read",
        "strategy_runs_stop",
        "strategy_runs_kill_all",
    }
    | {"payouts_request", "approvals_read", "approvals_decide"},
    "trader": READS
    | {"orders_place", "audit_read", "bots_read", "bots_manage", "payouts_request"}
    | {
        "strategies_read",
        "strategies_write",
        "backtests_read",
        "backtests_run",
        "strategy_runs_read",
        "strategy_runs_start",
        "strategy_runs_stop",
    },
    "viewer": READS
    | {"strategy_runs_read", "audit_read", "bots_read", "config_read", "approvals_read"},
    "bot": READS | {"orders_place"},
}


def test_every_role_holds_exactly_what_is_expected() -> None:
    held = {str(role): {str(p) for p in permissions_of(role)} for role in Role}
    assert held == EXPECTED


@pytest.mark.parametrize("permission", list(Permission))
@pytest.mark.parametrize("role", list(Role))
def test_allowed_agrees_with_the_expected_table(role: Role, permission: Permission) -> None:
    assert allowed(role, permission) is (permission in EXPECTED[role])


@pytest.mark.parametrize("role", ["", "root", "TENANT_ADMIN", "trader "])
def test_an_unknown_role_may_nothing_and_owns_only(role: str) -> None:
    assert permissions_of(role) == frozenset()
    assert not any(allowed(role, permission) for permission in Permission)
    assert owns_only(role)


def test_an_unknown_permission_is_a_no_for_everybody() -> None:
    assert not any(allowed(role, "payouts_approve") for role in Role)


def test_only_traders_and_bots_are_held_to_their_own_accounts() -> None:
    assert {role for role in Role if owns_only(role)} == {Role.TRADER, Role.BOT}


def test_scopes_narrow_a_role_and_never_widen_it() -> None:
    scopes = ["orders_read", "users_manage", "nonsense"]
    assert narrowed(Role.TRADER, scopes) == {Permission.ORDERS_READ}
    assert narrowed(Role.TENANT_ADMIN, scopes) == {
        Permission.ORDERS_READ,
        Permission.USERS_MANAGE,
    }
    assert unknown_scopes(scopes) == ("nonsense",)


def test_a_scope_asks_role_and_key_scopes() -> None:
    key = Actor("api_key", "k1", Role.TENANT_ADMIN, frozenset({Permission.ACCOUNTS_READ}))
    scope = Scope("northwind-capital", key, "c1")
    assert scope.may(Permission.ACCOUNTS_READ)
    assert not scope.may(Permission.ACCOUNTS_CREATE)
    viewer = Actor("api_key", "k2", Role.VIEWER, frozenset({Permission.ORDERS_PLACE}))
    assert not Scope("northwind-capital", viewer, "c1").may(Permission.ORDERS_PLACE)
    none = Actor("api_key", "k3", Role.TENANT_ADMIN, frozenset())
    assert not any(Scope("t", none, "c").may(permission) for permission in Permission)


def test_the_system_acts_in_one_tenant_and_manages_no_tenants() -> None:
    scope = system_scope("blue-harbor", "day_roll", "c9")
    assert (scope.tenant_id, scope.actor.kind, scope.actor.id) == (
        "blue-harbor",
        "system",
        "day_roll",
    )
    assert scope.may(Permission.ACCOUNTS_MANAGE)
    assert not scope.may(Permission.TENANTS_MANAGE)
    assert not scope.owns_only
