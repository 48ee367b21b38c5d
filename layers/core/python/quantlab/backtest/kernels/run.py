"""The loop that every quote goes through, and the strategy's events on the way."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.calls import (
    carry_out,
    fetch_ahead,
    has_bars,
    look_at,
    on_event,
    on_tick,
    pass_time_to,
    words_of,
)
from quantlab.backtest.kernels.clock import add_to_bars


def run(m: Any, out: Any, state: Any, quotes: Any, start: int, end: int) -> int:
    """Take quotes from start to end; return the first not taken, where the run ends or pauses."""
    i = start
    while i < end:
        i, count = glide(m, out, state, quotes, i, end)
        if count == 0 and i < end:
            count = step(m, out, state, quotes, i)
            i += 1
        if count != 0:
            answer(m, out, state, count)
        if m[at.END] != at.RUNNING:
            return i
    return end


def glide(m: Any, out: Any, state: Any, quotes: Any, start: int, end: int) -> tuple[int, int]:
    """Take quotes that call for nothing until the strategy answers one.

    Return the first not taken, and how many orders the strategy gave, or a trap below 0.
    """
    i, count = start, 0
    while count == 0 and i < end and is_quiet(m, quotes, i):
        s = pass_by(m, quotes, i)
        i += 1
        count = on_tick(m, out, state, s)
    return i, count


def is_quiet(m: Any, quotes: Any, i: int) -> bool:
    """Say whether a quote calls for nothing: no time is due, and no level of its symbol reached."""
    q = i * at.QUOTE_WORDS
    w = words_of(m, quotes[q + at.Q_SYMBOL])
    return quotes[q] < m[at.NEXT] and not is_touched(
        m, w, quotes[q + at.Q_BID], quotes[q + at.Q_ASK]
    )


def pass_by(m: Any, quotes: Any, i: int) -> int:
    """Make a quote the latest of its symbol, one of its bars and of the worst; return whose."""
    q = i * at.QUOTE_WORDS
    fetch_ahead(quotes, q)
    bid, ask, s = quotes[q + at.Q_BID], quotes[q + at.Q_ASK], quotes[q + at.Q_SYMBOL]
    w = words_of(m, s)
    take(m, w, quotes, q, i)
    m[w + at.WORST_BID] = min(m[w + at.WORST_BID], bid)
    m[w + at.WORST_ASK] = max(m[w + at.WORST_ASK], ask)
    if has_bars(m):
        add_to_bars(m, s, quotes[q], bid)
    return s


def step(m: Any, out: Any, state: Any, quotes: Any, i: int) -> int:
    """Take a quote with all it calls for; return what the strategy answered."""
    q = i * at.QUOTE_WORDS
    if quotes[q] >= m[at.NEXT]:
        pass_time_to(m, quotes[q])
    s = pass_by(m, quotes, i)
    if is_touched(m, words_of(m, s), quotes[q + at.Q_BID], quotes[q + at.Q_ASK]):
        look_at(m, s)
    if m[at.PENDING] != 0:
        tell(m, out, state)
    return 0 if has_ended(m) else on_tick(m, out, state, s)


def take(m: Any, w: int, quotes: Any, q: int, i: int) -> None:
    """Make a quote the latest of its symbol."""
    m[at.NOW] = quotes[q]
    m[at.SEQ] = i + 1
    m[w + at.TS] = quotes[q]
    m[w + at.BID] = quotes[q + at.Q_BID]
    m[w + at.ASK] = quotes[q + at.Q_ASK]
    m[w + at.BID_SIZE] = quotes[q + at.Q_BID_SIZE]
    m[w + at.ASK_SIZE] = quotes[q + at.Q_ASK_SIZE]
    m[w + at.QUOTE_SEQ] = i + 1


def has_ended(m: Any) -> bool:
    """Say whether the run is over; one that only pauses is not."""
    return m[at.END] != at.RUNNING and m[at.END] != at.ROOM


def is_touched(m: Any, w: int, bid: int, ask: int) -> bool:
    """Say whether a quote has reached a level, or every quote is looked at."""
    return (
        bid <= m[w + at.LOW_BID]
        or bid >= m[w + at.HIGH_BID]
        or ask <= m[w + at.LOW_ASK]
        or ask >= m[w + at.HIGH_ASK]
        or m[at.FORCE] != 0
    )


def answer(m: Any, out: Any, state: Any, count: int) -> None:
    """Carry out what an event's handlers gave, and tell the strategy what came of it."""
    if count < 0:
        m[at.TRAP] = -count
        m[at.END] = at.TRAPPED
        return
    carry_out(m, out)
    if m[at.PENDING] != 0:
        tell(m, out, state)
    elif is_full(m):
        m[at.END] = at.ROOM


def tell(m: Any, out: Any, state: Any) -> None:
    """Tell the strategy of fills, bars and timers until nothing is left to tell."""
    rounds = 0
    m[at.TOLD_FILLS], m[at.TOLD_ENDS] = m[at.FILLS], m[at.ENDS]
    while m[at.PENDING] != 0 and not has_ended(m):
        m[at.PENDING] = 0
        rounds += 1
        if rounds > at.ROUNDS_MAX:
            m[at.END] = at.ENDLESS
            return
        tell_fills(m, out, state)
        tell_due(m, out, state)
    if m[at.END] == at.RUNNING and is_full(m):
        m[at.END] = at.ROOM


def is_full(m: Any) -> bool:
    """Say whether a log has to be emptied before the next quote, or the run has had too many."""
    if m[at.FILLS_TOTAL] + m[at.ENDS_TOTAL] > m[at.ROWS_MOST]:
        return True
    return m[at.FILLS] > m[at.LOG_ROWS] or m[at.ENDS] > m[at.LOG_ROWS]


def is_endless(m: Any) -> bool:
    """Say whether a strategy has made of what it was told so much that it is stopped."""
    if m[at.FILLS] - m[at.TOLD_FILLS] > at.EVENT_ROWS - at.ROUNDS_MAX:
        return True
    return m[at.ENDS] - m[at.TOLD_ENDS] > at.EVENT_ROWS - at.EVENT_ENDS


def event(m: Any, out: Any, state: Any, kind: int, index: int) -> None:
    """Run the handlers of one event and carry out what they gave."""
    count = on_event(m, out, state, kind, index)
    if count < 0:
        m[at.TRAP] = -count
        m[at.END] = at.TRAPPED
    elif count > 0:
        carry_out(m, out)


def tell_fills(m: Any, out: Any, state: Any) -> None:
    """Tell of the fills that the strategy's orders have had."""
    while m[at.FILLS_SEEN] < m[at.FILLS] and m[at.END] == at.RUNNING:
        f = m[at.FILLS_AT] + m[at.FILLS_SEEN] * at.FILL_WORDS
        m[at.FILLS_SEEN] += 1
        if is_endless(m):
            m[at.END] = at.ENDLESS
        if m[f + at.F_OWNER] == 0 or m[at.HEARS_FILLS] == 0:
            continue
        m[at.FILL_OWNER] = m[f + at.F_OWNER]
        m[at.FILL_SIDE] = m[f + at.F_SIDE]
        m[at.FILL_STEPS] = m[f + at.F_STEPS]
        m[at.FILL_TICKS] = m[f + at.F_TICKS]
        m[at.FILL_PROFIT] = m[f + at.F_PROFIT] - m[f + at.F_FEE]
        m[at.FILL_LEFT] = m[f + at.F_LEFT]
        m[at.FILL_SYMBOL] = m[f + at.F_SYMBOL]
        event(m, out, state, at.FILL_EVENT, m[f + at.F_SYMBOL])


def tell_due(m: Any, out: Any, state: Any) -> None:
    """Tell of the bars that have closed and the timers that have rung, in the program's order."""
    for k in range(m[at.STREAMS]):
        b = m[at.STREAMS_AT] + k * at.STREAM_WORDS
        if m[b + at.BAR_DUE] != 0 and m[at.END] == at.RUNNING:
            m[b + at.BAR_DUE] = 0
            event(m, out, state, at.BAR_EVENT, k)
            tell_fills(m, out, state)
    for k in range(m[at.TIMERS]):
        t = m[at.TIMERS_AT] + k * at.TIMER_WORDS
        if m[t + at.TIMER_DUE] != 0 and m[at.END] == at.RUNNING:
            m[t + at.TIMER_DUE] = 0
            event(m, out, state, at.TIMER_EVENT, k)
            tell_fills(m, out, state)


def single(m: Any, out: Any, state: Any, kind: int, index: int) -> None:
    """Run one event by itself, as the strategy's start and stop, and all that comes of it."""
    event(m, out, state, kind, index)
    tell(m, out, state)
