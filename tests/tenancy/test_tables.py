"""Every table, view and function of the schema, from the catalogue: new ones are held to it too."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import redis
from psycopg import errors, sql

from tests.support.load_house import ALPHA, BETA
from tests.support.running_platform import Platform
from tests.support.street import Street

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
APP, LOOKUP, OWNER = "quantlab_app", "quantlab_lookup", "quantlab_owner"
Row = dict[str, Any]

GLOBAL = {
    "tick": "market data is the same for every tenant",
    "bar_1m": "market data is the same for every tenant",
    "tick_segment": "market data is the same for every tenant",
    "unauthenticated_attempt": "attempts nobody could be held to have no tenant",
    "schema_version": "which migrations were run",
    "alembic_version": "which migrations were run",
}
# What the application may change or delete, and why; every other tenant table only grows.
CHANGING = {
    "account": "the state of its one writer",
    "account_link": "an account leaves a group, or joins another one",
    "api_key": "revocation",
    "app_user": "status, password, second factor",
    "approval": "decided once, then carried out",
    "audit_head": "the end of each chain moves",
    "bad_tick_difference": "recomputed until a correction rests on it",
    "bad_tick_range": "withdrawn",
    "backtest": "status, lease, progress, end",
    "bot": "status and secrets",
    "directory": "keys and tokens end",
    "inbox": "done, duplicates counted, forgotten after the key's time",
    "instrument_halt": "ended",
    "mail_token": "used once",
    "news_calendar": "another one takes its place",
    "news_release": "of the calendar as it is now",
    "outbox": "deleted when handled",
    "position": "netting",
    "working_order": "orders that have not ended",
    "refresh_token": "used once, deleted when old",
    "rule_checkpoint": "findings of the newest checkpoints only",
    "session": "revoked, deleted when old",
    "strategy_run": "status, holder, counts",
    "strategy_run_line": "the newest ones are kept",
    "strategy_run_snapshot": "two are kept",
    "strategy_run_step": "what two snapshots cover goes",
    "strategy": "name, latest version, archived; its versions only grow",
    "tenant": "event_seq, version, status",
    "webhook_delivery": "status, schedule, deleted when old",
    "webhook_endpoint": "address, status, secrets, health",
    "bar_1m": "a closed bar is rebuilt from its ticks",
}
GLOBAL_KEYS = {
    "quotes": "market data",
    "quote_refusals": "market data",
    "feed_clock": "market data",
    "metrics:": "numbers of processes, without tenants",
    "api_key:": "found by the digest of a key before the tenant is known",
    "ticket:": "found by the digest of a random secret before the tenant is known",
    "attempt:": "a counter under the digest of a login name",
    "socket-tenant:": "says which tenant a socket is of",
}


@dataclass(frozen=True)
class Catalogue:
    owner: psycopg.Connection[Row]
    app: psycopg.Connection[Row]
    tables: list[Row]

    @property
    def tenant_tables(self) -> list[str]:
        return [
            t["name"]
            for t in self.tables
            if t["tenanted"] and not t["partition"] and t["kind"] != "v"
        ]

    @property
    def tenant_views(self) -> list[str]:
        return [t["name"] for t in self.tables if t["tenanted"] and t["kind"] == "v"]

    def rows(self, query: str, *values: object) -> list[Row]:
        return self.owner.execute(query.encode(), values).fetchall()


@pytest.fixture(scope="module")
def catalogue(street: Street) -> Iterator[Catalogue]:
    running = street.made
    with running.database() as owner, running.database(APP) as app:
        tables = owner.execute(
            "select c.oid, c.relname as name, c.relkind::text as kind, c.relrowsecurity as enabled,"
            " c.relforcerowsecurity as forced, c.relispartition as partition,"
            " pg_get_userbyid(c.relowner) as owner, c.reloptions as options,"
            " exists (select from pg_attribute a where a.attrelid = c.oid"
            "  and a.attname = 'tenant_id' and not a.attisdropped) as tenanted"
            " from pg_class c where c.relnamespace = 'quantlab'::regnamespace"
            " and c.relkind in ('r', 'p', 'v', 'm', 'f')"
        ).fetchall()
        assert len(tables) > 20
        yield Catalogue(owner, app, tables)


def test_every_table_of_tenants_forces_row_level_security(catalogue: Catalogue) -> None:
    wrong = []
    for table in catalogue.tables:
        name, kind = table["name"], table["kind"]
        if kind in ("v", "m", "f"):
            safe = kind == "v" and "security_invoker=true" in (table["options"] or ())
            wrong += [] if safe else [f"{name}: a view must be security_invoker"]
        elif table["tenanted"]:
            wrong += [] if table["enabled"] and table["forced"] else [f"{name}: not forced"]
        elif not table["partition"] and name not in GLOBAL:
            wrong.append(f"{name}: no tenant_id, and not named as global")
    assert not wrong


def test_every_policy_of_the_application_names_the_tenant(catalogue: Catalogue) -> None:
    policies = catalogue.rows(
        "select tablename, cmd, roles::text[] as roles, qual, with_check from pg_policies"
        " where schemaname = 'quantlab'"
    )
    ours = [p for p in policies if APP in p["roles"] or "public" in p["roles"]]
    assert {p["tablename"] for p in ours} == set(catalogue.tenant_tables)
    wanted = "(tenant_id = current_tenant())"
    for policy in ours:
        expression = {policy["qual"], policy["with_check"]}
        plain = {None if e is None else e.replace("quantlab.", "") for e in expression}
        assert plain == {wanted}, policy
        assert policy["roles"] == [APP], policy


def test_the_application_owns_nothing_and_bypasses_nothing(catalogue: Catalogue) -> None:
    roles = {
        row["rolname"]: row
        for row in catalogue.rows(
            "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,"
            " rolcanlogin from pg_roles where rolname = any(%s)",
            [APP, LOOKUP, OWNER],
        )
    }
    powers = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    assert {name for name, role in roles.items() if any(role[p] for p in powers)} == set()
    assert not roles[LOOKUP]["rolcanlogin"]
    owned = catalogue.rows(
        "select relname from pg_class where relowner = %s::regrole union all"
        " select proname from pg_proc where proowner = %s::regrole union all"
        " select nspname from pg_namespace where nspowner = %s::regrole",
        APP, APP, APP,
    )  # fmt: skip
    assert owned == []
    member = catalogue.rows(
        "select roleid::regrole::text from pg_auth_members where member = %s::regrole", APP
    )
    assert member == []
    create = catalogue.rows(
        "select nspname from pg_namespace where has_schema_privilege(%s, oid, 'create')"
        " and nspname not like 'pg_temp%%'",
        APP,
    )
    assert create == []


def test_the_application_may_change_only_what_is_named(catalogue: Catalogue) -> None:
    changing, forbidden, direct = set(), [], []
    for table in catalogue.tables:
        rights = catalogue.rows(
            "select p as right, has_table_privilege(%s, %s::oid, p)"
            "  or (p = any('{INSERT,SELECT,UPDATE,REFERENCES}'::text[])"
            "    and has_any_column_privilege(%s, %s::oid, p)) as held"
            " from unnest("
            "  '{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p",
            APP, table["oid"], APP, table["oid"],
        )  # fmt: skip
        held = {row["right"] for row in rights if row["held"]}
        forbidden += [f"{table['name']}: {r}" for r in held & {"TRUNCATE", "REFERENCES", "TRIGGER"}]
        if table["partition"] and held:
            direct.append(table["name"])
        if held & {"UPDATE", "DELETE"}:
            changing.add(table["name"])
    assert not forbidden
    assert not direct
    assert changing == set(CHANGING)


def test_functions_with_rights_of_their_own_are_fenced(catalogue: Catalogue) -> None:
    functions = catalogue.rows(
        "select p.oid::regprocedure::text as name, p.proconfig as config,"
        " r.rolsuper, r.rolbypassrls,"
        " exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        "  where a.grantee = 0 and a.privilege_type = 'EXECUTE') as public"
        " from pg_proc p join pg_roles r on r.oid = p.proowner"
        " where p.prosecdef and p.pronamespace = 'quantlab'::regnamespace"
    )
    assert len(functions) > 8
    for function in functions:
        assert "search_path=quantlab, pg_temp" in (function["config"] or ()), function["name"]
        assert not function["rolsuper"], function["name"]
        assert not function["rolbypassrls"], function["name"]
        assert not function["public"], function["name"]


def test_a_tenant_reads_its_own_rows_and_no_others(catalogue: Catalogue) -> None:
    seen, filled = {}, set()
    for name in catalogue.tenant_tables + catalogue.tenant_views:
        if _rows_seen(catalogue.owner, name) >= {ALPHA, BETA}:
            filled.add(name)
        for tenant_id in (ALPHA, BETA):
            with _as(catalogue.app, tenant_id):
                found = _rows_seen(catalogue.app, name)
            seen[name, tenant_id] = found - {tenant_id}
    assert {key: rows for key, rows in seen.items() if rows} == {}
    # The others are empty until somebody is invited or asks, breaks a rule, a day ends,
    # webhooks go out, a calendar of news comes, bad ticks are recomputed, strategies are saved
    # or a checkpoint is due.
    assert set(catalogue.tenant_tables) - filled <= {
        "account_day", "account_link", "account_snapshot", "approval", "payout", "mail_token",
        "violation", "outbox", "session", "refresh_token",
        "webhook_endpoint", "webhook_delivery", "webhook_attempt", "decided_command",
        "rule_checkpoint", "news_calendar", "news_release", "bad_tick_difference",
        "strategy", "strategy_version", "backtest",
        "strategy_run", "strategy_run_step", "strategy_run_line", "strategy_run_snapshot",
    }  # fmt: skip


@pytest.mark.parametrize("tenant_id", [None, "", "no-such-tenant"])
def test_without_a_tenant_there_are_no_rows(catalogue: Catalogue, tenant_id: str | None) -> None:
    for name in catalogue.tenant_tables:
        with _as(catalogue.app, tenant_id):
            assert _rows_seen(catalogue.app, name) == set(), name
            with pytest.raises(errors.InsufficientPrivilege):
                catalogue.app.execute(_insert(name), (ALPHA,))


@pytest.mark.parametrize("tenant_id", [None, "", "no-such-tenant"])
def test_without_a_tenant_views_are_empty(catalogue: Catalogue, tenant_id: str | None) -> None:
    assert catalogue.tenant_views
    for name in catalogue.tenant_views:
        with _as(catalogue.app, tenant_id):
            assert _rows_seen(catalogue.app, name) == set(), name


def test_views_are_read_only(catalogue: Catalogue) -> None:
    granted = catalogue.rows(
        "select table_name, privilege_type from information_schema.role_table_grants"
        " where grantee = %s and table_name = any(%s)",
        APP, catalogue.tenant_views,
    )  # fmt: skip
    assert {row["privilege_type"] for row in granted} == {"SELECT"}


def test_no_row_is_written_for_another_tenant(catalogue: Catalogue) -> None:
    for name in catalogue.tenant_tables:
        with _as(catalogue.app, BETA), pytest.raises(errors.InsufficientPrivilege):
            catalogue.app.execute(_insert(name), (ALPHA,))


def test_no_row_is_moved_to_or_taken_from_another_tenant(catalogue: Catalogue) -> None:
    for name in catalogue.tenant_tables:
        table = sql.Identifier(name)
        for query, values in (
            (sql.SQL("update {} set tenant_id = %s where tenant_id = %s"), (ALPHA, BETA)),
            (sql.SQL("update {} set tenant_id = tenant_id where tenant_id = %s"), (ALPHA,)),
            (sql.SQL("delete from {} where tenant_id = %s"), (ALPHA,)),
        ):
            with _as(catalogue.app, BETA):
                try:
                    touched = catalogue.app.execute(query.format(table), values).rowcount
                except errors.InsufficientPrivilege:
                    continue
                assert touched == 0, (name, query)


def test_what_only_grows_refuses_change(catalogue: Catalogue) -> None:
    growing = [t["name"] for t in catalogue.tables if t["kind"] in "rp" and not t["partition"]]
    growing = [name for name in growing if name not in CHANGING]
    assert {"event", "audit_log", "ledger_entry", "fill", "orders", "violation", "tenant_config",
            "account_day", "account_snapshot", "payout", "tick",
            "tick_segment"} <= set(growing)  # fmt: skip
    for name in growing:
        column = catalogue.rows(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum = 1",
            f"quantlab.{name}",
        )[0]["attname"]
        change = sql.SQL("update {} set {} = {}").format(
            sql.Identifier(name), sql.Identifier(column), sql.Identifier(column)
        )
        for query in (change, sql.SQL("delete from {}").format(sql.Identifier(name)),
                      sql.SQL("truncate {}").format(sql.Identifier(name))):  # fmt: skip
            with _as(catalogue.app, ALPHA), pytest.raises(errors.InsufficientPrivilege):
                catalogue.app.execute(query)


def test_every_key_that_is_a_tenants_names_it(running: Platform, catalogue: Catalogue) -> None:
    with redis.Redis.from_url(running.redis_url, decode_responses=True) as client:
        keys = list(client.scan_iter(count=1000))
    tenants = (ALPHA, BETA)
    nameless = [
        key
        for key in keys
        if not any(tenant in key for tenant in tenants) and not key.startswith(tuple(GLOBAL_KEYS))
    ]
    assert nameless == []
    assert any(ALPHA in key for key in keys)


def _insert(name: str) -> sql.Composed:
    return sql.SQL("insert into {} (tenant_id) values (%s)").format(sql.Identifier(name))


def _rows_seen(app: psycopg.Connection[Row], name: str) -> set[str]:
    query = sql.SQL("select tenant_id from {} group by 1").format(sql.Identifier(name))
    return {row["tenant_id"] for row in app.execute(query).fetchall()}


class _as:  # noqa: N801 - reads as a preposition where it is used
    """A transaction of the application for a tenant, undone at the end."""

    def __init__(self, app: psycopg.Connection[Row], tenant_id: str | None) -> None:
        self._app = app
        self._tenant_id = tenant_id

    def __enter__(self) -> None:
        self._app.execute("begin")
        if self._tenant_id is not None:
            self._app.execute("select set_config('app.tenant', %s, true)", (self._tenant_id,))

    def __exit__(self, *_: object) -> None:
        self._app.execute("rollback")
