"""Secrets by reference, and keys that never leave their store except to sign.

Files serve a single host; a cloud secret store and key service fit the same two ports.
"""

from dataclasses import field
from typing import Literal, Protocol

from quantlab.kernel.records import dataclass
from quantlab_app.ports.errors import Fault

SigningPurpose = Literal["jwt", "audit"]


class DecryptionRefused(Fault):
    """The ciphertext was altered, or belongs to another tenant, purpose or key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key pair. kid is the RFC 7638 thumbprint of the public key.

    public_raw is the 32-byte public key; the PEM texts are PKCS #8 and SubjectPublicKeyInfo.
    """

    kid: str
    private_pem: bytes = field(repr=False)
    public_pem: bytes
    public_raw: bytes


class Secrets(Protocol):
    """Where secret references lead. Each tenant reaches its own secrets only."""

    async def resolve(self, reference: str, *, tenant_id: str | None) -> bytes:
        """Return the secret behind "secret:NAME" of a tenant, or of the platform for None.

        Misconfigured when there is none: a missing secret has no default.
        """
        ...


class Vault(Protocol):
    """Where a deployment keeps what it makes itself, each once; cloud profiles only."""

    async def holds(self, reference: str, *, tenant_id: str | None) -> bool:
        """Say whether there is a secret under a reference."""
        ...

    async def keep(self, reference: str, secret: str, *, tenant_id: str | None) -> bool:
        """Store a secret under a free reference; False, and nothing stored, when it is taken."""
        ...

    async def make_first_keys(self) -> bool:
        """Make the keys of a new platform; False when it has some."""
        ...


class Keys(Protocol):
    """Data keys per tenant for secrets at rest, and signing keys."""

    async def encrypt(self, tenant_id: str, purpose: str, plaintext: bytes) -> bytes:
        """Return the plaintext sealed under the tenant's key, bound to tenant and purpose."""
        ...

    async def decrypt(self, tenant_id: str, purpose: str, ciphertext: bytes) -> bytes:
        """Open what encrypt sealed for the same tenant and purpose; DecryptionRefused otherwise."""
        ...

    async def signing_keys(self, purpose: SigningPurpose = "jwt") -> tuple[SigningKey, ...]:
        """Return the keys that verify, the newest first: that one signs. There is always one."""
        ...


class KeyAdministration(Protocol):
    """What an operator does to signing keys."""

    async def signing_keys(self, purpose: SigningPurpose = "jwt") -> tuple[SigningKey, ...]:
        """Return the keys that verify, the newest first: that one signs."""
        ...

    async def rotate_signing_key(self, purpose: SigningPurpose) -> SigningKey:
        """Add a key that signs from now on; earlier ones still verify."""
        ...

    async def retire_signing_key(self, purpose: SigningPurpose, kid: str) -> None:
        """Delete a key that signs no more; Conflict for the one in use, NotFound for none."""
        ...
