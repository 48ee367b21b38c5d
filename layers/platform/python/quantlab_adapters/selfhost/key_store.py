"""Keys in private files: one master key that tenants' data keys derive from, and signing keys.

Layout: FOLDER/master.key, master.2.key, ... and FOLDER/{jwt,audit}/0001.pem, 0002.pem, ...
The highest number is in use; the others still open and verify what they made.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from quantlab_adapters.sealing import (
    VERSION_MAX,
    checked_master,
    new_master,
    new_signing_key,
    seal,
    signing_key,
    unseal,
)
from quantlab_adapters.selfhost.private_files import private_folder, read_private, write_private
from quantlab_app.ports.errors import Conflict, Misconfigured, NotFound
from quantlab_app.ports.secrets import SigningKey, SigningPurpose

_MASTER_NAME = re.compile(r"master(?:\.([1-9]\d{0,2}))?\.key\Z")
_SIGNING_NAME = re.compile(r"(\d{4})\.pem\Z")

T = TypeVar("T")


class FileKeys:
    """The key port on files. The master key is made once, by whichever process needs it first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._masters = _Cached(folder, self._load_masters)
        self._signing = {
            purpose: _Cached(folder / purpose, _signing_loader(folder / purpose))
            for purpose in ("jwt", "audit")
        }

    async def encrypt(self, tenant_id: str, purpose: str, plaintext: bytes) -> bytes:
        return seal(await self._masters.get(), tenant_id, purpose, plaintext)

    async def decrypt(self, tenant_id: str, purpose: str, ciphertext: bytes) -> bytes:
        masters = await self._masters.get()
        return unseal(masters, tenant_id, purpose, ciphertext, str(self._folder))

    async def signing_keys(self, purpose: SigningPurpose = "jwt") -> tuple[SigningKey, ...]:
        await self._masters.get()
        return await self._signing[purpose].get()

    async def rotate_master_key(self) -> int:
        """Add a master key that encrypts from now on; return its version."""
        version = max(await self._masters.get()) + 1
        if version > VERSION_MAX:
            raise Misconfigured(f"expected at most {VERSION_MAX} master keys")
        path = self._folder / f"master.{version}.key"
        if not await asyncio.to_thread(write_private, path, new_master()):
            raise Conflict(f"{path} was made by somebody else at the same time")
        return version

    async def rotate_signing_key(self, purpose: SigningPurpose) -> SigningKey:
        """Add a signing key that signs from now on; earlier ones still verify."""
        await self.signing_keys(purpose)
        folder = self._folder / purpose
        number = max(await asyncio.to_thread(_signing_files, folder)) + 1
        key = new_signing_key()
        path = folder / f"{number:04d}.pem"
        if not await asyncio.to_thread(write_private, path, key.private_pem):
            raise Conflict(f"{path} was made by somebody else at the same time")
        return key

    async def retire_signing_key(self, purpose: SigningPurpose, kid: str) -> None:
        """Delete a key that signs no more: what it signed is refused from now on."""
        keys = await self.signing_keys(purpose)
        if keys[0].kid == kid:
            raise Conflict(f"expected a key that signs no more, {kid} is in use")
        await asyncio.to_thread(_delete_signing_key, self._folder / purpose, kid)

    def _load_masters(self) -> dict[int, bytes]:
        # Other keys seen before a missing master mean that it was lost, not that it is new.
        others = any(self._folder.glob("master.*.key")) or any(self._folder.glob("*/*.pem"))
        path = self._folder / "master.key"
        if not path.exists():
            if others:
                raise Misconfigured(
                    f"expected {path} beside the other keys: restore it from your backup, "
                    "what it sealed cannot be opened without it"
                )
            write_private(path, new_master())
        return dict(_master(path, name) for path, name in _named(self._folder, _MASTER_NAME))


class _Cached(Generic[T]):
    """What a folder's files say, read again when a file comes or goes; files never change."""

    def __init__(self, folder: Path, load: Callable[[], T]) -> None:
        self._folder = folder
        self._load = load
        self._known: tuple[list[str], T] | None = None

    async def get(self) -> T:
        if self._known is None or self._known[0] != os.listdir(self._folder):  # noqa: PTH208 - a few microseconds, and names only
            self._known = await asyncio.to_thread(self._read)
        return self._known[1]

    def _read(self) -> tuple[list[str], T]:
        names = os.listdir(private_folder(self._folder))  # noqa: PTH208 - compared as names
        return names, self._load()


def _named(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in folder.iterdir():
        match = pattern.match(path.name)
        if match is not None:
            yield path, match


def _read_key(path: Path) -> bytes:
    content = read_private(path)
    if content is None:
        raise Misconfigured(f"expected a key at {path}, it is gone")
    return content


def _master(path: Path, name: re.Match[str]) -> tuple[int, bytes]:
    version = int(name[1] or 1)
    return version, checked_master(_read_key(path), version, str(path))


def _signing_loader(folder: Path) -> Callable[[], tuple[SigningKey, ...]]:
    def load() -> tuple[SigningKey, ...]:
        files = _signing_files(folder)
        if not files:
            write_private(folder / "0001.pem", new_signing_key().private_pem)
            files = _signing_files(folder)
        newest_first = sorted(files, reverse=True)
        return tuple(_signing_key(files[number]) for number in newest_first)

    return load


def _signing_files(folder: Path) -> dict[int, Path]:
    return {int(match[1]): path for path, match in _named(folder, _SIGNING_NAME)}


def _delete_signing_key(folder: Path, kid: str) -> None:
    for path in _signing_files(folder).values():
        if _signing_key(path).kid == kid:
            path.unlink()
            return
    raise NotFound(f"expected a signing key {kid} in {folder}")


def _signing_key(path: Path) -> SigningKey:
    return signing_key(_read_key(path), str(path))
