"""What a decision may look at, and the values of positions in the account's currency."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from quantlab.engine.opening import Course
from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.arith import muldiv
from quantlab.kernel.canonical import Json
from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fills import SAME_CURRENCY, Rate, equity_minor, open_gain_micro
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair, conversion_rate
from quantlab.market.fill_model import FillModel, chosen_model
from quantlab.market.gate import is_stale
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.rules.surroundings import NOTHING_KNOWN, Surroundings
from quantlab.rules.terms import Profile


@dataclass(frozen=True, slots=True)
class Market:
    """The latest accepted quotes and the feed's clock at one moment.

    With keeps_hours nothing is usable while its market is closed by its calendar. halted are the
    instruments that the account's tenant lets nobody trade, with the reasons.
    """

    catalog: Catalog
    quotes: Mapping[str, Quote]
    feed_now_ns: int
    keeps_hours: bool = False
    halted: Mapping[str, str] = field(default_factory=dict)

    def usable(self, instrument: Instrument) -> Quote | Rejection:
        """Return the instrument's quote, or why it may not be traded on."""
        if self.keeps_hours and not self.catalog.is_open(instrument, self.feed_now_ns):
            return self._closed(instrument)
        halt = self.halt_of(instrument)
        if halt is not None:
            return halt
        quote = self.quotes.get(instrument.symbol)
        if quote is None:
            return Rejection(Reason.NO_QUOTE, f"no quote of {instrument.symbol} yet")
        if is_stale(quote, self.feed_now_ns, instrument.gate):
            age_s = (self.feed_now_ns - quote.ts_ns) / 1e9
            most_s = instrument.gate.max_age_ns / 1e9
            return Rejection(
                Reason.QUOTE_STALE,
                f"expected a quote of {instrument.symbol} within {most_s:.0f} s,"
                f" was {age_s:.0f} s old{' and suspended' if quote.suspended else ''}",
            )
        return quote

    def halt_of(self, instrument: Instrument) -> Rejection | None:
        """Return why nothing of the instrument may trade; None where it is not halted."""
        reason = self.halted.get(instrument.symbol)
        if reason is None:
            return None
        words = f"trading of {instrument.symbol} is halted: {reason}"
        return Rejection(Reason.INSTRUMENT_HALTED, words)

    def next_close(self, instrument: Instrument) -> int | None:
        """Return when the instrument's session ends; None where no hours are kept or known."""
        calendar = self.catalog.calendars.get(instrument.calendar)
        if calendar is None or not self.keeps_hours:
            return None
        return calendar.next_close(self.feed_now_ns)

    def _closed(self, instrument: Instrument) -> Rejection:
        calendar = self.catalog.calendars.get(instrument.calendar)
        opens_ns = None if calendar is None else calendar.next_open(self.feed_now_ns)
        until = "and when it opens is not known"
        if opens_ns is not None:
            until = f"until {format_rfc3339(opens_ns)}"
        return Rejection(Reason.MARKET_CLOSED, f"the market of {instrument.symbol} is shut {until}")

    def suspended(self) -> "Market":
        """Return this market with every quote suspended, as when the feed has gone silent."""
        quotes = {symbol: replace(quote, suspended=True) for symbol, quote in self.quotes.items()}
        return replace(self, quotes=quotes)

    def unaged(self) -> "Market":
        """Return this market with its clock stopped before any quote: none of them is stale."""
        quotes = {symbol: replace(quote, suspended=False) for symbol, quote in self.quotes.items()}
        return Market(self.catalog, quotes, 0)

    def as_of(self, moment_ns: int) -> "Market":
        """Return what of this market was known just before a moment, at that moment."""
        before = {name: quote for name, quote in self.quotes.items() if quote.ts_ns < moment_ns}
        return replace(self, quotes=before, feed_now_ns=moment_ns)

    def rate(self, instrument: Instrument, currency: str, sign: int) -> Rate | Rejection:
        """Return the fraction from the instrument's quote currency to the account's."""
        if instrument.quote_currency == currency:
            return SAME_CURRENCY
        conversion = conversion_pair(self.catalog, instrument.quote_currency, currency)
        if conversion is not None and conversion.instrument is not None:
            quote = self.usable(conversion.instrument)
            if isinstance(quote, Quote):
                return conversion_rate(conversion, quote, sign)
        return Rejection(
            Reason.NO_CONVERSION_QUOTE,
            f"no usable quote to convert {instrument.quote_currency} to {currency}",
        )


@dataclass(frozen=True, slots=True)
class Context:
    """Everything outside the account: market, rules and the moment.

    reset_market holds the last quotes before the reset that opened today's trading day; it is
    None while no day has to be rolled. fill_models are the tenant's own, by symbol. around is what
    rules look at outside the account; course is what the account's configuration leads it through;
    trading are the costs and the margin of its type.
    """

    market: Market
    profile: Profile
    instruments: frozenset[str]
    now_ns: int
    reset_market: Market | None = None
    fill_models: Mapping[str, FillModel] = field(default_factory=dict)
    around: Surroundings = NOTHING_KNOWN
    course: Course | None = None
    trading: TradingTerms = STANDARD

    def recorded_market(self, quotes: Sequence[Mapping[str, Any]]) -> Market:
        """Return the market of quotes that a command recorded, under the halts that hold now."""
        return replace(read_market(self.market.catalog, quotes), halted=self.market.halted)

    def fill_model(self, instrument: Instrument) -> FillModel:
        """Return how the account's orders of the instrument are filled."""
        symbol = instrument.symbol
        return chosen_model(self.fill_models, symbol, self.market.catalog.fill_models[symbol])


def equity_of(account: Account, market: Market, *, stale_counts: bool = False) -> int | Rejection:
    """Return the account's equity, or why it cannot be known: then nothing is judged by it.

    With stale_counts old quotes are good enough, as at a reset when the market is shut.
    """
    if stale_counts:
        market = market.unaged()
    open_micro = 0
    for position in account.positions.values():
        instrument = market.catalog.instruments[position.symbol]
        quote = market.usable(instrument)
        if isinstance(quote, Rejection):
            return quote
        gain = open_gain_micro(position, instrument, quote)
        rate = market.rate(instrument, account.currency, gain)
        if isinstance(rate, Rejection):
            return rate
        open_micro += gain if rate == SAME_CURRENCY else muldiv(gain, *rate)
    return equity_minor(account, open_micro)


def symbols_of(account: Account, catalog: Catalog) -> frozenset[str]:
    """Return the symbols whose quotes the account's equity depends on, conversions included."""
    symbols = {position.symbol for position in account.positions.values()}
    for symbol in tuple(symbols):
        currency = catalog.instruments[symbol].quote_currency
        conversion = conversion_pair(catalog, currency, account.currency)
        if conversion is not None and conversion.symbol is not None:
            symbols.add(conversion.symbol)
    return frozenset(symbols)


def order_symbols(account: Account, catalog: Catalog) -> frozenset[str]:
    """Return the symbols whose quotes the account's working orders wait for."""
    return frozenset(order.symbol for order in account.working.values()) & frozenset(
        catalog.instruments
    )


def exposure_id(account: Account) -> str:
    """Name what the account's equity at given quotes depends on: the same name, the same equity."""
    held = [
        f"{position.symbol} {position.size_steps} {position.cost}" for position in account.legs()
    ]
    money = (account.currency, account.balance_minor, account.carry_micro)
    return derive_id(account.account_id, *money, *held)


def write_quotes(quotes: Iterable[Quote]) -> list[Json]:
    """Write quotes as commands and events record them; times are text, JSON numbers end at 2^53."""
    return [
        {
            "symbol": quote.symbol,
            "bidTicks": quote.bid_ticks,
            "askTicks": quote.ask_ticks,
            "tsNs": str(quote.ts_ns),
            "seq": quote.seq,
            "bidSizeSteps": quote.bid_size_steps,
            "askSizeSteps": quote.ask_size_steps,
        }
        for quote in quotes
    ]


def read_market(catalog: Catalog, recorded: Sequence[Mapping[str, Any]]) -> Market:
    """Return the market of recorded quotes, at the moment of the newest of them."""
    quotes = {
        item["symbol"]: Quote(
            symbol=item["symbol"],
            bid_ticks=item["bidTicks"],
            ask_ticks=item["askTicks"],
            ts_ns=int(item["tsNs"]),
            seq=item["seq"],
            # Commands recorded before quotes had sizes know none.
            bid_size_steps=item.get("bidSizeSteps", 0),
            ask_size_steps=item.get("askSizeSteps", 0),
        )
        for item in recorded
    }
    return Market(catalog, quotes, max((quote.ts_ns for quote in quotes.values()), default=0))
