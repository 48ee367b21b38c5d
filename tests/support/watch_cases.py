"""Accounts with positions and quotes of the real catalogue, for tests of account_watch."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.engine.commands import Command
from quantlab.engine.context import Context, Market
from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand
from quantlab.ledger.state import Account, Position
from quantlab.market.catalog import parse_catalog
from quantlab.market.quote import Quote
from quantlab.rules import terms
from quantlab.rules.terms import Profile
from tests.support import rule_cases

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[2] / "agent/configs/instruments.json").read_text())
)
NOW = rule_cases.instant("2026-03-10T12:00:00", "Europe/Prague")
SECOND = 10**9
LOT = 100
ENTRY = 110_000


def daily_loss(comparator: str = "lt", severity: str = "hard", action: str = "") -> Profile:
    """100,000 at the start; the floor is 5 % below the balance at the reset."""
    loss = rule_cases.rule(
        "daily_loss",
        severity,
        action=action,
        anchor="balance",
        loss=rule_cases.percent("5"),
        comparator=comparator,
    )
    return rule_cases.profile(loss)


FREE = daily_loss(severity=terms.WARN)


def trailing() -> Profile:
    """The floor is 4 % of the initial balance below the highest equity."""
    loss = rule_cases.percent("4")
    return rule_cases.profile(
        rule_cases.rule("max_drawdown", mode="trailing", basis="equity", loss=loss, comparator="lt")
    )


def position(
    size_steps: int = LOT,
    *,
    symbol: str = "EURUSD",
    entry: int = ENTRY,
    stop: int | None = None,
    target: int | None = None,
    opened_seq: int = 3,
) -> Position:
    return Position(symbol, size_steps, size_steps * entry, stop, target, NOW, opened_seq)


def holding(profile: Profile, *positions: Position, seq: int = 7, **fields: Any) -> Account:
    held = {one.key: one for one in positions}
    account = rule_cases.account(profile, NOW)
    return replace(account, positions=held, event_seq=seq, **fields)


def quote(
    bid: int, *, symbol: str = "EURUSD", seq: int = 1, spread: int = 10, age_s: int = 0
) -> Quote:
    return Quote(symbol, bid, bid + spread, NOW + seq - age_s * SECOND, seq)


def watching(account: Account, profile: Profile, quotes: Iterable[Quote] = ()) -> Watch:
    watch = Watch(CATALOG)
    watch.set_quotes(quotes)
    watch.put(account, profile, NOW, NOW)
    return watch


def feed(watch: Watch, found: Quote, now_ns: int = NOW) -> list[Demand]:
    return watch.on_quote(found, found.ts_ns, now_ns)


def names(demands: list[Demand]) -> list[str]:
    return [demand.name for demand in demands]


def command(name: str, payload: dict[str, Any], source_kind: str = "watch") -> Command:
    return Command(1, "signal-1", "account-1", source_kind, "account-1", name, payload, NOW)


def context(
    profile: Profile,
    quotes: Iterable[Quote],
    *,
    now_ns: int = NOW,
    reset_quotes: Iterable[Quote] | None = None,
    reset_ns: int = 0,
) -> Context:
    def market(found: Iterable[Quote], at_ns: int) -> Market:
        return Market(CATALOG, {one.symbol: one for one in found}, at_ns)

    reset = None if reset_quotes is None else market(reset_quotes, reset_ns)
    return Context(market(quotes, now_ns), profile, frozenset(CATALOG.instruments), now_ns, reset)
