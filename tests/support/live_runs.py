"""Live runs beside the oracle: the interpreter over the same block, in plain Python.

The oracle reads values by arithmetic of its own, not by the code that is compiled between loop and
handlers.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.block import symbol_map, timer_handlers
from quantlab.backtest.kernels import clock, legs, margin, run, worth
from quantlab.backtest.plain import PlainBlock
from quantlab.ledger.trading_terms import TradingTerms, read_trading_terms
from quantlab.live import events
from quantlab.live.block import live_account, live_block, put_on, take_account, take_orders
from quantlab.live.events import AccountSeen, FillSeen, Held, Resting, orders_words, quote_words
from quantlab.live.running import LiveRun
from quantlab.live.terms import LiveTerms, terms_of
from quantlab.live.tray import Given
from quantlab.qls import ir
from quantlab.qls.interpreter import Effects, Interpreter
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab.qls.semantics import NA, Trap
from quantlab.rules import scalars
from tests.support.engine_cases import account as fresh_account
from tests.support.engine_cases import catalog, profile
from tests.support.qls_twins import exact_effects
from tests.support.rule_cases import percent, rule

BEGAN_NS = 1_704_067_200_000_000_000
PRICES = {"EURUSD": 110_000, "GBPUSD": 126_500}
PROFILE = profile(
    rule("daily_loss", anchor="higher_of_balance_and_equity", loss=percent("2"), comparator="lt"),
    rule("max_drawdown", mode="trailing", basis="equity", loss=percent("5"), comparator="le"),
)
TRADING = read_trading_terms({"margin": {"leverage": {"EURUSD": "30", "GBPUSD": "12.5"}}})
HEDGING = replace(TRADING, hedging=True)
KINDS = {
    at.START_EVENT: "start", at.STOP_EVENT: "stop", at.BAR_EVENT: "bar", at.FILL_EVENT: "fill",
    at.TIMER_EVENT: "timer",
}  # fmt: skip


def terms(*symbols: str, trading: TradingTerms = TRADING) -> LiveTerms:
    """Return the terms of an account with a daily loss and a drawdown that trails the equity."""
    return terms_of(fresh_account(PROFILE), PROFILE, catalog(), symbols, trading)


class _Asleep(PlainBlock):
    """A live block: nothing is carried out, and a look moves the mark only."""

    def look_at(self, m: Any, _s: int) -> int:
        assert m[at.BASIS] == scalars.BASIS_EQUITY
        m[at.MARK] = max(m[at.MARK], worth.equity_now(m))
        return 0

    def carry_out(self, _m: Any, _out: Any) -> int:
        return 0


class OracleRun:
    """The interpreter, fed as a live run is."""

    def __init__(self, program: Program, on: LiveTerms, inputs: Any = None) -> None:
        program = put_on(program, on.symbol)
        self.program, self.terms = program, on
        self.account = live_account(on)
        self.interpreter = Interpreter(program, inputs)
        self.m = _Asleep(live_block(program, self.account, on, BEGAN_NS), self._answer)
        self.m[at.NOW] = BEGAN_NS
        self.symbols = symbol_map(self.account, program)
        self.timers = timer_handlers(program)
        self.given: list[Given] = []
        self.out = [0] * abi.OUT_WORDS

    @property
    def trapped(self) -> str:
        return self.interpreter.trapped

    def feed(self, words: Sequence[int]) -> None:
        m, kind, body = self.m, words[0], list(words[1:])
        if kind == events.ACCOUNT:
            fixed, held = body[1 : 1 + events.ACCOUNT_FIXED], body[1 + events.ACCOUNT_FIXED :]
            positions = [Held(*held[k : k + 3]) for k in range(0, len(held), 3)]
            take_account(m, self.terms, AccountSeen(*fixed, tuple(positions)))
        elif kind == events.ORDERS:
            take_orders(m, [Resting(*body[k : k + 4]) for k in range(1, len(body), 4)])
        elif self.trapped:
            return
        elif kind == events.QUOTE:
            body[0] = max(body[0], m[at.NOW])
            run.run(m, self.out, [], body, 0, 1)
        elif kind == events.FILL:
            self._take_fill(FillSeen(*body))
        else:
            self._time(kind, max(body[0], m[at.NOW]))

    def _take_fill(self, fill: FillSeen) -> None:
        m = self.m
        (m[at.FILL_OWNER], m[at.FILL_SIDE], m[at.FILL_STEPS], m[at.FILL_TICKS], m[at.FILL_PROFIT],
         m[at.FILL_LEFT], m[at.FILL_SYMBOL]) = fill  # fmt: skip
        run.single(m, self.out, [], at.FILL_EVENT, fill.symbol)

    def _time(self, kind: int, ns: int) -> None:
        if ns >= self.m[at.NEXT]:
            clock.pass_time(self.m, ns)
        self.m[at.NOW] = ns
        if self.m[at.PENDING]:
            run.tell(self.m, self.out, [])
        if kind != events.TIME and not self.trapped:
            event = at.START_EVENT if kind == events.START else at.STOP_EVENT
            run.single(self.m, self.out, [], event, 0)

    def _answer(self, _out: Any, event: int, index: int) -> int:
        effects = Effects()
        try:
            for handler in self.program.handlers:
                if self._is_for(handler, event, index):
                    self.interpreter.run_handler(handler, self, effects)
        except Trap as trap:
            return -abi.TRAPS.index(trap.reason)
        if effects.orders or effects.outputs:
            self.given.append(Given(self.m[at.NOW], effects))
        return len(effects.orders)

    def _is_for(self, handler: ir.Handler, event: int, index: int) -> bool:
        if event == -1:
            own = handler.symbol < 0 or self.symbols[handler.symbol] == index
            return handler.kind == "tick" and own
        if handler.kind != KINDS[event]:
            return False
        if handler.kind == "bar":
            return handler.stream == index
        if handler.kind == "timer":
            return self.timers[index] is handler
        if handler.kind == "fill" and handler.symbol >= 0:
            return self.symbols[handler.symbol] == index
        return True

    def read(self, read: ir.Read) -> float | int:
        found: float | int = getattr(self, f"_{read.scope}")(read)
        return found

    def _symbol(self, s: int) -> int:
        return int(self.m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS)

    def _scaled(self, count: int, unit: Any) -> float:
        num, den = unit.as_integer_ratio()
        value = float(count)
        value = value * float(num) if num != 1 else value
        return value / float(den) if den != 1 else value

    def _quote(self, read: ir.Read) -> float:
        s = self.symbols[read.symbol]
        words = {"bid": at.BID, "ask": at.ASK, "bid_size": at.BID_SIZE, "ask_size": at.ASK_SIZE}
        count = self.m[self._symbol(s) + words[read.field]]
        one = self.account.instruments[s]
        unit = one.size_step if read.field.endswith("size") else one.tick
        return self._scaled(count, unit) if count else NA

    def _bar(self, read: ir.Read) -> float | int:
        b = self.m[at.STREAMS_AT] + read.stream * at.STREAM_WORDS
        if read.field == "time":
            return int(self.m[b + at.LAST_START])
        if read.field == "index":
            return max(int(self.m[b + at.INDEX]), 0)
        words = {
            "open": at.LAST_OPEN, "high": at.LAST_HIGH, "low": at.LAST_LOW, "close": at.LAST_CLOSE,
            "volume": at.LAST_VOLUME,
        }  # fmt: skip
        count = self.m[b + words[read.field]]
        if not count:
            return NA
        if read.field == "volume":
            return float(count)
        symbol = self.symbols[self.program.streams[read.stream].symbol]
        return self._scaled(count, self.account.instruments[symbol].tick)

    def _clock(self, read: ir.Read) -> int:
        return int(self.m[at.NOW if read.field == "time" else at.UTC_OFFSET])

    def _position(self, read: ir.Read) -> float:
        s = self.symbols[read.symbol]
        w, one = self._symbol(s), self.account.instruments[s]
        size = self.m[w + at.SIZE]
        if read.field == "size":
            return self._scaled(size, one.size_step)
        if read.field == "price":
            if not size or (self.terms.hedging and not self._is_one_way(s)):
                return NA
            num, den = one.tick.as_integer_ratio()
            average = float(self.m[w + at.COST]) / float(size)
            average = average * float(num) if num != 1 else average
            return average / float(den) if den != 1 else average
        return float(worth.held_value(self.m, w)) / 1e6 / float(10**self.terms.currency_digits)

    def _is_one_way(self, s: int) -> bool:
        places = (legs.leg_at(self.m, k) for k in range(self.m[at.LEGS]))
        held = [self.m[p + at.SIZE] > 0 for p in places if self.m[p + at.LEG_OF] == self._symbol(s)]
        return len(set(held)) == 1

    def _account(self, read: ir.Read) -> float | int:
        if read.field == "working_orders":
            return int(self.m[at.WORKING])
        if read.field == "free_margin":
            free = margin.free(self.m)
            return (
                NA if free == at.NEVER_LOW else float(free) / float(10**self.terms.currency_digits)
            )
        minor = self.m[at.BALANCE] if read.field == "balance" else worth.equity_now(self.m)
        if read.field == "day_profit":
            minor -= self.m[at.START_EQUITY]
        return float(minor) / float(10**self.terms.currency_digits)

    def _instrument(self, read: ir.Read) -> float:
        one = self.account.instruments[self.symbols[read.symbol]]
        return float(one.tick if read.field == "tick_size" else one.size_step)

    def _rule(self, read: ir.Read) -> float:
        kinds = {"daily_loss": scalars.DAILY_LOSS, "max_drawdown": scalars.MAX_DRAWDOWN}
        floor = worth.floor_of_kind(self.m, kinds[read.rule])
        if floor <= at.NEVER_LOW:
            return NA
        amount = float(floor)
        if read.field == "distance":
            amount = float(worth.equity_now(self.m)) - amount
        return amount / float(10**self.terms.currency_digits)

    def _fill(self, read: ir.Read) -> float | int:
        words = {
            "order": at.FILL_OWNER, "side": at.FILL_SIDE, "size": at.FILL_STEPS,
            "price": at.FILL_TICKS, "profit": at.FILL_PROFIT, "remaining": at.FILL_LEFT,
        }  # fmt: skip
        value = self.m[words[read.field]]
        if read.field in {"order", "side"}:
            return int(value)
        if read.field == "profit":
            return float(value) / float(10**self.terms.currency_digits)
        one = self.account.instruments[self.m[at.FILL_SYMBOL]]
        return self._scaled(value, one.tick if read.field == "price" else one.size_step)


def history(seed: int, count: int, symbols: Sequence[str], legs: int = 1) -> Iterator[list[int]]:
    """Yield a start, count random events, and a stop; of so many legs a symbol at most."""
    rng, now = random.Random(f"live {seed}"), BEGAN_NS
    prices = [PRICES[one] for one in sorted(symbols)]
    yield [events.START, now]
    for _ in range(count):
        now += rng.choice((1_000, 40_000_000, 900_000_000, 30_000_000_000, 90_000_000_000))
        s = rng.randrange(len(prices))
        kind = rng.random()
        if kind < 0.8:
            prices[s] += rng.randint(-30, 30)
            late = rng.choice((0, 0, 0, 5_000_000))
            sizes = rng.choice(((0, 0), (rng.randint(1, 900), rng.randint(1, 900))))
            yield quote_words(now - late, prices[s], prices[s] + rng.randint(0, 4), *sizes, s)
        elif kind < 0.86:
            yield _account(rng, prices, legs)
        elif kind < 0.9:
            yield orders_words([_resting(rng, prices) for _ in range(rng.randint(0, 5))])
        elif kind < 0.96:
            side = rng.choice((1, -1))
            yield FillSeen(
                rng.randint(1, 50), side, rng.randint(1, 10_000), prices[s],
                rng.randint(-9_999, 9_999), rng.choice((0, 7)), s,
            ).words()  # fmt: skip
        else:
            yield [events.TIME, now]
    yield [events.STOP, now]


def _account(rng: random.Random, prices: Sequence[int], legs: int) -> list[int]:
    held = []
    for s, price in [*enumerate(prices)] * legs:
        size = rng.choice((0, rng.randint(-50_000, 50_000)))
        if size:
            held.append(Held(s, size, size * price + rng.randint(-999, 999)))
    balance = rng.randint(900_000, 1_100_000)
    return AccountSeen(
        balance, rng.randint(-500_000, 500_000), balance + 5_000, balance - rng.randint(0, 900),
        balance - rng.randint(0, 900), rng.randint(-99, 99), rng.randint(0, 9), 0,
        rng.randint(0, 5), tuple(held),
    ).words()  # fmt: skip


def _resting(rng: random.Random, prices: Sequence[int]) -> Resting:
    s = rng.randrange(len(prices))
    price = rng.choice((0, prices[s] + rng.randint(-200, 200)))
    return Resting(s, rng.choice((1, -1)), rng.randint(1, 90_000), price)


def exact_given(given: Sequence[Given]) -> list[Any]:
    return [(one.ns, exact_effects(one.effects)) for one in given]


def same_state(oracle: OracleRun, live: LiveRun) -> None:
    """Hold state, order number and block of both against each other."""
    assert live.image() == oracle.interpreter.image()
    assert (live.orders_placed, live.trapped) == (
        oracle.interpreter.orders_placed,
        oracle.trapped,
    )
    first = oracle.m[at.SYMBOLS_AT]
    last = oracle.m[at.TIMERS_AT] + oracle.m[at.TIMERS] * at.TIMER_WORDS
    for begin, end in ((0, at.ACCOUNT_WORDS), (first, last)):
        mine, other = list(oracle.m[begin:end]), live.block[begin:end].tolist()
        assert mine == other
