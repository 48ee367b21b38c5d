"""What time does before a quote is looked at: days, expiries, bars, timers, samples."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import expire_due
from quantlab.backtest.kernels.judge import broken_floors
from quantlab.backtest.kernels.overnight import charge_swaps
from quantlab.backtest.kernels.terms import begin_counts, move_gates
from quantlab.backtest.kernels.worth import breach_level, equity_now, is_known
from quantlab.rules.scalars import BASIS_EQUITY, BASIS_INITIAL, next_mark


def pass_time(m: Any, now: int) -> None:
    """Do everything that is due by now, at the quotes there were before."""
    if now >= m[at.DAY_RESET]:
        roll_day(m, now)
    m[at.NOW] = now
    if now >= m[at.EXPIRY]:
        expire_due(m)
    if now >= m[at.GATE_NEXT]:
        move_gates(m, now)
    close_bars(m, now)
    ring(m, now)
    if now >= m[at.ZONE_NEXT]:
        move_zone(m, now)
    if now >= m[at.SAMPLE_NEXT]:
        sample(m, now)
    plan_next(m)


def plan_next(m: Any) -> None:
    """Note when time has something to do again."""
    soonest = min(m[at.DAY_RESET], m[at.EXPIRY])
    soonest = min(soonest, m[at.SAMPLE_NEXT], m[at.ZONE_NEXT], m[at.GATE_NEXT])
    for k in range(m[at.STREAMS]):
        soonest = min(soonest, m[m[at.STREAMS_AT] + k * at.STREAM_WORDS + at.BAR_END])
    for k in range(m[at.TIMERS]):
        soonest = min(soonest, m[m[at.TIMERS_AT] + k * at.TIMER_WORDS + at.TIMER_NEXT])
    m[at.NEXT] = soonest


def roll_day(m: Any, now: int) -> None:
    """Begin the trading day that holds now, as of its reset: see `rules.day.roll_day`.

    Swap is booked first: it is part of the day that ends, whose floors hold for it. What it breaks
    is acted on once the new quote is there.

    Equity at the reset uses the last quotes before it, old ones too; the account is judged by it
    once the new quote is there, unless one of them was too old by then.
    """
    index = m[at.DAY]
    while index + 1 < m[at.DAYS] and m[m[at.DAYS_AT] + index + 1] <= now:
        index += 1
    reset = m[m[at.DAYS_AT] + index]
    m[at.OVERDUE] = at.NO_ACTION
    if m[at.SWAPPED] != 0 and m[at.HELD] != 0:
        charge_swaps(m, m[at.DAY] + 1, m[at.DAY] + 1)
        judge_ended_day(m)
        charge_swaps(m, m[at.DAY] + 2, index)
    equity = equity_now(m)
    log_day(m, reset, equity)
    if m[at.BASIS] == BASIS_EQUITY:
        m[at.MARK] = max(m[at.MARK], equity)
    elif m[at.BASIS] != BASIS_INITIAL:
        m[at.MARK] = max(m[at.MARK], m[at.BALANCE])
    m[at.RESET_KNOWN] = is_known(m, reset) and m[at.HELD] != 0
    m[at.RESET_EQUITY] = equity
    m[at.DAY] = index
    m[at.DAY_START] = reset
    m[at.DAY_RESET] = at.NEVER_HIGH
    if index + 1 < m[at.DAYS]:
        m[at.DAY_RESET] = m[m[at.DAYS_AT] + index + 1]
    m[at.START_BALANCE] = m[at.BALANCE]
    m[at.START_EQUITY] = equity
    m[at.REALISED] = 0
    m[at.DAY_COSTS] = 0
    m[at.TRADED] = 0
    m[at.RAISED] = 0
    begin_counts(m)
    if m[at.STATUS] == at.LOCKED and m[at.HELD] == 0:
        m[at.STATUS] = at.ACTIVE_STATUS
    m[at.FORCE] |= at.ROLLED


def judge_ended_day(m: Any) -> None:
    """Hold the equity against the floors of the day that ends, unless a quote was too old by then.

    What they ask for is overdue.
    """
    reset = m[at.DAY_RESET]
    if m[at.STATUS] == at.DISABLED or not is_known(m, reset):
        return
    equity = equity_now(m)
    m[at.NOW] = reset - 1
    mark = next_mark(m[at.BASIS], m[at.MARK], m[at.BALANCE], equity, False)
    m[at.OVERDUE] = broken_floors(m, equity, mark)


def log_day(m: Any, reset: int, equity: int) -> None:
    """Keep a finished day."""
    d = m[at.ROLLS_AT] + m[at.ROLLS] * at.ROLL_WORDS
    m[at.ROLLS] += 1
    m[d + at.D_START] = m[at.DAY_START]
    m[d + at.D_RESET] = reset
    m[d + at.D_BALANCE] = m[at.BALANCE]
    m[d + at.D_EQUITY] = equity
    m[d + at.D_REALISED] = m[at.REALISED]
    m[d + at.D_TRADED] = m[at.TRADED]
    m[d + at.D_COSTS] = m[at.DAY_COSTS]


def close_bars(m: Any, now: int) -> None:
    """Close the bars whose time is over."""
    for k in range(m[at.STREAMS]):
        b = m[at.STREAMS_AT] + k * at.STREAM_WORDS
        if now < m[b + at.BAR_END]:
            continue
        m[b + at.LAST_OPEN] = m[b + at.OPEN]
        m[b + at.LAST_HIGH] = m[b + at.HIGH]
        m[b + at.LAST_LOW] = m[b + at.LOW]
        m[b + at.LAST_CLOSE] = m[b + at.CLOSE]
        m[b + at.LAST_VOLUME] = m[b + at.VOLUME]
        m[b + at.LAST_START] = m[b + at.BAR_START]
        m[b + at.INDEX] += 1
        m[b + at.BAR_DUE] = 1
        m[b + at.VOLUME] = 0
        m[b + at.BAR_END] = at.NEVER_HIGH
        m[at.PENDING] = 1


def add_to_bars(m: Any, s: int, now: int, price: int) -> None:
    """Add a quote to the open bars of its symbol."""
    for k in range(m[at.STREAMS]):
        b = m[at.STREAMS_AT] + k * at.STREAM_WORDS
        if m[b + at.STREAM_SYMBOL] != s:
            continue
        m[b + at.VOLUME] += 1
        m[b + at.CLOSE] = price
        if m[b + at.VOLUME] == 1:
            m[b + at.BAR_START] = now - now % m[b + at.PERIOD]
            m[b + at.BAR_END] = m[b + at.BAR_START] + m[b + at.PERIOD]
            m[b + at.OPEN] = price
            m[b + at.HIGH] = price
            m[b + at.LOW] = price
            m[at.NEXT] = min(m[at.NEXT], m[b + at.BAR_END])
        elif price > m[b + at.HIGH]:
            m[b + at.HIGH] = price
        elif price < m[b + at.LOW]:
            m[b + at.LOW] = price


def ring(m: Any, now: int) -> None:
    """Note the timers that have rung; what was missed rings once."""
    for k in range(m[at.TIMERS]):
        t = m[at.TIMERS_AT] + k * at.TIMER_WORDS
        if now < m[t + at.TIMER_NEXT]:
            continue
        m[t + at.TIMER_DUE] = 1
        m[at.PENDING] = 1
        if m[t + at.TIMER_PERIOD] > 0:
            m[t + at.TIMER_NEXT] = now - now % m[t + at.TIMER_PERIOD] + m[t + at.TIMER_PERIOD]
            continue
        index = m[t + at.TIMER_INDEX]
        while index < m[t + at.TIMER_COUNT] and m[m[t + at.TIMER_AT] + index] <= now:
            index += 1
        m[t + at.TIMER_INDEX] = index
        m[t + at.TIMER_NEXT] = at.NEVER_HIGH
        if index < m[t + at.TIMER_COUNT]:
            m[t + at.TIMER_NEXT] = m[m[t + at.TIMER_AT] + index]


def move_zone(m: Any, now: int) -> None:
    """Take the offset of the strategy's time zone that holds now."""
    index = m[at.OFFSET]
    while index + 1 < m[at.OFFSETS] and m[m[at.OFFSETS_AT] + 2 * (index + 1)] <= now:
        index += 1
    m[at.OFFSET] = index
    m[at.UTC_OFFSET] = m[m[at.OFFSETS_AT] + 2 * index + 1]
    m[at.ZONE_NEXT] = at.NEVER_HIGH
    if index + 1 < m[at.OFFSETS]:
        m[at.ZONE_NEXT] = m[m[at.OFFSETS_AT] + 2 * (index + 1)]


def sample(m: Any, now: int) -> None:
    """Keep a point of the equity curve, as it was before this quote."""
    m[at.SAMPLE_NEXT] = now - now % m[at.SAMPLE_EVERY] + m[at.SAMPLE_EVERY]
    if m[at.SAMPLES] >= at.SAMPLES_MAX:
        return
    equity = equity_now(m)
    p = m[at.SAMPLES_AT] + m[at.SAMPLES] * at.SAMPLE_WORDS
    m[at.SAMPLES] += 1
    m[p + at.S_NS] = now
    m[p + at.S_BALANCE] = m[at.BALANCE]
    m[p + at.S_EQUITY] = equity
    m[p + at.S_MARK] = m[at.MARK]
    m[p + at.S_BELOW] = breach_level(m)
    m[p + at.S_HELD] = m[at.HELD]
