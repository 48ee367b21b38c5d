"""The people of a tenant: adding, listing, disabling, and their own passwords.

Nobody hands out more than he may do himself.
"""

import re
from enum import StrEnum
from typing import Final

from quantlab.kernel.records import replace
from quantlab.tenancy.permissions import Role, permissions_of
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.ports.identity import User, UserStatus
from quantlab_app.ports.sessions import Credential
from quantlab_app.use_cases.identity import own_user
from quantlab_app.use_cases.identity_tokens import PASSWORD_CHARS_MAX, end_sessions
from quantlab_app.use_cases.invitations import invitation_of, send_invitation

PASSWORD_CHARS_MIN: Final = 10
EMAIL_CHARS_MAX: Final = 254
NAME_CHARS_MAX: Final = 100
PEOPLE_ROLES: Final = frozenset(Role) - {Role.BOT}
_EMAIL = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\Z")


class UserRefusal(StrEnum):
    """Why a user was not added or changed, in order of precedence."""

    INVALID_EMAIL = "invalid_email"
    INVALID_PASSWORD = "invalid_password"  # noqa: S105 - a name
    ROLE_NOT_ALLOWED = "role_not_allowed"
    EMAIL_TAKEN = "email_taken"
    LAST_ADMIN = "last_admin"


def normal_email(email: str) -> str | None:
    """Return the e-mail in the form it is kept, None when it is none."""
    text = email.strip().lower()
    return text if len(text) <= EMAIL_CHARS_MAX and _EMAIL.match(text) else None


def acceptable_password(password: str) -> bool:
    """Say whether a password may be chosen."""
    return PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX


def may_hand_out(scope: Scope, role: Role) -> bool:
    """Say whether the actor holds everything the role holds."""
    return role in PEOPLE_ROLES and all(scope.may(item) for item in permissions_of(role))


async def create_user(
    ports: Ports, scope: Scope, *, email: str, name: str, role: Role, password: str | None = None
) -> User | UserRefusal:
    """Add a user: active with the password given, else invited by mail."""
    address = normal_email(email)
    if address is None:
        return UserRefusal.INVALID_EMAIL
    if password is not None and not acceptable_password(password):
        return UserRefusal.INVALID_PASSWORD
    if not may_hand_out(scope, role):
        return UserRefusal.ROLE_NOT_ALLOWED
    user = User(
        user_id=ports.ids.new_id(),
        email=address,
        name=name[:NAME_CHARS_MAX],
        role=role,
        status="invited" if password is None else "active",
        created_ns=ports.clock.now_ns(),
        password_hash=None if password is None else await ports.passwords.hash(password),
    )
    text, token = invitation_of(ports, user.user_id)
    try:
        await ports.users.add(scope, user, token if password is None else None)
    except Conflict:
        return UserRefusal.EMAIL_TAKEN
    if password is None:
        await send_invitation(ports, user, text)
    return user


async def list_users(
    ports: Ports, scope: Scope, limit: int, after: tuple[int, str] | None
) -> list[User]:
    """Return up to limit users, oldest first."""
    return await ports.users.page(scope, limit, after)


async def find_user(ports: Ports, scope: Scope, user_id: str) -> User:
    """Return a user of the tenant; NotFound otherwise."""
    user = await ports.users.find(scope, user_id)
    if user is None:
        raise NotFound("user")
    return user


async def set_user_status(
    ports: Ports, scope: Scope, user_id: str, status: UserStatus
) -> User | UserRefusal:
    """Disable a user, which ends every session at once, or let one in again.

    Only the platform may disable a tenant's last administrator.
    """
    user = await find_user(ports, scope, user_id)
    if not may_hand_out(scope, user.role):
        return UserRefusal.ROLE_NOT_ALLOWED
    if status == "active" and user.password_hash is None:
        status = "invited"
    keep_admin = scope.actor.role != Role.PLATFORM_ADMIN
    try:
        ended = await ports.users.set_status(
            scope, user_id, status, ports.clock.now_ns(), keep_admin=keep_admin
        )
    except Conflict:
        return UserRefusal.LAST_ADMIN
    if ended is None:
        raise NotFound("user")
    await end_sessions(ports, scope.tenant_id, ended)
    return replace(user, status=status)


async def change_password(ports: Ports, credential: Credential, current: str, new: str) -> bool:
    """Replace one's own password and end one's other sessions; False when current fits not."""
    scope = credential.scope
    user = await own_user(ports, scope)
    if await _guessed_too_often(ports, scope, user):
        return False
    old_hash = user.password_hash
    if old_hash is None or not await ports.passwords.verify(old_hash, current):
        return False
    new_hash = await ports.passwords.hash(new)
    if not await ports.users.set_password(scope, user.user_id, new_hash, replacing=old_hash):
        return False
    ended = await ports.sessions.revoke_others(
        scope, user.user_id, credential.reference, "password", ports.clock.now_ns()
    )
    await end_sessions(ports, scope.tenant_id, ended)
    return True


async def _guessed_too_often(ports: Ports, scope: Scope, user: User) -> bool:
    policy = ports.identity_policy
    limit = ((f"password:{scope.tenant_id}:{user.user_id}", policy.login_attempts_max),)
    return await ports.login_attempts.take(limit, policy.attempts_window_s) is not None
