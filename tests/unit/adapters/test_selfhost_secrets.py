"""Secrets by reference: each tenant its own, no default, nothing that others can read."""

from pathlib import Path

import pytest

from quantlab_adapters.selfhost.private_files import write_private
from quantlab_adapters.selfhost.secrets import FileSecrets, variable_of
from quantlab_app.ports.errors import Misconfigured


def _stored(folder: Path, owner: str, name: str, content: bytes) -> Path:
    path = folder / owner / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert write_private(path, content)
    return path


async def test_each_tenant_reaches_its_own_secret_only(tmp_path: Path) -> None:
    _stored(tmp_path, "tenants/northwind-capital", "market/oanda", b"north\n")
    _stored(tmp_path, "platform", "market/oanda", b"ours")
    secrets = FileSecrets(tmp_path, {})
    reference = "secret:market/oanda"
    assert await secrets.resolve(reference, tenant_id="northwind-capital") == b"north"
    assert await secrets.resolve(reference, tenant_id=None) == b"ours"
    with pytest.raises(Misconfigured, match=r"secret:market/oanda of tenants/blue-harbor.*neither"):
        await secrets.resolve(reference, tenant_id="blue-harbor")


async def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    _stored(tmp_path, "tenants/blue-harbor", "market/oanda", b"file")
    environment = {"QUANTLAB_SECRET___TENANTS__BLUE_HARBOR___MARKET__OANDA": "variable"}
    secrets = FileSecrets(tmp_path, environment)
    assert await secrets.resolve("secret:market/oanda", tenant_id="blue-harbor") == b"variable"


async def test_the_variable_named_in_the_message_is_the_one_that_is_read(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        await FileSecrets(tmp_path, {}).resolve("secret:smtp", tenant_id=None)
    variable = variable_of("platform", "smtp")
    assert variable in str(caught.value)
    assert (
        await FileSecrets(tmp_path, {variable: "x"}).resolve("secret:smtp", tenant_id=None) == b"x"
    )


def test_no_two_secrets_share_a_variable() -> None:
    owners = ["platform", "tenants/a", "tenants/a-b", "tenants/b"]
    names = ["a", "a/b", "a-b", "b-a", "a/b-c", "a-b/c", "a/b/c"]
    variables = {variable_of(owner, name) for owner in owners for name in names}
    assert len(variables) == len(owners) * len(names)


@pytest.mark.parametrize(
    "reference",
    [
        "market/oanda",
        "secret:",
        "secret:../x",
        "secret:/etc/passwd",
        "secret:a//b",
        "secret:A",
        "secret:a\n",
    ],
)
async def test_what_is_no_reference_is_refused_and_not_repeated(
    tmp_path: Path, reference: str
) -> None:
    with pytest.raises(Misconfigured, match="expected a reference such as") as caught:
        await FileSecrets(tmp_path, {}).resolve(reference, tenant_id=None)
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize("tenant_id", ["", "..", "a/../b", "A", "a--b"])
async def test_a_tenant_id_cannot_leave_its_folder(tmp_path: Path, tenant_id: str) -> None:
    with pytest.raises(Misconfigured, match="expected a tenant id"):
        await FileSecrets(tmp_path, {}).resolve("secret:x", tenant_id=tenant_id)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o610])
async def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = _stored(tmp_path, "platform", "smtp", b"x")
    path.chmod(mode)
    with pytest.raises(Misconfigured, match=f"expected mode 0600 on .*smtp, was {mode:04o}"):
        await FileSecrets(tmp_path, {}).resolve("secret:smtp", tenant_id=None)


async def test_an_empty_secret_is_no_secret(tmp_path: Path) -> None:
    _stored(tmp_path, "platform", "smtp", b"\n")
    with pytest.raises(Misconfigured, match="was empty"):
        await FileSecrets(tmp_path, {}).resolve("secret:smtp", tenant_id=None)
    variable = variable_of("platform", "other")
    with pytest.raises(Misconfigured, match="was empty"):
        await FileSecrets(tmp_path, {variable: ""}).resolve("secret:other", tenant_id=None)


async def test_a_folder_in_place_of_a_secret_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "platform" / "smtp").mkdir(parents=True, mode=0o700)
    with pytest.raises(Misconfigured, match="smtp"):
        await FileSecrets(tmp_path, {}).resolve("secret:smtp", tenant_id=None)
