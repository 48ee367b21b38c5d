"""Bots: made with secrets that are shown once, switched off and on, given new secrets."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import field
from typing import Final

from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.bots import Bot, NewBot
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.use_cases.tenant_events import note
from quantlab_app.use_cases.visibility import require_visible, visible_ids

SECRET_PURPOSE: Final = "bot_secret"  # noqa: S105 - the name of a purpose
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what Standard Webhooks secrets begin with
SECRET_BYTES: Final = 32
TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class NewBotSecrets:
    """What a bot needs to send signals; neither text can be read again."""

    bot_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RotatedSecrets:
    """The new secret, the new token if it was asked for, and how long the old secret holds."""

    secret: str = field(repr=False)
    token: str | None = field(repr=False)
    grace_s: int


async def create_bot(
    ports: Ports,
    scope: Scope,
    name: str,
    account_id: str,
    account_ids: Sequence[str] = (),
    *,
    token_enabled: bool = True,
    source_addresses: Sequence[str] = (),
) -> NewBotSecrets:
    """Make a bot for accounts the actor may see (NotFound otherwise) and return its secrets.

    account_id is where signals go that name no account; source_addresses are networks.
    """
    tradable = tuple(dict.fromkeys((account_id, *account_ids)))
    await require_visible(ports, scope, tradable)
    secret, token = _fresh_secret(ports), ports.ids.token(TOKEN_BYTES)
    bot = NewBot(
        bot_id=ports.ids.new_id(),
        name=name,
        account_id=account_id,
        account_ids=tradable,
        secret_cipher=await _sealed(ports, scope, secret),
        token_hash=hashlib.sha256(token.encode()).digest(),
        token_enabled=token_enabled,
        source_addresses=tuple(source_addresses),
    )
    await ports.bots.add(scope, bot)
    await _changed(ports, scope, "bot.created", bot.bot_id, {"accountIds": list(tradable)})
    return NewBotSecrets(bot.bot_id, secret, token)


async def list_bots(ports: Ports, scope: Scope, after: str | None, limit: int) -> Sequence[Bot]:
    """Return bots by identifier; to those who own accounts, the bots of their accounts alone."""
    accounts = await visible_ids(ports, scope)
    return await ports.bots.page(scope, account_ids=accounts, after=after, limit=limit)


async def read_bot(ports: Ports, scope: Scope, bot_id: str) -> Bot:
    """Return a bot all of whose accounts the actor may see; NotFound otherwise."""
    bot = await ports.bots.find(scope, bot_id)
    if bot is None:
        raise NotFound("bot")
    if scope.owns_only:
        await require_visible(ports, scope, bot.account_ids)
    return bot


async def set_bot_status(ports: Ports, scope: Scope, bot_id: str, status: str) -> Bot:
    """Enable ("active") or disable ("disabled") a bot; the next signal meets the new status."""
    await read_bot(ports, scope, bot_id)
    if not await ports.bots.set_status(scope, bot_id, status):
        raise NotFound("bot")
    await _changed(ports, scope, "bot.updated", bot_id, {"status": status})
    return await read_bot(ports, scope, bot_id)


async def rotate_secret(
    ports: Ports,
    scope: Scope,
    bot_id: str,
    *,
    rotate_token: bool = False,
    grace_s: int | None = None,
) -> RotatedSecrets:
    """Give a bot a new secret; the old one holds for a grace period, an old token not at all.

    A period that is asked for may only be shorter than the tenant's.
    """
    await read_bot(ports, scope, bot_id)
    longest_s = (await ports.tenant_configs.current(scope)).webhooks.secret_grace_s
    grace_s = longest_s if grace_s is None else min(grace_s, longest_s)
    secret = _fresh_secret(ports)
    token = ports.ids.token(TOKEN_BYTES) if rotate_token else None
    token_hash = None if token is None else hashlib.sha256(token.encode()).digest()
    cipher = await _sealed(ports, scope, secret)
    if not await ports.bots.rotate(scope, bot_id, cipher, token_hash, grace_s):
        raise NotFound("bot")
    rotated: dict[str, Json] = {"tokenToo": rotate_token, "graceSeconds": grace_s}
    await _changed(ports, scope, "bot.secret_rotated", bot_id, rotated)
    return RotatedSecrets(secret, token, grace_s)


async def _changed(
    ports: Ports, scope: Scope, event_type: str, bot_id: str, what: dict[str, Json]
) -> None:
    """Make what is remembered of the tenant's bots stale, and record who changed what."""
    await ports.stamps.renew(scope.tenant_id)
    by = f"{scope.actor.kind}:{scope.actor.id}"
    payload: dict[str, Json] = {"botId": bot_id, "by": by, **what}
    await note(ports.inbox, ports.ids, scope, event_type, payload, now_ns=ports.clock.now_ns())


def _fresh_secret(ports: Ports) -> str:
    raw = ports.ids.random_bytes(SECRET_BYTES)
    return SECRET_PREFIX + base64.b64encode(raw).decode()


async def _sealed(ports: Ports, scope: Scope, secret: str) -> bytes:
    return await ports.keys.encrypt(scope.tenant_id, SECRET_PURPOSE, secret.encode())
