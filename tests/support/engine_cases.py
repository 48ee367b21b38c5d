"""One account, a market set by hand and commands, for tests of the engine."""

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from quantlab.engine.commands import TRADE, Command, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.opening import Course
from quantlab.kernel.decimals import to_units
from quantlab.ledger.state import Account
from quantlab.market.catalog import Catalog, parse_catalog
from quantlab.market.fill_model import FillModel
from quantlab.market.quote import Quote
from quantlab.rules.day import open_day
from quantlab.rules.profile import parse_profile
from quantlab.rules.terms import Profile
from tests.support.rule_cases import document, instant, percent, rule

NOW = instant("2026-03-04T12:00:00")
BALANCE = 10_000_000
ACCOUNT_ID = "0190b5f0-0000-7000-8000-00000000000a"
WIDE = (rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt"),)


@cache
def catalog() -> Catalog:
    return parse_catalog(json.loads(Path("agent/configs/instruments.json").read_text()))


def profile(*rules: dict[str, Any]) -> Profile:
    return parse_profile(
        document(*(rules or WIDE)), currency_digits=2, initial_balance_minor=BALANCE
    )


def account(rules: Profile | None = None, **fields: Any) -> Account:
    made: dict[str, Any] = {
        "account_id": ACCOUNT_ID,
        "tenant_id": "acme",
        "status": "active",
        "status_reason": None,
        "currency": "USD",
        "currency_digits": 2,
        "account_type": "demo",
        "config_version": "c",
        "initial_balance_minor": BALANCE,
        "balance_minor": BALANCE,
        "carry_micro": 0,
        "high_water_minor": BALANCE,
        "event_seq": 1,
        "day": open_day(rules or profile(), BALANCE, BALANCE, NOW),
        "closed_days": (),
        "raised": (),
        "positions": {},
    }
    return Account(**{**made, **fields})


def quote(
    symbol: str,
    bid: str,
    ask: str,
    *,
    age_s: int = 0,
    seq: int = 1,
    sizes: tuple[int, int] = (0, 0),
) -> Quote:
    tick = catalog().instruments[symbol].tick
    bid_ticks, ask_ticks = to_units(Decimal(bid), tick), to_units(Decimal(ask), tick)
    assert bid_ticks is not None
    assert ask_ticks is not None
    bid_size, ask_size = sizes
    made = Quote(symbol, bid_ticks, ask_ticks, NOW - age_s * 10**9, seq)
    return replace(made, bid_size_steps=bid_size, ask_size_steps=ask_size)


def market(*quotes: Quote) -> Market:
    return Market(catalog(), {item.symbol: item for item in quotes}, NOW)


EURUSD = quote("EURUSD", "1.08123", "1.08125")


def command(name: str = TRADE, source_kind: str = "bot", **payload: Any) -> Command:
    return Command(7, "signal", ACCOUNT_ID, source_kind, "bot", name, payload, NOW - 5)


def run(
    state: Account,
    request: Command,
    *quotes: Quote,
    rules: Profile | None = None,
    now_ns: int = NOW,
    symbols: frozenset[str] | None = None,
    models: Mapping[str, FillModel] | None = None,
    course: Course | None = None,
) -> Outcome:
    offered = symbols if symbols is not None else frozenset(catalog().instruments)
    seen = market(*(quotes or (EURUSD,)))
    context = Context(
        seen, rules or profile(), offered, now_ns, fill_models=models or {}, course=course
    )
    return execute(state, request, context)


def trade(
    state: Account,
    *quotes: Quote,
    rules: Profile | None = None,
    models: Mapping[str, FillModel] | None = None,
    **payload: Any,
) -> Outcome:
    asked = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10", **payload}
    asked = {key: value for key, value in asked.items() if value is not None}
    return run(state, command(**asked), *quotes, rules=rules, models=models)


def types(outcome: Outcome) -> list[str]:
    return [event.event_type for event in outcome.events]


def reason(outcome: Outcome) -> str | None:
    return None if outcome.rejection is None else str(outcome.rejection.reason)
