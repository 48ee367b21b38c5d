"""What an account is asked over some ticks: one history for the live engine and a backtest."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from quantlab.backtest.account import BacktestAccount
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair
from quantlab.market.fill_model import FillModel, chosen_model
from quantlab.market.quote import Quote
from quantlab.rules.day import open_day
from quantlab.rules.surroundings import NewsCalendar
from quantlab.rules.terms import Profile
from tests.support.engine_cases import ACCOUNT_ID, BALANCE, catalog

NO_EXITS = (None, None, None)


@dataclass(frozen=True)
class Asked:
    """A command behind a tick; prices in ticks, size in steps. exits are (stop, trail, target).

    ouo says that the orders of oco make each other smaller instead. modify changes what is given of
    the order of a number (steps of 0 are not), or one of its exits. equity_ppm is the size as a
    share of the equity, 0 where it is steps.
    """

    after: int
    verb: str
    symbol: str
    side: int = 1
    steps: int = 1
    kind: str = "market"
    time: str = "default"
    limit: int | None = None
    trigger: int | None = None
    trail: int | None = None
    reduce: bool = False
    post: bool = False
    exits: tuple[int | None, int | None, int | None] = NO_EXITS
    oco: tuple["Asked", ...] = ()
    ouo: bool = False
    children: tuple["Asked", ...] = ()
    order: int = 0
    equity_ppm: int = 0


@dataclass(frozen=True)
class History:
    """Ticks and commands of one account."""

    profile: Profile = field(repr=False)
    ticks: Sequence[Quote]
    asked: Sequence[Asked]
    symbols: tuple[str, ...]
    models: dict[str, FillModel] = field(repr=False)
    trading: TradingTerms = field(default=STANDARD, repr=False)
    currency: str = "USD"
    news: NewsCalendar | None = field(default=None, repr=False)
    catalog: Catalog = field(default=catalog(), repr=False)

    def opening(self) -> Account:
        day = open_day(self.profile, BALANCE, BALANCE, self.ticks[0].ts_ns)
        return replace(self.account().opening(day, self.ticks[0].ts_ns), account_id=ACCOUNT_ID)

    def account(self) -> BacktestAccount:
        known = self.catalog
        chosen = {
            one: chosen_model(self.models, one, known.fill_models[one]) for one in self.symbols
        }
        instruments = tuple(known.instruments[one] for one in sorted(self.symbols))
        pairs = {
            one.quote_currency: conversion_pair(known, one.quote_currency, self.currency)
            for one in instruments
        }
        return BacktestAccount(
            self.currency,
            2,
            BALANCE,
            self.profile,
            instruments,
            chosen,
            self.trading,
            conversions={one: pair for one, pair in pairs.items() if pair is not None},
            seed=len(self.ticks),
            news=self.news,
        )
