"""Users of a tenant: administration, and everybody's own login."""

from typing import Annotated, Literal
from uuid import UUID

import structlog
from fastapi import BackgroundTasks, Depends
from pydantic import Field, SecretStr
from starlette.requests import Request

from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Fault
from quantlab_app.ports.identity import MailTokenKind, User
from quantlab_app.use_cases import identity_totp, invitations, users
from quantlab_app.use_cases.identity_tokens import PASSWORD_CHARS_MAX
from quantlab_app.use_cases.users import NAME_CHARS_MAX, PASSWORD_CHARS_MIN, UserRefusal
from quantlab_edge.http import PUBLIC, ApiModel, CredentialDep, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.problems import FieldError, ProblemError, correlation_id_of
from quantlab_edge.requests import ports_of

router = new_router("users")

Reader = Annotated[Scope, Depends(principal(Permission.USERS_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.USERS_MANAGE))]
Password = Annotated[SecretStr, Field(min_length=PASSWORD_CHARS_MIN, max_length=PASSWORD_CHARS_MAX)]
OneTimeToken = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(pattern=r"^[0-9]{6}$")]


class NewUser(ApiModel):
    """Somebody to invite."""

    email: str = Field(max_length=users.EMAIL_CHARS_MAX)
    name: str = Field(min_length=1, max_length=NAME_CHARS_MAX)
    role: Role = Role.TRADER


class UserChange(ApiModel):
    """Whether a user may sign in."""

    status: Literal["active", "disabled"]


class UserView(ApiModel):
    """A user."""

    user_id: str
    email: str
    name: str
    role: Role
    status: Literal["invited", "active", "disabled"]
    email_verified: bool
    totp_enabled: bool
    created_at: str


class UserPage(ApiModel):
    """A page of users."""

    items: list[UserView]
    next_cursor: str | None


class Me(ApiModel):
    """Who the credential is."""

    tenant_id: str
    kind: Literal["user", "api_key", "bot", "system"]
    id: str
    role: Role
    permissions: list[Permission]


class Acceptance(ApiModel):
    """The token of a mail and the password chosen."""

    token: OneTimeToken
    password: Password


class TokenOnly(ApiModel):
    """The token of a mail."""

    token: OneTimeToken


class ResetWish(ApiModel):
    """Whose password is lost."""

    email: str = Field(max_length=users.EMAIL_CHARS_MAX)
    tenant_id: str | None = Field(default=None, max_length=63)


class PasswordChange(ApiModel):
    """The present password and the next."""

    current_password: SecretStr = Field(max_length=PASSWORD_CHARS_MAX)
    new_password: Password


class CodeOnly(ApiModel):
    """A code of the authenticator app."""

    code: Code


class EnrolmentView(ApiModel):
    """What an authenticator app needs; shown this once."""

    secret: str
    uri: str


@router.get("/tenants/{tenantId}/users")
async def list_users(
    request: Request, scope: Reader, limit: Limit = 100, cursor: Cursor = None
) -> UserPage:
    """List the tenant's users, oldest first."""
    after = decode_cursor(cursor, int, UUID)
    rows = await users.list_users(ports_of(request), scope, limit + 1, after)
    kept, following = page(rows, limit, lambda user: (user.created_ns, user.user_id))
    return UserPage(items=[_view(user) for user in kept], next_cursor=following)


@router.post("/tenants/{tenantId}/users", status_code=201)
async def invite_user(request: Request, scope: Manager, new: NewUser) -> UserView:
    """Add a user and mail the invitation."""
    made = await users.create_user(
        ports_of(request), scope, email=new.email, name=new.name, role=new.role
    )
    return _view(_unrefused(made, new.email))


@router.get("/tenants/{tenantId}/users/{userId}")
async def get_user(request: Request, scope: Reader, userId: str) -> UserView:  # noqa: N803
    """Return one user."""
    require_uuid(userId)
    return _view(await users.find_user(ports_of(request), scope, userId))


@router.patch("/tenants/{tenantId}/users/{userId}")
async def change_user(
    request: Request,
    scope: Manager,
    userId: str,  # noqa: N803
    change: UserChange,
) -> UserView:
    """Disable a user, which ends every session at once, or let one in again.

    A tenant's last administrator who may sign in is disabled by the platform alone.
    """
    require_uuid(userId)
    changed = await users.set_user_status(ports_of(request), scope, userId, change.status)
    return _view(_unrefused(changed, ""))


@router.post("/tenants/{tenantId}/users/{userId}/invitation", status_code=204)
async def invite_again(request: Request, scope: Manager, userId: str) -> None:  # noqa: N803
    """Mail a new invitation; the one before ends."""
    require_uuid(userId)
    await invitations.invite_again(ports_of(request), scope, userId)


@router.get("/me")
async def me(credential: CredentialDep) -> Me:
    """Return who the credential is and what it may do."""
    scope = credential.scope
    return Me(
        tenant_id=scope.tenant_id,
        kind=scope.actor.kind,
        id=scope.actor.id,
        role=scope.actor.role,
        permissions=sorted(item for item in Permission if scope.may(item)),
    )


@router.post("/invitations/accept", status_code=204, openapi_extra=PUBLIC)
async def accept_invitation(request: Request, body: Acceptance) -> None:
    """Choose the first password."""
    await _redeem(request, "invitation", body.token, body.password)


@router.post("/email-verifications", status_code=202)
async def request_verification(request: Request, credential: CredentialDep) -> None:
    """Mail the signed-in user a token that proves the address."""
    await invitations.request_verification(ports_of(request), credential.scope)


@router.post("/email-verifications/confirm", status_code=204, openapi_extra=PUBLIC)
async def confirm_verification(request: Request, body: TokenOnly) -> None:
    """Prove the address."""
    await _redeem(request, "verification", body.token, None)


@router.post("/password-resets", status_code=202, openapi_extra=PUBLIC)
async def request_reset(request: Request, tasks: BackgroundTasks, wish: ResetWish) -> None:
    """Mail a reset token; answers before looking, so that it tells nothing about the address."""
    tasks.add_task(_mail_reset, ports_of(request), wish, correlation_id_of(request))


@router.post("/password-resets/confirm", status_code=204, openapi_extra=PUBLIC)
async def confirm_reset(request: Request, body: Acceptance) -> None:
    """Set a new password; every session of the user ends."""
    await _redeem(request, "reset", body.token, body.password)


@router.post("/password-changes", status_code=204)
async def change_password(
    request: Request, credential: CredentialDep, body: PasswordChange
) -> None:
    """Replace one's own password; one's other sessions end."""
    changed = await users.change_password(
        ports_of(request),
        credential,
        body.current_password.get_secret_value(),
        body.new_password.get_secret_value(),
    )
    if not changed:
        raise _refused_field("/currentPassword", "the present password")


@router.post("/totp", status_code=201)
async def enrol_totp(request: Request, credential: CredentialDep) -> EnrolmentView:
    """Start to enrol a second factor; nothing changes until it is confirmed."""
    ports = ports_of(request)
    config = await ports.tenant_configs.current(credential.scope)
    enrolment = await identity_totp.enrol(ports, credential.scope, config.branding.name)
    return EnrolmentView(secret=enrolment.secret, uri=enrolment.uri)


@router.post("/totp/confirm", status_code=204)
async def confirm_totp(request: Request, credential: CredentialDep, body: CodeOnly) -> None:
    """Confirm the enrolment by a first code; from now on signing in asks for one."""
    if not await identity_totp.confirm(ports_of(request), credential.scope, body.code):
        raise _refused_field("/code", "a fresh code of the enrolment")


@router.post("/totp/disable", status_code=204)
async def disable_totp(request: Request, credential: CredentialDep, body: CodeOnly) -> None:
    """Give the second factor up by a last code."""
    if not await identity_totp.give_up(ports_of(request), credential.scope, body.code):
        raise _refused_field("/code", "a fresh code of the second factor")


async def _mail_reset(ports: Ports, wish: ResetWish, correlation_id: str) -> None:
    try:
        await invitations.request_reset(ports, wish.email, wish.tenant_id, correlation_id)
    except Fault as fault:
        structlog.get_logger("quantlab.http").error(
            "password reset not mailed", cause=str(fault), correlation_id=correlation_id
        )


async def _redeem(
    request: Request, kind: MailTokenKind, token: str, password: SecretStr | None
) -> None:
    chosen = None if password is None else password.get_secret_value()
    done = await invitations.redeem(
        ports_of(request), kind, token, correlation_id_of(request), chosen
    )
    if not done:
        raise _refused_field("/token", "a token of the mail that is unused and has not expired")


def _refused_field(pointer: str, expected: str) -> ProblemError:
    error = FieldError(pointer, expected, "(not shown)")
    return ProblemError("invalid_fields", f"Expected {expected}.", [error])


def _unrefused(result: User | UserRefusal, email: str) -> User:
    match result:
        case User():
            return result
        case UserRefusal.EMAIL_TAKEN:
            raise ProblemError("conflict", "The tenant has a user with this e-mail address.")
        case UserRefusal.LAST_ADMIN:
            raise ProblemError("last_admin", "Let another administrator in first.")
        case UserRefusal.INVALID_EMAIL:
            error = FieldError("/email", "an e-mail address", email[:60])
            raise ProblemError("invalid_fields", "The e-mail address cannot be used.", [error])
        case _:
            raise ProblemError("forbidden", "The role holds more than you may hand out.")


def _view(user: User) -> UserView:
    return UserView(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        role=user.role,
        status=user.status,
        email_verified=user.email_verified,
        totp_enabled=user.totp_enabled,
        created_at=format_rfc3339(user.created_ns),
    )
