"""Time-based one-time codes of authenticator apps (RFC 6238): SHA-1, 6 digits, 30 seconds."""

import hmac
from typing import Final

import pyotp

from quantlab.kernel.instants import SECOND_NS

_STEP_S: Final = 30
_SKEW_STEPS: Final = (0, -1, 1)


class TotpCodes:
    """OneTimeCodes port; a neighbour step is accepted for clocks that differ."""

    def new_secret(self) -> str:
        return pyotp.random_base32()

    def uri(self, secret: str, account: str, issuer: str) -> str:
        return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)

    def step_of(self, secret: str, code: str, now_ns: int) -> int | None:
        now_step = now_ns // SECOND_NS // _STEP_S
        totp = pyotp.TOTP(secret)
        for skew in _SKEW_STEPS:
            step = now_step + skew
            if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
                return step
        return None
