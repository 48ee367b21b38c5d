"""Credentials that were changed stop holding with the very next signal, however they are kept."""

import asyncio
import hashlib

import pytest
from tests.support.world import ALPHA, Bot, World

from quantlab_adapters.postgres import known_bots
from quantlab_app.use_cases.signals import Receipt, Refused

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10"}


async def rotated(small: World, bot: Bot, grace_s: int) -> Bot:
    """Give the bot a new secret and a new token, as the administration does."""
    secret, token = "whsec_bmV3IHNlY3JldA==", "a-new-token"
    cipher = await small.ports.keys.encrypt(ALPHA, "bot_secret", secret.encode())
    digest = hashlib.sha256(token.encode()).digest()
    await small.ports.bots.rotate(small.scope(ALPHA), bot.bot_id, cipher, digest, grace_s)
    await small.ports.stamps.renew(ALPHA)
    return Bot(ALPHA, bot.bot_id, secret, token, bot.account_id)


async def test_old_secret_ends_at_once_without_grace(small: World) -> None:
    bot = await small.bot(ALPHA, await small.account(ALPHA))
    assert isinstance(await small.send(bot, {**BUY, "id": "a"}), Receipt)
    new = await rotated(small, bot, grace_s=0)
    refused = await small.send(bot, {**BUY, "id": "b"})
    assert isinstance(refused, Refused)
    assert (refused.slug, refused.recorded) == ("bad_signature", False)
    assert isinstance(await small.send(new, {**BUY, "id": "c"}), Receipt)
    counts = await small.ports.unauthenticated.since(0)
    assert sum(count.attempts for count in counts) == 1


async def test_old_secret_holds_for_its_grace(small: World) -> None:
    bot = await small.bot(ALPHA, await small.account(ALPHA))
    assert isinstance(await small.send(bot, {**BUY, "id": "a"}), Receipt)
    new = await rotated(small, bot, grace_s=3600)
    assert isinstance(await small.send(bot, {**BUY, "id": "b"}), Receipt)
    assert isinstance(await small.send(new, {**BUY, "id": "c"}), Receipt)


async def test_old_token_ends_at_once_even_in_the_grace_of_its_secret(small: World) -> None:
    bot = await small.bot(ALPHA, await small.account(ALPHA))
    mode = {"signature": None, "bot_id": None}
    body = {**BUY, "secret": bot.secret}
    assert isinstance(await small.send(bot, {**body, "id": "a"}, token=bot.token, **mode), Receipt)
    new = await rotated(small, bot, grace_s=3600)
    refused = await small.send(bot, {**body, "id": "b"}, token=bot.token, **mode)
    assert isinstance(refused, Refused)
    assert (refused.recorded, refused.slug) == (False, "bad_signature")
    assert isinstance(await small.send(bot, {**body, "id": "c"}, token=new.token, **mode), Receipt)


async def test_the_grace_of_a_kept_secret_ends_on_time(small: World) -> None:
    bot = await small.bot(ALPHA, await small.account(ALPHA))
    new = await rotated(small, bot, grace_s=1)
    assert isinstance(await small.send(new, {**BUY, "id": "a"}), Receipt)
    known = await small.ports.known_bots.by_id(bot.bot_id)
    assert known is not None
    assert known.secrets == (new.secret, bot.secret)
    small.ports.known_bots._kept.clear()  # type: ignore[attr-defined]
    again = await small.ports.known_bots.by_id(bot.bot_id)
    assert again is not None
    kept = next(iter(small.ports.known_bots._kept.values()))  # type: ignore[attr-defined]
    assert 0 < kept.ends_at - kept.read_at <= 1


async def test_bots_in_use_are_read_anew_together_and_idle_ones_are_not(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = small.ports.known_bots
    first, second, idle = [await small.bot(ALPHA, await small.account(ALPHA)) for _ in range(3)]

    async def status(bot: Bot) -> str | None:
        found = await known.by_id(bot.bot_id)
        return found and found.status

    for bot in (first, first, second, second, idle):
        assert await status(bot) == "active"
    for bot in (first, second, idle):
        await small.ports.bots.set_status(small.scope(ALPHA), bot.bot_id, "disabled")
    monkeypatch.setattr(known_bots, "RENEW_AFTER_S", 0.0)
    monkeypatch.setattr(known_bots, "RENEW_WITH_OTHERS_AFTER_S", 0.0)
    assert await status(first) == "active"
    monkeypatch.setattr(known_bots, "RENEW_AFTER_S", known_bots.KEPT_S)
    async with asyncio.timeout(10):
        while await status(first) == "active":
            await asyncio.sleep(0.01)
    assert await status(second) == "disabled"
    assert await status(idle) == "active"
