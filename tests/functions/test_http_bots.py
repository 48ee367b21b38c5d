"""Bots over HTTP: secrets shown once and usable at once, rotation, and who manages which."""

import pytest
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA, BETA, Bot

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases.signals import Receipt, Refused

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.1"}


async def owner(served: Site) -> tuple[Person, str]:
    person = await served.person(Role.TRADER)
    return person, await served.account(person)


async def made(served: Site, person: Person, account_id: str, **fields: object) -> Bot:
    body = {"name": "mine", "accountId": account_id, **fields}
    answer = await served.send("POST", person, "/bots", body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    return Bot(ALPHA, shown["bot"]["botId"], shown["secret"], shown["token"], account_id)


async def test_new_bot_sends_at_once_and_its_secrets_are_not_shown_again(served: Site) -> None:
    person, account_id = await owner(served)
    bot = await made(served, person, account_id)
    assert bot.secret.startswith("whsec_")
    assert isinstance(await served.world.send(bot, {"id": "1", **BUY}), Receipt)
    for path in ("/bots", f"/bots/{bot.bot_id}"):
        text = (await served.get(person, path)).text
        assert bot.bot_id in text
        assert bot.secret not in text
        assert bot.token not in text


async def test_disabled_bot_is_refused_until_enabled(served: Site) -> None:
    person, account_id = await owner(served)
    bot = await made(served, person, account_id)
    await served.world.send(bot, {"id": "0", **BUY})
    path = f"/bots/{bot.bot_id}"
    off = await served.send("PATCH", person, path, {"status": "disabled"})
    assert (off.status_code, off.json()["status"]) == (200, "disabled")
    refused = await served.world.send(bot, {"id": "1", **BUY})
    assert isinstance(refused, Refused)
    assert refused.slug == "bot_disabled"
    await served.send("PATCH", person, path, {"status": "active"})
    assert isinstance(await served.world.send(bot, {"id": "2", **BUY}), Receipt)


async def test_old_secret_holds_for_the_grace_and_an_old_token_does_not(served: Site) -> None:
    person, account_id = await owner(served)
    bot = await made(served, person, account_id)
    path = f"/bots/{bot.bot_id}/rotate-secret"
    answer = await served.send("POST", person, path, {"rotateToken": True})
    assert answer.status_code == 200, answer.text
    fresh = answer.json()
    grace_s = served.world.configs[ALPHA].webhooks.secret_grace_s
    assert fresh["graceSeconds"] == grace_s > 0
    assert fresh["secret"] != bot.secret
    new = Bot(ALPHA, bot.bot_id, fresh["secret"], fresh["token"], account_id)
    for number, sender in enumerate((bot, new)):
        assert isinstance(await served.world.send(sender, {"id": f"{number}", **BUY}), Receipt)
    by_token = {"bot_id": None, "signature": None}
    body = {"secret": fresh["secret"], **BUY}
    gone = await served.world.send(new, body, token=bot.token, **by_token)
    assert isinstance(gone, Refused)
    assert gone.slug == "unknown_token"
    assert isinstance(await served.world.send(new, body, token=fresh["token"], **by_token), Receipt)
    kept = await served.send("POST", person, path)
    assert kept.json()["token"] is None


async def test_a_leaked_secret_ends_at_once_where_that_is_asked(served: Site) -> None:
    person, account_id = await owner(served)
    bot = await made(served, person, account_id)
    path = f"/bots/{bot.bot_id}/rotate-secret"
    longest_s = served.world.configs[ALPHA].webhooks.secret_grace_s
    first = (await served.send("POST", person, path, {"graceSeconds": longest_s + 1})).json()
    assert first["graceSeconds"] == longest_s
    assert isinstance(await served.world.send(bot, {"id": "held", **BUY}), Receipt)
    last = (await served.send("POST", person, path, {"graceSeconds": 0})).json()
    assert last["graceSeconds"] == 0
    for number, secret in enumerate((bot.secret, first["secret"], last["secret"])):
        sender = Bot(ALPHA, bot.bot_id, secret, None, account_id)
        answer = await served.world.send(sender, {"id": f"leak{number}", **BUY})
        assert isinstance(answer, Receipt) == (secret == last["secret"]), answer
    negative = await served.send("POST", person, path, {"graceSeconds": -1})
    assert problem(negative) == (422, "invalid_fields")


async def test_trader_manages_bots_of_own_accounts_alone(served: Site) -> None:
    person, account_id = await owner(served)
    colleague, other_id = await owner(served)
    admin = await served.person(Role.TENANT_ADMIN)
    foreigner = await served.person(Role.TENANT_ADMIN, BETA)
    bot = await made(served, person, account_id)
    shared = await made(served, admin, account_id, accountIds=[other_id])
    for stranger in (colleague, foreigner):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"status": "disabled"}),
            ("POST", "/rotate-secret", {}),
        ):
            answer = await served.send(method, stranger, f"/bots/{bot.bot_id}{path}", body)
            assert problem(answer) == (404, "not_found")
        listed = (await served.get(stranger, "/bots")).json()["items"]
        assert bot.bot_id not in {item["botId"] for item in listed}
        theft = {"name": "theft", "accountId": account_id}
        assert problem(await served.send("POST", stranger, "/bots", theft)) == (404, "not_found")
    mixed = {"name": "mixed", "accountId": other_id, "accountIds": [account_id]}
    assert problem(await served.send("POST", colleague, "/bots", mixed)) == (404, "not_found")
    own = {item["botId"] for item in (await served.get(person, "/bots")).json()["items"]}
    assert own == {bot.bot_id}
    assert problem(await served.get(person, f"/bots/{shared.bot_id}")) == (404, "not_found")
    pages = await served.pages(admin, "/bots", limit=1)
    found = [item["botId"] for page in pages for item in page]
    assert {bot.bot_id, shared.bot_id} <= set(found)
    assert found == sorted(set(found))


async def test_only_those_who_may_manage_bots_do(served: Site) -> None:
    person, account_id = await owner(served)
    bot = await made(served, person, account_id)
    for role in (Role.VIEWER, Role.RISK_MANAGER):
        reader = await served.person(role)
        assert (await served.get(reader, f"/bots/{bot.bot_id}")).status_code == 200
        answer = await served.send("PATCH", reader, f"/bots/{bot.bot_id}", {"status": "disabled"})
        assert problem(answer) == (403, "forbidden")


NOT_MADE: tuple[tuple[dict[str, object], str], ...] = (
    ({"name": ""}, "/name"),
    ({"name": "a\u0007b"}, "/name"),
    ({"accountId": "x"}, "/accountId"),
    ({"accountIds": ["x"]}, "/accountIds/0"),
    ({"sourceAddresses": ["everywhere"]}, "/sourceAddresses/0"),
    ({"sourceAddresses": ["10.0.0.1/8"]}, "/sourceAddresses/0"),
    ({"secret": "mine"}, "/secret"),
)


async def test_field_that_does_not_hold_is_named(served: Site) -> None:
    person, account_id = await owner(served)
    for change, pointer in NOT_MADE:
        body = {"name": "mine", "accountId": account_id, **change}
        answer = await served.send("POST", person, "/bots", body)
        assert problem(answer) == (422, "invalid_fields"), change
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    bot = await made(served, person, account_id, sourceAddresses=["10.0.0.0/8", "2001:db8::1"])
    shown = (await served.get(person, f"/bots/{bot.bot_id}")).json()
    assert shown["sourceAddresses"] == ["10.0.0.0/8", "2001:db8::1/128"]
