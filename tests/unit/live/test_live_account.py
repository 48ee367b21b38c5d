"""What a strategy sees of its account is what the account's rules and its writer see."""

import random
from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import account, catalog, profile
from tests.support.live_runs import BEGAN_NS
from tests.support.rule_cases import percent, rule

from quantlab.backtest import layout as at
from quantlab.backtest.kernels import margin, worth
from quantlab.engine.context import Market, equity_of
from quantlab.engine.margin import Margin, margin_of
from quantlab.ledger.orders import Order, Terms
from quantlab.ledger.state import Account, Position, Tally
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.live import events
from quantlab.live.block import (
    know_quote,
    live_account,
    live_block,
    put_on,
    take_account,
    take_orders,
)
from quantlab.live.events import AccountSeen, Held
from quantlab.live.reserving import resting
from quantlab.live.terms import NotLive, read_terms, terms_of
from quantlab.market.quote import Quote
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


def test_a_symbol_nobody_knows_is_refused() -> None:
    with pytest.raises(NotLive, match="NOSUCH"):
        terms_of(account(), PROFILES[0], catalog(), ["NOSUCH"])


def test_free_margin_is_that_of_the_engine() -> None:
    """The same account, valued by the block of a run and by what its orders are judged by."""
    trading = read_trading_terms({"margin": {"leverage": {"EURUSD": "30"}}})
    quote = Quote("EURUSD", 108_000, 108_010, BEGAN_NS, 1)
    market = Market(catalog(), {"EURUSD": quote}, BEGAN_NS)
    rng = random.Random(3)
    for _ in range(200):
        size = rng.choice((0, 70_000, -250_000))
        position = Position("EURUSD", size, size * 108_050, None, None, 0, 0)
        working = [_working(rng, number) for number in range(rng.randint(0, 6))]
        owner = account(
            PROFILES[0], positions={"EURUSD": position} if size else {},
            working={one.order_id: one for one in working},
        )  # fmt: skip
        terms = terms_of(owner, PROFILES[0], catalog(), ["EURUSD"], trading)
        block = live_block(put_on(_program('on tick\n    log("")\n'), "EURUSD"),
                           live_account(terms), read_terms(terms.document()), BEGAN_NS)  # fmt: skip
        know_quote(block, [BEGAN_NS, 108_000, 108_010, 0, 0, 0])
        block[at.NOW] = BEGAN_NS
        held = (Held(0, size, size * 108_050),) if size else ()
        balance = owner.balance_minor
        take_account(block, terms, AccountSeen(balance, 0, *[balance] * 3, 0, 0, 0, 0, held))
        take_orders(block, resting(owner, {"EURUSD": 0}))
        known = margin_of(owner, market, trading)
        assert isinstance(known, Margin)
        assert int(margin.free(block)) == known.free_minor


def test_legs_are_worth_and_use_what_the_engine_says() -> None:
    """In two currencies, one of which is converted: equity and free margin to the minor unit."""
    trading = read_trading_terms(
        {"positioning": "hedging", "margin": {"leverage": {"EURUSD": "30", "USDJPY": "7"}}}
    )
    quotes = {
        "EURUSD": Quote("EURUSD", 108_000, 108_010, BEGAN_NS, 1),
        "USDJPY": Quote("USDJPY", 155_003, 155_021, BEGAN_NS, 2),
    }
    market = Market(catalog(), quotes, BEGAN_NS)
    rng, seen = random.Random(5), set()
    for _ in range(200):
        held = [_leg(rng, number) for number in range(rng.randint(0, 7))]
        working = [_working(rng, number) for number in range(rng.randint(0, 6))]
        owner = account(
            PROFILES[0], positions={one.key: one for one in held}, carry_micro=rng.randint(-9, 9),
            working={one.order_id: one for one in working},
        )  # fmt: skip
        terms = terms_of(owner, PROFILES[0], catalog(), ["EURUSD", "USDJPY"], trading)
        terms = read_terms(terms.document())
        block = live_block(put_on(_program('on tick\n    log("")\n'), "EURUSD"),
                           live_account(terms), terms, BEGAN_NS)  # fmt: skip
        numbers = {symbol: number for number, symbol in enumerate(terms.symbols)}
        for symbol, quote in quotes.items():
            known = [BEGAN_NS, quote.bid_ticks, quote.ask_ticks, 0, 0, numbers[symbol]]
            know_quote(block, known)
        block[at.NOW] = BEGAN_NS
        told = tuple(Held(numbers[one.symbol], one.size_steps, one.cost) for one in owner.legs())
        balance, carry = owner.balance_minor, owner.carry_micro
        take_account(block, terms, AccountSeen(balance, carry, *[balance] * 3, 0, 0, 0, 0, told))
        take_orders(block, resting(owner, numbers))
        margin_now = margin_of(owner, market, trading)
        assert isinstance(margin_now, Margin)
        assert int(worth.equity_now(block)) == equity_of(owner, market)
        assert int(margin.free(block)) == margin_now.free_minor
        seen.add(margin_now.reserved_minor > 0 and margin_now.used_minor > 0)
    assert seen == {True, False}


def _leg(rng: random.Random, number: int) -> Position:
    symbol, price = rng.choice((("EURUSD", 108_050), ("USDJPY", 155_100)))
    size = rng.choice((1, -1)) * rng.randint(1, 400_000)
    cost = size * price + rng.randint(0, 999)
    return Position(symbol, size, cost, None, None, 0, number, f"t{number}")


def _working(rng: random.Random, number: int) -> Order:
    kind = rng.choice(("limit", "stop", "trailing_stop", "stop_limit"))
    price = 108_000 + rng.randint(-300, 300)
    peak = {"trail_ticks": 20, "peak_ticks": rng.choice((None, price))}
    terms = Terms(
        limit_ticks=price if "limit" in kind else None,
        trigger_ticks=price + 5 if kind in ("stop", "stop_limit") else None,
        reduce_only=rng.random() < 0.2,
        **(peak if kind == "trailing_stop" else {}),
    )
    steps = rng.randint(1_000, 90_000)
    status = rng.choice(("working", "working", "pending_parent", "partially_filled"))
    return Order(
        f"o{number}", "s", None, "user", "EURUSD", rng.choice((1, -1)), kind, steps,
        rng.randrange(steps), None, None, status, None, 1, BEGAN_NS, terms,
    )  # fmt: skip


def test_orders_of_a_symbol_a_run_is_not_told_of_are_no_guess() -> None:
    one = _working(random.Random(1), 1)
    owner = account(PROFILES[0], working={"o1": replace(one, status="working", terms=Terms())})
    with pytest.raises(KeyError):
        resting(owner, {"GBPUSD": 0})


def test_a_damaged_journal_is_refused() -> None:
    orders = ([events.ORDERS, 3, 1, 2, 3], [events.ORDERS, 4, 0, 1], [events.ORDERS, -4])
    for words in ([99, 1], [events.QUOTE, 1, 2], [events.ACCOUNT, 10, *[0] * 9], [0], *orders):
        with pytest.raises(events.Malformed):
            list(events.split(words))
    whole = [
        *events.quote_words(1, 2, 3, 0, 0, 0),
        *AccountSeen(*[0] * 9, (Held(0, 1, 2),)).words(),
        *events.orders_words([events.Resting(0, 1, 2, 3)]),
    ]
    assert list(events.split(whole)) == [(0, 7), (7, len(whole) - 6), (len(whole) - 6, len(whole))]
