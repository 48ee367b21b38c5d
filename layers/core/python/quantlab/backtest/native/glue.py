"""The code between the loop and a strategy's handlers, as LLVM assembly: reads in, orders out.

It is written anew for each run: where a value stands in the block, and what a tick and a step are,
are constants in it.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.block import symbol_map, timer_handlers
from quantlab.backtest.native import names
from quantlab.backtest.native.keeping import KEEP, TEXT
from quantlab.qls import limits
from quantlab.qls.ir import Handler, Program, Read
from quantlab.qls.native import abi
from quantlab.qls.native.machine import has_fma
from quantlab.rules import scalars

NAN: Final = "0x7FF8000000000000"
EVENTS: Final = {
    "start": at.START_EVENT, "stop": at.STOP_EVENT, "bar": at.BAR_EVENT, "fill": at.FILL_EVENT,
    "timer": at.TIMER_EVENT,
}  # fmt: skip
KINDS: Final = {"daily_loss": scalars.DAILY_LOSS, "max_drawdown": scalars.MAX_DRAWDOWN}
_BARS: Final = {
    "open": at.LAST_OPEN, "high": at.LAST_HIGH, "low": at.LAST_LOW, "close": at.LAST_CLOSE,
}  # fmt: skip
_PER_MINOR: Final = 1e6
DEN_MAX: Final = float(1 << 40)


def double(value: float) -> str:
    """Write a double as LLVM takes it, exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def reciprocal(den: float) -> tuple[float, float] | None:
    """Return 1/den as a sum of two doubles, by which a whole number x is divided exactly.

    x/den is the double nearest to x*high + x*low, as fma(x, high, x*low) gives it: what is exactly
    between two doubles is no quotient of a whole number below 2^53, or one of those times a power
    of two, and any other is at least 1/(den*2^54) of itself away from the middle, while the sum is
    wrong by 2^-104 of it at most. (Brisebarre & Muller, IEEE Trans. Computers 57(2), 2008, have
    the algorithm for any constant.) None where den is not a whole number up to DEN_MAX.
    """
    if not den.is_integer() or not 1.0 <= den <= DEN_MAX:
        return None
    exact = Fraction(1) / Fraction(den)
    high = float(exact)
    return high, float(exact - Fraction(high))


class Glue:
    """Writes the two functions the loop calls, for a program over an account's block."""

    def __init__(
        self,
        program: Program,
        account: BacktestAccount,
        m: Any,
        fuel: int = limits.COST_PER_EVENT_MAX,
        *,
        keeps_outputs: bool = False,
    ) -> None:
        self.program, self.account, self.fuel = program, account, fuel
        self.block, self.keeps_outputs = m, keeps_outputs
        self.symbols = symbol_map(account, program)
        self.timers = {id(one): k for k, one in enumerate(timer_handlers(program))}
        self.lines: list[str] = []
        self.fresh = 0

    def text(self) -> str:
        """Return the module: the strategy's tick and its other events."""
        ticks = [(k, one) for k, one in enumerate(self.program.handlers) if one.kind == "tick"]
        others = [(k, one) for k, one in enumerate(self.program.handlers) if one.kind != "tick"]
        parameters = "ptr noalias %m, ptr noalias %out, ptr noalias %state"
        tick = self._function(ticks, self._is_tick)
        event = self._function(others, self._is_event)
        handlers = "\n".join(
            f"declare i64 @h{k}(ptr noalias, ptr noalias, ptr noalias)"
            for k in range(len(self.program.handlers))
        )
        return "\n".join(
            (
                handlers,
                f"declare i64 @{names.COLD}(i64, ptr, ptr, i64)",
                "declare double @llvm.fma.f64(double, double, double)",
                TEXT if self.keeps_outputs else "",
                f"define i64 @{names.TICK}({parameters}, i64 %s) alwaysinline nounwind {{",
                f"{tick}}}",
                f"define i64 @{names.EVENT}({parameters}, i64 %kind, i64 %index) nounwind {{",
                f"{event}}}",
                *self._constants(),
                "",
            )
        )

    def _constants(self) -> tuple[str, ...]:
        """Return what the loop asks of the run: where a symbol's words are, whether it has bars."""
        first, many = self._symbol_word(0, 0), len(self.account.instruments) > 1
        return (
            f"define i64 @{names.WORDS}(i64 %s) alwaysinline nounwind {{",
            f"%place = mul i64 {'%s' if many else 0}, {at.SYMBOL_WORDS}",
            f"%words = add i64 %place, {first}",
            "ret i64 %words\n}",
            f"define i64 @{names.BARS}(i64 %none) alwaysinline nounwind {{",
            f"ret i64 {len(self.program.streams)}\n}}",
        )

    def _function(self, handlers: Sequence[tuple[int, Handler]], condition: Any) -> str:
        self.lines, self.fresh = [], 0
        words = max(len(self.program.reads), 1)
        self._line(f"%reads = alloca [{words} x i64], align 8")
        for word in (abi.ORDERS, abi.OUTPUTS):
            self._line(f"store i64 0, ptr {self._out(word)}")
        for k, handler in handlers:
            self._handler(k, handler, condition(handler))
        if self.keeps_outputs and handlers:
            self._keep()
        orders = self._out(abi.ORDERS)
        self._line(f"%orders = load i64, ptr {orders}")
        self._line("ret i64 %orders")
        return "\n".join(self.lines) + "\n"

    def _keep(self) -> None:
        self._line(f"%outputs = load i64, ptr {self._out(abi.OUTPUTS)}")
        self._line("%silent = icmp eq i64 %outputs, 0")
        self._line("br i1 %silent, label %given, label %keep")
        self.lines.append("keep:")
        self._line(f"call void @{KEEP}(ptr %m, ptr %out, i64 %outputs)")
        self._line("br label %given")
        self.lines.append("given:")

    def _handler(self, k: int, handler: Handler, when: str) -> None:
        if when:
            self._line(f"br i1 {when}, label %run{k}, label %next{k}")
            self.lines.append(f"run{k}:")
        for _, number in handler.reads:
            self._read(number, handler)
        self._line(f"store i64 {self.fuel}, ptr {self._out(abi.FUEL)}")
        self._line(f"%done{k} = call i64 @h{k}(ptr %state, ptr %reads, ptr %out)")
        self._line(f"%bad{k} = icmp slt i64 %done{k}, 0")
        self._line(f"br i1 %bad{k}, label %trap{k}, label %next{k}, !prof !0")
        self.lines.append(f"trap{k}:")
        self._line(f"ret i64 %done{k}")
        self.lines.append(f"next{k}:")

    def _is_tick(self, handler: Handler) -> str:
        if handler.symbol < 0 or len(self.account.instruments) == 1:
            return ""
        return self._is("%s", self.symbols[handler.symbol])

    def _is_event(self, handler: Handler) -> str:
        kind = self._is("%kind", EVENTS[handler.kind])
        place = None
        if handler.kind == "bar":
            place = handler.stream
        elif handler.kind == "timer":
            place = self.timers[id(handler)]
        elif handler.kind == "fill" and handler.symbol >= 0:
            place = self.symbols[handler.symbol]
        if place is None:
            return kind
        name = self._name()
        self._line(f"{name} = and i1 {kind}, {self._is('%index', place)}")
        return name

    def _is(self, register: str, value: int) -> str:
        name = self._name()
        self._line(f"{name} = icmp eq i64 {register}, {value}")
        return name

    def _read(self, number: int, handler: Handler) -> None:
        read = self.program.reads[number]
        value = self._value(read, handler)
        name = self._name()
        self._line(f"{name} = getelementptr inbounds i64, ptr %reads, i64 {number}")
        type_ = "double" if read.type == "f" else "i64"
        self._line(f"store {type_} {value}, ptr {name}")

    def _value(self, read: Read, handler: Handler) -> str:
        found: str = getattr(self, f"_of_{read.scope}")(read, handler)
        return found

    def _of_quote(self, read: Read, handler: Handler) -> str:
        s = self.symbols[read.symbol]
        fields = {"bid": at.BID, "ask": at.ASK, "bid_size": at.BID_SIZE, "ask_size": at.ASK_SIZE}
        ticks = self._load(self._symbol_word(s, fields[read.field]))
        if read.field in ("bid_size", "ask_size"):
            return self._unless_zero(ticks, self._lots(s, ticks))
        price = self._price(s, ticks)
        return price if self._is_own(read, handler) else self._unless_zero(ticks, price)

    def numbers(self) -> tuple[frozenset[int], ...]:
        """Return by handler which reads are never na: the prices of a tick's own quote."""
        return tuple(
            frozenset(
                number
                for _, number in handler.reads
                if self._is_own(self.program.reads[number], handler)
            )
            for handler in self.program.handlers
        )

    def _is_own(self, read: Read, handler: Handler) -> bool:
        """Say whether a read is a price of the very quote that a handler is told of."""
        if handler.kind != "tick" or read.scope != "quote" or read.field not in ("bid", "ask"):
            return False
        if len(self.account.instruments) == 1:
            return True
        return handler.symbol >= 0 and self.symbols[handler.symbol] == self.symbols[read.symbol]

    def _of_bar(self, read: Read, _handler: Handler) -> str:
        base = self.block[at.STREAMS_AT] + read.stream * at.STREAM_WORDS
        if read.field == "time":
            return self._load(base + at.LAST_START)
        if read.field == "index":
            index = self._load(base + at.INDEX)
            return self._call2("llvm.smax.i64", index, "0")
        if read.field == "volume":
            volume = self._load(base + at.LAST_VOLUME)
            return self._unless_zero(volume, self._to_double(volume))
        s = self.symbols[self.program.streams[read.stream].symbol]
        ticks = self._load(base + _BARS[read.field])
        return self._unless_zero(ticks, self._price(s, ticks))

    def _of_clock(self, read: Read, _handler: Handler) -> str:
        return self._load(at.NOW if read.field == "time" else at.UTC_OFFSET)

    def _of_position(self, read: Read, _handler: Handler) -> str:
        s = self.symbols[read.symbol]
        size = self._load(self._symbol_word(s, at.SIZE))
        if read.field == "size":
            return self._lots(s, size)
        if read.field == "price":
            cost = self._load(self._symbol_word(s, at.COST))
            average = self._math("fdiv", self._to_double(cost), self._to_double(size))
            num, den = self._tick(s)
            scaled = self._math("fmul", average, double(num))
            # Of legs in both directions there is no average price: their cost stands as zero.
            known = cost if self.account.trading.hedging else size
            return self._unless_zero(known, self._math("fdiv", scaled, double(den)))
        word = self._symbol_word(s, 0)
        micro = self._to_double(self._ask(names.ASK_VALUE, str(word)))
        return self._money(self._over(micro, _PER_MINOR))

    def _of_account(self, read: Read, _handler: Handler) -> str:
        if read.field == "working_orders":
            return self._load(at.WORKING)
        if read.field == "balance":
            return self._money(self._to_double(self._load(at.BALANCE)))
        if read.field == "free_margin":
            free = self._ask(names.ASK_FREE, "0")
            return self._known(free, self._money(self._to_double(free)))
        equity = self._ask(names.ASK_EQUITY, "0")
        if read.field == "day_profit":
            name = self._name()
            self._line(f"{name} = sub i64 {equity}, {self._load(at.START_EQUITY)}")
            equity = name
        return self._money(self._to_double(equity))

    def _of_instrument(self, read: Read, _handler: Handler) -> str:
        instrument = self.account.instruments[self.symbols[read.symbol]]
        step = instrument.tick if read.field == "tick_size" else instrument.size_step
        return double(float(step))

    def _of_rule(self, read: Read, _handler: Handler) -> str:
        floor = self._ask(names.ASK_FLOOR, str(KINDS[read.rule]))
        amount = self._to_double(floor)
        if read.field == "distance":
            equity = self._to_double(self._ask(names.ASK_EQUITY, "0"))
            amount = self._math("fsub", equity, amount)
        return self._known(floor, self._money(amount))

    def _known(self, answer: str, amount: str) -> str:
        """Return an amount, or na where the answer it was made of is that there is none."""
        known, name = self._name(), self._name()
        self._line(f"{known} = icmp sgt i64 {answer}, {at.NEVER_LOW}")
        self._line(f"{name} = select i1 {known}, double {amount}, double {NAN}")
        return name

    def _of_fill(self, read: Read, _handler: Handler) -> str:
        words = {
            "order": at.FILL_OWNER, "side": at.FILL_SIDE, "size": at.FILL_STEPS,
            "price": at.FILL_TICKS, "profit": at.FILL_PROFIT, "remaining": at.FILL_LEFT,
        }  # fmt: skip
        value = self._load(words[read.field])
        if read.field in ("order", "side"):
            return value
        if read.field == "profit":
            return self._money(self._to_double(value))
        wanted = "tick" if read.field == "price" else "size_step"
        return self._of_any_symbol(value, wanted)

    def _of_any_symbol(self, value: str, wanted: str) -> str:
        """Scale a fill's ticks or steps by the symbol it was of."""
        ratios = [getattr(one, wanted).as_integer_ratio() for one in self.account.instruments]
        amount = self._scaled(self._to_double(value), *map(float, ratios[0]))
        if len(ratios) > 1:
            symbol = self._load(at.FILL_SYMBOL)
            for s, ratio in enumerate(ratios[1:], 1):
                other = self._scaled(self._to_double(value), *map(float, ratio))
                name = self._name()
                chosen = self._is(symbol, s)
                self._line(f"{name} = select i1 {chosen}, double {other}, double {amount}")
                amount = name
        return amount

    def _tick(self, s: int) -> tuple[float, float]:
        num, den = self.account.instruments[s].tick.as_integer_ratio()
        return float(num), float(den)

    def _price(self, s: int, ticks: str) -> str:
        return self._scaled(self._to_double(ticks), *self._tick(s))

    def _lots(self, s: int, steps: str) -> str:
        num, den = self.account.instruments[s].size_step.as_integer_ratio()
        return self._scaled(self._to_double(steps), float(num), float(den))

    def _scaled(self, value: str, num: float, den: float) -> str:
        """Scale what was a whole number."""
        if num != 1.0:
            value = self._math("fmul", value, double(num))
        return self._over(value, den)

    def _over(self, value: str, den: float) -> str:
        """Divide what was a whole number: never below zero's sign, small or without end."""
        parts = reciprocal(den)
        if parts is None or not has_fma():
            return self._math("fdiv", value, double(den))
        high, low = map(double, parts)
        rest, name = self._math("fmul", value, low), self._name()
        self._line(
            f"{name} = call double @llvm.fma.f64(double {value}, double {high}, double {rest})"
        )
        return name

    def _money(self, minor: str) -> str:
        return self._over(minor, float(10**self.account.currency_digits))

    def _unless_zero(self, word: str, value: str) -> str:
        known, name = self._name(), self._name()
        self._line(f"{known} = icmp ne i64 {word}, 0")
        self._line(f"{name} = select i1 {known}, double {value}, double {NAN}")
        return name

    def _ask(self, what: int, argument: str) -> str:
        name = self._name()
        self._line(f"{name} = call i64 @{names.COLD}(i64 {what}, ptr %m, ptr %out, i64 {argument})")
        return name

    def _call2(self, function: str, first: str, second: str) -> str:
        name = self._name()
        self._line(f"{name} = call i64 @{function}(i64 {first}, i64 {second})")
        return name

    def _math(self, op: str, first: str, second: str) -> str:
        name = self._name()
        self._line(f"{name} = {op} double {first}, {second}")
        return name

    def _to_double(self, word: str) -> str:
        name = self._name()
        self._line(f"{name} = sitofp i64 {word} to double")
        return name

    def _symbol_word(self, s: int, word: int) -> int:
        place: int = self.block[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS + word
        return place

    def _load(self, word: int) -> str:
        where, name = self._name(), self._name()
        self._line(f"{where} = getelementptr inbounds i64, ptr %m, i64 {word}")
        self._line(f"{name} = load i64, ptr {where}")
        return name

    def _out(self, word: int) -> str:
        name = self._name()
        self._line(f"{name} = getelementptr inbounds i64, ptr %out, i64 {word}")
        return name

    def _name(self) -> str:
        self.fresh += 1
        return f"%v{self.fresh}"

    def _line(self, line: str) -> None:
        self.lines.append(f"  {line}")
