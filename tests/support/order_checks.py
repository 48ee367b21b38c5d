"""One account, its watch and a market, and what must hold after whatever is done to them."""

from collections import Counter, defaultdict, deque
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from quantlab.engine import commands, lifecycle
from quantlab.engine.commands import Command, Fill, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.fill_models import fill_seed
from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand
from quantlab.kernel.arith import MICRO
from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.fills import net
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Position
from quantlab.ledger.trading_terms import STANDARD
from quantlab.market.catalog import Catalog
from quantlab.market.fill_model import ANY_SIZE, DISPLAYED, FillModel, chosen_model
from quantlab.market.quote import Quote
from tests.support.engine_cases import ACCOUNT_ID, NOW, account, catalog, profile
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

SYMBOLS = {"EURUSD": 108_000, "USDJPY": 150_000}
RULES = profile(
    made_rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt"),
    made_rule("max_drawdown", mode="trailing", basis="equity", loss=percent("6"), comparator="lt"),
)
AMPLE = 3_000


def sized(known: Catalog) -> Catalog:
    """Let one symbol fill any size where none is displayed, and the other nothing."""
    instruments = {
        symbol: replace(item, size_required=symbol == "USDJPY")
        for symbol, item in known.instruments.items()
    }
    return replace(known, instruments=instruments)


CATALOG = sized(catalog())


class CheckedAccount(RuleBasedStateMachine):
    """One account, its watch and the quotes it sees; each step is counted again from its fills."""

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
