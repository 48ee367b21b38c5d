"""How secrets are sealed and signing keys described, wherever the keys lie.

Sealed: one byte of the master key's version, a nonce, AES-256-GCM under a key derived for the
tenant and bound to version, tenant and purpose.
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.check import check
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.secrets import DecryptionRefused, SigningKey

KEY_BYTES: Final = 32
VERSION_MAX: Final = 255
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SALT: Final = b"quantlab tenant data key"


def seal(masters: Mapping[int, bytes], tenant_id: str, purpose: str, plaintext: bytes) -> bytes:
    """Seal under the newest master key."""
    version = max(masters)
    nonce = os.urandom(_NONCE_BYTES)
    cipher = AESGCM(_tenant_key(masters[version], tenant_id))
    sealed = cipher.encrypt(nonce, plaintext, _context(version, tenant_id, purpose))
    return bytes([version]) + nonce + sealed


def unseal(
    masters: Mapping[int, bytes], tenant_id: str, purpose: str, ciphertext: bytes, where: str
) -> bytes:
    """Open what was sealed for the same tenant and purpose; where names the keys for a refusal."""
    if len(ciphertext) < 1 + _NONCE_BYTES + _TAG_BYTES:
        raise DecryptionRefused(f"expected a sealed secret, was {len(ciphertext)} bytes")
    version, nonce = ciphertext[0], ciphertext[1 : 1 + _NONCE_BYTES]
    master = masters.get(version)
    if master is None:
        raise DecryptionRefused(f"expected master key version {version} in {where}")
    cipher = AESGCM(_tenant_key(master, tenant_id))
    context = _context(version, tenant_id, purpose)
    try:
        return cipher.decrypt(nonce, ciphertext[1 + _NONCE_BYTES :], context)
    except InvalidTag as error:
        raise DecryptionRefused(
            f"a {purpose} secret of tenant {tenant_id} was altered or sealed elsewhere"
        ) from error


def checked_master(key: bytes, version: int, where: str) -> bytes:
    """Return a master key that is one."""
    if len(key) != KEY_BYTES or not 1 <= version <= VERSION_MAX:
        raise Misconfigured(f"expected {KEY_BYTES} bytes at {where}, was {len(key)}")
    return key


def signing_key(pem: bytes, where: str) -> SigningKey:
    """Read an Ed25519 private key; where names it when it is none."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"expected an Ed25519 private key in PEM at {where}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(f"expected an Ed25519 private key at {where}")
    return _described(key)


def new_master() -> bytes:
    """Make a master key."""
    return os.urandom(KEY_BYTES)


def new_signing_key() -> SigningKey:
    """Make a signing key."""
    return _described(Ed25519PrivateKey.generate())


def _tenant_key(master: bytes, tenant_id: str) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, _SALT, tenant_id.encode()).derive(master)


def _context(version: int, tenant_id: str, purpose: str) -> bytes:
    check(tenant_id and purpose, "a secret is sealed for a tenant and a purpose")
    return canonical_json([version, tenant_id, purpose])


def _described(key: Ed25519PrivateKey) -> SigningKey:
    public = key.public_key()
    public_raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SigningKey(
        kid=_thumbprint(public_raw),
        private_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        public_pem=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public_raw=public_raw,
    )


def _thumbprint(public_raw: bytes) -> str:
    jwk: Json = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public_raw)}
    return _base64url(hashlib.sha256(canonical_json(jwk)).digest())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
