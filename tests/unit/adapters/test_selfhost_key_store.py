"""Keys on files: what one tenant, purpose or key sealed, no other opens."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from quantlab.kernel.check import InvariantBroken
from quantlab_adapters.selfhost.key_store import FileKeys
from quantlab_adapters.selfhost.private_files import write_private
from quantlab_app.ports.errors import Conflict, Misconfigured, NotFound
from quantlab_app.ports.secrets import DecryptionRefused

TENANT = "northwind-capital"


async def test_what_was_sealed_opens_again_also_after_a_restart(tmp_path: Path) -> None:
    sealed = await FileKeys(tmp_path / "keys").encrypt(TENANT, "bot-secret", b"hush")
    assert b"hush" not in sealed
    assert sealed[0] == 1
    assert await FileKeys(tmp_path / "keys").decrypt(TENANT, "bot-secret", sealed) == b"hush"


async def test_the_same_text_is_sealed_differently_each_time(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    sealed = {await keys.encrypt(TENANT, "bot-secret", b"hush") for _ in range(50)}
    assert len(sealed) == 50


async def test_an_empty_secret_can_be_sealed(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    assert await keys.decrypt(TENANT, "p", await keys.encrypt(TENANT, "p", b"")) == b""


@pytest.mark.parametrize(
    ("tenant_id", "purpose"),
    [("blue-harbor", "bot-secret"), (TENANT, "totp"), (TENANT, "bot"), (TENANT + "bot", "-secret")],
)
async def test_another_tenant_or_purpose_does_not_open_it(
    tmp_path: Path, tenant_id: str, purpose: str
) -> None:
    keys = FileKeys(tmp_path)
    sealed = await keys.encrypt(TENANT, "bot-secret", b"hush")
    with pytest.raises(DecryptionRefused):
        await keys.decrypt(tenant_id, purpose, sealed)


async def test_every_altered_byte_is_noticed(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    sealed = await keys.encrypt(TENANT, "bot-secret", b"hush")
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(DecryptionRefused):
            await keys.decrypt(TENANT, "bot-secret", bytes(altered))


@pytest.mark.parametrize("length", [0, 1, 13, 28])
async def test_a_cut_off_secret_is_refused(tmp_path: Path, length: int) -> None:
    keys = FileKeys(tmp_path)
    sealed = await keys.encrypt(TENANT, "bot-secret", b"hush")
    with pytest.raises(DecryptionRefused):
        await keys.decrypt(TENANT, "bot-secret", sealed[:length])


async def test_another_master_key_opens_nothing(tmp_path: Path) -> None:
    sealed = await FileKeys(tmp_path / "a").encrypt(TENANT, "p", b"hush")
    with pytest.raises(DecryptionRefused):
        await FileKeys(tmp_path / "b").decrypt(TENANT, "p", sealed)


async def test_a_version_bound_byte_cannot_be_swapped_between_master_keys(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    sealed = await keys.encrypt(TENANT, "p", b"hush")
    assert await keys.rotate_master_key() == 2
    (tmp_path / "master.2.key").unlink()
    assert write_private(tmp_path / "master.2.key", (tmp_path / "master.key").read_bytes())
    with pytest.raises(DecryptionRefused):
        await FileKeys(tmp_path).decrypt(TENANT, "p", bytes([2]) + sealed[1:])


async def test_rotation_seals_with_the_new_key_and_still_opens_the_old(tmp_path: Path) -> None:
    running, other = FileKeys(tmp_path), FileKeys(tmp_path)
    old = await running.encrypt(TENANT, "p", b"old")
    assert await other.rotate_master_key() == 2
    new = await running.encrypt(TENANT, "p", b"new")
    assert (old[0], new[0]) == (1, 2)
    assert await running.decrypt(TENANT, "p", old) == b"old"
    assert await other.decrypt(TENANT, "p", new) == b"new"


async def test_nothing_is_sealed_without_tenant_and_purpose(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    for tenant_id, purpose in (("", "p"), (TENANT, "")):
        with pytest.raises(InvariantBroken):
            await keys.encrypt(tenant_id, purpose, b"hush")


async def test_keys_are_files_of_their_owner_only(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    await keys.signing_keys()
    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777
        for path in sorted(tmp_path.rglob("*"))  # noqa: ASYNC240
    }
    assert modes == {
        "keys": 0o700,
        "keys/master.key": 0o600,
        "keys/jwt": 0o700,
        "keys/jwt/0001.pem": 0o600,
    }


async def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    await FileKeys(tmp_path).encrypt(TENANT, "p", b"hush")
    (tmp_path / "master.key").chmod(0o644)
    with pytest.raises(Misconfigured, match=r"expected mode 0600 on .*master\.key, was 0644"):
        await FileKeys(tmp_path).encrypt(TENANT, "p", b"hush")


async def test_a_damaged_master_key_is_named(tmp_path: Path) -> None:
    assert write_private(tmp_path / "master.key", b"short")
    with pytest.raises(Misconfigured, match=r"expected 32 bytes at .*master\.key, was 5"):
        await FileKeys(tmp_path).encrypt(TENANT, "p", b"hush")


async def test_a_lost_master_key_is_not_replaced_silently(tmp_path: Path) -> None:
    await FileKeys(tmp_path).signing_keys()
    (tmp_path / "master.key").unlink()
    with pytest.raises(Misconfigured, match="restore it"):
        await FileKeys(tmp_path).encrypt(TENANT, "p", b"hush")
    assert not (tmp_path / "master.key").exists()


def test_processes_that_start_together_agree_on_the_keys(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from quantlab_adapters.selfhost.key_store import FileKeys\n"
        "keys = FileKeys(pathlib.Path(sys.argv[1]))\n"
        "async def main():\n"
        "    sealed = await keys.encrypt('t', 'p', b'hush')\n"
        "    print(sealed.hex(), (await keys.signing_keys())[0].kid)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "keys")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 4

    async def opened() -> list[bytes]:
        keys = FileKeys(tmp_path / "keys")
        return [await keys.decrypt("t", "p", bytes.fromhex(sealed)) for sealed, _ in outputs]

    assert asyncio.run(opened()) == [b"hush"] * 4
    assert len({kid for _, kid in outputs}) == 1
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["jwt", "master.key"]


async def test_a_signing_key_signs_and_is_named_by_its_thumbprint(tmp_path: Path) -> None:
    [key] = await FileKeys(tmp_path).signing_keys()
    private = load_pem_private_key(key.private_pem, password=None)
    signature = private.sign(b"message")
    Ed25519PublicKey.from_public_bytes(key.public_raw).verify(signature, b"message")
    load_pem_public_key(key.public_pem).verify(signature, b"message")
    x = base64.urlsafe_b64encode(key.public_raw).rstrip(b"=").decode()
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    assert key.kid == base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    assert "PRIVATE" not in repr(key)
    assert json.dumps(key.kid)


async def test_rotated_signing_keys_come_newest_first_until_they_are_retired(
    tmp_path: Path,
) -> None:
    running, other = FileKeys(tmp_path), FileKeys(tmp_path)
    [first] = await running.signing_keys()
    second = await other.rotate_signing_key("jwt")
    assert [key.kid for key in await running.signing_keys()] == [second.kid, first.kid]
    with pytest.raises(Conflict, match="in use"):
        await other.retire_signing_key("jwt", second.kid)
    await other.retire_signing_key("jwt", first.kid)
    assert [key.kid for key in await running.signing_keys()] == [second.kid]
    with pytest.raises(NotFound):
        await other.retire_signing_key("jwt", first.kid)


async def test_tokens_and_audit_are_signed_with_different_keys(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    assert (await keys.signing_keys("jwt"))[0].kid != (await keys.signing_keys("audit"))[0].kid


@pytest.mark.parametrize("kind", ["text", "rsa"])
async def test_a_file_that_is_no_ed25519_key_is_named(tmp_path: Path, kind: str) -> None:
    rsa = generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    keys = FileKeys(tmp_path)
    await keys.signing_keys()
    assert write_private(tmp_path / "jwt" / "0002.pem", rsa if kind == "rsa" else b"nonsense")
    with pytest.raises(Misconfigured, match=r"expected an Ed25519 private key .*0002\.pem"):
        await keys.signing_keys()
