"""What rules count is kept with the account: for its writer, for readers, in messages."""

import orjson
import pytest
from tests.support.world import ALPHA, World

from quantlab_app.use_cases.account_watch import read_accounts
from quantlab_app.use_cases.execution import accounts_message

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10"}


async def test_counts_go_on_from_what_was_kept(small: World) -> None:
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    await small.quote("EURUSD", "1.08123", "1.08125")

    for number, signal in enumerate(
        (BUY, {**BUY, "quantity": "0.30"}, {"symbol": "EURUSD", "action": "close"}, BUY), 1
    ):
        await small.send(bot, {**signal, "id": str(number)})
        await small.settle(ALPHA)
        tally = (await small.find(ALPHA, account_id)).tally
        assert tally.orders == number

    account = await small.find(ALPHA, account_id)
    tally = account.tally
    assert (tally.trades, tally.opened_nano) == (2, 500_000_000)
    assert (tally.first_nano, tally.least_nano, tally.most_nano) == (
        100_000_000,
        100_000_000,
        300_000_000,
    )
    assert tally.best_trade_minor is not None
    assert dict(tally.running) == {"EURUSD": 0}
    assert tally.last_order_ns > 0
    assert read_accounts(accounts_message({account_id: account})) == [account]
    assert orjson.loads(accounts_message({account_id: account}))[0]["tally"]["orders"] == 4
