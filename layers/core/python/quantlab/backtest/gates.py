"""When rules on time let something be: worked out once by the functions that judge live.

A gate is whether it is open at the first instant, and each instant at which that turns.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from quantlab.backtest.span import Span
from quantlab.kernel.instants import SECOND_NS
from quantlab.market.instrument import Instrument
from quantlab.rules import terms
from quantlab.rules.asked import news_answer
from quantlab.rules.breaks import must_be_flat
from quantlab.rules.calendar import local_time
from quantlab.rules.hours import is_open, span_ns
from quantlab.rules.surroundings import NewsCalendar, Surroundings

_MINUTE_NS = 60 * SECOND_NS
_MARGIN_DAYS = 2


class Gate(NamedTuple):
    """Whether it is open at the first instant of the data, and the instants at which it turns."""

    is_open: bool
    turns: tuple[int, ...]


def hours_gate(rule: terms.TradingHours, span: Span) -> Gate:
    """Return when orders are taken."""
    edges = _edges(rule.windows, rule.time_zone, span)
    return _gate(lambda now_ns: is_open(rule, now_ns), edges, span)


def holding_gate(rule: terms.FlatBy | terms.WeekendHolding, span: Span) -> Gate:
    """Return when something may be held."""
    if isinstance(rule, terms.FlatBy):
        edges = _edges(rule.windows, rule.time_zone, span)
    else:
        sessions = list(_edges(rule.sessions, rule.time_zone, span))
        edges = [*sessions, *(edge - rule.minutes_before * _MINUTE_NS for edge in sessions)]
    return _gate(lambda now_ns: not must_be_flat(rule, now_ns), edges, span)


def news_gate(
    rule: terms.NewsWindow, instrument: Instrument, calendar: NewsCalendar, span: Span
) -> Gate:
    """Return when no release is near; what the calendar does not reach is not known, so shut."""
    before_ns, after_ns = rule.before_s * SECOND_NS, rule.after_s * SECOND_NS
    edges = [event.at_ns - before_ns for event in calendar.events]
    edges += [event.at_ns + after_ns + 1 for event in calendar.events]
    known_ns = calendar.until_ns - before_ns

    def is_quiet(now_ns: int) -> bool:
        around = Surroundings(calendar.events if now_ns <= known_ns else None)
        return news_answer(rule, instrument, around, now_ns).allowed

    return _gate(is_quiet, [*edges, known_ns + 1], span)


def _edges(windows: Iterable[terms.Window], zone: str, span: Span) -> list[int]:
    first = local_time(span.first_ns, zone).toordinal() - _MARGIN_DAYS
    last = local_time(span.last_ns, zone).toordinal() + _MARGIN_DAYS
    return [
        edge
        for window in windows
        for ordinal in range(first, last + 1)
        for edge in span_ns(window, ordinal, zone)
    ]


def _gate(is_open_at: Callable[[int], bool], edges: Iterable[int], span: Span) -> Gate:
    begins = state = is_open_at(span.first_ns)
    turns = []
    for edge in sorted(set(edges)):
        if span.first_ns < edge <= span.last_ns and is_open_at(edge) != state:
            state = not state
            turns.append(edge)
    return Gate(begins, tuple(turns))
