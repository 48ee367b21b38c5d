"""What quotes and the time call for on working orders."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.fill_models import MODELS
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    FREE,
    LOT,
    NOW,
    SECOND,
    feed,
    holding,
    position,
    quote,
    watching,
)

from quantlab.engine.native.chosen import INTERPRETED
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.watch import Watch
from quantlab.engine.watched import OBSERVE_EVERY_NS, RETRY_NS
from quantlab.ledger.orders import Order, Terms
from quantlab.ledger.state import Account


def order(order_type: str, side: int = 1, *, status: str = "working", **asked: Any) -> Order:
    known = Terms(**{"time_in_force": "gtc", **asked})
    return Order("o1", "s1", None, "bot", "EURUSD", side, order_type, LOT, 0, None, None, status,
                 None, 7, NOW, known)  # fmt: skip


def with_orders(*orders: Order, **fields: Any) -> Account:
    account = holding(FREE, *fields.pop("positions", ()), **fields)
    numbered = {f"o{n}": replace(one, order_id=f"o{n}") for n, one in enumerate(orders, 1)}
    return replace(account, working=numbered)


@pytest.mark.parametrize(
    ("asked", "bid", "called"),
    [
        (order("limit", limit_ticks=ENTRY), ENTRY - 9, False),
        (order("limit", limit_ticks=ENTRY), ENTRY - 10, True),
        (order("limit", -1, limit_ticks=ENTRY), ENTRY - 1, False),
        (order("limit", -1, limit_ticks=ENTRY), ENTRY, True),
        (order("stop", trigger_ticks=ENTRY), ENTRY - 11, False),
        (order("stop", trigger_ticks=ENTRY), ENTRY - 10, True),
        (order("stop", -1, trigger_ticks=ENTRY), ENTRY + 1, False),
        (order("stop", -1, trigger_ticks=ENTRY), ENTRY, True),
        (order("market_if_touched", trigger_ticks=ENTRY), ENTRY - 9, False),
        (order("market_if_touched", trigger_ticks=ENTRY), ENTRY - 10, True),
        (order("stop_limit", status="triggered", trigger_ticks=1, limit_ticks=ENTRY), ENTRY, False),
        (order("stop", status="triggered", trigger_ticks=ENTRY + 900), ENTRY, True),
        (order("limit", status="pending_parent", limit_ticks=ENTRY), ENTRY - 90, False),
        (order("limit", limit_ticks=ENTRY, since_seq=2), ENTRY - 90, False),
    ],
)
def test_an_order_is_called_by_the_quote_that_reaches_it(
    asked: Order, bid: int, *, called: bool
) -> None:
    watch = watching(with_orders(asked), FREE)
    found = feed(watch, quote(bid, seq=2))
    assert [demand.name for demand in found] == (["work_order"] if called else [])
    if called:
        assert (found[0].payload["orderId"], found[0].payload["feedSeq"]) == ("o1", 2)
        assert found[0].identity == ("work_order", "o1", 2)
        assert feed(watch, quote(bid, seq=3)) == []
        assert len(feed(watch, quote(bid, seq=4), NOW + RETRY_NS)) == 1


def test_an_account_with_orders_alone_is_watched_until_they_are_gone() -> None:
    account = with_orders(order("limit", limit_ticks=ENTRY))
    watch = watching(account, FREE)
    assert (watch.account_ids, watch.positions) == ({"account-1"}, 0)
    assert watch.put(replace(account, working={}, event_seq=8), FREE, NOW, NOW) == []
    assert watch.account_ids == frozenset()
    assert feed(watch, quote(ENTRY - 90, seq=2)) == []


def test_a_trail_follows_is_handed_on_and_triggers_with_its_peak() -> None:
    trail = order("trailing_stop", -1, trail_ticks=50, peak_ticks=ENTRY)
    watch = watching(with_orders(trail, positions=(position(),)), FREE)
    (first,) = feed(watch, quote(ENTRY + 20, seq=2), NOW + SECOND)
    assert (first.name, first.payload["trails"]) == (
        "observe_trails",
        [{"orderId": "o1", "peakTicks": ENTRY + 20, "feedSeq": 2}],
    )
    assert feed(watch, quote(ENTRY + 40, seq=3), NOW + SECOND) == []
    (hit,) = feed(watch, quote(ENTRY - 10, seq=4), NOW + SECOND)
    assert (hit.name, hit.payload["peakTicks"]) == ("work_order", ENTRY + 40)
    left = watch.unstored_peaks(NOW + SECOND, leaving=True)
    assert [one.payload.get("trails", [{}])[0].get("peakTicks") for one in left] == [ENTRY + 40]


def test_an_older_peak_from_the_writer_does_not_undo_a_better_one() -> None:
    trail = order("trailing_stop", -1, trail_ticks=50, peak_ticks=ENTRY)
    account = with_orders(trail, positions=(position(),))
    watch = watching(account, FREE)
    feed(watch, quote(ENTRY + 40, seq=2))
    watch.put(replace(account, event_seq=8), FREE, NOW, NOW)
    later = NOW + OBSERVE_EVERY_NS
    (hit,) = [one for one in feed(watch, quote(ENTRY - 10, seq=3), later)
              if one.name == "work_order"]  # fmt: skip
    assert hit.payload["peakTicks"] == ENTRY + 40


def test_time_calls_for_an_order_without_a_quote_once_a_while() -> None:
    late = order("limit", limit_ticks=1, expire_at_ns=NOW + SECOND)
    watch = watching(with_orders(late), FREE)
    assert watch.overdue(NOW + SECOND - 1) == []
    assert [one.name for one in watch.overdue(NOW + SECOND)] == ["expire_orders"]
    assert watch.overdue(NOW + SECOND + 1) == []
    assert len(watch.overdue(NOW + SECOND + RETRY_NS)) == 1


def test_the_quote_that_converts_the_gain_is_recorded_too() -> None:
    euros = replace(with_orders(order("limit", limit_ticks=ENTRY)), currency="GBP")
    watch = Watch(CATALOG)
    watch.set_quotes([quote(130_000, symbol="GBPUSD", seq=9)])
    watch.put(euros, FREE, NOW, NOW)
    (demand,) = feed(watch, quote(ENTRY - 20, seq=2))
    quotes = demand.payload["quotes"]
    assert isinstance(quotes, list)
    assert [one["symbol"] for one in quotes if isinstance(one, dict)] == ["EURUSD", "GBPUSD"]


SIZES = replace(
    CATALOG,
    instruments={
        symbol: replace(item, size_required=True) for symbol, item in CATALOG.instruments.items()
    },
)


@pytest.mark.parametrize("kind", [Watch, lambda known: ArrayWatch(known, INTERPRETED)])
@pytest.mark.parametrize(
    ("asked", "size", "model", "called"),
    [
        (order("limit", limit_ticks=ENTRY), 0, None, False),
        (order("limit", limit_ticks=ENTRY), 1, None, True),
        (order("limit", limit_ticks=ENTRY), 0, "unlimited none", True),
        (order("stop", status="triggered", trigger_ticks=ENTRY), 0, None, False),
        (order("limit", status="partially_filled", limit_ticks=ENTRY), 0, None, False),
        # A trigger and an end need no size.
        (order("stop", trigger_ticks=ENTRY), 0, None, True),
        (order("limit", limit_ticks=ENTRY, time_in_force="ioc"), 0, None, True),
        (order("market", time_in_force="ioc"), 0, None, True),
    ],
)
def test_a_quote_without_the_size_it_needs_does_not_call_for_an_order(
    kind: Any, asked: Order, size: int, model: str | None, *, called: bool
) -> None:
    watch = kind(SIZES)
    models = {} if model is None else {"*": MODELS[model]}
    watch.put(with_orders(asked), FREE, NOW, NOW, fill_models=models)
    for seq in (2, 3, 4):
        seen = replace(quote(ENTRY - 10, seq=seq), bid_size_steps=5, ask_size_steps=size)
        found = feed(watch, seen, NOW + seq * RETRY_NS)
        assert [demand.name for demand in found] == (["work_order"] if called else [])
    shown = replace(quote(ENTRY - 10, seq=5), ask_size_steps=7)
    assert [one.name for one in feed(watch, shown, NOW + 9 * RETRY_NS)] == ["work_order"]


def test_an_order_waits_for_the_rate_its_gain_is_converted_at() -> None:
    euros = replace(with_orders(order("limit", limit_ticks=ENTRY)), currency="GBP")
    watch = Watch(CATALOG)
    watch.put(euros, FREE, NOW, NOW)
    assert feed(watch, quote(ENTRY - 20, seq=2)) == []
    watch.set_quotes([quote(130_000, symbol="GBPUSD", seq=3)])
    assert [one.name for one in feed(watch, quote(ENTRY - 20, seq=4))] == ["work_order"]
