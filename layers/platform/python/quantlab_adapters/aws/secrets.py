"""Secrets in Secrets Manager, remembered for a short while."""

import time
from typing import Final

from botocore.exceptions import ClientError

from quantlab.tenancy.validation import REFERENCE
from quantlab_adapters.aws.clients import Clients, error_code
from quantlab_app.ports.errors import Misconfigured

LIFE_S: Final = 30.0
_ABSENT: Final = frozenset({"ResourceNotFoundException", "InvalidRequestException"})


class StoredValues:
    """Values of Secrets Manager by id; one that is read again within LIFE_S is not asked for."""

    def __init__(self, clients: Clients, life_s: float = LIFE_S) -> None:
        self._clients = clients
        self._life_s = life_s
        self._known: dict[str, tuple[float, bytes]] = {}

    async def read(self, secret_id: str) -> bytes:
        """Return the value; Misconfigured where there is none."""
        known = self._known.get(secret_id)
        if known is not None and time.monotonic() - known[0] < self._life_s:
            return known[1]
        value = await self._clients.call(lambda: self._value(secret_id))
        if not value:
            raise Misconfigured(f"expected a secret {secret_id} in Secrets Manager, found none")
        self._known[secret_id] = (time.monotonic(), value)
        return value

    async def read_if_any(self, secret_id: str) -> bytes | None:
        """Return the value as it is now; None where there is none."""
        return await self._clients.call(lambda: self._value(secret_id))

    async def exists(self, secret_id: str) -> bool:
        """Say whether there is a value.

        Whoever may read some names only is told of any name that is free that he may not read it.
        """

        def exists() -> bool:
            try:
                return bool(self._value(secret_id))
            except ClientError as error:
                if error_code(error) == "AccessDeniedException":
                    return False
                raise

        return await self._clients.call(exists)

    async def create(self, secret_id: str, value: str, description: str) -> bool:
        """Store a value under a new name; False when the name is taken."""

        def create() -> bool:
            try:
                self._clients.secrets_manager.create_secret(
                    Name=secret_id, SecretString=value, Description=description
                )
            except ClientError as error:
                if error_code(error) == "ResourceExistsException":
                    return False
                raise
            return True

        return await self._clients.call(create)

    async def put_once(self, secret_id: str, value: str, version: str) -> bool:
        """Give a secret a version that is written once; False when another value was first."""

        def put() -> bool:
            try:
                self._clients.secrets_manager.put_secret_value(
                    SecretId=secret_id, SecretString=value, ClientRequestToken=version
                )
            except ClientError as error:
                if error_code(error) == "ResourceExistsException":
                    return False
                raise
            return True

        stored = await self._clients.call(put)
        self._known.pop(secret_id, None)
        return stored

    def _value(self, secret_id: str) -> bytes | None:
        try:
            answer = self._clients.secrets_manager.get_secret_value(SecretId=secret_id)
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise
        text = answer.get("SecretString")
        return answer.get("SecretBinary") if text is None else text.encode()


class ManagedSecrets:
    """Secrets port: PREFIX/tenants/TENANT/NAME of a tenant, PREFIX/platform/NAME of our own."""

    def __init__(self, values: StoredValues, prefix: str) -> None:
        self._values = values
        self._prefix = prefix

    async def resolve(self, reference: str, *, tenant_id: str | None) -> bytes:
        return await self._values.read(secret_id(self._prefix, reference, tenant_id))


def secret_id(prefix: str, reference: str, tenant_id: str | None) -> str:
    """Return the id that a reference of a tenant, or of the platform, leads to."""
    if not REFERENCE.match(reference):
        raise Misconfigured("expected a reference such as secret:market/oanda")
    owner = "platform" if tenant_id is None else f"tenants/{tenant_id}"
    if not REFERENCE.match(f"secret:{owner}"):
        raise Misconfigured(f"expected a tenant id, was {tenant_id!r}")
    return f"{prefix}/{owner}/{reference.removeprefix('secret:')}"
