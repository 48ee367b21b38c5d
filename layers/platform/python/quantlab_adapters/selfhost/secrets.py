"""Secrets from the environment or from private files under the state folder."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from quantlab.tenancy.validation import REFERENCE
from quantlab_adapters.selfhost.private_files import read_private
from quantlab_app.ports.errors import Misconfigured

_PLATFORM = "platform"
_PREFIX = "QUANTLAB_SECRET"


class FileSecrets:
    """secret:market/oanda of tenant t: a variable, else the file FOLDER/tenants/t/market/oanda.

    The platform's own lie under FOLDER/platform. One line end at the end of a file is not part
    of the secret.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    async def resolve(self, reference: str, *, tenant_id: str | None) -> bytes:
        if not REFERENCE.match(reference):
            raise Misconfigured("expected a reference such as secret:market/oanda")
        name = reference.removeprefix("secret:")
        owner = _PLATFORM if tenant_id is None else f"tenants/{tenant_id}"
        if not REFERENCE.match(f"secret:{owner}"):
            raise Misconfigured(f"expected a tenant id, was {tenant_id!r}")
        variable = variable_of(owner, name)
        if variable in self._environment:
            return _not_empty(self._environment[variable].encode(), reference, owner)
        path = self._folder / owner / name
        found = await asyncio.to_thread(read_private, path)
        if found is None:
            raise Misconfigured(
                f"expected {reference} of {owner} in the file {path} or the variable {variable}, "
                "found neither"
            )
        return _not_empty(found.removesuffix(b"\n").removesuffix(b"\r"), reference, owner)


def variable_of(owner: str, name: str) -> str:
    """Return the environment variable of a secret: no two secrets share one."""
    parts = (part.replace("-", "_").replace("/", "__").upper() for part in (owner, name))
    return "___".join((_PREFIX, *parts))


def _not_empty(secret: bytes, reference: str, owner: str) -> bytes:
    if not secret:
        raise Misconfigured(f"expected {reference} of {owner} to hold a secret, was empty")
    return secret
