"""The side of a backtest of a history: its kernels as plain Python, and what their block says."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.block import new_block
from quantlab.backtest.conditions import judged_rules
from quantlab.backtest.kernels.legs import leg_at
from quantlab.backtest.kernels.reading import COMMAND_WORDS
from quantlab.backtest.plain import PlainBlock, run_plain
from quantlab.backtest.span import Span
from quantlab.backtest.words import word_of
from quantlab.market.instrument import Instrument
from quantlab.qls import ir
from tests.support.histories import Asked, History

NAN = float("nan")


class Script:
    """Hands the commands over as a strategy would."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.ticks = 0
        self.placed = 0
        self.symbols = sorted(history.symbols)

    def __call__(self, out: list[int], event: int, _index: int) -> int:
        if event != -1:
            return 0
        now, self.ticks = self.ticks, self.ticks + 1
        count = 0
        for one in self.history.asked:
            if one.after == now:
                count = self._write(out, count, one)
        out[at.OUT_ORDERS], out[at.OUT_PLACED] = count, self.placed
        return count

    def _write(self, out: list[int], count: int, one: Asked) -> int:
        group = count + 1 if one.oco else 0
        self._record(out, count, one, group, 0, ouo=one.ouo)
        parent = self.placed
        count += 1
        for leg in one.oco:
            self._record(out, count, leg, group, 0, ouo=one.ouo)
            count += 1
        for child in one.children:
            self._record(out, count, child, 0, parent)
            count += 1
        return count

    def _record(
        self,
        out: list[int],
        count: int,
        one: Asked,
        group: int,
        parent: int,
        *,
        ouo: bool = False,
    ) -> None:
        self.placed += 1
        instrument = self.history.catalog.instruments[one.symbol]
        stop, trail, target = one.exits
        flags = ir.REDUCE_ONLY * one.reduce + ir.POST_ONLY * one.post
        flags += ir.EXIT_TRAIL * (trail is not None) + ir.OUO_GROUP * ouo

        def price(ticks: int | None) -> int:
            return word_of(NAN if ticks is None else float(Decimal(ticks) * instrument.tick))

        verb = "place" if one.verb == "place" else one.verb
        has_size = verb == "place" or (verb == "modify" and one.steps > 0)
        words = [
            ir.ORDER_VERBS.index(verb),
            self.symbols.index(one.symbol),
            ir.ORDER_TYPES.index(one.kind),
            ir.TIMES.index(one.time),
            ir.SIZE_UNITS.index("equity_percent" if one.equity_ppm else "lots"),
            flags,
            group,
            -1,
            one.side,
            one.order,
            parent,
            0,
            word_of(_quantity(one, instrument) if has_size else NAN),
            price(one.limit),
            price(one.trigger),
            price(one.trail if trail is None else trail),
            price(stop),
            price(target),
        ]
        assert len(words) == COMMAND_WORDS == ir.ORDER_WORDS
        begin = at.OUT_FIRST + count * COMMAND_WORDS
        out[begin : begin + COMMAND_WORDS] = words


def _quantity(one: Asked, instrument: Instrument) -> float:
    share = one.equity_ppm / 10_000
    return share or float(one.steps * instrument.size_step)


def block_of(history: History) -> Any:
    """Return the first block of a history; symbols of a script are the account's, by number."""
    span = Span(history.ticks[0].ts_ns, history.ticks[-1].ts_ns)
    words = new_block(history.account(), None, span)
    count = len(history.symbols)
    words[at.MAP_AT] = len(words)
    return np.concatenate((words, np.arange(count)))


def quote_words(history: History) -> list[int]:
    """Write the ticks as the loop takes them."""
    places = {symbol: s for s, symbol in enumerate(sorted(history.symbols))}
    words: list[int] = []
    for tick in history.ticks:
        words += [
            tick.ts_ns,
            tick.bid_ticks,
            tick.ask_ticks,
            tick.bid_size_steps,
            tick.ask_size_steps,
            places[tick.symbol],
        ]
    return words


def plain(history: History) -> PlainBlock:
    """Run a history through the kernels as plain Python."""
    block = PlainBlock(block_of(history), Script(history))
    out = [0] * (at.OUT_FIRST + 64 * COMMAND_WORDS)
    run_plain(block, out, quote_words(history), len(history.ticks))
    return block


def fills_of(m: Sequence[int], history: History) -> list[tuple[Any, ...]]:
    """Return what the log says of each fill."""
    symbols = sorted(history.symbols)
    found = []
    for k in range(m[at.FILLS]):
        f = m[at.FILLS_AT] + k * at.FILL_WORDS
        word = [int(m[f + j]) for j in range(at.FILL_WORDS)]
        found.append(
            (
                word[at.F_SEQ],
                symbols[word[at.F_SYMBOL]],
                word[at.F_SIDE],
                word[at.F_STEPS],
                word[at.F_TICKS],
                word[at.F_SLIPPAGE],
                word[at.F_PROFIT],
                word[at.F_FEE],
                word[at.F_BALANCE],
                word[at.F_CARRY],
            )
        )
    return found


def ended(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out the day of an account that a rule has ended: a backtest is over then."""
    if state["status"] == "disabled" and not state["positions"]:
        return {**state, "day": None, "realised": None, "mark": None}
    return state


def state_of(m: Sequence[int], history: History) -> dict[str, Any]:
    """Return the account of a block in the words of the live one."""
    positions = {}
    working = 0
    for s, symbol in enumerate(sorted(history.symbols)):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        working += sum(
            m[m[w + at.ORDERS_AT] + k * at.ORDER_WORDS + at.STATE] != at.GONE
            for k in range(m[w + at.ORDERS])
        )
        if m[w + at.SIZE] and not history.trading.hedging:
            positions[symbol] = (int(m[w + at.SIZE]), int(m[w + at.COST]))
        for number, p in enumerate(leg_at(m, k) for k in range(m[at.LEGS])):
            if m[p + at.LEG_OF] == w:
                positions[f"{symbol} {number}"] = (int(m[p + at.SIZE]), int(m[p + at.COST]))
    return {
        "status": ("active", "locked", "disabled")[m[at.STATUS]],
        "balance": int(m[at.BALANCE]),
        "carry": int(m[at.CARRY]),
        "mark": int(m[at.MARK]),
        "positions": positions,
        "working": int(working),
        "day": (int(m[at.DAY_START]), int(m[at.START_BALANCE]), int(m[at.START_EQUITY])),
        "realised": int(m[at.REALISED]),
    }


def broken(m: Sequence[int], history: History) -> Counter[str]:
    """Return how often each rule was broken that needs no equity; warnings are left out."""
    found: Counter[str] = Counter()
    for k, rule in enumerate(judged_rules(history.account())):
        count = m[m[at.TERMS_AT] + k * at.TERM_WORDS + at.TERM_BROKEN]
        if count and rule.severity != "warn":
            found[rule.rule_id] = count
    return found
