"""What rules look at outside the account: releases of news, accounts linked to it.

What is None is unknown, and a rule that needs it refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantlab.kernel.instants import parse_rfc3339
from quantlab.market.instrument import Instrument
from quantlab.rules.forms import SYMBOL
from quantlab.rules.limits import NEWS_MAX, SYMBOLS_MAX
from quantlab.rules.reader import Problem, ProfileError, Reader
from quantlab.rules.terms import ANY_OWNER, SAME_OWNER, NewsWindow

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
    """Another account that trading is judged together with: signed sizes held, recent orders."""

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


def release_near(
    rule: NewsWindow, news: Sequence[NewsEvent], instrument: Instrument, now_ns: int
) -> NewsEvent | None:
    """Return the first release whose window holds this instant for the instrument."""
    second_ns = 1_000_000_000
    earliest_ns, latest_ns = now_ns - rule.after_s * second_ns, now_ns + rule.before_s * second_ns
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


def parse_news(document: Mapping[str, Any]) -> tuple[NewsEvent, ...]:
    """Read a calendar of releases, sorted by time; ProfileError names what is wrong and where."""
    problems: list[Problem] = []
    reader = Reader(document, "", problems)
    reader.whole("format", 1, 1)
    events = [_event(item) for item in reader.objects("events", NEWS_MAX)]
    reader.finish()
    if problems:
        raise ProfileError(problems)
    return tuple(sorted(events, key=lambda event: (event.at_ns, event.name)))


def _event(reader: Reader) -> NewsEvent:
    expected = "a time as RFC 3339 with its offset"
    at = reader.plain("at", expected)
    at_ns = parse_rfc3339(at)
    if at and at_ns is None:
        reader.refuse("at", expected)
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
    return NewsEvent(at_ns or 0, name, impact, named[0], named[1])
