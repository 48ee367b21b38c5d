"""Whom a checkpoint in bulk hands to the account's writer: whose rules rows do not hold."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support import rule_cases
from tests.support.watch_cases import CATALOG, ENTRY, LOT, NOW, SECOND, holding, position, quote

from quantlab.engine.context import Market, equity_of
from quantlab.engine.native.checkpoint import Amounts, Checkpoint, Group, Judged
from quantlab.engine.native.chosen import INTERPRETED
from quantlab.engine.native.kernels import BEYOND, JUDGED, UNKNOWN
from quantlab.ledger.state import Position
from quantlab.rules.terms import Profile
from quantlab_adapters.postgres.held import held_records

MINUTE = 60 * SECOND
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WINDOW = {"days": EVERY_DAY, "at": "12:10", "until": "12:40"}
FLAT_BY = rule_cases.rule("flat_by", "soft", timeZone="Europe/Prague", windows=[WINDOW])


def loss(**more: Any) -> dict[str, Any]:
    return rule_cases.rule(
        "daily_loss", anchor="balance", loss=rule_cases.percent("5"), comparator="lt", **more
    )


def drawdown(**more: Any) -> dict[str, Any]:
    return rule_cases.rule(
        "max_drawdown", mode="static", loss=rule_cases.percent("5"), comparator="lt", **more
    )


def judge(profile: Profile, bid: int, now_ns: int = NOW, *, held: bool = True) -> Judged:
    like = holding(profile)
    day, balance = like.day, like.balance_minor
    money = (balance, 0, balance, day.next_reset_ns, balance, balance, 0)
    positions = [position(LOT)] if held else []
    group = Group(like, profile, amounts([(7, 9)], [money], [5], [positions]))
    market = Market(CATALOG, {"EURUSD": quote(bid)}, NOW)
    return Checkpoint(INTERPRETED, market, now_ns).judge([group])


def amounts(
    ids: Sequence[tuple[int, int]],
    money: Sequence[tuple[int, ...]],
    seqs: Sequence[int],
    held: Sequence[Sequence[Position]],
) -> Amounts:
    records = b"".join(map(held_records, held))
    keys, sizes, costs = np.frombuffer(records, ">i8").reshape(-1, 3).T.astype(np.int64)
    return Amounts(
        np.array(ids, np.uint64).T,
        np.array(money, np.int64),
        np.array(seqs, np.int64),
        np.array([len(positions) for positions in held], np.int64),
        keys,
        sizes,
        costs,
    )


@pytest.mark.parametrize(
    ("bid", "broken"), [(ENTRY - 5000, 0), (ENTRY - 5001, 1)], ids=["at the floor", "below it"]
)
def test_a_floor_that_rows_hold_is_judged_here(bid: int, broken: int) -> None:
    found = judge(rule_cases.profile(loss()), bid)
    assert (found.states[0], found.broken[0], bool(found.asks[0])) == (JUDGED, broken, bool(broken))


REFUSED = {
    "costs of the day that do not count": rule_cases.profile(loss(costs="excluded")),
    "a floor after a payout": rule_cases.profile(drawdown(afterPayout={"aboveInitial": "0.00"})),
    "time without an order": rule_cases.profile(loss(), rule_cases.rule("inactivity", days=30)),
}


@pytest.mark.parametrize("profile", REFUSED.values(), ids=REFUSED.keys())
def test_a_rule_that_needs_the_tally_is_left_to_the_writer(profile: Profile) -> None:
    found = judge(profile, ENTRY)
    assert (found.states[0], bool(found.asks[0])) == (BEYOND, True)
    assert not judge(profile, ENTRY, held=False).asks[0]


@pytest.mark.parametrize(
    ("now_ns", "asks"),
    [(NOW + 10 * MINUTE - 1, False), (NOW + 10 * MINUTE, True), (NOW + 40 * MINUTE, False)],
)
def test_while_nothing_may_be_held_whoever_holds_is_left_to_the_writer(
    now_ns: int, asks: bool
) -> None:
    found = judge(rule_cases.profile(loss(), FLAT_BY), ENTRY, now_ns)
    assert (found.states[0] == BEYOND, bool(found.asks[0])) == (asks, asks)


COMING = {
    "one group in order": [[(7, 9), (8, 1), (9, 0)]],
    "one group in none": [[(8, 1), (9, 0), (7, 9)]],
    "halves that are alike": [[(7, 9), (7, 3), (7, 5)]],
    "two groups between each other": [[(7, 9), (9, 0)], [(8, 1)]],
}


@pytest.mark.parametrize("ids", COMING.values(), ids=COMING.keys())
def test_in_whatever_order_accounts_come_each_is_worth_its_own(
    ids: list[list[tuple[int, int]]],
) -> None:
    profile = rule_cases.profile(loss())
    like = holding(profile)
    reset_ns = like.day.next_reset_ns
    seqs = {one: seq for seq, one in enumerate((one for group in ids for one in group), 1)}
    balances = {one: like.balance_minor + 1000 * seq for one, seq in seqs.items()}
    held = {one: [position(seq * LOT)] * (seq % 3) for one, seq in seqs.items()}
    groups = [
        Group(
            like,
            profile,
            amounts(
                group,
                [(m := balances[one], 0, m, reset_ns, m, m, 0) for one in group],
                [seqs[one] for one in group],
                [held[one] for one in group],
            ),
        )
        for group in ids
    ]
    market = Market(CATALOG, {"EURUSD": quote(ENTRY + 100)}, NOW)
    found = Checkpoint(INTERPRETED, market, NOW).judge(groups)
    ordered = sorted(seqs)
    assert [tuple(one) for one in found.ids.T.tolist()] == ordered
    assert found.seqs.tolist() == [seqs[one] for one in ordered]
    worth = [
        equity_of(
            replace(like, balance_minor=balances[one], positions=dict(enumerate(held[one]))), market
        )
        for one in ordered
    ]
    assert found.equities.tolist() == worth
    assert len(set(worth)) == len(worth)


def test_a_symbol_that_no_catalogue_knows_leaves_its_holder_unknown() -> None:
    profile = rule_cases.profile(loss())
    like = holding(profile)
    m = like.balance_minor
    money = (m, 0, m, like.day.next_reset_ns, m, m, 0)
    strange = replace(position(LOT), symbol="NOWHERE")
    held = [[position(LOT), strange], [position(LOT)]]
    group = Group(like, profile, amounts([(7, 9), (8, 1)], [money] * 2, [1, 2], held))
    market = Market(CATALOG, {"EURUSD": quote(ENTRY)}, NOW)
    found = Checkpoint(INTERPRETED, market, NOW).judge([group])
    assert found.states.tolist() == [UNKNOWN, JUDGED]
