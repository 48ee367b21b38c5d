"""Any sequence of orders keeps a hedging account whole: its legs, its margin, and both watches."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.properties.test_costly_orders import CostlyOrders
from tests.properties.test_native_watch import COMPILED, peaks, profiles, seen
from tests.properties.test_watch import BASES, positions, ticks
from tests.support.order_checks import key_of
from tests.support.order_machine import SETTINGS, lots, off, sides, symbols, types
from tests.support.watch_cases import CATALOG, NOW, SECOND, holding

from quantlab.engine.commands import Outcome
from quantlab.engine.margin import margin_micro, used_margin
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.rejections import Rejection
from quantlab.engine.watch import Watch
from quantlab.kernel.arith import MICRO
from quantlab.ledger.state import Account, Position
from quantlab.market.quote import Quote
from quantlab.rules.terms import Profile

# What a quote leaves open that shows too small a size.
NOTHING_LEFT = ("not_filled", "no_displayed_size")


class HedgedOrders(CostlyOrders):
    """The same sequences on an account of legs, with orders that name them."""

    trading = replace(CostlyOrders.trading, hedging=True)

    def __init__(self) -> None:
        self.net: Counter[str] = Counter()
        self.legs: Counter[str] = Counter()
        self.before: Account | None = None
        super().__init__()

    def give(self, name: str, payload: dict[str, Any], source: str = "user") -> Outcome:
        self.before = self.account
        return super().give(name, payload, source)

    def check(self, seq: int, outcome: Outcome) -> None:
        super().check(seq, outcome)
        for fill in outcome.fills:
            assert fill.ticket is not None
            assert fill.ticket == self.known[fill.order_id].terms.ticket
            held = self.legs[key_of(fill)]
            self.legs[key_of(fill)] = after = held + fill.side * fill.size_steps
            self.net[fill.symbol] += fill.side * fill.size_steps
            assert held * after >= 0, "a leg has turned"
            if abs(after) < abs(held):
                assert not self.opens(fill.order_id), "an order that opens has reduced"
            else:
                assert self.opens(fill.order_id), "an order that reduces has opened"

    def opens(self, order_id: str) -> bool:
        """Say whether an order is the first of its leg: closers name one that was there before."""
        order = self.known[order_id]
        mine = [one for one in self.known.values() if one.terms.ticket == order.terms.ticket]
        first = min(mine, key=lambda one: (one.created_ns, one.terms.parent_id is not None))
        return order.side == first.side and not order.terms.reduce_only

    def had_the_margin(self, outcome: Outcome) -> None:
        """A leg against others needs margin only for what it adds to the larger side."""
        market, before = self.seen().unaged(), self.before
        assert before is not None
        was = used_margin(before, market, self.trading)
        now = used_margin(outcome.account, market, self.trading)
        assert isinstance(was, int)
        assert isinstance(now, int)
        if now > was:
            super().had_the_margin(outcome)

    def shows_all(self, account: Account) -> bool:
        """Legs of a side share what the quote displays."""
        wanted: Counter[tuple[str, int]] = Counter()
        for leg in account.positions.values():
            wanted[leg.symbol, -1 if leg.size_steps > 0 else 1] += abs(leg.size_steps)
        shown = {
            key: self.quotes[key[0]].bid_size_steps
            if key[1] < 0
            else self.quotes[key[0]].ask_size_steps
            for key in wanted
        }
        return all(size <= shown[key] for key, size in wanted.items())

    def leg(self, pick: int) -> Position:
        held = self.account.legs()
        return held[pick % len(held)]

    @precondition(lambda self: self.account.positions)
    @rule(pick=st.integers(0, 200), size=st.none() | lots)
    def close_leg(self, pick: int, size: str | None) -> None:
        leg = self.leg(pick)
        others = {key for key in self.account.positions if key != leg.key}
        outcome = self.trade(action="close", symbol=leg.symbol, ticket=leg.ticket, quantity=size)
        if all(one.event_type.startswith(("order.", "position.")) for one in outcome.events):
            assert others <= self.account.positions.keys(), "another leg went with it"

    @precondition(lambda self: self.account.positions)
    @rule(pick=st.integers(0, 200), kind=types, size=lots, gap=off, more=off, same=st.booleans())
    def exit_of_leg(
        self, pick: int, kind: str, size: str, gap: int, more: int, *, same: bool
    ) -> None:
        leg = self.leg(pick)
        side = "sell" if (leg.size_steps > 0) != same else "buy"
        terms = self.terms(kind, leg.symbol, side, gap, more)
        outcome = self.trade(
            symbol=leg.symbol,
            action=side,
            quantity=size,
            reduceOnly=True,
            ticket=leg.ticket,
            **terms,
        )
        if same:
            assert outcome.rejection is not None

    @rule(symbol=symbols, side=sides, size=lots, stop=st.integers(1, 80), goal=st.integers(1, 80))
    def protected(self, symbol: str, side: str, size: str, stop: int, goal: int) -> None:
        """Open a leg with protective prices of its own."""
        sign = 1 if side == "buy" else -1
        at = self.quotes[symbol].price_for(sign)
        self.trade(
            symbol=symbol,
            action=side,
            quantity=size,
            stopLoss=self.price(symbol, at - sign * stop),
            takeProfit=self.price(symbol, at + sign * (goal + 20)),
        )

    @rule(action=st.sampled_from(("close", "reverse", "flat")), symbol=symbols)
    def end(self, action: str, symbol: str) -> None:
        outcome = self.trade(action=action, symbol=symbol)
        if action == "reverse":
            assert outcome.rejection is not None
        whole = all(order.reason not in NOTHING_LEFT for order in outcome.orders)
        if action == "flat" and outcome.rejection is None and whole:
            waiting = [o for o in self.account.working.values() if o.symbol == symbol]
            closing = {leg.ticket: -leg.size_steps for leg in self.account.legs(symbol)}
            assert {o.terms.ticket: o.side * o.size_steps for o in waiting} == closing

    @invariant()
    def legs_are_whole(self) -> None:
        net: Counter[str] = Counter()
        for key, leg in self.account.positions.items():
            assert key == leg.ticket
            assert leg.size_steps == self.legs[key] != 0
            net[leg.symbol] += leg.size_steps
        assert {s: n for s, n in net.items() if n} == {s: n for s, n in self.net.items() if n}
        assert set(dict(self.account.tally.running)) == set(self.account.positions)

    @invariant()
    def margin_is_that_of_the_larger_side(self) -> None:
        market, expected = self.seen().unaged(), Fraction(0)
        for symbol in {leg.symbol for leg in self.account.positions.values()}:
            instrument = self.catalog.instruments[symbol]
            rate = market.rate(instrument, self.currency, -1)
            leverage = self.trading.leverage(instrument)
            assert not isinstance(rate, Rejection)
            assert leverage is not None
            unit = (instrument.unit_num, instrument.unit_den)
            sides = [
                sum(abs(leg.cost) for leg in self.account.legs(symbol) if leg.size_steps * side > 0)
                for side in (1, -1)
            ]
            expected += max(margin_micro(value, *unit, *rate, *leverage) for value in sides)
        used = used_margin(self.account, market, self.trading)
        assert used == -(-expected // MICRO)


HedgedOrders.TestCase.settings = SETTINGS
TestHedgedOrders = HedgedOrders.TestCase

hedged = st.tuples(positions, positions).map(
    lambda drawn: [
        replace(leg, ticket=f"ticket-{number}", opened_seq=number)
        for number, leg in enumerate(chain(*drawn), 1)
    ]
)


@settings(max_examples=200)
@given(profiles, hedged, ticks)
def test_both_watches_demand_the_same_of_hedged_accounts(
    profile: Profile, drawn: list[Position], moves: list[tuple[str, int, int, bool]]
) -> None:
    account = holding(profile, *drawn)
    assert len(account.positions) == len(drawn)
    plain, fast = Watch(CATALOG), ArrayWatch(CATALOG, COMPILED)
    for watch in (plain, fast):
        watch.put(account, profile, NOW, NOW)
    now_ns = NOW
    for seq, (symbol, move, wait_ns, suspended) in enumerate(moves, 1):
        now_ns += wait_ns
        price = BASES[symbol] + move
        quote = Quote(symbol, price, price + 8, now_ns, seq, suspended=suspended)
        expected = plain.on_quote(quote, now_ns, now_ns)
        assert seen(fast.on_quote(quote, now_ns, now_ns)) == seen(expected)
    assert peaks(fast, now_ns + 10 * SECOND) == peaks(plain, now_ns + 10 * SECOND)
