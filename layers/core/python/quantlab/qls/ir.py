"""The checked IR: what a strategy is once compiled, and what each operation does.

A `Program` has one block of state (8-byte words, all fixed at compile time), a table of what it
reads from its host, and a `Handler` for each event. A handler is a list of `Ins`. The oracle
(`interpreter.py`) and the native compiler carry out the same instructions in the same order.

Registers are numbered from 0 in each handler and assigned once, before any use (a loop assigns its
own again each turn). `Handler.types[r]` is "f" (IEEE double), "i" (64-bit two's complement) or "b".
Registers of `consts` and `reads` hold their value from the start of the handler.

Operations, `out = op(args)`; a and b are the arguments:

  fadd fsub fmul          IEEE double, round to nearest even; never fused or reordered
  fdiv                    na where b is 0 (either sign), else a / b
  fneg fabs               sign bit flipped, cleared
  fsqrt                   correctly rounded; na where a < 0; -0 stays -0
  ffloor                  largest integral double <= a; na, inf and -0 stay
  fmin fmax               na if either is na; else a < b ? a : b, and a > b ? a : b
  flt fle fgt fge feq fne b; all false where either side is na, fne too
  fisna                   b; true where a is na (any NaN)
  iadd isub imul          trap `int_overflow` where the exact result leaves 64 bits
  wadd wsub wmul          wrap modulo 2**64 (ring indexes and other code that is proved)
  idiv imod               floor division and its remainder (sign of b); trap `division_by_zero`
                          where b is 0, `int_overflow` for -2**63 idiv -1 (imod gives 0)
  ilt ile igt ige ieq ine b, signed
  band bor bxor bnot      b
  select                  args (c, x, y): c ? x : y; both are computed before
  i2f                     nearest double, ties to even
  f2i                     toward zero; na gives 0; beyond 64 bits the nearest end (saturates)
  b2i                     1 or 0
  pow2                    exact 2.0**n for n clamped to -1022..1023
  exponent                i; the biased exponent bits of a less 1023: floor(log2|a|) of a normal
                          number, -1023 for 0 and subnormals, 1024 for inf and na
  load                    the state word `imm`; store writes args[0] to it; both by the type of
                          the register, b as 0 or 1
  rget                    imm (base, capacity), args (index,): the word base + index; an index
                          outside 0..capacity-1 (signed) reads and writes word base
  rput                    imm (base, capacity), args (index, value)
  hpush                   imm (head, base, capacity), args (value,): a history, capacity a power
                          of two. Word head becomes (head + 1) mod capacity; the value goes to
                          base + it
  hget                    args (k,): the value of k pushes before the last; base + ((head - k) mod
                          capacity). k outside 0..capacity-1 gives na, 0 or false
  lget lset               the mutable local `imm` of the handler, of type `Handler.slots[imm]`;
                          zero (0.0, 0, false) at the start of the handler
  if                      args (c,); imm (then, otherwise), two tuples of Ins; `then` where c,
                          otherwise the other
  loop                    args (low, high); out is the loop's register; imm is a `Loop`. Turns
                          low, low+1, ..., high (none where low > high), at most `turns_max`:
                          further turns trap `loop_limit`. Each turn first charges `Loop.cost` of
                          fuel.
  order                   imm an `OrderSpec`, args in the order of ORDER_ARGS; out is the order's
                          id, the strategy's running number from 1. Traps `order_limit` at the
                          17th of an event.
  output                  imm an `OutputSpec`, args f or i or b. Traps `output_limit` at the 65th.

A NaN may have any sign and payload in a register; no operation shows them. Whoever writes a
double out (state image, order, output, hash) writes NaN as 0x7ff8000000000000 (`bits_of`).

A handler charges `Handler.entry_cost` of fuel when it starts and each turn of a loop charges
its own. Fuel below 0 traps `fuel`. `Handler.cost` is the most one event can charge, known at
compile time. An `if` charges for the longer of its sides, whichever is taken. After a trap the
strategy has stopped: the state is as the trapping instruction found it, and orders and outputs
of that event are dropped.
"""

import struct
from typing import Any, Final, NamedTuple

from quantlab.kernel.records import dataclass

CANONICAL_NAN_BITS: Final = 0x7FF8000000000000

ORDER_VERBS: Final = ("place", "cancel", "cancel_all", "close", "flatten", "reverse", "modify")
ORDER_TYPES: Final = (
    "market", "limit", "stop", "stop_limit", "trailing_stop", "market_if_touched",
    "limit_if_touched",
)  # fmt: skip
TIMES: Final = ("default", "gtc", "day", "gtd", "ioc", "fok")
SIZE_UNITS: Final = ("lots", "risk_percent", "equity_percent")
ORDER_ARGS: Final = (
    "side", "order", "parent", "expire_ns",
    "quantity", "price", "trigger", "trail", "stop_loss", "take_profit",
)  # fmt: skip
"""The arguments of `order`: side, order, parent, expire_ns are i, the rest f; na says "not given"
for f, 0 for i."""

REDUCE_ONLY: Final = 1
POST_ONLY: Final = 2
TRAIL_PERCENT: Final = 4
EXIT_TRAIL: Final = 8
"""`trail` is the distance of a bracket's trailing exit, not of the order itself."""
OUO_GROUP: Final = 16
"""What fills makes the others of the group smaller by as much (OUO), rather than cancel them."""

ORDER_WORDS: Final = 18
"""Words of a command in the native buffer: verb, symbol, type, time, size unit, flags, group, tag
(from the OrderSpec, each an index or 0), then ORDER_ARGS."""


class Ins(NamedTuple):
    """One instruction; `out` is -1 where it has no result."""

    op: str
    out: int
    args: tuple[int, ...]
    imm: Any = None


class Loop(NamedTuple):
    """A loop's body; cost is the fuel of one turn."""

    body: tuple[Ins, ...]
    turns_max: int
    cost: int


class OrderSpec(NamedTuple):
    """What of an order is known at compile time; all are numbers.

    verb, order_type, time and size_unit index ORDER_VERBS, ORDER_TYPES, TIMES and SIZE_UNITS;
    symbol indexes Program.symbols; flags are a sum of REDUCE_ONLY, POST_ONLY, TRAIL_PERCENT,
    EXIT_TRAIL, OUO_GROUP; orders of one event with the same group above 0 cancel each other (OCO),
    or make each other smaller (OUO_GROUP); tag is an index into Program.strings, -1 for none.

    `modify` changes the order whose id is the argument order: those of quantity (lots), price,
    trigger, trail and expire_ns that are given; stop_loss is the new trigger of its bracket's stop,
    take_profit the new price of its target. Each of the three is changed whole or not at all.
    """

    verb: int
    symbol: int
    order_type: int
    time: int
    size_unit: int
    flags: int
    group: int
    tag: int


class OutputSpec(NamedTuple):
    """A plot, marker, alert or log line; text indexes Program.strings, {} takes an argument."""

    kind: str
    text: int


class Read(NamedTuple):
    """One value the host gives at the start of each event that asks for it.

    scope and field name it (`names.py` has them all with units), type is "f" or "i". symbol indexes
    Program.symbols. A read of scope "bar" is of the last closed bar of `stream`, which indexes
    Program.streams, -1 for none. rule is the slug of a floor. What is not known is na, 0 for "i".
    """

    scope: str
    field: str
    type: str
    symbol: int = 0
    stream: int = -1
    rule: str = ""


class Stream(NamedTuple):
    """Bars of a symbol, which indexes Program.symbols, and their length in nanoseconds."""

    symbol: int
    period_ns: int


class Fill(NamedTuple):
    """Words from start that do not begin as zero bits; type says how the value is written."""

    start: int
    words: int
    type: str
    value: float


class Input(NamedTuple):
    """An input. Its value is state word `word`: a choice as an index of its options, a bool 0 or 1.

    kind is int, float, bool, choice or string; a string has word -1: it is fixed when compiled.
    """

    name: str
    kind: str
    default: Any
    low: float | None
    high: float | None
    step: float | None
    options: tuple[str, ...]
    label: str
    unit: str
    word: int


@dataclass(frozen=True, slots=True)
class Handler:
    """What runs on one event.

    kind is start, stop, tick, bar, fill or timer. symbol is that of a tick or fill (-1: any),
    stream that of a bar, period_ns a timer's period, daily_ns its time of day since midnight in the
    strategy's zone. Handlers of one event run in their order in Program.handlers. cost is the most
    fuel an event can take, entry_cost what it takes outside loops.
    """

    kind: str
    symbol: int
    stream: int
    period_ns: int
    daily_ns: int
    types: str
    consts: tuple[tuple[int, Any], ...]
    reads: tuple[tuple[int, int], ...]
    slots: str
    body: tuple[Ins, ...]
    entry_cost: int
    cost: int
    line: int


@dataclass(frozen=True, slots=True)
class Program:
    """A checked strategy.

    reads are asked of the host by index; fills make the first state from zeros, then the host
    writes its inputs. symbols[0] is "", the symbol the strategy is put on. indicators are the
    library functions it calls, by name. order_sites says how often `order` occurs.
    """

    name: str
    zone: str
    source_hash: str
    inputs: tuple[Input, ...]
    symbols: tuple[str, ...]
    streams: tuple[Stream, ...]
    reads: tuple[Read, ...]
    strings: tuple[str, ...]
    handlers: tuple[Handler, ...]
    state_words: int
    fills: tuple[Fill, ...]
    indicators: tuple[str, ...]
    instructions: int

    @property
    def cost(self) -> int:
        """Return the most fuel any one handler can take."""
        return max((handler.cost for handler in self.handlers), default=0)


def bits_of(value: float) -> int:
    """Return the bits of a double as an unsigned number, every NaN as the canonical one."""
    if value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return CANONICAL_NAN_BITS
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return bits
