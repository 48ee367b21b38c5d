"""What arrives by mail: invitations, e-mail verification and password reset.

A token works once and ends with the next of its kind, one that resets a password also with a
change of that. Nothing here tells whether an address is known.
"""

from typing import Final

from quantlab.kernel.instants import SECOND_NS
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.ports.identity import MailToken, MailTokenKind, User
from quantlab_app.ports.mail import MailMessage
from quantlab_app.use_cases.identity import identity_scope, lookup_hash, own_user
from quantlab_app.use_cases.identity_tokens import end_sessions

MAIL_TOKEN_BYTES: Final = 32
_SUBJECTS: Final[dict[MailTokenKind, str]] = {
    "invitation": "Your invitation",
    "verification": "Confirm your e-mail address",
    "reset": "Set a new password",
}
_TEXTS: Final[dict[MailTokenKind, str]] = {
    "invitation": "You are invited. Choose a password here:",
    "verification": "Confirm that this address is yours here:",
    "reset": "Somebody asked for a new password for this address. If it was you, set it here:",
}
_PAGES: Final[dict[MailTokenKind, str]] = {
    "invitation": "invitations/accept",
    "verification": "email-verifications/confirm",
    "reset": "password-resets/confirm",
}


def invitation_of(ports: Ports, user_id: str) -> tuple[str, MailToken]:
    """Make an invitation's text and what is kept of it."""
    return _new_token(ports, "invitation", user_id)


async def send_invitation(ports: Ports, user: User, token: str) -> None:
    """Mail an invitation."""
    await _send(ports, "invitation", user.email, token)


async def invite_again(ports: Ports, scope: Scope, user_id: str) -> None:
    """Mail a new invitation to somebody who has not accepted yet; Conflict when he has."""
    user = await ports.users.find(scope, user_id)
    if user is None:
        raise NotFound("user")
    if user.status != "invited":
        raise Conflict("invitation")
    await _mail_token(ports, scope, user, "invitation")


async def request_verification(ports: Ports, scope: Scope) -> None:
    """Mail the acting user a token that proves the address."""
    await _mail_token(ports, scope, await own_user(ports, scope), "verification")


async def request_reset(
    ports: Ports, email: str, tenant_id: str | None, correlation_id: str
) -> bool:
    """Mail a reset token if the address is an active user's; the caller answers the same always."""
    address = email.strip().lower()
    policy = ports.identity_policy
    limit = ((f"reset:{tenant_id or ''}:{address}", policy.login_attempts_max),)
    if await ports.login_attempts.take(limit, policy.attempts_window_s) is not None:
        return False
    if tenant_id is None:
        entry = await ports.directory.find("login", lookup_hash(address))
        if entry is None:
            return False
        tenant_id = entry.tenant_id
    scope = identity_scope(tenant_id, correlation_id)
    user = await ports.users.find_by_email(scope, address)
    if user is None or user.status != "active":
        return False
    await _mail_token(ports, scope, user, "reset")
    return True


async def redeem(
    ports: Ports,
    kind: MailTokenKind,
    token: str,
    correlation_id: str,
    password: str | None = None,
) -> bool:
    """Use a mail token once and do what it is for; a reset ends every session of its user."""
    token_hash = lookup_hash(token)
    entry = await ports.directory.find("mail_token", token_hash)
    if entry is None:
        return False
    scope = identity_scope(entry.tenant_id, correlation_id)
    password_hash = None if password is None else await ports.passwords.hash(password)
    done = await ports.users.redeem_mail_token(
        scope, kind, token_hash, ports.clock.now_ns(), password_hash
    )
    if done is None:
        return False
    await end_sessions(ports, scope.tenant_id, done.ended_session_ids)
    return True


async def _mail_token(ports: Ports, scope: Scope, user: User, kind: MailTokenKind) -> None:
    text, token = _new_token(ports, kind, user.user_id)
    await ports.users.add_mail_token(scope, token)
    await _send(ports, kind, user.email, text)


def _new_token(ports: Ports, kind: MailTokenKind, user_id: str) -> tuple[str, MailToken]:
    policy = ports.identity_policy
    ttl_s = {
        "invitation": policy.invitation_ttl_s,
        "verification": policy.verification_ttl_s,
        "reset": policy.reset_ttl_s,
    }[kind]
    text = ports.ids.token(MAIL_TOKEN_BYTES)
    expires_ns = ports.clock.now_ns() + ttl_s * SECOND_NS
    token = MailToken(
        token_hash=lookup_hash(text), kind=kind, user_id=user_id, expires_ns=expires_ns
    )
    return text, token


async def _send(ports: Ports, kind: MailTokenKind, recipient: str, token: str) -> None:
    # The token stands after '#', so that it reaches no access log and no Referer header.
    link = f"{ports.identity_policy.public_url}/{_PAGES[kind]}#token={token}"
    await ports.mail.send(
        MailMessage(ports.ids.new_id(), recipient, _SUBJECTS[kind], f"{_TEXTS[kind]}\n\n{link}\n")
    )
