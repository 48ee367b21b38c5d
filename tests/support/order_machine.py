"""Any sequence of orders, quotes and delays on one account that is checked after each step."""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from tests.support.fill_models import MODELS
from tests.support.order_checks import AMPLE, SYMBOLS, CheckedAccount

SETTINGS = settings(
    max_examples=int(os.environ.get("QUANTLAB_ORDER_SEQUENCES", "200")),
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.filter_too_much],
)
# What a command finds that comes after the day, or the order's own time, has ended.
ENDS_BY_ITSELF = ("position.swap_charged", "account.day_rolled", "order.expired")

sides = st.sampled_from(("buy", "sell"))
symbols = st.sampled_from(tuple(SYMBOLS))
lots = st.one_of(*[st.integers(1, 40)] * 6, st.integers(500, 3000)).map(
    lambda steps: f"{steps / 100:.2f}"
)
near = st.integers(-60, 60)
off = st.integers(1, 60)
types = st.sampled_from(
    ("limit", "stop", "stop_limit", "trailing_stop", "market_if_touched", "limit_if_touched")
)
times = st.sampled_from(("gtc", "gtc", "day", "gtd"))


class Orders(CheckedAccount):
    """Signals of every kind, a market that moves and gaps, and a watch of any delay."""

    def price(self, symbol: str, ticks: int) -> str:
        return format_units(ticks, self.catalog.instruments[symbol].tick)

    def terms(self, kind: str, symbol: str, side: str, gap: int, more: int) -> dict[str, Any]:
        """Return the prices of an order that may stand; gap ticks from the quote."""
        sign = 1 if side == "buy" else -1
        at = self.quotes[symbol].price_for(sign)
        if kind == "limit":
            return {"orderType": kind, "price": self.price(symbol, at - sign * (gap - 20))}
        if kind == "trailing_stop":
            if more % 2:
                return {"orderType": kind, "trailPercent": f"{gap / 1000:.3f}"}
            return {"orderType": kind, "trailDistance": self.price(symbol, gap)}
        trigger = at + sign * gap * (1 if kind.startswith("stop") else -1)
        terms = {"orderType": kind, "triggerPrice": self.price(symbol, trigger)}
        if "limit" in kind:
            terms["price"] = self.price(symbol, trigger + sign * (more - 30))
        return terms

    @rule(symbol=symbols, move=near, spread=st.integers(0, 12))
    def small_move(self, symbol: str, move: int, spread: int) -> None:
        self.tick(symbol, self.quotes[symbol].bid_ticks + move, spread)

    @rule(symbol=symbols, move=st.sampled_from((-900, -300, 300, 900)))
    def gap(self, symbol: str, move: int) -> None:
        self.tick(symbol, self.quotes[symbol].bid_ticks + move, 3)

    @rule(
        symbol=symbols, side=st.sampled_from((1, -1)),
        steps=st.sampled_from((0, 1, 2, 3, 5, 8, AMPLE)),
    )  # fmt: skip
    def show(self, symbol: str, side: int, steps: int) -> None:
        """Let the next quotes of a symbol display a size, or with 0 none."""
        self.shown[symbol, side] = steps

    @initialize(first=st.sampled_from(tuple(MODELS)), second=st.sampled_from(tuple(MODELS)))
    def begin(self, first: str, second: str) -> None:
        self.models = dict(zip(SYMBOLS, (MODELS[first], MODELS[second]), strict=True))

    @rule(symbol=symbols, kind=st.none() | st.sampled_from(tuple(MODELS)))
    def choose(self, symbol: str, kind: str | None) -> None:
        self.models.pop(symbol, None)
        if kind is not None:
            self.models[symbol] = MODELS[kind]

    @precondition(lambda self: self.demands)
    @rule(count=st.integers(1, 4))
    def deliver_some(self, count: int) -> None:
        self.deliver(count)

    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.demands))):
            demand = self.demands.popleft()
            self.give(demand.name, demand.payload, "watch")

    @rule(seconds=st.sampled_from((1, 2, 30, 300, 3_000, 50_000)))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND_NS
        if seconds > 400:
            for symbol, quote in self.quotes.copy().items():
                self.tick(symbol, quote.bid_ticks, 2)
        self.demands += self.watch.overdue(self.now_ns)
        self.demands += self.watch.unstored_peaks(self.now_ns)

    @rule(symbol=symbols, side=sides, size=lots, tif=st.sampled_from((None, "ioc", "fok")))
    def market(self, symbol: str, side: str, size: str, tif: str | None) -> None:
        self.trade(symbol=symbol, action=side, quantity=size, timeInForce=tif)

    @rule(
        kind=types, symbol=symbols, side=sides, size=lots, gap=off, more=off, tif=times,
        reduce=st.booleans(),
    )  # fmt: skip
    def place(
        self, kind: str, symbol: str, side: str, size: str, gap: int, more: int, tif: str,
        *, reduce: bool,
    ) -> None:  # fmt: skip
        expiry = format_rfc3339(self.now_ns + more * 60 * SECOND_NS) if tif == "gtd" else None
        self.trade(
            symbol=symbol,
            action=side,
            quantity=size,
            timeInForce=tif,
            expireAt=expiry,
            reduceOnly=reduce or None,
            clientId=f"c{gap % 3}",
            **self.terms(kind, symbol, side, gap, more),
        )

    @rule(symbol=symbols, side=sides, size=lots, gap=off, tif=st.sampled_from(("ioc", "fok")))
    def at_once(self, symbol: str, side: str, size: str, gap: int, tif: str) -> None:
        terms = self.terms("limit", symbol, side, gap, 0)
        outcome = self.trade(symbol=symbol, action=side, quantity=size, timeInForce=tif, **terms)
        for order in outcome.orders:
            if order.terms.time_in_force == "fok":
                assert order.filled_steps in (0, order.size_steps)

    @rule(symbol=symbols, side=sides, size=lots, gap=off)
    def never_at_once(self, symbol: str, side: str, size: str, gap: int) -> None:
        terms = self.terms("limit", symbol, side, gap, 0)
        outcome = self.trade(symbol=symbol, action=side, quantity=size, postOnly=True, **terms)
        assert not [fill for fill in outcome.fills if self.known[fill.order_id].terms.post_only]

    @rule(
        kind=st.sampled_from(("oco", "ouo")), symbol=symbols, side=sides, size=lots,
        gap=st.integers(21, 60), more=off, same=st.booleans(),
    )  # fmt: skip
    def group(
        self, kind: str, symbol: str, side: str, size: str, gap: int, more: int, *, same: bool
    ) -> None:
        other = side if same else ("sell" if side == "buy" else "buy")
        leg = {"action": other, **self.terms("stop", symbol, other, more, more)}
        self.trade(
            symbol=symbol,
            action=side,
            quantity=size,
            links={"type": kind, "orders": [leg]},
            **self.terms("limit", symbol, side, gap, more),
        )

    @rule(
        kind=st.sampled_from(("market", "limit", "stop")), symbol=symbols, side=sides, size=lots,
        gap=off, stop=st.integers(1, 80), goal=st.integers(1, 80), trail=st.booleans(),
    )  # fmt: skip
    def bracket(
        self, kind: str, symbol: str, side: str, size: str, gap: int, stop: int, goal: int,
        *, trail: bool,
    ) -> None:  # fmt: skip
        terms = {} if kind == "market" else self.terms(kind, symbol, side, gap, 0)
        sign = 1 if side == "buy" else -1
        at = self.quotes[symbol].price_for(sign)
        entry = {"limit": min(0, 20 - gap), "stop": gap, "market": 0}[kind] * sign + at
        protection: dict[str, Any] = {"takeProfit": self.price(symbol, entry + sign * goal)}
        if trail:
            protection["trailDistance"] = self.price(symbol, stop)
        else:
            protection["stopLoss"] = self.price(symbol, entry - sign * stop)
        self.trade(symbol=symbol, action=side, quantity=size, bracket=protection, **terms)

    @rule(symbol=symbols, side=sides, size=lots, gap=st.integers(21, 60), kind=types, more=off)
    def then(self, symbol: str, side: str, size: str, gap: int, kind: str, more: int) -> None:
        child = {"action": "sell", **self.terms(kind, symbol, "sell", gap, more)}
        self.trade(
            symbol=symbol,
            action=side,
            quantity=size,
            links={"type": "oto", "orders": [child]},
            **self.terms("limit", symbol, side, gap, more),
        )

    @precondition(lambda self: self.account.working)
    @rule(pick=st.integers(0, 200), gap=off, more=off, size=st.none() | lots)
    def modify(self, pick: int, gap: int, more: int, size: str | None) -> None:
        order = list(self.account.working.values())[pick % len(self.account.working)]
        side = "buy" if order.side > 0 else "sell"
        terms = self.terms(order.order_type, order.symbol, side, gap, more)
        del terms["orderType"]
        asked = {"action": "modify", "orderId": order.order_id, "quantity": size, **terms}
        self.trade(**asked)

    @precondition(lambda self: self.account.working)
    @rule(pick=st.integers(0, 200))
    def cancel(self, pick: int) -> None:
        order_id, order = list(self.account.working.items())[pick % len(self.account.working)]
        outcome = self.trade(action="cancel", orderId=order_id)
        expiry_ns = order.terms.expire_at_ns
        first = outcome.events[0].event_type if outcome.events else ""
        ended = expiry_ns is not None and expiry_ns <= self.now_ns
        assert (outcome.rejection is not None) == ended or first in ENDS_BY_ITSELF
        assert order_id not in self.account.working
        again = self.trade(action="cancel", orderId=order_id).rejection
        assert again is not None
        assert str(again.reason) == "order_not_working"

    @rule(action=st.sampled_from(("close", "reverse", "flat")), symbol=symbols)
    def end(self, action: str, symbol: str) -> None:
        outcome = self.trade(action=action, symbol=symbol)
        whole = all(order.reason != "not_filled" for order in outcome.orders)
        if action == "flat" and outcome.rejection is None and whole:
            held = self.account.positions.get(symbol)
            waiting = [o for o in self.account.working.values() if o.symbol == symbol]
            # With a latency, what closes the position waits for its moment.
            closing = [] if held is None else [-held.size_steps]
            assert [o.side * o.size_steps for o in waiting] == closing
            assert all(o.terms.active_ns > self.now_ns for o in waiting)
