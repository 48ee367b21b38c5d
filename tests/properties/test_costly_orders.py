"""Any sequence of orders keeps money whole, too, with fees, nights, margin and other currencies.

QUANTLAB_ORDER_SEQUENCES sets how many of each kind are tried: 200 usually, 10,000 in `make soak`.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.support.order_checks import SYMBOLS, sized
from tests.support.order_machine import SETTINGS, Orders, near, sides, symbols

from quantlab.engine import commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Market
from quantlab.engine.margin import Margin, is_at_level, margin_of
from quantlab.engine.rejections import Rejection
from quantlab.kernel.arith import MICRO
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.catalog import Catalog, parse_catalog


def crossed() -> Catalog:
    """Return the catalogue with the pair that turns yen into euros."""
    document = json.loads(Path("agent/configs/instruments.json").read_text())
    usdjpy = next(one for one in document["instruments"] if one["symbol"] == "USDJPY")
    eurjpy = {**usdjpy, "symbol": "EURJPY", "baseCurrency": "EUR", "aliases": []}
    document["instruments"].append(eurjpy)
    document["conversions"].append("EURJPY")
    return parse_catalog(document)


class CostlyOrders(Orders):
    """The same in euros, on dollars and yen, with fees of every kind, nights, and margin."""

    currency = "EUR"
    catalog = sized(crossed())
    quoted: ClassVar = {**SYMBOLS, "EURJPY": 162_000}
    trading = read_trading_terms(
        {
            "commissions": {
                "EURUSD": {"commissionMinorPerLot": "277.7", "minimumMinorPerOrder": "33.3"},
                "*": {"commissionMinorPerLot": "0.7", "commissionBasisPoints": "0.33"},
            },
            "swaps": {
                "EURUSD": {"unit": "points", "long": "-6.35", "short": "1.07", "tripleDay": "wed"},
                "*": {"unit": "points", "long": "0.333", "short": "-4.9"},
            },
            "margin": {"leverage": {"EURUSD": "30", "*": "7.5"}, "stopOutPercent": "101"},
        }
    )

    def seen(self) -> Market:
        return Market(self.catalog, dict(self.quotes), self.now_ns)

    def give(self, name: str, payload: dict[str, Any], source: str = "user") -> Outcome:
        before = self.account
        outcome = super().give(name, payload, source)
        grown = [
            position
            for key, position in outcome.account.positions.items()
            if abs(position.size_steps) > abs(before_steps(before, key))
        ]
        if name == commands.TRADE and grown:
            self.had_the_margin(outcome)
        if name == commands.STOP_OUT and outcome.rejection is None and self.shows_all(before):
            self.is_above_the_level(outcome.account)
        return outcome

    def shows_all(self, account: Account) -> bool:
        """Say whether the present quotes display enough to close every position."""
        return all(
            abs(held.size_steps)
            <= (quote.bid_size_steps if held.size_steps > 0 else quote.ask_size_steps)
            for held in account.positions.values()
            for quote in (self.quotes[held.symbol],)
        )

    def had_the_margin(self, outcome: Outcome) -> None:
        """A position that grew is covered by what the account was worth before spread and slip."""
        after = margin_of(outcome.account, self.seen(), self.trading)
        assert isinstance(after, Margin), after
        spread = 0
        for position in outcome.account.positions.values():
            quote, instrument = (
                self.quotes[position.symbol],
                self.catalog.instruments[position.symbol],
            )
            wide = abs(position.size_steps) * (quote.ask_ticks - quote.bid_ticks)
            wide += sum(
                fill.slippage_ticks * fill.size_steps
                for fill in outcome.fills
                if fill.symbol == position.symbol
            )
            rate = self.seen().rate(instrument, self.currency, -1)
            assert not isinstance(rate, Rejection)
            spread += round(
                Fraction(wide * instrument.unit_num, instrument.unit_den) * Fraction(*rate)
            )
        assert after.used_minor <= after.equity_minor + spread // MICRO + 2

    def is_above_the_level(self, account: Account) -> None:
        margin = margin_of(account, self.seen(), self.trading)
        usable = all(
            not isinstance(self.seen().usable(self.catalog.instruments[held.symbol]), Rejection)
            for held in account.positions.values()
        )
        if account.status == "active" and usable and isinstance(margin, Margin):
            level = self.trading.stop_out_ppm or 0
            assert not is_at_level(margin.equity_minor, margin.used_minor, level)

    @rule(move=near)
    def cross(self, move: int) -> None:
        self.tick("EURJPY", self.quotes["EURJPY"].bid_ticks + 5 * move, 9)

    @rule(symbol=symbols, side=sides, size=st.integers(200, 2500).map(lambda n: f"{n / 100:.2f}"))
    def large(self, symbol: str, side: str, size: str) -> None:
        self.trade(symbol=symbol, action=side, quantity=size)

    @rule(side=sides)
    def most(self, side: str) -> None:
        """Use up the free margin: a hundredth of a lot of EURUSD needs some 33 euros."""
        margin = margin_of(self.account, self.seen(), self.trading)
        if isinstance(margin, Margin) and margin.free_minor > 10_000:
            size = f"{margin.free_minor // 3_360 / 100:.2f}"
            self.trade(symbol="EURUSD", action=side, quantity=size)
            against = -100 if side == "buy" else 100
            self.tick("EURUSD", self.quotes["EURUSD"].bid_ticks + against, 2)
            self.deliver(len(self.demands))

    @rule(symbol=symbols, days=st.integers(1, 4))
    def hold_overnight(self, symbol: str, days: int) -> None:
        self.now_ns += days * 86_400 * SECOND_NS
        for each, quote in self.quotes.copy().items():
            self.tick(each, quote.bid_ticks, 3)
        self.trade(symbol=symbol, action="buy", quantity="0.01")


def before_steps(account: Account, key: str) -> int:
    held = account.positions.get(key)
    return 0 if held is None else held.size_steps


CostlyOrders.TestCase.settings = SETTINGS
TestCostlyOrders = CostlyOrders.TestCase
