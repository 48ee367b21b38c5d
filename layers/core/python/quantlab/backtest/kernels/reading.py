"""One order of a strategy, read into integers: its terms, its size, its exits, or why not."""

import math
from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import (
    is_armed,
    is_marketable,
    is_reached,
    no_limit,
    trail,
    trigger_of,
)
from quantlab.backtest.kernels.fills import reducible
from quantlab.backtest.kernels.judge import blank
from quantlab.backtest.kernels.legs import position_of
from quantlab.backtest.kernels.quotes import converted, is_fresh, may_convert, rate_of
from quantlab.backtest.kernels.worth import equity_now, is_known
from quantlab.backtest.words import double_of
from quantlab.engine.fill_models import expected_ticks
from quantlab.kernel.arith import muldiv
from quantlab.ledger.fees import risk_steps

# Words of a command after its first, as `quantlab.qls.ir` lays them out.
(VERB, SYMBOL, TYPE, TIME, UNIT, FLAGS, GROUP, TAG, SIDE, ORDER, PARENT, EXPIRE, QUANTITY, PRICE,
 TRIGGER, TRAIL, STOP_LOSS, TAKE_PROFIT, COMMAND_WORDS) = range(19)  # fmt: skip
REDUCE_ONLY = 1
POST_ONLY = 2
TRAIL_PERCENT = 4
EXIT_TRAIL = 8
OUO_GROUP = 16

_TICKS_MAX = float(1 << 53)
_PPM_PER_PERCENT = 10_000.0
_RISK_PPM_MAX = 1_000_000
_EQUITY_PPM_MAX = 1_000_000_000  # both as the commands of live trading
_OFF = 1e-6
NO_TICKS = at.NO_TICKS


def given(out: Any, word: int) -> bool:
    """Say whether a number was given: na says that it was not."""
    value = double_of(out[word])
    return value == value  # noqa: PLR0124 - NaN is what differs from itself


def ticks_of(m: Any, w: int, value: float) -> int:
    """Return a price as its nearest tick; NO_TICKS where that is not a number in range."""
    exact = value * double_of(m[w + at.PRICE_DIV]) / double_of(m[w + at.PRICE_MUL])
    if not abs(exact) < _TICKS_MAX:
        return NO_TICKS
    return math.floor(exact + 0.5)


def nearest(value: float) -> int:
    """Return the nearest whole number; 0 where it is no number in range."""
    if not abs(value) < _TICKS_MAX:
        return 0
    return math.floor(value + 0.5)


def read_terms(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read an order's kind, prices and time; return NO_REASON or why not."""
    kind, time = out[r + TYPE], out[r + TIME]
    if time == at.DEFAULT:
        time = at.IOC if kind == at.MARKET else at.GTC
    m[o + at.TYPE] = kind
    m[o + at.TIME] = time
    m[o + at.SIDE] = out[r + SIDE]
    m[o + at.REDUCE] = out[r + FLAGS] & REDUCE_ONLY
    m[o + at.POST] = out[r + FLAGS] & POST_ONLY
    m[o + at.TAG] = out[r + TAG]
    m[o + at.LIMIT] = no_limit(out[r + SIDE])
    if m[w + at.LATENCY] > 0:
        m[o + at.ACTIVE] = m[at.NOW] + m[w + at.LATENCY]
    if time == at.DAY_TIME:
        m[o + at.EXPIRES] = m[at.DAY_RESET]
    elif time == at.GTD:
        if out[r + EXPIRE] <= m[at.NOW]:
            return at.EXPIRED_ALREADY
        m[o + at.EXPIRES] = out[r + EXPIRE]
    return read_prices(m, out, r, w, o)


def read_prices(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read an order's limit, trigger and trail."""
    kind = m[o + at.TYPE]
    if kind in (at.LIMIT_TYPE, at.STOP_LIMIT, at.TOUCH_LIMIT):
        m[o + at.LIMIT] = ticks_of(m, w, double_of(out[r + PRICE]))
        if m[o + at.LIMIT] <= 0:
            return at.PRICE_OFF_TICK
    if kind >= at.STOP and kind != at.TRAILING:
        m[o + at.TRIGGER] = ticks_of(m, w, double_of(out[r + TRIGGER]))
        if m[o + at.TRIGGER] <= 0:
            return at.PRICE_OFF_TICK
    if kind == at.TRAILING:
        return read_trail(m, out, r, w, o)
    return at.NO_REASON


def read_trail(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read how far a trailing stop follows: in price, or in percent."""
    distance = double_of(out[r + TRAIL])
    if out[r + FLAGS] & TRAIL_PERCENT != 0:
        m[o + at.TRAIL_PPM] = nearest(distance * _PPM_PER_PERCENT)
    else:
        m[o + at.TRAIL] = ticks_of(m, w, distance)
    if m[o + at.TRAIL] <= 0 and m[o + at.TRAIL_PPM] <= 0:
        return at.PRICE_OFF_TICK
    return at.NO_REASON


def entry_ticks(m: Any, w: int, o: int) -> int:
    """Return the price an order would enter at; NO_TICKS where nothing says so."""
    kind, side = m[o + at.TYPE], m[o + at.SIDE]
    own = NO_TICKS
    if kind in (at.LIMIT_TYPE, at.STOP_LIMIT, at.TOUCH_LIMIT):
        own = m[o + at.LIMIT]
    elif kind != at.MARKET and (kind != at.TRAILING or m[o + at.TRAILS] != 0):
        own = trigger_of(m, o)
    if own != NO_TICKS and kind != at.LIMIT_TYPE:
        return own
    if not is_fresh(m, w, m[at.NOW]):
        return own
    price = expected_ticks(m[w + at.SLIPPAGE], m[w + at.AMOUNT], m[w + at.BID], m[w + at.ASK], side)
    if own == NO_TICKS or side * (price - own) < 0:
        return price
    return own


def misplaced(m: Any, w: int, o: int) -> int:
    """Say why an order may not stand where it does."""
    if not is_fresh(m, w, m[at.NOW]):
        if m[o + at.TYPE] == at.MARKET or m[o + at.POST] != 0:
            return at.NO_QUOTE
        return at.NO_REASON
    if is_armed(m, o) and is_reached(m, w, o):
        return at.TRIGGER_REACHED
    if m[o + at.POST] != 0 and is_marketable(m, w, o):
        return at.WOULD_TRADE
    return at.NO_REASON


def size_of(m: Any, out: Any, r: int, w: int, entry: int) -> int:
    """Return the steps of an order, or a reason as a number below zero."""
    quantity = double_of(out[r + QUANTITY])
    if out[r + UNIT] == 0:
        exact = quantity * double_of(m[w + at.STEP_DIV]) / double_of(m[w + at.STEP_MUL])
        steps = nearest(exact)
        if not abs(exact - steps) <= _OFF * max(1.0, abs(exact)):
            return -at.QUANTITY_OFF_STEP
        return max(steps, 0)  # below zero it would be taken for a reason
    if entry == NO_TICKS:
        return -at.NO_QUOTE
    if not may_convert(m, w, m[at.NOW]):
        return -at.NO_CONVERSION
    ppm = nearest(quantity * _PPM_PER_PERCENT)
    if out[r + UNIT] == 1:
        return size_of_risk(m, out, r, w, entry, ppm)
    return size_of_equity(m, w, entry, ppm)


def size_of_equity(m: Any, w: int, entry: int, ppm: int) -> int:
    """Return the steps whose value is a share of the equity."""
    if not is_known(m, m[at.NOW]):
        return -at.NO_QUOTE
    if ppm > _EQUITY_PPM_MAX:
        return -at.QUANTITY_TOO_LARGE
    value = converted(m, w, muldiv(entry, m[w + at.UNIT_NUM], m[w + at.UNIT_DEN]))
    return max(equity_now(m) * ppm, 0) // max(value, 1)


def size_of_risk(m: Any, out: Any, r: int, w: int, entry: int, ppm: int) -> int:
    """Return the steps that lose a share of the balance at the stop."""
    if not given(out, r + STOP_LOSS):
        return -at.INVALID_STOP_LOSS
    stop = ticks_of(m, w, double_of(out[r + STOP_LOSS]))
    if (entry - stop) * out[r + SIDE] <= 0:
        return -at.INVALID_STOP_LOSS
    if ppm > _RISK_PPM_MAX:
        return -at.QUANTITY_TOO_LARGE
    rate_num, rate_den = rate_of(m, w, -1)
    return risk_steps(
        m[at.BALANCE] * ppm,
        abs(entry - stop),
        entry,
        m[w + at.UNIT_NUM],
        m[w + at.UNIT_DEN],
        m[w + at.FEE_NUM],
        m[w + at.FEE_DEN],
        m[w + at.FEE_PPM],
        rate_num,
        rate_den,
    )


def within(m: Any, w: int, steps: int) -> int:
    """Return NO_REASON for a size the instrument takes."""
    if steps < 0:
        return -steps
    if steps < m[w + at.MIN_STEPS]:
        return at.QUANTITY_TOO_SMALL
    if steps > m[w + at.MAX_STEPS]:
        return at.QUANTITY_TOO_LARGE
    return at.NO_REASON


def read_order(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read an order that is to work at once; return NO_REASON or why it may not."""
    reason = read_terms(m, out, r, w, o)
    if reason != at.NO_REASON:
        return reason
    if m[o + at.TYPE] != at.MARKET:
        m[o + at.SINCE] = m[w + at.QUOTE_SEQ]
        if is_fresh(m, w, m[at.NOW]):
            trail(m, w, o)
    reason = misplaced(m, w, o)
    if reason != at.NO_REASON:
        return reason
    steps = size_of(m, out, r, w, entry_ticks(m, w, o))
    reason = within(m, w, steps)
    if reason == at.NO_REASON:
        reason = without_position(m, w, o)
    m[o + at.STEPS] = steps
    return reason


def without_position(m: Any, w: int, o: int) -> int:
    """Say why an order has no position that it may reduce, or may open: see `engine.legs`."""
    if m[at.LEGS_AT] != 0 and m[o + at.REDUCE] != 0 and m[o + at.TICKET] == 0:
        return at.TICKET_NEEDED
    p = position_of(m, w, o)
    if m[o + at.REDUCE] != 0 and reducible(m, p, m[o + at.SIDE]) == 0:
        return at.WOULD_NOT_REDUCE
    if m[at.LEGS] >= at.POSITIONS_MAX and m[o + at.REDUCE] == 0:
        return at.TOO_MANY_POSITIONS
    return at.NO_REASON


def read_child(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read an order that waits for its parent; its size will be what the parent has filled."""
    reason = read_terms(m, out, r, w, o)
    m[o + at.STATE] = at.PENDING_PARENT
    return reason


def exit_of(m: Any, parent: int, k: int, kind: int) -> int:
    """Return a new exit of an order: it waits for it, and only reduces."""
    o = blank(m, k)
    side = -m[parent + at.SIDE]
    m[o + at.TYPE] = kind
    m[o + at.SIDE] = side
    m[o + at.STATE] = at.PENDING_PARENT
    m[o + at.TIME] = at.GTC
    m[o + at.REDUCE] = 1
    m[o + at.LIMIT] = no_limit(side)
    m[o + at.ACTIVE] = m[parent + at.ACTIVE]
    m[o + at.TAG] = m[parent + at.TAG]
    return o


def read_stop(m: Any, out: Any, r: int, w: int, parent: int, k: int, entry: int) -> int:
    """Read a bracket's stop, fixed or trailing, into slot k; it lies on the losing side."""
    if out[r + FLAGS] & EXIT_TRAIL != 0:
        return read_trail(m, out, r, w, exit_of(m, parent, k, at.TRAILING))
    o = exit_of(m, parent, k, at.STOP)
    m[o + at.TRIGGER] = ticks_of(m, w, double_of(out[r + STOP_LOSS]))
    if entry == NO_TICKS:
        return at.NO_QUOTE
    if m[o + at.TRIGGER] <= 0 or (entry - m[o + at.TRIGGER]) * m[parent + at.SIDE] <= 0:
        return at.INVALID_STOP_LOSS
    return at.NO_REASON


def read_target(m: Any, out: Any, r: int, w: int, parent: int, k: int, entry: int) -> int:
    """Read a bracket's limit into slot k; it lies on the winning side."""
    o = exit_of(m, parent, k, at.LIMIT_TYPE)
    m[o + at.LIMIT] = ticks_of(m, w, double_of(out[r + TAKE_PROFIT]))
    if entry == NO_TICKS:
        return at.NO_QUOTE
    if m[o + at.LIMIT] <= 0 or (entry - m[o + at.LIMIT]) * m[parent + at.SIDE] >= 0:
        return at.INVALID_TAKE_PROFIT
    return at.NO_REASON
