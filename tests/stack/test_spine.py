"""A signal becomes an audited simulated trade, on the real stores."""

import asyncio
import json

import pytest
from tests.support.world import ALPHA, BETA, World

from quantlab.engine.fill_models import DRAW_BITS, draw_of, fill_seed
from quantlab.market.fill_model import parse_fill_models
from quantlab.tenancy.config import config_of_resolved
from quantlab_app.use_cases.audit import append_pending, walk
from quantlab_app.use_cases.signals import Receipt, Refused

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10"}


async def test_signal_fills_at_the_quote_of_the_moment(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    quote = await small.quote("EURUSD", "1.08123", "1.08125")

    receipt = await small.send(bot, {**BUY, "id": "one", "stopLoss": "1.08000"})
    assert isinstance(receipt, Receipt)
    await small.settle(ALPHA)

    fills = await small.ports.accounts.fills(small.scope(ALPHA), account_id, None, 10)
    slippage = small.ports.catalog.instruments["EURUSD"].slippage_ticks
    assert [fill["price_ticks"] for fill in fills] == [quote.ask_ticks + slippage]
    assert (fills[0]["quote_seq"], fills[0]["bid_ticks"]) == (quote.seq, quote.bid_ticks)
    assert await small.event_types(ALPHA, account_id) == [
        "account.created",
        "webhook.received",
        "webhook.validated",
        "order.accepted",
        "order.filled",
        "position.opened",
        "webhook.trade_executed",
    ]
    account = await small.find(ALPHA, account_id)
    assert account.positions["EURUSD"].size_steps > 0
    assert account.positions["EURUSD"].stop_loss_ticks == 108000


async def test_a_tenants_fill_model_fills_in_part_and_is_recorded(small: World) -> None:
    models = {"*": {"size": "displayed", "slippage": {"kind": "random", "maxTicks": 3}}}
    config = config_of_resolved({**small.configs[ALPHA].document, "fillModels": models})
    await small.ports.tenant_configs.record(small.scope(ALPHA), config)
    small.configs[ALPHA] = config
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    quote = await small.quote("EURUSD", "1.08123", "1.08125", sizes=(0, 7))

    await small.send(bot, {**BUY, "id": "one"})
    await small.settle(ALPHA)

    (fill,) = await small.ports.accounts.fills(small.scope(ALPHA), account_id, None, 10)
    seed = fill_seed(ALPHA, account_id, fill["event_seq"])
    slipped = draw_of(seed) * 4 >> DRAW_BITS
    assert (fill["fill_model"], fill["fill_seed"]) == (parse_fill_models(models)["*"].version, seed)
    assert (fill["price_ticks"], fill["slippage_ticks"]) == (quote.ask_ticks + slipped, slipped)
    assert (fill["size_steps"], fill["bid_size_steps"], fill["ask_size_steps"]) == (7, 0, 7)
    (order,) = await small.ports.accounts.orders(small.scope(ALPHA), account_id, None, 10)
    assert (order["size_steps"], order["filled_steps"]) == (10, 7)
    assert (order["status"], order["reason"]) == ("cancelled", "not_filled")
    assert (await small.find(ALPHA, account_id)).positions["EURUSD"].size_steps == 7


async def test_duplicate_answers_with_the_first_and_trades_once(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    await small.quote("EURUSD", "1.08123", "1.08125")
    first = await small.send(bot, {**BUY, "id": "same"})
    again = await small.send(bot, {**BUY, "id": "same"})
    late = await small.send(bot, {**BUY, "id": "same"}, at_s=1_000_000_000)
    other = await small.send(bot, {**BUY, "id": "same", "quantity": "0.20"})
    await small.settle(ALPHA)

    assert isinstance(first, Receipt)
    assert again == late == Receipt(first.signal_id, duplicate=True)
    assert isinstance(other, Refused)
    assert (other.slug, other.recorded) == ("body_conflict", True)
    orders = await small.ports.accounts.orders(small.scope(ALPHA), account_id, None, 10)
    assert len(orders) == 1
    delivery = await small.ports.inbox.delivery(small.scope(ALPHA), first.signal_id)
    assert delivery is not None
    assert (delivery.status, delivery.duplicates) == ("executed", 2)


async def test_concurrent_copies_of_one_signal_trade_once(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    await small.quote("EURUSD", "1.08123", "1.08125")
    answers = await asyncio.gather(*(small.send(bot, {**BUY, "id": "x"}) for _ in range(8)))
    await small.settle(ALPHA)
    assert {answer.signal_id for answer in answers} == {answers[0].signal_id}
    assert sum(not answer.duplicate for answer in answers) == 1
    orders = await small.ports.accounts.orders(small.scope(ALPHA), account_id, None, 10)
    assert len(orders) == 1


async def test_ledger_sums_to_the_balance_and_the_chain_verifies(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    prices = ["1.08123", "1.08300", "1.08011", "1.08250", "1.08404"]
    for number, price in enumerate(prices):
        await small.quote("EURUSD", price, f"{float(price) + 0.00002:.5f}")
        action = "buy" if number % 2 == 0 else "sell"
        body = {**BUY, "action": action, "quantity": f"0.{number + 1}3", "id": str(number)}
        assert isinstance(await small.send(bot, body), Receipt)
        await small.settle(ALPHA)
    account = await small.find(ALPHA, account_id)
    entries = await small.ports.accounts.ledger(small.scope(ALPHA), account_id, None, 100)
    assert sum(entry["amount_minor"] for entry in entries) == account.balance_minor
    assert account.balance_minor != account.initial_balance_minor

    while await append_pending(small.ports, ALPHA):
        pass
    walked = [(head, broken) async for head, broken in walk(small.ports, small.scope(ALPHA))]
    assert [(head.seq, broken) for head, broken in walked] == [(account.event_seq, None)]


async def test_stale_or_missing_quote_is_a_named_rejection(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    none = await small.send(bot, {**BUY, "id": "none"})
    await small.settle(ALPHA)
    await small.quote("EURUSD", "1.08123", "1.08125", age_s=100_000)
    stale = await small.send(bot, {**BUY, "id": "stale"})
    await small.settle(ALPHA)
    reasons = []
    for receipt in (none, stale):
        assert isinstance(receipt, Receipt)
        delivery = await small.ports.inbox.delivery(small.scope(ALPHA), receipt.signal_id)
        assert delivery is not None
        reasons.append((delivery.status, delivery.reason))
    assert reasons == [("rejected", "no_quote"), ("rejected", "quote_stale")]


async def test_every_refusal_has_its_slug_and_its_end(small: World) -> None:
    account_id = await small.account(ALPHA)
    foreign = await small.account(BETA)
    bot = await small.bot(ALPHA, account_id)
    raw = json.dumps(BUY).encode()
    cases = [
        (await small.send(bot, BUY, signature="t=1,v1=00"), "bad_signature", False),
        (await small.send(bot, BUY, signature="nonsense"), "bad_signature", False),
        (
            await small.send(bot, BUY, bot_id="11111111-1111-1111-1111-111111111111"),
            "bad_signature",
            False,
        ),
        (await small.send(bot, BUY, signature=None), "bad_signature", False),
        (await small.send(bot, {}, raw=b"x" * 70_000), "payload_too_large", False),
        (await small.send(bot, BUY, at_s=1_000_000_000), "stale_timestamp", True),
        (await small.send(bot, {}, raw=b"{not json"), "malformed", True),
        (await small.send(bot, {**BUY, "quantity": -1}), "invalid_fields", True),
        (await small.send(bot, {**BUY, "accountId": foreign}), "unknown_account", True),
        (await small.send(bot, {**BUY, "symbol": "NOPE"}), "unknown_symbol", True),
        (
            await small.send(bot, {}, raw=raw, token="nobody", signature=None),
            "unknown_token",
            False,
        ),
    ]
    assert [(case[0].slug, case[0].recorded) for case in cases] == [case[1:] for case in cases]
    await small.settle(ALPHA)
    tenant_events = await small.ports.event_log.events_after(
        small.scope(ALPHA), "00000000-0000-0000-0000-000000000000", after_seq=0, limit=100
    )
    assert len(tenant_events) == 2 * sum(case[2] for case in cases)
    counts = await small.ports.unauthenticated.since(0)
    assert sum(count.attempts for count in counts) == sum(not case[2] for case in cases)


async def test_eleventh_signal_of_a_minute_is_limited(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    burst = small.configs[ALPHA].rate_limits.account.burst
    answers = [await small.send(bot, {**BUY, "id": str(n)}) for n in range(burst + 1)]
    assert all(isinstance(answer, Receipt) for answer in answers[:burst])
    last = answers[burst]
    assert isinstance(last, Refused)
    assert last.slug == "rate_limited"
    assert last.retry_after_s is not None
    assert 0 < last.retry_after_s <= 60
    assert (await small.send(bot, {**BUY, "id": "0"})) == Receipt(answers[0].signal_id, True)


async def test_token_mode_keeps_no_secret(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id, source_addresses=("192.0.2.0/24",))
    await small.quote("EURUSD", "1.08123", "1.08125")
    body = {**BUY, "secret": bot.secret}
    mode = {"token": bot.token, "signature": None, "bot_id": None}
    receipt = await small.send(bot, body, **mode)
    assert isinstance(receipt, Receipt)
    delivery = await small.ports.inbox.delivery(small.scope(ALPHA), receipt.signal_id)
    assert delivery is not None
    assert bot.secret not in json.dumps(delivery.payload)
    wrong = await small.send(bot, {**body, "secret": "x"}, **mode)
    outside = await small.send(bot, body, **mode, source="198.51.100.1")
    old = await small.send(bot, {**body, "timenow": "2020-01-01T00:00:00Z"}, **mode)
    slugs = [answer.slug for answer in (wrong, outside, old)]
    assert slugs == ["bad_secret", "source_not_allowed", "stale_timestamp"]


async def test_disabled_bot_and_account_bite_at_once(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    assert isinstance(await small.send(bot, {**BUY, "id": "a"}), Receipt)
    await small.ports.bots.set_status(small.scope(ALPHA), bot.bot_id, "disabled")
    await small.ports.stamps.renew(ALPHA)
    refused = await small.send(bot, {**BUY, "id": "b"})
    assert isinstance(refused, Refused)
    assert refused.slug == "bot_disabled"


async def test_events_that_were_sent_leave_the_outbox_before_the_sweep(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    await small.quote("EURUSD", "1.08123", "1.08125")
    await small.send(bot, BUY)
    await small.settle(ALPHA)
    scope, waiting = small.scope(ALPHA), small.ports.outbox.unpublished
    assert len((await waiting(scope.tenant_id, 0.0, 10))[0]) > 0
    async with asyncio.timeout(5):
        while len((await waiting(scope.tenant_id, 0.0, 10))[0]) > 1:
            await asyncio.sleep(0.1)
    _, left = await waiting(scope.tenant_id, 0.0, 10)
    assert [event.event_type for event in left[0].events] == ["account.created"]
