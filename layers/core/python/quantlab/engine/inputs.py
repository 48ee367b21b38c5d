"""What a command was decided on besides the account and its rules, as recorded with it.

The tick log holds every quote before anybody hears of it, and its seq grows over all symbols; so
the newest seq of the quotes that were read names them all, but for those that were suspended or
missing at that moment.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from quantlab.engine.around import read_surroundings, write_surroundings
from quantlab.engine.context import Market, read_market, write_quotes
from quantlab.engine.tape import Tape
from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass, replace
from quantlab.market.catalog import Catalog
from quantlab.market.quote import Quote
from quantlab.rules.surroundings import NOTHING_KNOWN, Surroundings

Recorded = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The moment, in wall-clock nanoseconds, and what the market was then.

    feed_seq is the newest of the quotes read. reset_quotes are the last quotes before reset_ns,
    where the command could open a new trading day of an account with positions. around is what its
    rules may look at outside the account; nothing where none of them does. halted are the
    instruments that its tenant had halted, with the reasons.
    """

    now_ns: int
    feed_now_ns: int
    feed_seq: int
    suspended: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    keeps_hours: bool = False
    reset_ns: int | None = None
    reset_quotes: tuple[Quote, ...] = ()
    around: Surroundings = NOTHING_KNOWN
    halted: Mapping[str, str] = field(default_factory=dict)

    def recorded(self) -> Recorded:
        """Write them as they are recorded, without the moment, which the command has."""
        written: Recorded = {"feedNowNs": str(self.feed_now_ns), "feedSeq": self.feed_seq}
        for name, symbols in (("suspended", self.suspended), ("missing", self.missing)):
            if symbols:
                written[name] = sorted(symbols)
        if self.keeps_hours:
            written["keepsHours"] = True
        if self.halted:
            written["halted"] = dict(self.halted)
        written |= write_surroundings(self.around)
        if self.reset_ns is None:
            return written
        reset: Recorded = {
            "resetNs": str(self.reset_ns),
            "resetQuotes": write_quotes(self.reset_quotes),
        }
        return {**written, **reset}

    def market(self, catalog: Catalog, tape: Tape) -> Market:
        """Return the market that was read, from the tick log."""
        quotes = {
            symbol: replace(quote, suspended=symbol in self.suspended)
            for symbol, quote in tape.latest(self.feed_seq).items()
            if symbol not in self.missing
        }
        return Market(catalog, quotes, self.feed_now_ns, self.keeps_hours, self.halted)

    def reset_market(self, catalog: Catalog) -> Market | None:
        """Return the market before the reset, where the command could open a trading day."""
        if self.reset_ns is None:
            return None
        return Market(catalog, {q.symbol: q for q in self.reset_quotes}, self.reset_ns)


def inputs_of(market: Market, now_ns: int) -> Inputs:
    """Say which quotes a market holds; the same for every command decided on it at a moment."""
    quotes = market.quotes
    return Inputs(
        now_ns=now_ns,
        feed_now_ns=market.feed_now_ns,
        feed_seq=max((quote.seq for quote in quotes.values()), default=0),
        suspended=frozenset(symbol for symbol, quote in quotes.items() if quote.suspended),
        missing=frozenset(market.catalog.instruments) - frozenset(quotes),
        keeps_hours=market.keeps_hours,
        halted=market.halted,
    )


def with_reset(inputs: Inputs, reset_market: Market | None) -> Inputs:
    """Add the quotes that may open an account's trading day."""
    if reset_market is None:
        return inputs
    quotes = tuple(quote for _, quote in sorted(reset_market.quotes.items()))
    return replace(inputs, reset_ns=reset_market.feed_now_ns, reset_quotes=quotes)


def read_inputs(recorded: Mapping[str, Any], now_ns: int, catalog: Catalog) -> Inputs:
    """Read recorded inputs; KeyError or ValueError where they are not what was written."""
    reset = recorded.get("resetNs")
    quotes = read_market(catalog, recorded.get("resetQuotes", ())).quotes
    return Inputs(
        now_ns=now_ns,
        feed_now_ns=int(recorded["feedNowNs"]),
        feed_seq=int(recorded["feedSeq"]),
        suspended=frozenset(recorded.get("suspended", ())),
        missing=frozenset(recorded.get("missing", ())),
        keeps_hours=recorded.get("keepsHours", False) is True,
        reset_ns=None if reset is None else int(reset),
        reset_quotes=tuple(quotes.values()),
        around=read_surroundings(recorded),
        halted=dict(recorded.get("halted", {})),
    )
