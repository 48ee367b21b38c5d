"""The adapters against moto's server: real HTTP, real clients, the services' own answers."""

import asyncio
import base64
import hashlib
import json
import urllib.request
from pathlib import Path

import pytest

from quantlab.market.quote import Quote
from quantlab_adapters.aws.archive import S3TickArchive
from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.aws.keys import ManagedKeys, ManagedVault, make_first_keys
from quantlab_adapters.aws.mail import SesMail
from quantlab_adapters.aws.secrets import ManagedSecrets, StoredValues
from quantlab_adapters.feeds import archive
from quantlab_adapters.selfhost.key_store import FileKeys
from quantlab_app.ports.errors import Misconfigured, NotFound
from quantlab_app.ports.mail import MailMessage, MailRefused, MailUnavailable
from quantlab_app.ports.secrets import DecryptionRefused

PREFIX = "quantlab/test"
KEYS = f"{PREFIX}/keys"


@pytest.fixture
def values(clients: Clients) -> StoredValues:
    return StoredValues(clients)


async def test_secrets_are_the_tenants_own(clients: Clients, values: StoredValues) -> None:
    secrets = ManagedSecrets(values, PREFIX)
    vault = ManagedVault(values, PREFIX, KEYS)
    assert await vault.keep("secret:market/oanda", "one", tenant_id="alpha")
    assert not await vault.keep("secret:market/oanda", "two", tenant_id="alpha")
    assert await vault.keep("secret:market/oanda", "ours", tenant_id=None)
    assert await secrets.resolve("secret:market/oanda", tenant_id="alpha") == b"one"
    assert await secrets.resolve("secret:market/oanda", tenant_id=None) == b"ours"
    with pytest.raises(Misconfigured, match="quantlab/test/tenants/beta/market/oanda"):
        await secrets.resolve("secret:market/oanda", tenant_id="beta")
    for tenant_id, reference in (("../x", "secret:a"), ("alpha", "secret:../beta/a")):
        with pytest.raises(Misconfigured):
            await secrets.resolve(reference, tenant_id=tenant_id)


async def test_a_secret_is_remembered_for_a_short_while(clients: Clients) -> None:
    manager = clients.secrets_manager
    manager.create_secret(Name="changing", SecretString="first")
    lasting, forgetful = StoredValues(clients), StoredValues(clients, life_s=0)
    assert await lasting.read("changing") == await forgetful.read("changing") == b"first"
    manager.put_secret_value(SecretId="changing", SecretString="second")
    assert await lasting.read("changing") == b"first"
    assert await forgetful.read("changing") == b"second"


async def test_first_keys_are_made_once_among_all_who_try(clients: Clients) -> None:
    clients.secrets_manager.create_secret(Name="race", SecretString="{}")
    made = await asyncio.gather(*(make_first_keys(StoredValues(clients), "race") for _ in range(6)))
    assert made.count(True) == 1
    assert not await make_first_keys(StoredValues(clients), "race")
    keys = ManagedKeys(StoredValues(clients), "race")
    assert len(await keys.signing_keys("jwt")) == 1
    assert (await keys.signing_keys("jwt"))[0].kid != (await keys.signing_keys("audit"))[0].kid


@pytest.mark.parametrize(
    "content",
    ["not json", '{"masters": {}}', '{"masters": {"1": "AA=="}, "jwt": [], "audit": []}', "[]"],
)
async def test_keys_that_are_none_are_refused(clients: Clients, content: str) -> None:
    name = f"bad-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    clients.secrets_manager.create_secret(Name=name, SecretString=content)
    with pytest.raises(Misconfigured, match=name):
        await ManagedKeys(StoredValues(clients), name).encrypt("alpha", "bot_secret", b"x")
    with pytest.raises(Misconfigured, match=name):
        await make_first_keys(StoredValues(clients), name)


async def test_what_one_profile_sealed_the_other_opens(clients: Clients, tmp_path: Path) -> None:
    files = FileKeys(tmp_path / "keys")
    sealed = await files.encrypt("alpha", "bot_secret", b"hidden")
    master = base64.b64encode((tmp_path / "keys" / "master.key").read_bytes()).decode()
    pems = {
        purpose: [key.private_pem.decode() for key in await files.signing_keys(purpose)]
        for purpose in ("jwt", "audit")
    }
    content = json.dumps({"masters": {"1": master}, **pems})
    clients.secrets_manager.create_secret(Name="portable", SecretString=content)
    keys = ManagedKeys(StoredValues(clients), "portable")
    assert await keys.decrypt("alpha", "bot_secret", sealed) == b"hidden"
    again = await keys.encrypt("alpha", "bot_secret", b"hidden too")
    assert await files.decrypt("alpha", "bot_secret", again) == b"hidden too"
    assert await keys.signing_keys("jwt") == await files.signing_keys("jwt")
    assert await keys.signing_keys("audit") == await files.signing_keys("audit")
    for tenant_id, purpose in (("beta", "bot_secret"), ("alpha", "totp")):
        with pytest.raises(DecryptionRefused):
            await keys.decrypt(tenant_id, purpose, sealed)


async def test_new_master_and_signing_keys_take_over(clients: Clients) -> None:
    manager = clients.secrets_manager
    manager.create_secret(Name="rotated", SecretString="{}")
    values = StoredValues(clients, life_s=0)
    await make_first_keys(values, "rotated")
    keys = ManagedKeys(values, "rotated")
    old = await keys.encrypt("alpha", "bot_secret", b"old")
    first = json.loads(manager.get_secret_value(SecretId="rotated")["SecretString"])
    manager.create_secret(Name="second", SecretString="{}")
    await make_first_keys(values, "second")
    second = json.loads(manager.get_secret_value(SecretId="second")["SecretString"])
    both = {
        "masters": {"1": first["masters"]["1"], "2": second["masters"]["1"]},
        "jwt": second["jwt"] + first["jwt"],
        "audit": first["audit"],
    }
    manager.put_secret_value(SecretId="rotated", SecretString=json.dumps(both))
    new = await keys.encrypt("alpha", "bot_secret", b"new")
    assert (old[0], new[0]) == (1, 2)
    assert await keys.decrypt("alpha", "bot_secret", old) == b"old"
    assert len(await keys.signing_keys("jwt")) == 2


async def test_ticks_come_back_from_the_bucket_as_they_were(clients: Clients) -> None:
    clients.s3.create_bucket(Bucket="ticks")
    store = S3TickArchive(clients, "ticks", archive.encode, archive.decode)
    quotes = [Quote("EURUSD", 110_000 + n, 110_002 + n, 10**18 + n, n) for n in range(1000)]
    digest = await store.store("ticks/EURUSD/1.parquet", quotes)
    content = clients.s3.get_object(Bucket="ticks", Key="ticks/EURUSD/1.parquet")["Body"].read()
    assert digest == hashlib.sha256(content).hexdigest()
    assert await store.load("ticks/EURUSD/1.parquet") == quotes
    with pytest.raises(NotFound):
        await store.load("ticks/EURUSD/2.parquet")
    with pytest.raises(Misconfigured):
        await store.load("../other")
    with pytest.raises(Misconfigured):
        await S3TickArchive(clients, "no-bucket", archive.encode, archive.decode).store("a", quotes)


async def test_mail_is_handed_over(clients: Clients, server: str) -> None:
    clients.ses.create_email_identity(EmailIdentity="no-reply@quantlab.example")
    mail = SesMail(clients, "QuantLab <no-reply@quantlab.example>")
    await mail.send(MailMessage("m-1", "ada@example.com", "Hello", "A link."))
    kept = await asyncio.to_thread(_kept_by_moto, server)
    assert "ada@example.com" in kept


def _kept_by_moto(server: str) -> str:
    with urllib.request.urlopen(f"{server}/moto-api/data.json") as answer:  # noqa: S310
        found = json.loads(answer.read())
    return json.dumps(found.get("ses", found.get("sesv2", {})))


@pytest.mark.parametrize(
    ("recipient", "subject"),
    [("nobody", "x"), ("a@b, c@d", "x"), ("", "x"), ("a@b", "two\r\nlines"), ("@b", "x")],
)
async def test_mail_that_cannot_be_written_is_refused(
    clients: Clients, recipient: str, subject: str
) -> None:
    with pytest.raises(MailRefused):
        await SesMail(clients, "a@quantlab.example").send(
            MailMessage("m-1", recipient, subject, "text")
        )


async def test_mail_of_a_sender_nobody_verified_is_refused(clients: Clients) -> None:
    with pytest.raises((MailRefused, MailUnavailable)):
        await SesMail(clients, "stranger@other.example").send(
            MailMessage("m-1", "ada@example.com", "Hello", "text")
        )
