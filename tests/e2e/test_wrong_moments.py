"""Right input at a wrong moment: a disabled bot, a closed account, no quote or a stale one."""

import signal
import time

import pytest

from tests.support.running_platform import Document, eventually
from tests.support.wrong_input import BUY, House, assert_problem, assert_refused_once, fields

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
STANDSTILL_S, AGAIN_WAIT_S = 3, 20


def test_a_disabled_bot_and_a_disabled_account(own_house: House) -> None:
    path = f"bots/{own_house.bot['botId']}"
    assert own_house.client.patch(path, json={"status": "disabled"}).status_code == 200
    assert_problem(own_house.signal(fields(id="1")), 403, "bot_disabled")
    assert own_house.client.patch(path, json={"status": "active"}).status_code == 200
    account = f"accounts/{own_house.account_id}"
    for status, slug in (("disabled", "account_disabled"), ("closed", "account_closed")):
        answer = own_house.client.patch(account, json={"status": status, "reason": "test"})
        assert answer.status_code == 200, answer.text
        before = own_house.written()
        document = assert_problem(own_house.signal(fields(id=status)), 403, "account_disabled")
        assert_refused_once(own_house, before, document)
        assert_problem(own_house.order(json={**BUY, "clientId": status}), 403, slug)
        after = own_house.written()
        assert {name: after[name] for name in ("fill", "position", "ledger_entry")} == {
            name: before[name] for name in ("fill", "position", "ledger_entry")
        }


def test_no_quote_yet(own_house: House) -> None:
    """The feed plays EURUSD alone."""
    before = own_house.written()
    assert own_house.ended(own_house.signal(fields(symbol="XAUUSD"))) == ("rejected", "no_quote")
    assert_problem(own_house.order(json={**BUY, "symbol": "XAUUSD"}), 409, "no_quote")
    _assert_rejected(own_house, before, 2)


def _assert_rejected(house: House, before: Document, count: int) -> None:
    """Rejected orders are there, with their commands and events; nothing is booked."""
    after = house.written()
    grown = {name: after[name] - before[name] for name in before}
    events = grown.pop("event_seq")
    assert grown == {
        **dict.fromkeys(grown, 0), "orders": count, "inbox": count,
    }  # fmt: skip
    assert events >= count


def test_a_stale_quote(own_house: House) -> None:
    """At this speed a quote is too old in a second and a half once the feed stands still."""
    pid = own_house.made.kill("worker:market_feed", signal.SIGSTOP)
    try:
        time.sleep(STANDSTILL_S)
        before = own_house.written()
        assert own_house.ended(own_house.signal(fields(id="stale"))) == ("rejected", "quote_stale")
        assert_problem(own_house.order(json=BUY), 409, "quote_stale")
        _assert_rejected(own_house, before, 2)
    finally:
        own_house.made.kill("worker:market_feed", signal.SIGCONT)
    assert own_house.made.pids()["worker:market_feed"] == pid
    assert eventually(lambda: own_house.order(json=BUY).is_success, AGAIN_WAIT_S)
