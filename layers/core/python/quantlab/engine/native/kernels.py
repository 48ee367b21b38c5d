"""Loops over arrays around the scalar functions of the ledger and the rules, to be compiled.

They are plain Python here: `compile` names to numba what they call.

Amounts are 64-bit. What could leave them is found by the limits of the scalars and handed back
as `beyond`: the interpreter judges it. Kernels hold no rule; what a floor is, the scalars say.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from quantlab.kernel import arith
from quantlab.ledger import scalars as ledger
from quantlab.rules import scalars as rules

Array = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

NEVER: Final = arith.LIMIT
ALWAYS: Final = -arith.LIMIT

_muldiv = arith.muldiv
_closing_ticks = ledger.closing_ticks
_open_gain = ledger.open_gain
_in_currency = ledger.in_currency
_equity_of_open = ledger.equity_of_open
_floor_of = rules.floor_of
_next_mark = rules.next_mark
_is_under = rules.is_under
_breach_below = rules.breach_below
_price_limit_ticks = ledger.price_limit_ticks

# Why a holder is handed on; they add up.
TOUCHED: Final = 1
LEVEL: Final = 2

# What became of an account at a checkpoint.
JUDGED: Final = 0
UNKNOWN: Final = 1
BEYOND: Final = 2
DAY_OVER: Final = 3

_UNSURE = 2.0**-50
_MICRO = arith.MICRO
_HALF = arith.MICRO // 2
_AMOUNT_LIMIT = rules.AMOUNT_MINOR_LIMIT
_LIMIT = arith.LIMIT
_OPEN_LIMIT = ledger.OPEN_MICRO_LIMIT
_EQUITY_BASIS = rules.BASIS_EQUITY


def ratios_of(rates: Array) -> Reals:
    """Return each rate's gain and loss as doubles; rates has rows as `revalue` takes them."""
    ratios = np.zeros((len(rates), 2), np.float64)
    for i in range(len(rates)):
        for side in range(2):
            ratios[i, side] = rates[i, 2 * side] / rates[i, 2 * side + 1]
    return ratios


def converted(gain: int, rate: int, rates: Array, ratios: Reals) -> int:
    """Return what ledger.in_currency returns, mostly without a division or a branch to foresee.

    The double is off by five roundings of at most 2^-53: one that lies further than that from a
    half is rounded as the exact amount is. From 2^49 on none does.
    """
    side = int(gain < 0)
    about = gain * ratios[rate, side]
    whole = np.rint(about)
    if abs(abs(about - whole) - 0.5) > abs(about) * _UNSURE:
        return int(whole)
    return _muldiv(gain, rates[rate, 2 * side], rates[rate, 2 * side + 1])


def revalue(
    count: int, holder: Array, sizes: Array, costs: Array, values: Array, lows: Array, highs: Array,
    limits: Array, rate_of: Array, rates: Array, bid: int, ask: int, unit_num: int, unit_den: int,
    touching: bool, opens: Array, floors: Array, peaks: Array, hits: Array, reasons: Array,
) -> int:  # fmt: skip
    """Move one symbol's positions to a new quote; return how many holders need a closer look.

    opens is the value of each holder's positions; under floors or from peaks on it is looked at,
    as is a price at or beyond lows and highs; no high is above the holder's price limit. rates has
    a row (gain num, den, loss num, den, most) for each pair of currencies; most is below 0 while
    the rate is unknown, and the value is left alone.
    """
    ratios = ratios_of(rates)
    found = 0
    for i in range(count):
        holds = holder[i]
        touched = touching and (bid <= lows[i] or ask >= highs[i])
        near = False
        size = sizes[i]
        if size != 0:
            price = _closing_ticks(size, bid, ask)
            rate = rate_of[i]
            gain = 0
            if not touched or price <= limits[i]:
                gain = _open_gain(size, costs[i], price, unit_num, unit_den)
            else:
                floors[holds] = NEVER
            if abs(gain) <= rates[rate, 4]:
                value = gain
                if rate != 0:
                    value = converted(gain, rate, rates, ratios)
                opens[holds] += value - values[i]
                values[i] = value
            elif rates[rate, 4] >= 0:
                floors[holds] = NEVER
            near = opens[holds] < floors[holds] or opens[holds] >= peaks[holds]
        if touched or near:
            hits[found] = holds
            reasons[found] = TOUCHED * touched + LEVEL * near
            found += 1
    return found


def levels(
    balance: int,
    carry: int,
    mark: int,
    basis: int,
    below: int,
) -> tuple[int, int]:
    """Return (floor, peak): opens from floor on cannot be under below, under peak raise no mark.

    Half a minor unit is as much as rounding adds; what is nearer is judged exactly.
    """
    floor = ALWAYS if below == ALWAYS else (below - balance) * _MICRO + _HALF - carry
    peak = NEVER
    if basis == _EQUITY_BASIS:
        peak = (mark - balance) * _MICRO + _HALF - carry
    return floor, peak


def trailing_below(
    fixed: int,
    initial: int,
    balance: int,
    mark: int,
    terms: Array,
    first: int,
    last: int,
) -> int:
    """Return the equity under which a rule breaks: of fixed floors and those that trail the mark.

    terms has a row (kind, code, keep_ppm, loss_micro, comparator, lock_minor, least_minor) a rule.
    """
    below = fixed
    for j in range(first, last):
        floor = _floor_of(
            terms[j, 0], terms[j, 1], terms[j, 2], terms[j, 3], terms[j, 4], terms[j, 5],
            terms[j, 6], initial, balance, balance, balance, 0, mark,
        )  # fmt: skip
        below = max(below, _breach_below(terms[j, 4], floor))
    return below


def settle(
    count: int, hits: Array, reasons: Array, own: int, seq: int, feed_now: int, now: int,
    money: Array, marks: Array, opens: Array, floors: Array, peaks: Array, resets: Array,
    symbols_of: Array, terms: Array, market: Array,
) -> int:  # fmt: skip
    """Look exactly at holders that revalue found; return how many are left for the interpreter.

    money has rows (balance, carry, initial, basis, fixed below, first term, last term), marks rows
    (mark, seq), market rows (ts_ns, max_age_ns, suspended,
    closed). A new peak is kept here; a breach, a
    price that was touched and a holder beyond the limits are left. Who does not hear of the symbol
    own, whose quote it is, waits for a quote of those it hears of.
    """
    left = 0
    for i in range(count):
        a = hits[i]
        reason = reasons[i]
        if floors[a] == NEVER:
            hits[left] = a
            left += 1
            continue
        if reason & LEVEL:
            if now < resets[a] and known(symbols_of[a], own, market, feed_now):
                balance, carry = money[a, 0], money[a, 1]
                equity = _equity_of_open(balance, carry, opens[a])
                if money[a, 3] == _EQUITY_BASIS and equity > marks[a, 0]:
                    marks[a, 0] = _next_mark(_EQUITY_BASIS, marks[a, 0], balance, equity, False)
                    marks[a, 1] = seq
                below = trailing_below(
                    money[a, 4], money[a, 2], balance, marks[a, 0], terms, money[a, 5], money[a, 6]
                )
                floors[a], peaks[a] = levels(balance, carry, marks[a, 0], money[a, 3], below)
                if equity >= below:
                    reason &= ~LEVEL
            else:
                reason &= ~LEVEL
        if reason:
            hits[left] = a
            left += 1
    return left


def known(symbols: Array, own: int, market: Array, feed_now: int) -> bool:
    """Say whether a holder hears of a symbol, and every quote it hears of may be used.

    That is one of an open market, neither suspended nor old.
    """
    heard = False
    for k in range(symbols[0]):
        s = symbols[k + 1]
        if market[s, 2] != 0 or market[s, 3] != 0 or feed_now - market[s, 0] > market[s, 1]:
            return False
        heard = heard or s == own
    return heard


def value_positions(
    accounts: Array,
    symbols: Array,
    sizes: Array,
    costs: Array,
    currency_of: Array,
    quotes: Array,
    rate_of: Array,
    rates: Array,
    opens: Array,
    states: Array,
) -> None:
    """Add the values of positions, in any order, to their accounts' opens; note what is unknown.

    quotes has rows (bid, ask, usable, unit_num, unit_den) by symbol; rate_of[symbol, currency] is
    the row of rates as `revalue` takes them.
    """
    for i in range(len(accounts)):
        a = accounts[i]
        s = symbols[i]
        rate = rate_of[s, currency_of[a]]
        most = rates[rate, 4]
        if quotes[s, 2] == 0 or most < 0:
            states[a] = max(states[a], UNKNOWN)
            continue
        size, cost = sizes[i], costs[i]
        price = _closing_ticks(size, quotes[s, 0], quotes[s, 1])
        if not -_LIMIT < size < _LIMIT or not -_LIMIT < cost < _LIMIT:
            states[a] = max(states[a], BEYOND)
            continue
        if price > _price_limit_ticks(size, cost, quotes[s, 3], quotes[s, 4]):
            states[a] = max(states[a], BEYOND)
            continue
        gain = _open_gain(size, cost, price, quotes[s, 3], quotes[s, 4])
        if abs(gain) > most:
            states[a] = max(states[a], BEYOND)
            continue
        opens[a] += _in_currency(
            gain, rates[rate, 0], rates[rate, 1], rates[rate, 2], rates[rate, 3]
        )
        if abs(opens[a]) > _OPEN_LIMIT:
            opens[a] = 0
            states[a] = BEYOND


def judge(
    money: Array,
    group_of: Array,
    groups: Array,
    terms: Array,
    now: int,
    opens: Array,
    states: Array,
    equities: Array,
    marks: Array,
    broken: Array,
    nearest: Array,
) -> None:
    """Judge every account: its equity, its mark, which rules are broken (a bit each), the nearest.

    money has rows (balance, carry, mark, next reset, start balance, start equity, realised) and
    groups rows (initial, basis, first term, last term, judged); terms has rows as in
    `trailing_below` and an eighth column that says whether breaking the rule is news.
    """
    for a in range(len(group_of)):
        g = group_of[a]
        if states[a] == BEYOND or not fits(money[a], groups[g, 0]):
            states[a] = BEYOND
            continue
        if now >= money[a, 3]:
            states[a] = DAY_OVER
            continue
        if states[a] != JUDGED:
            continue
        balance = money[a, 0]
        equity = _equity_of_open(balance, money[a, 1], opens[a])
        mark = _next_mark(groups[g, 1], money[a, 2], balance, equity, False)
        equities[a] = equity
        marks[a] = mark
        found = 0
        below = ALWAYS
        for j in range(groups[g, 2], groups[g, 3]):
            floor = _floor_of(
                terms[j, 0], terms[j, 1], terms[j, 2], terms[j, 3], terms[j, 4], terms[j, 5],
                terms[j, 6], groups[g, 0], money[a, 4], money[a, 5], balance, money[a, 6], mark,
            )  # fmt: skip
            below = max(below, _breach_below(terms[j, 4], floor))
            if terms[j, 7] != 0 and _is_under(terms[j, 4], floor, equity):
                found |= 1 << (j - groups[g, 2])
        nearest[a] = below
        broken[a] = found


def fits(
    money: Array,
    initial: int,
) -> bool:
    """Say whether an account's amounts are within what the scalars take in 64 bits."""
    within = -_AMOUNT_LIMIT <= initial <= _AMOUNT_LIMIT
    for column in (0, 2, 4, 5, 6):
        within = within and -_AMOUNT_LIMIT <= money[column] <= _AMOUNT_LIMIT
    return within
