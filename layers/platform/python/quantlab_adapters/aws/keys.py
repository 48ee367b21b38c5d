"""Keys in one secret: {"masters": {"1": base64}, "jwt": [pem, ...], "audit": [pem, ...]}.

The highest master and the first key of each purpose are in use; the others still open and verify
what they made. Sealed as on a single host, so that data moves between both.
"""

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

from quantlab_adapters.aws.secrets import StoredValues, secret_id
from quantlab_adapters.sealing import (
    checked_master,
    new_master,
    new_signing_key,
    seal,
    signing_key,
    unseal,
)
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.secrets import SigningKey, SigningPurpose


@dataclass(frozen=True, slots=True)
class _Content:
    masters: dict[int, bytes]
    signing: dict[str, tuple[SigningKey, ...]]


class ManagedKeys:
    """Keys port."""

    def __init__(self, values: StoredValues, secret_id: str) -> None:
        self._values = values
        self._secret_id = secret_id
        self._known: tuple[bytes, _Content] | None = None

    async def encrypt(self, tenant_id: str, purpose: str, plaintext: bytes) -> bytes:
        return seal((await self._content()).masters, tenant_id, purpose, plaintext)

    async def decrypt(self, tenant_id: str, purpose: str, ciphertext: bytes) -> bytes:
        masters = (await self._content()).masters
        return unseal(masters, tenant_id, purpose, ciphertext, self._secret_id)

    async def signing_keys(self, purpose: SigningPurpose = "jwt") -> tuple[SigningKey, ...]:
        return (await self._content()).signing[purpose]

    async def _content(self) -> _Content:
        raw = await self._values.read(self._secret_id)
        if self._known is None or self._known[0] != raw:
            self._known = (raw, _parsed(raw, self._secret_id))
        return self._known[1]


class ManagedVault:
    """Vault port."""

    def __init__(self, values: StoredValues, prefix: str, keys_secret: str) -> None:
        self._values = values
        self._prefix = prefix
        self._keys_secret = keys_secret

    async def holds(self, reference: str, *, tenant_id: str | None) -> bool:
        name = secret_id(self._prefix, reference, tenant_id)
        return await self._values.exists(name)

    async def keep(self, reference: str, secret: str, *, tenant_id: str | None) -> bool:
        name = secret_id(self._prefix, reference, tenant_id)
        owner = "the platform" if tenant_id is None else f"tenant {tenant_id}"
        return await self._values.create(name, secret, f"{reference} of {owner}")

    async def make_first_keys(self) -> bool:
        return await make_first_keys(self._values, self._keys_secret)


async def make_first_keys(values: StoredValues, keys_secret: str) -> bool:
    """Fill the keys' secret the first time, once among all who try; False when it is filled.

    A secret that holds other than keys is refused: what they sealed would be lost.
    """
    raw = await values.read_if_any(keys_secret)
    if raw is not None and raw.strip() not in (b"", b"{}"):
        _parsed(raw, keys_secret)
        return False
    version = str(uuid.uuid5(uuid.NAMESPACE_URL, f"quantlab:first-keys:{keys_secret}"))
    return await values.put_once(keys_secret, _first_content(), version)


def _first_content() -> str:
    return json.dumps(
        {
            "masters": {"1": base64.b64encode(new_master()).decode()},
            "jwt": [new_signing_key().private_pem.decode()],
            "audit": [new_signing_key().private_pem.decode()],
        }
    )


def _parsed(raw: bytes, where: str) -> _Content:
    try:
        document = json.loads(raw)
        masters = {int(version): _decoded(key) for version, key in document["masters"].items()}
        pems: dict[str, list[bytes]] = {
            purpose: [pem.encode() for pem in document[purpose]] for purpose in ("jwt", "audit")
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Misconfigured(f"{where}: expected masters, jwt and audit keys") from error
    if not masters or not all(pems.values()):
        raise Misconfigured(f"{where}: expected at least one key of every kind")
    return _Content(
        {version: checked_master(key, version, where) for version, key in masters.items()},
        {
            purpose: tuple(signing_key(pem, f"{where} ({purpose})") for pem in found)
            for purpose, found in pems.items()
        },
    )


def _decoded(key: Any) -> bytes:
    return base64.b64decode(key, validate=True)
