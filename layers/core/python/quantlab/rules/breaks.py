"""Times in which nothing may be held: windows before a close, breaks between sessions, inactivity.

It needs no quote: what is held and what the clock says decide.
"""

from functools import lru_cache
from typing import NamedTuple

from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.calendar import local_time
from quantlab.rules.hours import holds, span_ns, window_words
from quantlab.rules.limits import INSTANTS_CACHED_MAX
from quantlab.rules.scalars import idle_from

_MINUTE_NS = 60 * SECOND_NS
_DAY_NS = 86_400 * SECOND_NS
_WEEK_DAYS = 7


class Break(NamedTuple):
    """A time without a session, [closed_ns, opened_ns)."""

    closed_ns: int
    opened_ns: int


def must_be_flat(rule: terms.FlatBy | terms.WeekendHolding, now_ns: int) -> bool:
    """Say whether nothing may be held at this instant."""
    if isinstance(rule, terms.FlatBy):
        return any(holds(window, rule.time_zone, now_ns) for window in rule.windows)
    found = _long_break(rule, now_ns)
    return found is not None and now_ns >= found.closed_ns - rule.minutes_before * _MINUTE_NS


def flat_detail(rule: terms.FlatBy | terms.WeekendHolding, now_ns: int) -> str:
    """Write the local time and what it was compared with."""
    now = f"{local_time(now_ns, rule.time_zone):%a %Y-%m-%d %H:%M:%S} {rule.time_zone}"
    if isinstance(rule, terms.FlatBy):
        relation = "is inside" if must_be_flat(rule, now_ns) else "is outside"
        windows = ", ".join(window_words(window) for window in rule.windows)
        return f"{now} {relation} {windows}, when nothing may be held"
    found, hours = _long_break(rule, now_ns), rule.longer_than_minutes // 60
    if found is None:
        return f"{now}: the sessions have no break of more than {hours} h"
    relation = "is within" if must_be_flat(rule, now_ns) else "is before"
    return (
        f"{now} {relation} {rule.minutes_before} minutes of the break of more than {hours} h"
        f" from {format_rfc3339(found.closed_ns)} to {format_rfc3339(found.opened_ns)}"
    )


def idle_since_ns(account: Account) -> int | None:
    """Return the last order's instant, or the opening's; None when neither is known."""
    return account.tally.last_order_ns or account.tally.opened_ns or None


def is_inactive(rule: terms.Inactivity, account: Account, now_ns: int) -> bool:
    """Say whether no order came for longer than allowed; an unknown last order says nothing."""
    from_ns = inactive_from_ns(rule, account)
    return from_ns is not None and now_ns >= from_ns


def inactive_from_ns(rule: terms.Inactivity, account: Account) -> int | None:
    """Return the first instant at which an account that does nothing is inactive."""
    since_ns = idle_since_ns(account)
    return None if since_ns is None else idle_from(since_ns, rule.days)


def inactivity_detail(rule: terms.Inactivity, account: Account, now_ns: int) -> str:
    """Write the time since the last order as arithmetic."""
    since_ns = idle_since_ns(account)
    if since_ns is None:
        return "neither the last order nor the opening of the account is known"
    event = "last order" if account.tally.last_order_ns else "opened"
    days, rest = divmod(now_ns - since_ns, _DAY_NS)
    idle = f"{days} days {rest // (3600 * SECOND_NS)} h ago"
    return f"{event} {format_rfc3339(since_ns)}, {idle}; {rule.days} days are allowed"


def next_change_ns(profile: terms.Profile, now_ns: int) -> int | None:
    """Return the next instant at which a holding rule may begin to ask for flat; None without one.

    A watcher that looks at ticks only looks again then.
    """
    starts = []
    for rule in profile.standing_rules:
        if isinstance(rule, terms.FlatBy):
            today = local_time(now_ns, rule.time_zone).toordinal()
            starts += [
                span_ns(window, ordinal, rule.time_zone)[0]
                for window in rule.windows
                for ordinal in range(today - 1, today + _WEEK_DAYS + 1)
                if (ordinal - 1) % 7 in window.weekdays
            ]
        elif isinstance(rule, terms.WeekendHolding):
            today = local_time(now_ns, rule.time_zone).toordinal()
            starts += [
                gap.closed_ns - rule.minutes_before * _MINUTE_NS for gap in _breaks(rule, today)
            ]
    return min((start for start in starts if start > now_ns), default=None)


def _long_break(rule: terms.WeekendHolding, now_ns: int) -> Break | None:
    """Return the break that holds now, or else the next one; None where the sessions have none."""
    today = local_time(now_ns, rule.time_zone).toordinal()
    return next((gap for gap in _breaks(rule, today) if now_ns < gap.opened_ns), None)


@lru_cache(maxsize=INSTANTS_CACHED_MAX)
def _breaks(rule: terms.WeekendHolding, today: int) -> tuple[Break, ...]:
    """Return the breaks that are long enough, from a week before a date to two weeks after it."""
    spans = sorted(
        span_ns(window, ordinal, rule.time_zone)
        for window in rule.sessions
        for ordinal in range(today - _WEEK_DAYS - 1, today + 2 * _WEEK_DAYS + 1)
        if (ordinal - 1) % 7 in window.weekdays
    )
    found, closed_ns = [], spans[0][1] if spans else 0
    for opened_ns, ends_ns in spans[1:]:
        if opened_ns - closed_ns > rule.longer_than_minutes * _MINUTE_NS:
            found.append(Break(closed_ns, opened_ns))
        closed_ns = max(closed_ns, ends_ns)
    return tuple(found)
