"""The directory, sessions with their refresh tokens, and account owners in PostgreSQL."""

import hashlib
from typing import Any

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.identity import DirectoryEntry, DirectoryKind
from quantlab_app.ports.sessions import RefreshToken, Reused, Rotated, Session

SESSION_COLUMNS = (
    "s.session_id::text, s.user_id::text, u.role, s.browser, s.created_ns, s.expires_ns"
)
_STANDS = (
    "s.revoked_ns is null and s.expires_ns > %(now_ns)s"
    " and u.status = 'active' and t.status = 'active'"
)
_JOINED = "session s join app_user u using (tenant_id, user_id) join tenant t using (tenant_id)"


def email_hash(email: str) -> bytes:
    """Return the digest under which a login is found before its tenant is known."""
    return hashlib.sha256(email.encode()).digest()


class PostgresDirectory:
    """Directory port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, kind: DirectoryKind, lookup_hash: bytes) -> DirectoryEntry | None:
        async with self._database.plain() as connection:
            cursor = await connection.execute(
                "select tenant_id, object_id from find_in_directory(%s, %s)", (kind, lookup_hash)
            )
            row = await cursor.fetchone()
        return None if row is None else DirectoryEntry(row["tenant_id"], row["object_id"])


class PostgresSessions:
    """Sessions port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self, scope: Scope, session: Session, token: RefreshToken, proven_hash: str
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            if not await _still_proven(connection, scope, session.user_id, proven_hash):
                return False
            await _forget_old(connection, scope, session)
            await connection.execute(
                "insert into session (tenant_id, session_id, user_id, browser, created_ns,"
                " expires_ns) values (%s, %s, %s, %s, %s, %s)",
                (
                    scope.tenant_id,
                    session.session_id,
                    session.user_id,
                    session.browser,
                    session.created_ns,
                    session.expires_ns,
                ),
            )
            await _add_token(connection, scope, session.session_id, token)
        return True

    async def find(self, scope: Scope, session_id: str, now_ns: int) -> Session | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"select {SESSION_COLUMNS} from {_JOINED}"  # noqa: S608 - constants
                f" where s.tenant_id = %(tenant)s and s.session_id = %(id)s and {_STANDS}",
                {"tenant": scope.tenant_id, "id": session_id, "now_ns": now_ns},
            )
            row = await cursor.fetchone()
        return None if row is None else _session(row)

    async def rotate(
        self, scope: Scope, old_hash: bytes, new: RefreshToken, now_ns: int
    ) -> Rotated | Reused | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            session_id = await _session_id_of(connection, scope, old_hash)
            if session_id is None:
                return None
            session = await _lock_family(connection, scope, session_id, now_ns)
            if session is None:
                return None
            used = await _use_up(connection, scope, old_hash, now_ns)
            if used is None:
                return None
            if not used:
                await revoke_session(connection, scope, session_id, "reuse", now_ns)
                return Reused(session_id)
            await _drop_expired(connection, scope, session_id, now_ns)
            await _add_token(connection, scope, session_id, new)
        return Rotated(session)

    async def session_of_refresh_token(self, scope: Scope, token_hash: bytes) -> str | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            return await _session_id_of(connection, scope, token_hash)

    async def revoke(self, scope: Scope, session_id: str, reason: str, now_ns: int) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            return await revoke_session(connection, scope, session_id, reason, now_ns)

    async def revoke_others(
        self, scope: Scope, user_id: str, kept_session_id: str, reason: str, now_ns: int
    ) -> tuple[str, ...]:
        async with self._database.tenant(scope.tenant_id) as connection:
            return await revoke_sessions_of(
                connection, scope, user_id, reason, now_ns, kept_session_id
            )


class PostgresAccountOwners:
    """AccountOwners port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owner_of(self, scope: Scope, account_id: str) -> str | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "select user_id::text from account where tenant_id = %s and account_id = %s",
                (scope.tenant_id, account_id),
            )
            row = await cursor.fetchone()
        if row is None:
            raise NotFound("account")
        owner: str | None = row["user_id"]
        return owner


async def _still_proven(
    connection: Connection, scope: Scope, user_id: str, proven_hash: str
) -> bool:
    """Say whether a user may sign in by a password's hash, and let nobody change that meanwhile.

    Whoever changes it ends the user's sessions afterwards, this one among them.
    """
    cursor = await connection.execute(
        "select 1 from app_user where tenant_id = %s and user_id = %s and password_hash = %s"
        " and status = 'active' for share",
        (scope.tenant_id, user_id, proven_hash),
    )
    return await cursor.fetchone() is not None


async def revoke_session(
    connection: Connection, scope: Scope, session_id: str, reason: str, now_ns: int
) -> bool:
    """End a session that may have ended before; False when there is none."""
    await connection.execute(
        "update session set revoked_ns = %s, revoked_reason = %s"
        " where tenant_id = %s and session_id = %s and revoked_ns is null",
        (now_ns, reason, scope.tenant_id, session_id),
    )
    cursor = await connection.execute(
        "select 1 from session where tenant_id = %s and session_id = %s",
        (scope.tenant_id, session_id),
    )
    return await cursor.fetchone() is not None


async def revoke_sessions_of(
    connection: Connection,
    scope: Scope,
    user_id: str,
    reason: str,
    now_ns: int,
    kept_session_id: str | None = None,
) -> tuple[str, ...]:
    """End the sessions of a user; return those a cache may still hold for standing."""
    values = {
        "tenant": scope.tenant_id,
        "user": user_id,
        "kept": kept_session_id,
        "reason": reason,
        "now_ns": now_ns,
    }
    await connection.execute(
        "update session set revoked_ns = %(now_ns)s, revoked_reason = %(reason)s"
        " where tenant_id = %(tenant)s and user_id = %(user)s and revoked_ns is null"
        " and session_id is distinct from %(kept)s::uuid",
        values,
    )
    cursor = await connection.execute(
        "select session_id::text from session where tenant_id = %(tenant)s"
        " and user_id = %(user)s and expires_ns > %(now_ns)s and revoked_ns is not null",
        values,
    )
    return tuple([row["session_id"] for row in await cursor.fetchall()])


async def _add_token(
    connection: Connection, scope: Scope, session_id: str, token: RefreshToken
) -> None:
    await connection.execute(
        "insert into refresh_token (tenant_id, token_hash, session_id, expires_ns)"
        " values (%s, %s, %s, %s)",
        (scope.tenant_id, token.token_hash, session_id, token.expires_ns),
    )
    await connection.execute(
        "insert into directory (tenant_id, kind, lookup_hash, object_id)"
        " values (%s, 'refresh_token', %s, %s)",
        (scope.tenant_id, token.token_hash, session_id),
    )


async def _session_id_of(connection: Connection, scope: Scope, token_hash: bytes) -> str | None:
    cursor = await connection.execute(
        "select session_id::text from refresh_token where tenant_id = %s and token_hash = %s",
        (scope.tenant_id, token_hash),
    )
    row = await cursor.fetchone()
    return None if row is None else row["session_id"]


async def _lock_family(
    connection: Connection, scope: Scope, session_id: str, now_ns: int
) -> Session | None:
    cursor = await connection.execute(
        f"select {SESSION_COLUMNS} from {_JOINED}"  # noqa: S608 - constants
        f" where s.tenant_id = %(tenant)s and s.session_id = %(id)s and {_STANDS}"
        " for update of s",
        {"tenant": scope.tenant_id, "id": session_id, "now_ns": now_ns},
    )
    row = await cursor.fetchone()
    return None if row is None else _session(row)


async def _use_up(
    connection: Connection, scope: Scope, token_hash: bytes, now_ns: int
) -> bool | None:
    """Mark a token used: True when it was good, False when used before, None when expired.

    A statement of its own after the family lock, so that it sees what the last holder wrote.
    """
    cursor = await connection.execute(
        "select used_ns, expires_ns from refresh_token where tenant_id = %s and token_hash = %s",
        (scope.tenant_id, token_hash),
    )
    row = await cursor.fetchone()
    if row is None or row["expires_ns"] <= now_ns:
        return None
    if row["used_ns"] is not None:
        return False
    await connection.execute(
        "update refresh_token set used_ns = %s where tenant_id = %s and token_hash = %s",
        (now_ns, scope.tenant_id, token_hash),
    )
    return True


async def _drop_expired(connection: Connection, scope: Scope, session_id: str, now_ns: int) -> None:
    await connection.execute(
        "with gone as (delete from refresh_token where tenant_id = %(tenant)s"
        " and session_id = %(session)s and expires_ns <= %(now_ns)s returning token_hash)"
        " delete from directory where tenant_id = %(tenant)s and kind = 'refresh_token'"
        " and lookup_hash in (select token_hash from gone)",
        {"tenant": scope.tenant_id, "session": session_id, "now_ns": now_ns},
    )


async def _forget_old(connection: Connection, scope: Scope, session: Session) -> None:
    await connection.execute(
        "with gone as (delete from session where tenant_id = %(tenant)s"
        " and user_id = %(user)s and expires_ns <= %(now_ns)s returning session_id::text)"
        " delete from directory where tenant_id = %(tenant)s and kind = 'refresh_token'"
        " and object_id in (select session_id from gone)",
        {"tenant": scope.tenant_id, "user": session.user_id, "now_ns": session.created_ns},
    )


def _session(row: dict[str, Any]) -> Session:
    return Session(**{**row, "role": Role(row["role"])})
