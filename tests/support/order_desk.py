"""An account that places orders, changes them and sees quotes, for tests of the engine."""

from dataclasses import replace
from typing import Any

from quantlab.engine import commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, write_quotes
from quantlab.engine.execute import execute
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.rules.terms import Profile
from tests.support.engine_cases import NOW, account, command, market, profile, quote

FIRST = quote("EURUSD", "1.08000", "1.08010")


class Desk:
    """One account in a market set by hand."""

    def __init__(self, state: Account | None = None, rules: Profile | None = None) -> None:
        self.account = state or account()
        self.rules = rules or profile()
        self.quote = FIRST
        self.shown: dict[tuple[str, int], int] = {}
        self.now_ns = NOW
        self.outcomes: list[Outcome] = []

    @property
    def last(self) -> Outcome:
        return self.outcomes[-1]

    def see(self, bid: str, ask: str) -> Quote:
        self.quote = quote("EURUSD", bid, ask, seq=self.quote.seq + 1)
        return self.quote

    def sized(self, seen: Quote) -> Quote:
        """Return a quote with the sizes shown now; 0 where there are none."""
        bid_size, ask_size = (self.shown.get(("EURUSD", side), 0) for side in (-1, 1))
        return replace(seen, bid_size_steps=bid_size, ask_size_steps=ask_size)

    def give(self, name: str, source: str = "user", **payload: Any) -> Outcome:
        seen = market(self.sized(self.quote))
        context = Context(seen, self.rules, frozenset({"EURUSD"}), self.now_ns)
        request = replace(command(name, source, **payload), received_ns=self.now_ns)
        self.outcomes.append(execute(self.account, request, context))
        self.account = self.last.account
        return self.last

    def trade(self, action: str = "buy", quantity: str | None = "0.10", **fields: Any) -> Outcome:
        asked = {"symbol": "EURUSD", "action": action, "quantity": quantity, **fields}
        kept = {key: value for key, value in asked.items() if value is not None}
        return self.give(commands.TRADE, **kept)

    def place(self, action: str = "buy", quantity: str | None = "0.10", **fields: Any) -> Order:
        outcome = self.trade(action, quantity, **fields)
        assert outcome.rejection is None, outcome.rejection
        return self.account.working[str(outcome.result["orderId"])]

    def work(self, order: Order, seen: Quote | None = None, peak: int | None = None) -> Outcome:
        """Report a quote as account_watch does; the market may be elsewhere by now."""
        used = self.sized(seen or self.quote)
        return self.give(
            commands.WORK_ORDER, "watch", orderId=order.order_id, peakTicks=peak,
            feedSeq=used.seq, quotes=write_quotes([used]),
        )  # fmt: skip

    def now(self, order: Order) -> Order:
        return self.account.working[order.order_id]


def ends(outcome: Outcome) -> list[tuple[str, str | None]]:
    return [(order.status, order.reason) for order in outcome.orders]


def steps(desk: Desk) -> int:
    held = desk.account.positions.get("EURUSD")
    return 0 if held is None else held.size_steps
