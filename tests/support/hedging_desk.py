"""A hedging account that opens and closes legs in a market set by hand."""

from dataclasses import replace
from typing import Any

from quantlab.engine import commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.watch import Watch
from quantlab.ledger.state import Account, Position
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.fill_model import FillModel
from quantlab.market.quote import Quote
from quantlab.rules.surroundings import Surroundings
from quantlab.rules.terms import Profile
from tests.support.engine_cases import NOW, account, catalog, command, market, profile, quote

EURUSD = quote("EURUSD", "1.10000", "1.10010")
NOBODY = Surroundings(linked=())


class Desk:
    """One hedging account in a market set by hand; each request has a signal of its own."""

    def __init__(
        self,
        *rules: dict[str, Any],
        models: dict[str, FillModel] | None = None,
        around: Surroundings = NOBODY,
        **terms: Any,
    ) -> None:
        self.rules: Profile = profile(*rules)
        self.account: Account = account(self.rules)
        self.trading = read_trading_terms({"positioning": "hedging", **terms})
        self.quotes: dict[str, Quote] = {"EURUSD": EURUSD}
        self.models = models or {}
        self.around = around
        self.now_ns, self.given = NOW, 0

    def see(self, symbol: str, bid: str, ask: str) -> Quote:
        seq = max(one.seq for one in self.quotes.values()) + 1
        self.quotes[symbol] = replace(quote(symbol, bid, ask, seq=seq), ts_ns=self.now_ns)
        return self.quotes[symbol]

    def market(self) -> Market:
        return replace(market(*self.quotes.values()), feed_now_ns=self.now_ns)

    def give(self, name: str, source: str = "user", **payload: Any) -> Outcome:
        self.given += 1
        asked = replace(command(name, source, **payload), signal_id=f"signal-{self.given}")
        context = Context(
            self.market(),
            self.rules,
            frozenset(catalog().instruments),
            self.now_ns,
            fill_models=self.models,
            around=self.around,
            trading=self.trading,
        )
        outcome = execute(self.account, replace(asked, received_ns=self.now_ns), context)
        self.account = outcome.account
        return outcome

    def trade(self, action: str, quantity: str | None = None, **fields: Any) -> Outcome:
        asked = {"symbol": "EURUSD", "action": action, "quantity": quantity, **fields}
        return self.give(commands.TRADE, **{k: v for k, v in asked.items() if v is not None})

    def open(self, action: str, quantity: str = "1", **fields: Any) -> Position:
        outcome = self.trade(action, quantity, **fields)
        assert outcome.rejection is None, outcome.rejection
        return self.account.positions[str(outcome.result["ticket"])]

    def watched(self) -> Watch:
        watch = Watch(catalog())
        watch.put(self.account, self.rules, self.now_ns, self.now_ns, self.trading)
        return watch

    def sizes(self) -> list[int]:
        return [leg.size_steps for leg in self.account.legs()]


def told(outcome: Outcome, event_type: str) -> list[dict[str, Any]]:
    return [one.payload for one in outcome.events if one.event_type == event_type]
