"""One-time codes as a second factor: enrol, confirm, give up."""

from dataclasses import field
from typing import Final

from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict
from quantlab_app.ports.identity import User
from quantlab_app.use_cases.identity import own_user

TOTP_PURPOSE: Final = "totp"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs; shown once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


async def enrol(ports: Ports, scope: Scope, issuer: str) -> Enrolment:
    """Start an enrolment that changes nothing until confirmed; Conflict when one stands."""
    user = await own_user(ports, scope)
    if user.totp_enabled:
        raise Conflict("totp")
    secret = ports.one_time_codes.new_secret()
    cipher = await ports.keys.encrypt(scope.tenant_id, TOTP_PURPOSE, secret.encode())
    await ports.users.set_totp(scope, user.user_id, cipher)
    return Enrolment(secret, ports.one_time_codes.uri(secret, user.email, issuer))


async def confirm(ports: Ports, scope: Scope, code: str) -> bool:
    """Make the second factor asked for from now on, if the code fits the started enrolment."""
    user = await own_user(ports, scope)
    return not user.totp_enabled and await use_code(ports, scope, user, code)


async def give_up(ports: Ports, scope: Scope, code: str) -> bool:
    """End the second factor, if the code fits it."""
    user = await own_user(ports, scope)
    if not (user.totp_enabled and await use_code(ports, scope, user, code)):
        return False
    await ports.users.set_totp(scope, user.user_id, None)
    return True


async def use_code(ports: Ports, scope: Scope, user: User, code: str) -> bool:
    """Use a code up; False when it fits not, or it or a later one was used before."""
    if user.totp_cipher is None or await _guessed_too_often(ports, scope, user):
        return False
    secret = (await ports.keys.decrypt(scope.tenant_id, TOTP_PURPOSE, user.totp_cipher)).decode()
    step = ports.one_time_codes.step_of(secret, code, ports.clock.now_ns())
    return step is not None and await ports.users.use_totp_step(scope, user.user_id, step)


async def _guessed_too_often(ports: Ports, scope: Scope, user: User) -> bool:
    policy = ports.identity_policy
    name = f"totp:{scope.tenant_id}:{user.user_id}"
    limit = ((name, policy.login_attempts_max),)
    return await ports.login_attempts.take(limit, policy.attempts_window_s) is not None
