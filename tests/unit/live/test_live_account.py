"""What a strategy sees of its account is what the account's rules and its writer see."""

import random
from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import account, catalog, profile
from tests.support.live_runs import BEGAN_NS
from tests.support.rule_cases import percent, rule

from quantlab.backtest import layout as at
from quantlab.backtest.kernels import worth
from quantlab.ledger.state import Account, Tally
from quantlab.live import events
from quantlab.live.asked import refuse_unsent
from quantlab.live.block import live_account, live_block, put_on, take_account
from quantlab.live.events import AccountSeen, Held
from quantlab.live.terms import NotLive, read_terms, terms_of
from quantlab.qls.compiler import compile_source
from quantlab.qls.ir import Program
from quantlab.rules import scalars
from quantlab.rules.floors import floors
from quantlab.rules.terms import Profile

PROFILES = (
    profile(rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt")),
    profile(
        rule("daily_loss", anchor="higher_of_balance_and_equity", loss=percent("3"),
             comparator="le", costs="excluded"),
        rule("max_drawdown", mode="trailing", basis="balance", loss=percent("4"), comparator="lt"),
    ),
    profile(
        rule("max_drawdown", mode="trailing", basis="equity", loss=percent("6"), comparator="lt"),
        rule("max_drawdown", rule_id="static", mode="static", loss=percent("10"), comparator="lt"),
    ),
)  # fmt: skip


def _program(source: str) -> Program:
    compiled = compile_source(source)
    assert compiled.program is not None
    return compiled.program


def _block(rules: Profile, owner: Account, seen: AccountSeen) -> Any:
    terms = read_terms(terms_of(owner, rules, catalog(), ["EURUSD"]).document())
    program = put_on(_program('on tick\n    log("")\n'), terms.symbol)
    block = live_block(program, live_account(terms), terms, BEGAN_NS)
    w = block[at.SYMBOLS_AT]
    block[w + at.BID], block[w + at.ASK] = 108_000, 108_010
    take_account(block, terms, seen)
    return block


@pytest.mark.parametrize("rules", PROFILES)
def test_floors_are_those_of_the_rules(rules: Profile) -> None:
    rng = random.Random(7)
    for _ in range(200):
        balance = rng.randint(9_000_000, 11_000_000)
        day = replace(
            account(rules).day,
            start_balance_minor=rng.randint(9_000_000, 11_000_000),
            start_equity_minor=rng.randint(9_000_000, 11_000_000),
            realised_minor=rng.randint(-90_000, 90_000),
        )
        costs = rng.randint(0, 50_000)
        owner = account(
            rules, balance_minor=balance, high_water_minor=max(balance, 10_000_000), day=day,
            tally=Tally(day_costs_minor=costs),
        )  # fmt: skip
        size = rng.choice((0, 100_000, -300_000))
        held = (Held(0, size, size * 108_050),) if size else ()
        seen = AccountSeen(
            balance, 0, owner.high_water_minor, day.start_balance_minor, day.start_equity_minor,
            day.realised_minor, costs, 0, 0, held,
        )  # fmt: skip
        block = _block(rules, owner, seen)
        equity = int(worth.equity_now(block))
        mark = max(owner.high_water_minor, equity) if block[at.BASIS] == 1 else block[at.MARK]
        block[at.MARK] = mark if rules.high_water_basis == "equity" else block[at.MARK]
        expected: dict[str, int] = {}
        for floor in floors(rules, owner, equity):
            known = expected.get(floor.rule, floor.floor_minor)
            expected[floor.rule] = max(known, floor.floor_minor)
        for slug, kind in (
            ("daily_loss", scalars.DAILY_LOSS),
            ("max_drawdown", scalars.MAX_DRAWDOWN),
        ):
            found = int(worth.floor_of_kind(block, kind))
            assert found == expected.get(slug, at.NEVER_LOW)


def test_terms_survive_being_kept() -> None:
    for rules in PROFILES:
        terms = terms_of(account(rules), rules, catalog(), ["USDJPY", "EURUSD"])
        assert read_terms(terms.document()).document() == terms.document()
        assert terms.symbols == ("EURUSD", "USDJPY")
        assert terms.conversions["JPY"].symbol == "USDJPY"


def test_what_nobody_tells_live_is_refused() -> None:
    terms = terms_of(account(), PROFILES[0], catalog(), ["EURUSD"])
    program = _program('on tick\n    plot("room", free_margin)\n')
    with pytest.raises(NotLive, match="free_margin"):
        live_block(put_on(program, "EURUSD"), live_account(terms), terms, BEGAN_NS)
    with pytest.raises(NotLive, match="NOSUCH"):
        terms_of(account(), PROFILES[0], catalog(), ["NOSUCH"])


@pytest.mark.parametrize(
    ("named", "body"),
    [
        ("equity_percent", "buy(equity_percent=1.0)"),
        ("modify", "if bid > 0\n        modify(buy(1, limit=bid), limit=ask)"),
    ],
)
def test_orders_that_nobody_sends_live_are_refused(named: str, body: str) -> None:
    with pytest.raises(NotLive, match=named):
        refuse_unsent(_program(f"on tick\n    {body}\n"))
    refuse_unsent(_program("on tick\n    buy(1)\n"))


def test_a_damaged_journal_is_refused() -> None:
    for words in ([99, 1], [events.QUOTE, 1, 2], [events.ACCOUNT, 10, *[0] * 9], [0]):
        with pytest.raises(events.Malformed):
            list(events.split(words))
    whole = [
        *events.quote_words(1, 2, 3, 0, 0, 0),
        *AccountSeen(*[0] * 9, (Held(0, 1, 2),)).words(),
    ]
    assert list(events.split(whole)) == [(0, 7), (7, len(whole))]
