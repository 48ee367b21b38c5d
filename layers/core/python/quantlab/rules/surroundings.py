"""What rules look at outside the account: releases of news, accounts linked to it.

What is None is unknown, and a rule that needs it refuses.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.market.instrument import Instrument
from quantlab.rules.forms import SYMBOL
from quantlab.rules.limits import NEWS_MAX, SYMBOLS_MAX
from quantlab.rules.reader import Problem, ProfileError, Reader
from quantlab.rules.terms import (
    ANY_OWNER,
    SAME_OWNER,
    CopyTrading,
    Hedging,
    NewsWindow,
    Profile,
)

_IMPACTS = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class NewsEvent:
    """A release: when, of what impact, and which currencies or symbols it concerns."""

    at_ns: int
    name: str
    impact: str
    currencies: frozenset[str]
    symbols: frozenset[str]

    def concerns(self, instrument: Instrument) -> bool:
        """Say whether the release is named for the instrument or one of its currencies."""
        ends = {instrument.base_currency, instrument.quote_currency}
        return instrument.symbol in self.symbols or bool(ends & self.currencies)


@dataclass(frozen=True, slots=True)
class LinkedOrder:
    """An order of a linked account that opened or added to a position."""

    symbol: str
    side: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """Another account that trading is judged together with: signed sizes held, recent orders.

    A hedging account holds a size for each leg of a symbol.
    """

    account_id: str
    same_owner: bool
    positions: tuple[tuple[str, int], ...]
    orders: tuple[LinkedOrder, ...]

    def is_of(self, owners: str) -> bool:
        """Say whether a rule on accounts of these owners looks at this one."""
        return owners == ANY_OWNER or self.same_owner == (owners == SAME_OWNER)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Releases in order of time, and linked accounts; None where they could not be read."""

    news: tuple[NewsEvent, ...] | None = None
    linked: tuple[LinkedAccount, ...] | None = None


NOTHING_KNOWN = Surroundings()


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the rules of a profile look: releases from so long ago to so far ahead, and orders.

    news_ago_ns is None where no rule looks at releases; orders_ago_ns is 0 where linked accounts
    are looked at for what they hold alone.
    """

    news_ago_ns: int | None = None
    news_ahead_ns: int = 0
    linked: bool = False
    orders_ago_ns: int = 0

    def within(self, around: Surroundings, now_ns: int) -> Surroundings:
        """Return what of the surroundings the rules look at: the same is decided by it."""
        news, linked = None, None
        if self.news_ago_ns is not None and around.news is not None:
            earliest_ns, latest_ns = now_ns - self.news_ago_ns, now_ns + self.news_ahead_ns
            news = tuple(one for one in around.news if earliest_ns <= one.at_ns <= latest_ns)
        if self.linked and around.linked is not None:
            trimmed = [self._recent(one, now_ns) for one in around.linked]
            linked = tuple(one for one in trimmed if one.positions or one.orders)
        return Surroundings(news, linked)

    def _recent(self, one: LinkedAccount, now_ns: int) -> LinkedAccount:
        if not one.orders:
            return one
        since_ns = now_ns - self.orders_ago_ns
        orders = one.orders if self.orders_ago_ns else ()
        return replace(one, orders=tuple(order for order in orders if order.at_ns >= since_ns))


NO_REACH = Reach()


def reach_of(profile: Profile) -> Reach:
    """Return how far an account's rules look beyond it."""
    windows = [rule for rule in profile.asked_rules if isinstance(rule, NewsWindow)]
    copying = [rule.within_ns for rule in profile.asked_rules if isinstance(rule, CopyTrading)]
    hedging = any(isinstance(rule, Hedging) for rule in profile.asked_rules)
    if not (windows or copying or hedging):
        return NO_REACH
    return Reach(
        max((rule.after_s * SECOND_NS for rule in windows), default=None),
        max((rule.before_s * SECOND_NS for rule in windows), default=0),
        linked=hedging or bool(copying),
        orders_ago_ns=max(copying, default=0),
    )


class LinkedFill(NamedTuple):
    """A fill of a linked account: side is 1 or -1, size in steps, ticket that of its leg if any."""

    symbol: str
    side: int
    size_steps: int
    at_ns: int
    ticket: str | None = None


def opening_orders(
    positions: Mapping[str, int], newest_first: Iterable[LinkedFill]
) -> tuple[LinkedOrder, ...]:
    """Return which of an account's last fills opened or added to a position, oldest first.

    positions are the signed sizes after the newest fill, by key: what was held before each follows.
    """
    held, found = dict(positions), []
    for fill in newest_first:
        key = fill.ticket or fill.symbol
        after = held.get(key, 0)
        before = after - fill.side * fill.size_steps
        if abs(after) > abs(before) or after * before < 0:
            found.append(LinkedOrder(fill.symbol, fill.side, fill.at_ns))
        held[key] = before
    return tuple(reversed(found))


def release_near(
    rule: NewsWindow, news: Sequence[NewsEvent], instrument: Instrument, now_ns: int
) -> NewsEvent | None:
    """Return the first release whose window holds this instant for the instrument."""
    earliest_ns, latest_ns = now_ns - rule.after_s * SECOND_NS, now_ns + rule.before_s * SECOND_NS
    return next(
        (
            event
            for event in news
            if earliest_ns <= event.at_ns <= latest_ns
            and event.impact in rule.impacts
            and (rule.every_instrument or event.concerns(instrument))
        ),
        None,
    )


@dataclass(frozen=True, slots=True)
class NewsCalendar:
    """Releases in order of time, complete until an instant: what comes later is not known."""

    events: tuple[NewsEvent, ...]
    until_ns: int

    def known(self, reach: Reach, now_ns: int) -> tuple[NewsEvent, ...] | None:
        """Return the releases; None where rules look further ahead than the calendar goes."""
        return self.events if now_ns + reach.news_ahead_ns <= self.until_ns else None


def parse_news(document: Mapping[str, Any]) -> tuple[NewsEvent, ...]:
    """Read releases, sorted by time; ProfileError names what is wrong and where."""
    problems: list[Problem] = []
    return _whole(Reader(document, "", problems), problems)


def parse_news_calendar(document: Mapping[str, Any]) -> NewsCalendar:
    """Read releases that are complete until an instant; ProfileError names what is wrong."""
    problems: list[Problem] = []
    reader = Reader(document, "", problems)
    until_ns = reader.instant("until")
    return NewsCalendar(_whole(reader, problems), until_ns)


def write_news_calendar(calendar: NewsCalendar) -> dict[str, Json]:
    """Write a calendar as it is read: the same calendar, the same document."""
    return {
        "format": 1,
        "until": format_rfc3339(calendar.until_ns),
        "events": [
            {
                "at": format_rfc3339(event.at_ns),
                "name": event.name,
                "impact": event.impact,
                **{
                    name: sorted(found)
                    for name, found in (
                        ("currencies", event.currencies),
                        ("symbols", event.symbols),
                    )
                    if found
                },
            }
            for event in calendar.events
        ],
    }


def _whole(reader: Reader, problems: list[Problem]) -> tuple[NewsEvent, ...]:
    reader.whole("format", 1, 1)
    events = [_event(item) for item in reader.objects("events", NEWS_MAX, least=0)]
    reader.finish()
    if problems:
        raise ProfileError(problems)
    return tuple(sorted(events, key=lambda event: (event.at_ns, event.name)))


def _event(reader: Reader) -> NewsEvent:
    at_ns = reader.instant("at")
    name = reader.plain("name", "the name of the release")
    impact = reader.choice("impact", _IMPACTS)
    named = [
        frozenset(reader.names(key, SYMBOLS_MAX, SYMBOL, "an upper-case symbol"))
        if reader.has(key)
        else frozenset()
        for key in ("currencies", "symbols")
    ]
    if not any(named):
        reader.refuse("currencies", "at least one of currencies, symbols")
    reader.finish()
    return NewsEvent(at_ns, name, impact, named[0], named[1])
