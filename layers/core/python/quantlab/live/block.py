"""The block of words a live run stands on: that of a backtest, with the simulation asleep.

Quotes, bars, timers, time zone, money and positions stand where `backtest.layout` says, so that the
same compiled code reads them. What only a simulation does is never due: no day rolls, no order
works, no level is reached. All of it comes in as events instead.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount, free_profile
from quantlab.backtest.block import DAY_NS, new_block
from quantlab.backtest.kernels.legs import leg_at, net_legs
from quantlab.backtest.span import Span
from quantlab.kernel.records import replace
from quantlab.ledger.trading_terms import STANDARD
from quantlab.live.events import AccountSeen, Held, Resting
from quantlab.live.terms import LiveTerms
from quantlab.market.fill_model import top_of_book
from quantlab.qls.ir import Program
from quantlab.rules.scalars import BASIS_EQUITY

LIVE_DAYS_MAX: Final = 400
"""Daily timers and changes of the time zone are laid out for so long; then a run ends."""

_ASLEEP: Final = (at.DAY_RESET, at.EXPIRY, at.GATE_NEXT, at.SAMPLE_NEXT)


def live_account(terms: LiveTerms) -> BacktestAccount:
    """Return the account as the code between loop and strategy asks for it."""
    return BacktestAccount(
        currency=terms.currency,
        currency_digits=terms.currency_digits,
        initial_minor=terms.initial_minor,
        profile=free_profile(terms.currency_digits, terms.initial_minor),
        instruments=terms.instruments,
        models={one: top_of_book() for one in terms.symbols},
        trading=replace(STANDARD, hedging=terms.hedging),
        conversions=terms.conversions,
    )


def put_on(program: Program, symbol: str) -> Program:
    """Return a program whose own symbol has a name."""
    return replace(program, symbols=(symbol, *program.symbols[1:]))


def live_block(program: Program, account: BacktestAccount, terms: LiveTerms, began_ns: int) -> Any:
    """Return the block of a run that begins at an instant, an array of int64 words.

    Raises NotRun for a symbol the terms do not have.
    """
    m = new_block(account, program, Span(began_ns, last_ns(began_ns)))
    rows = np.zeros(len(terms.floors) * at.RULE_WORDS, np.int64)
    for j, rule in enumerate(terms.floors):
        r = j * at.RULE_WORDS
        rows[r : r + len(rule.row)] = rule.row
        rows[r + at.RULE_SPARES_COSTS] = rule.spares_costs
    m[at.RULES_AT], m[at.RULES] = len(m), len(terms.floors)
    m[at.BASIS] = terms.basis
    for word in _ASLEEP:
        m[word] = at.NEVER_HIGH
    for s, instrument in enumerate(terms.instruments):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        if instrument.symbol in terms.leverages:
            m[w + at.LEVERAGE_NUM], m[w + at.LEVERAGE_DEN] = terms.leverages[instrument.symbol]
    m[at.FORCE] = 0
    return np.concatenate((m, rows))


def last_ns(began_ns: int) -> int:
    """Return how long a run may last."""
    return began_ns + LIVE_DAYS_MAX * DAY_NS


def know_quote(m: Any, quote: Sequence[int]) -> None:
    """Write the quote of a symbol that the run has not been told of by an event."""
    w = m[at.SYMBOLS_AT] + quote[at.Q_SYMBOL] * at.SYMBOL_WORDS
    m[w + at.TS], m[w + at.BID], m[w + at.ASK] = quote[: at.Q_BID_SIZE]
    m[w + at.BID_SIZE], m[w + at.ASK_SIZE] = quote[at.Q_BID_SIZE : at.Q_SYMBOL]


def take_account(m: Any, terms: LiveTerms, seen: AccountSeen) -> None:
    """Write what the account has become."""
    m[at.BALANCE], m[at.CARRY], m[at.MARK] = seen.balance, seen.carry_micro, seen.high_water
    m[at.START_BALANCE], m[at.START_EQUITY] = seen.day_start_balance, seen.day_start_equity
    m[at.REALISED], m[at.DAY_COSTS] = seen.day_realised, seen.day_costs
    m[at.WORKING] = seen.working_orders
    for s in range(len(terms.instruments)):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        m[w + at.SIZE] = m[w + at.COST] = 0
    if terms.hedging:
        _take_legs(m, seen.positions)
    else:
        for held in seen.positions:
            _hold(m, held)
        m[at.HELD] = len({held.symbol for held in seen.positions})
    # A mark that follows the equity is moved by every quote; `joining` does it.
    follows = terms.basis == BASIS_EQUITY and seen.positions
    m[at.FORCE] = at.UNSURE if follows else 0
    for j, rule in enumerate(terms.floors):
        if seen.payouts and rule.payout_floor_minor is not None:
            m[m[at.RULES_AT] + j * at.RULE_WORDS + at.RULE_LEAST] = rule.payout_floor_minor


def _hold(m: Any, held: Held) -> None:
    """Add a position to what its symbol holds."""
    w = m[at.SYMBOLS_AT] + held.symbol * at.SYMBOL_WORDS
    m[w + at.SIZE] += held.size_steps
    m[w + at.COST] += held.cost


def _take_legs(m: Any, legs: Sequence[Held]) -> None:
    """Write the legs of a hedging account, and the net of each symbol."""
    m[at.LEGS] = m[at.HELD] = len(legs)
    for k, leg in enumerate(legs):
        p, w = leg_at(m, k), m[at.SYMBOLS_AT] + leg.symbol * at.SYMBOL_WORDS
        m[p + at.SIZE], m[p + at.COST], m[p + at.LEG_OF] = leg.size_steps, leg.cost, w
    for leg in legs:
        net_legs(m, m[at.SYMBOLS_AT] + leg.symbol * at.SYMBOL_WORDS)


def take_orders(m: Any, orders: Sequence[Resting]) -> None:
    """Write what orders could open where a backtest has its book; nothing triggers them here."""
    for s in range(m[at.SYMBOLS]):
        m[m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS + at.ORDERS] = 0
    for one in orders:
        w = m[at.SYMBOLS_AT] + one.symbol * at.SYMBOL_WORDS
        o = m[w + at.ORDERS_AT] + m[w + at.ORDERS] * at.ORDER_WORDS
        m[w + at.ORDERS] += 1
        m[o + at.STATE], m[o + at.SIDE], m[o + at.STEPS] = at.WORKS, one.side, one.steps
        m[o + at.TYPE] = at.LIMIT_TYPE if one.price_ticks else at.MARKET
        m[o + at.LIMIT] = one.price_ticks


def shown_words(m: Any) -> tuple[slice, ...]:
    """Return the words whose every bit a replay must give again."""
    books = []
    for s in range(m[at.SYMBOLS]):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        first = m[w + at.ORDERS_AT]
        books.append(slice(first, first + m[w + at.ORDERS] * at.ORDER_WORDS))
    streams = m[at.STREAMS_AT] + m[at.STREAMS] * at.STREAM_WORDS
    timers = m[at.TIMERS_AT] + m[at.TIMERS] * at.TIMER_WORDS
    legs = m[at.LEGS_AT] + m[at.LEGS] * at.LEG_WORDS
    return (
        slice(0, at.ACCOUNT_WORDS),
        slice(m[at.SYMBOLS_AT], m[at.SYMBOLS_AT] + m[at.SYMBOLS] * at.SYMBOL_WORDS),
        slice(m[at.STREAMS_AT], streams),
        slice(m[at.TIMERS_AT], timers),
        slice(m[at.LEGS_AT], legs),
        *books,
    )
