"""Any sequence of orders, quotes and delays on one account, and what must hold after each step."""

import os
from collections import Counter, defaultdict, deque
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from quantlab.engine import commands, lifecycle
from quantlab.engine.commands import Command, Fill, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.fill_models import fill_seed
from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand
from quantlab.kernel.arith import MICRO
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.ledger.fills import net
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Position
from quantlab.ledger.trading_terms import STANDARD
from quantlab.market.catalog import Catalog
from quantlab.market.fill_model import ANY_SIZE, DISPLAYED, FillModel, chosen_model
from quantlab.market.quote import Quote
from tests.support.engine_cases import ACCOUNT_ID, NOW, account, catalog, profile
from tests.support.fill_models import MODELS
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

SETTINGS = settings(
    max_examples=int(os.environ.get("QUANTLAB_ORDER_SEQUENCES", "200")),
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.filter_too_much],
)
TICK = Decimal("0.00001")
SYMBOLS = {"EURUSD": 108_000, "USDJPY": 150_000}
RULES = profile(
    made_rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt"),
    made_rule("max_drawdown", mode="trailing", basis="equity", loss=percent("6"), comparator="lt"),
)

# What a command finds that comes after the day, or the order's own time, has ended.
ENDS_BY_ITSELF = ("position.swap_charged", "account.day_rolled", "order.expired")


def sized(known: Catalog) -> Catalog:
    """Let one symbol fill any size where none is displayed, and the other nothing."""
    instruments = {
        symbol: replace(item, size_required=symbol == "USDJPY")
        for symbol, item in known.instruments.items()
    }
    return replace(known, instruments=instruments)


CATALOG = sized(catalog())
AMPLE = 3_000

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


class Orders(RuleBasedStateMachine):
    """One account, its watch with a delay of any length, and a market that moves and gaps."""

    currency = "USD"
    catalog = CATALOG
    trading = STANDARD
    quoted = SYMBOLS

    def __init__(self) -> None:
        super().__init__()
        self.account = account(RULES, currency=self.currency)
        self.watch = Watch(self.catalog)
        self.quotes: dict[str, Quote] = {}
        self.shown = {(symbol, side): AMPLE for symbol in self.quoted for side in (1, -1)}
        self.models: dict[str, FillModel] = {}
        self.demands: deque[Demand] = deque()
        self.now_ns, self.seq, self.given = NOW, 0, 0
        self.booked = self.account.balance_minor
        self.exact = Fraction(self.booked * MICRO)
        self.netted: dict[str, Position] = {}
        self.paid: dict[str, int] = {}
        self.taken: Counter[tuple[str, int, int]] = Counter()
        self.nights: set[tuple[Json, Json]] = set()
        self.sizes: Counter[str] = Counter()
        self.ended: dict[str, Order] = {}
        self.filled: Counter[str] = Counter()
        self.known: dict[str, Order] = {}
        self.limits: dict[str, int] = {}
        self.groups: defaultdict[str, set[str]] = defaultdict(set)
        self.entered: Counter[str] = Counter()
        for symbol, base in self.quoted.items():
            self.tick(symbol, base, 2)

    def tick(self, symbol: str, bid: int, spread: int) -> None:
        self.seq += 1
        self.now_ns += SECOND_NS // 10
        quote = Quote(
            symbol,
            bid,
            bid + spread,
            self.now_ns,
            self.seq,
            bid_size_steps=self.shown[symbol, -1],
            ask_size_steps=self.shown[symbol, 1],
        )
        self.quotes[symbol] = quote
        self.demands += self.watch.on_quote(quote, self.now_ns, self.now_ns)

    def give(self, name: str, payload: dict[str, Any], source: str = "user") -> Outcome:
        self.given += 1
        request = Command(
            self.given, f"s{self.given}", ACCOUNT_ID, source, source, name, payload, self.now_ns
        )
        market = Market(self.catalog, dict(self.quotes), self.now_ns)
        context = Context(
            market,
            RULES,
            frozenset(self.catalog.instruments),
            self.now_ns,
            fill_models=dict(self.models),
            trading=self.trading,
        )
        before = self.account
        outcome = execute(before, request, context)
        self.account = outcome.account
        self.check(before.event_seq, outcome)
        self.demands += self.watch.put(
            self.account, RULES, self.now_ns, self.now_ns, self.trading, dict(self.models)
        )
        return outcome

    def trade(self, **payload: Any) -> Outcome:
        asked = {key: value for key, value in payload.items() if value is not None}
        return self.give(commands.TRADE, asked)

    def check(self, seq: int, outcome: Outcome) -> None:
        for event in outcome.events:
            seq += 1
            assert event.seq == seq
        assert outcome.account.event_seq == seq
        for order in [*outcome.orders, *outcome.account.working.values()]:
            self.known[order.order_id] = order
            if order.terms.group_id is not None:
                self.groups[order.terms.group_id].add(order.order_id)
        self.charge_nights(outcome)
        self.check_models(outcome)
        for fill in outcome.fills:
            self.value(fill)
            assert fill.quote_ts_ns >= self.known[fill.order_id].terms.active_ns
            order = self.known[fill.order_id]
            held = self.sizes[key_of(fill)]
            self.sizes[key_of(fill)] += fill.side * fill.size_steps
            self.filled[fill.order_id] += fill.size_steps
            self.booked += sum(entry.amount_minor for entry in fill.entries)
            if order.terms.limit_ticks is not None:
                limits = (order.terms.limit_ticks, self.limits.get(fill.order_id))
                assert any(
                    limit is not None and fill.side * (fill.price_ticks - limit) <= 0
                    for limit in limits
                ), "a limit filled worse than its price"
            if order.terms.reduce_only:
                now = self.sizes[key_of(fill)]
                assert abs(now) < abs(held), "reduce_only did not reduce"
                assert now * held >= 0, "reduce_only turned a position"
        for order in outcome.orders:
            assert order.order_id not in self.ended, "an order ended twice"
            assert order.status in lifecycle.FINAL_STATES
            self.ended[order.order_id] = order
        self.limits = {
            id_: order.terms.limit_ticks
            for id_, order in outcome.account.working.items()
            if order.terms.limit_ticks is not None
        }

    def value(self, fill: Fill) -> None:
        """Add what a fill gained and cost, each product rounded as the formulas say."""
        instrument = self.catalog.instruments[fill.symbol]
        held = self.netted.pop(key_of(fill), None)
        netted = net(held, fill.side, fill.size_steps, fill.price_ticks)
        if netted.size_steps:
            self.netted[key_of(fill)] = Position(
                fill.symbol, netted.size_steps, netted.cost, None, None, 0, 0
            )
        unit, rate = Fraction(instrument.unit_num, instrument.unit_den), Fraction(*rate_of(fill))
        if netted.closed_steps:
            self.exact += round(round(netted.gain * unit) * rate)
        fees = self.trading.fees(instrument)
        notional = round(abs(fill.price_ticks) * fill.size_steps * unit)
        fee = round(Fraction(fees.step_num * fill.size_steps, fees.step_den))
        fee += round(round(Fraction(notional * fees.notional_ppm, MICRO)) * rate)
        before = self.paid.get(fill.order_id)
        self.paid[fill.order_id] = after = (before or 0) + fee
        charged = 0 if before is None else max(before, fees.minimum_micro)
        self.exact -= max(after, fees.minimum_micro) - charged

    def charge_nights(self, outcome: Outcome) -> None:
        """Add the nights charged, of positions as they were when the command came."""
        nights = [one for one in outcome.events if one.event_type == "position.swap_charged"]
        booked = [] if outcome.life is None else outcome.life.bookings
        assert [one.event_seq for one in booked] == [one.seq for one in nights]
        for night, booking in zip(nights, booked, strict=True):
            told = night.payload
            key = str(told.get("ticket", told["symbol"]))
            assert self.sizes[key] == told["sizeSteps"] != 0
            instrument = self.catalog.instruments[str(told["symbol"])]
            assert told["unit"] == "points"
            a_step = Fraction(str(told["perLot"])) * instrument.unit_num / instrument.unit_den
            earned = round(a_step * abs(int(str(told["sizeSteps"]))) * int(str(told["nights"])))
            self.exact += round(earned * Fraction(str(told["rate"])))
            self.booked += booking.entry.amount_minor
            once = (key, told["rolloverAt"])
            assert once not in self.nights, "a night charged twice"
            self.nights.add(once)

    def check_models(self, outcome: Outcome) -> None:
        """No fill is better than its quote, and those that a size limits take what it shows."""
        taken = self.taken
        for fill in outcome.fills:
            instrument = self.catalog.instruments[fill.symbol]
            model = chosen_model(self.models, fill.symbol, self.catalog.fill_models[fill.symbol])
            assert fill.fill_model == model.version
            assert fill.fill_seed == fill_seed("acme", ACCOUNT_ID, fill.event_seq)
            touch = fill.ask_ticks if fill.side > 0 else fill.bid_ticks
            assert fill.slippage_ticks == fill.side * (fill.price_ticks - touch) >= 0
            shown = fill.ask_size_steps if fill.side > 0 else fill.bid_size_steps
            rule = model.size_rule(instrument)
            if rule == DISPLAYED or (rule != ANY_SIZE and shown):
                taken[fill.symbol, fill.side, fill.quote_seq] += fill.size_steps
                assert taken[fill.symbol, fill.side, fill.quote_seq] <= shown

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

    @invariant()
    def money_and_sizes(self) -> None:
        assert self.account.balance_minor == self.booked
        assert self.account.balance_minor * MICRO + self.account.carry_micro == self.exact
        assert abs(self.account.carry_micro) * 2 <= MICRO
        held = {key: item.size_steps for key, item in self.account.positions.items()}
        assert held == {key: size for key, size in self.sizes.items() if size}

    @invariant()
    def orders_are_whole(self) -> None:
        for order_id, order in self.known.items():
            assert self.filled[order_id] == order.filled_steps
            assert order.filled_steps <= order.size_steps
            assert (order_id in self.ended) != (order_id in self.account.working)
            if order.status == lifecycle.FILLED:
                assert order.filled_steps == order.size_steps > 0
        if self.account.status != "active":
            assert not self.account.working

    @invariant()
    def links_hold(self) -> None:
        for members in self.groups.values():
            orders = [self.known[order_id] for order_id in members]
            filled = [order for order in orders if order.filled_steps]
            if orders[0].terms.group_kind == "oco":
                assert len(filled) <= 1
            else:
                parent = self.known.get(orders[0].terms.parent_id or "")
                if parent is not None:
                    assert sum(order.filled_steps for order in orders) <= parent.filled_steps
        for order in self.account.working.values():
            parent = self.account.working.get(order.terms.parent_id or "")
            if order.status == lifecycle.PENDING_PARENT:
                assert parent is not None
                assert parent.filled_steps == 0
            if order.terms.reduce_only and order.status != lifecycle.PENDING_PARENT:
                assert self.account.reducible_steps(order) > 0


def key_of(fill: Fill) -> str:
    return fill.ticket or fill.symbol


def rate_of(fill: Fill) -> tuple[int, int]:
    return fill.rate_num, fill.rate_den
