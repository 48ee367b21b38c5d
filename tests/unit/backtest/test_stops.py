"""Rules on stops judge as live: each case is decided by the live engine and by the kernels."""

from dataclasses import replace
from typing import Any

import pytest
from tests.properties.test_backtest import NEWS, NEWS_AFTER_S, model
from tests.support import backtest_cases as cases
from tests.support import live_cases
from tests.support.engine_cases import NOW, profile
from tests.support.histories import Asked, History
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.backtest import layout as at
from quantlab.kernel.instants import SECOND_NS
from quantlab.market.quote import Quote

WIDE = made_rule("daily_loss", anchor="balance", loss=percent("90"), comparator="lt")
ANY = made_rule("stop_loss_required", "soft")
RISK = made_rule("stop_loss_required", "soft", maxRisk={"percent": "0.01", "of": "initial"})
WARN = made_rule("stop_loss_required", "warn")
LOCK = made_rule("stop_loss_required", "soft", action="lock_until_reset")
BID = 108_000
BUY = Asked(0, "place", "EURUSD", 1, 10, exits=(BID - 50, None, None))
STOP = Asked(0, "place", "EURUSD", -1, 10, "stop", trigger=BID - 40, time="gtc", reduce=True)
ENTRY = replace(BUY, exits=(None, None, None), children=(STOP,))
TRAIL = replace(STOP, kind="trailing_stop", trigger=None, trail=40)
GONE = Asked(1, "cancel", "EURUSD")
ALL = Asked(1, "cancel_all", "EURUSD")
MOVE = Asked(1, "modify", "EURUSD", steps=0)


def ticks(*bids: int, start_ns: int = NOW) -> list[Quote]:
    return [
        Quote(
            "EURUSD", bid, bid + 2, start_ns + seq * SECOND_NS, seq, bid_size_steps=3000,
            ask_size_steps=3000,
        )
        for seq, bid in enumerate(bids, 1)
    ]  # fmt: skip


def decided(
    rules: tuple[dict[str, Any], ...], asked: list[Asked], quotes: list[Quote]
) -> tuple[dict[str, Any], list[str]]:
    """Let both decide; return the account, and the reasons of what was refused or cancelled."""
    history = History(
        profile(WIDE, *rules), quotes, asked, ("EURUSD",), {"*": model()}, news=NEWS
    )  # fmt: skip
    run, fills = live_cases.live(history)
    block = cases.plain(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.ended(cases.state_of(block, history)) == cases.ended(live_cases.live_state(run))
    assert cases.broken(block, history) == live_cases.live_broken(run, history)
    ends = block[at.ENDS_AT] + at.E_REASON
    reasons = [at.REASONS[block[ends + k * at.END_WORDS]] for k in range(block[at.ENDS])]
    return cases.state_of(block, history), [one for one in reasons if one]


@pytest.mark.parametrize(
    ("rule", "order", "taken"),
    [
        (ANY, BUY, True),
        (ANY, replace(BUY, exits=(None, None, None)), False),
        (ANY, replace(BUY, exits=(None, 50, None)), False),  # a trail may be anywhere yet
        (ANY, replace(BUY, exits=(None, None, BID + 90)), False),
        (WARN, replace(BUY, exits=(None, None, None)), True),
        # At the ask, 0.1 lots lose 1 in 10,000: 1,000 minor units over 100 ticks.
        (RISK, replace(BUY, exits=(BID + 2 - 100, None, None)), True),
        (RISK, replace(BUY, exits=(BID + 1 - 100, None, None)), False),
        (RISK, replace(BUY, side=-1, exits=(BID + 100, None, None)), True),
        (RISK, replace(BUY, side=-1, exits=(BID + 101, None, None)), False),
        (RISK, replace(BUY, kind="limit", limit=BID - 10, exits=(BID - 110, None, None)), True),
        (RISK, replace(BUY, kind="limit", limit=BID - 10, exits=(BID - 111, None, None)), False),
        (RISK, replace(BUY, steps=9, exits=(BID + 1 - 100, None, None)), True),
        (RISK, replace(BUY, exits=(1, None, None)), False),
    ],
)
def test_an_order_needs_a_stop_near_enough(rule: dict[str, Any], order: Asked, taken: bool) -> None:
    state, reasons = decided((rule,), [order], ticks(BID, BID - 1, BID - 20))
    assert (state["positions"] != {}) == taken
    assert reasons == ([] if taken else ["stop_loss_required"])


@pytest.mark.parametrize("rule", [ANY, LOCK])
def test_a_refusal_acts_as_the_rule_says(rule: dict[str, Any]) -> None:
    bare = Asked(1, "place", "EURUSD", 1, 10)
    state, _ = decided((rule,), [BUY, bare], ticks(BID, BID, BID))
    assert state["status"] == ("active" if rule is ANY else "locked")
    assert state["positions"] == ({"EURUSD": (10, 10 * (BID + 2))} if rule is ANY else {})


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (GONE, True),
        (ALL, True),
        (replace(MOVE, steps=9), True),
        (replace(MOVE, trigger=BID - 39), False),
        (replace(MOVE, trigger=BID - 41), False),
        (replace(MOVE, trigger=BID - 98), False),
        (replace(MOVE, trigger=BID - 99), True),
        (replace(MOVE, trail=39), False),  # a stop does not trail: another reason refuses that
    ],
)
@pytest.mark.parametrize("rule", [RISK, WARN])
def test_the_only_stop_may_neither_go_nor_shrink_nor_move_far(
    rule: dict[str, Any], change: Asked, refused: bool
) -> None:
    state, reasons = decided((rule,), [ENTRY, replace(change, order=2)], ticks(BID, BID, BID))
    asked_for = refused and rule is RISK
    assert reasons.count("stop_loss_required") == asked_for
    assert state["positions"] == {"EURUSD": (10, 10 * (BID + 2))}
    assert (state["working"] == 0) == (not asked_for and change in (GONE, ALL))


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ([STOP, replace(GONE, order=2)], 1),  # the other covers all of it
        ([TRAIL, replace(GONE, order=2)], 1),
        ([TRAIL, replace(GONE, order=2), replace(GONE, order=3)], 1),
        ([replace(STOP, steps=9), replace(GONE, order=2)], 2),
        ([replace(STOP, kind="limit", limit=BID + 90, trigger=None), ALL], 1),
        ([STOP, ALL], 0),  # either covers it without the other
    ],
)
def test_a_stop_is_free_where_others_cover_the_position(asked: list[Asked], left: int) -> None:
    state, reasons = decided((ANY,), [ENTRY, *asked], ticks(BID, BID, BID))
    assert state["positions"] != {}
    assert state["working"] == left
    assert ("stop_loss_required" in reasons) == (len(asked) == 3 or asked[0].steps == 9)


@pytest.mark.parametrize("action", ["reject_orders", "lock_until_reset", "disable_account"])
@pytest.mark.parametrize("counts", [True, False])
def test_a_stop_that_fires_near_news_is_a_trade(action: str, counts: bool) -> None:
    severity = "hard" if action == "disable_account" else "soft"
    rule = made_rule(
        "news_window", severity, action=action, secondsBefore=600, secondsAfter=NEWS_AFTER_S,
        impacts=["high"], instruments="targeted", reducingOrders="allowed", stopsCount=counts,
    )  # fmt: skip
    quotes = ticks(BID, BID) + [
        replace(one, seq=one.seq + 2)
        for one in ticks(BID - 60, BID - 60, start_ns=NEWS.events[1].at_ns)
    ]
    other = Asked(0, "place", "EURUSD", -1, 5, "limit", limit=BID + 500, time="gtc")
    state, reasons = decided((rule,), [BUY, other], quotes)
    ends = {"reject_orders": "active", "lock_until_reset": "locked", "disable_account": "disabled"}
    assert state["positions"] == {}
    assert state["status"] == (ends[action] if counts else "active")
    assert (state["working"] == 0) == (counts and action != "reject_orders"), reasons
