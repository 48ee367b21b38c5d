"""Users and their mail tokens in PostgreSQL."""

from typing import Any

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.identity import email_hash, revoke_sessions_of
from quantlab_app.ports.errors import Conflict
from quantlab_app.ports.identity import MailToken, MailTokenKind, Redeemed, User, UserStatus

_COLUMNS = (
    "user_id::text, email, name, role, status, created_ns, email_verified, password_hash,"
    " totp_cipher, totp_enabled"
)
# What a token of each kind does to its user; a password is set where the kind asks for one.
_EFFECTS: dict[MailTokenKind, str] = {
    "invitation": "status = 'active', email_verified = true, password_hash = %(password)s",
    "verification": "email_verified = true",
    "reset": "email_verified = true, password_hash = %(password)s",
}
_EXPECTED_STATUS: dict[MailTokenKind, str] = {
    "invitation": "invited",
    "verification": "active",
    "reset": "active",
}


class PostgresUsers:
    """Users port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, user: User, token: MailToken | None = None) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(
                "insert into app_user (tenant_id, user_id, email, name, role, status,"
                " password_hash, email_verified, created_ns)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    scope.tenant_id,
                    user.user_id,
                    user.email,
                    user.name,
                    user.role.value,
                    user.status,
                    user.password_hash,
                    user.email_verified,
                    user.created_ns,
                ),
            )
            # The first tenant to have an e-mail is found by it alone; others name the tenant.
            await connection.execute(
                "insert into directory (tenant_id, kind, lookup_hash, object_id)"
                " values (%s, 'login', %s, %s) on conflict do nothing",
                (scope.tenant_id, email_hash(user.email), user.user_id),
            )
            if token is not None:
                await _add_mail_token(connection, scope, token)

    async def find(self, scope: Scope, user_id: str) -> User | None:
        return await self._one(scope, "user_id = %(value)s", user_id)

    async def find_by_email(self, scope: Scope, email: str) -> User | None:
        return await self._one(scope, "email = %(value)s", email)

    async def page(self, scope: Scope, limit: int, after: tuple[int, str] | None) -> list[User]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"select {_COLUMNS} from app_user where tenant_id = %(tenant)s"  # noqa: S608
                " and (created_ns, user_id) > (%(ns)s, %(id)s::uuid)"
                " order by created_ns, user_id limit %(limit)s",
                _after(scope, limit, after),
            )
            return [_user(row) for row in await cursor.fetchall()]

    async def set_password(
        self, scope: Scope, user_id: str, password_hash: str, *, replacing: str
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "update app_user set password_hash = %s"
                " where tenant_id = %s and user_id = %s and password_hash = %s",
                (password_hash, scope.tenant_id, user_id, replacing),
            )
            if cursor.rowcount == 0:
                return False
            await _drop_mail_tokens(connection, scope, user_id, "reset")
        return True

    async def set_status(
        self, scope: Scope, user_id: str, status: UserStatus, now_ns: int, *, keep_admin: bool
    ) -> tuple[str, ...] | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            if keep_admin and status != "active":
                await _refuse_last_admin(connection, scope, user_id)
            cursor = await connection.execute(
                "update app_user set status = %s where tenant_id = %s and user_id = %s",
                (status, scope.tenant_id, user_id),
            )
            if cursor.rowcount == 0:
                return None
            if status == "active":
                return ()
            return await revoke_sessions_of(connection, scope, user_id, "disabled", now_ns)

    async def set_totp(self, scope: Scope, user_id: str, cipher: bytes | None) -> None:
        await self._changed(
            scope,
            "totp_cipher = %(cipher)s, totp_enabled = false",
            "user_id = %(id)s",
            {"cipher": cipher, "id": user_id},
        )

    async def use_totp_step(self, scope: Scope, user_id: str, step: int) -> bool:
        return await self._changed(
            scope,
            "totp_enabled = true, totp_last_step = %(step)s",
            "user_id = %(id)s and totp_cipher is not null and totp_last_step < %(step)s",
            {"step": step, "id": user_id},
        )

    async def add_mail_token(self, scope: Scope, token: MailToken) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            await _drop_mail_tokens(connection, scope, token.user_id, token.kind)
            await _add_mail_token(connection, scope, token)

    async def redeem_mail_token(
        self,
        scope: Scope,
        kind: MailTokenKind,
        token_hash: bytes,
        now_ns: int,
        password_hash: str | None = None,
    ) -> Redeemed | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "delete from mail_token where tenant_id = %s and token_hash = %s and kind = %s"
                " and expires_ns > %s returning user_id::text",
                (scope.tenant_id, token_hash, kind, now_ns),
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            user_id: str = row["user_id"]
            await _drop_mail_tokens(connection, scope, user_id, kind)
            cursor = await connection.execute(
                f"update app_user set {_EFFECTS[kind]} where tenant_id = %(tenant)s"  # noqa: S608
                " and user_id = %(id)s and status = %(status)s",
                {
                    "password": password_hash,
                    "tenant": scope.tenant_id,
                    "id": user_id,
                    "status": _EXPECTED_STATUS[kind],
                },
            )
            if cursor.rowcount == 0:
                return None
            ended: tuple[str, ...] = ()
            if kind == "reset":
                ended = await revoke_sessions_of(connection, scope, user_id, "reset", now_ns)
        return Redeemed(user_id, ended)

    async def _one(self, scope: Scope, condition: str, value: str) -> User | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"select {_COLUMNS} from app_user"  # noqa: S608 - constants of this file
                f" where tenant_id = %(tenant)s and {condition}",
                {"tenant": scope.tenant_id, "value": value},
            )
            row = await cursor.fetchone()
        return None if row is None else _user(row)

    async def _changed(
        self, scope: Scope, change: str, condition: str, values: dict[str, Any]
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"update app_user set {change}"  # noqa: S608 - constants of this file
                f" where tenant_id = %(tenant)s and {condition}",
                {"tenant": scope.tenant_id, **values},
            )
            return cursor.rowcount == 1


async def _refuse_last_admin(connection: Connection, scope: Scope, user_id: str) -> None:
    """Raise Conflict for the only administrator who may sign in; the others stay as they are."""
    cursor = await connection.execute(
        "select user_id::text from app_user where tenant_id = %s and role = %s"
        " and status = 'active' order by user_id for update",
        (scope.tenant_id, Role.TENANT_ADMIN),
    )
    if [row["user_id"] for row in await cursor.fetchall()] == [user_id]:
        raise Conflict("last_admin")


async def _add_mail_token(connection: Connection, scope: Scope, token: MailToken) -> None:
    await connection.execute(
        "insert into mail_token (tenant_id, token_hash, kind, user_id, expires_ns)"
        " values (%s, %s, %s, %s, %s)",
        (scope.tenant_id, token.token_hash, token.kind, token.user_id, token.expires_ns),
    )
    await connection.execute(
        "insert into directory (tenant_id, kind, lookup_hash, object_id)"
        " values (%s, 'mail_token', %s, %s)",
        (scope.tenant_id, token.token_hash, token.user_id),
    )


async def _drop_mail_tokens(
    connection: Connection, scope: Scope, user_id: str, kind: MailTokenKind
) -> None:
    """Drop the user's tokens of a kind, and what the directory has without a token behind it."""
    await connection.execute(
        "delete from mail_token where tenant_id = %s and user_id = %s and kind = %s",
        (scope.tenant_id, user_id, kind),
    )
    await connection.execute(
        "delete from directory d where d.tenant_id = %(tenant)s and d.kind = 'mail_token'"
        " and d.object_id = %(id)s and not exists (select 1 from mail_token m"
        " where m.tenant_id = %(tenant)s and m.token_hash = d.lookup_hash)",
        {"tenant": scope.tenant_id, "id": user_id},
    )


def _after(scope: Scope, limit: int, after: tuple[int, str] | None) -> dict[str, Any]:
    ns, last_id = after or (-1, "00000000-0000-0000-0000-000000000000")
    return {"tenant": scope.tenant_id, "limit": limit, "ns": ns, "id": last_id}


def _user(row: dict[str, Any]) -> User:
    return User(**{**row, "role": Role(row["role"])})
