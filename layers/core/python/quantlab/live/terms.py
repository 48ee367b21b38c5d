"""What a live run of a strategy knows of its account that no event changes; kept with the run.

It is a document of its own, so that a replay reads what the run was begun with, whatever the
catalogue and the rules have become since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import Any, Final

from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.state import EMPTY_TALLY, Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import Conversion, conversion_pair
from quantlab.market.instrument import GateLimits, Instrument
from quantlab.rules import terms as rules
from quantlab.rules.floors import BASES, rule_row

_GATE: Final = GateLimits(1 << 62, 1, 1, 1)


class NotLive(ValueError):
    """A strategy cannot run on an account: why, and what was expected."""


@dataclass(frozen=True, slots=True)
class FloorRule:
    """A rule with an equity floor: `rules.floors.rule_row`, and what moves it.

    payout_floor_minor is the least floor once a payout was made, None for none.
    """

    row: tuple[int, ...]
    spares_costs: bool
    payout_floor_minor: int | None


@dataclass(frozen=True, slots=True)
class LiveTerms:
    """Currency, money and rules of an account, and the instruments of a run by symbol.

    symbol is the one the strategy is put on: what it calls "" or does not name.
    instruments are those the strategy names, those the account may hold where the strategy asks
    for its equity, and the pairs that convert their profits. leverages are fractions by symbol;
    what has none needs no margin. hedging says that each order that opens has a position
    of its own.
    """

    symbol: str
    currency: str
    currency_digits: int
    initial_minor: int
    basis: int
    floors: tuple[FloorRule, ...]
    instruments: tuple[Instrument, ...]
    conversions: Mapping[str, Conversion]
    leverages: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    hedging: bool = False

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols of the run, in the order events number them."""
        return tuple(one.symbol for one in self.instruments)

    def document(self) -> dict[str, Any]:
        """Return the terms as JSON."""
        return {
            "symbol": self.symbol,
            "currency": self.currency,
            "currencyDigits": self.currency_digits,
            "initialMinor": self.initial_minor,
            "basis": self.basis,
            "floors": [[list(one.row), one.spares_costs, one.payout_floor_minor]
                       for one in self.floors],
            "instruments": [_written(one) for one in self.instruments],
            "conversions": {
                currency: {
                    "symbol": one.symbol, "multiplies": one.multiplies,
                    "digitsFrom": one.digits_from, "digitsTo": one.digits_to,
                }
                for currency, one in sorted(self.conversions.items())
            },
            "leverages": {symbol: list(one) for symbol, one in sorted(self.leverages.items())},
            "hedging": self.hedging,
        }  # fmt: skip


def read_terms(document: Mapping[str, Any]) -> LiveTerms:
    """Read what `LiveTerms.document` wrote."""
    instruments = tuple(_instrument(one) for one in document["instruments"])
    known = {one.symbol: one for one in instruments}
    return LiveTerms(
        symbol=document["symbol"],
        currency=document["currency"],
        currency_digits=document["currencyDigits"],
        initial_minor=document["initialMinor"],
        basis=document["basis"],
        floors=tuple(
            FloorRule(tuple(row), spares, least) for row, spares, least in document["floors"]
        ),
        instruments=instruments,
        conversions={
            currency: Conversion(
                known[one["symbol"]], one["multiplies"], one["digitsFrom"], one["digitsTo"]
            )
            for currency, one in document["conversions"].items()
        },
        leverages={
            symbol: (num, den) for symbol, (num, den) in document.get("leverages", {}).items()
        },
        hedging=document.get("hedging", False),
    )


def terms_of(
    account: Account,
    profile: rules.Profile,
    catalog: Catalog,
    symbols: Sequence[str],
    trading: TradingTerms = STANDARD,
) -> LiveTerms:
    """Return the terms of a run over some symbols of the catalogue, with the pairs they need.

    It is put on the first of them.
    Raises NotLive for a symbol nobody knows, and where no pair converts what one earns.
    """
    instruments: dict[str, Instrument] = {}
    conversions: dict[str, Conversion] = {}
    for symbol in symbols:
        instrument = catalog.instruments.get(symbol)
        if instrument is None:
            raise NotLive(f"expected an instrument, was {symbol!r}")
        instruments[symbol] = instrument
        if instrument.quote_currency == account.currency:
            continue
        pair = conversion_pair(catalog, instrument.quote_currency, account.currency)
        if pair is None or pair.instrument is None:
            wanted = f"{instrument.quote_currency} to {account.currency}"
            raise NotLive(f"expected a pair that converts {wanted} for {symbol}, was none")
        conversions[instrument.quote_currency] = pair
        instruments.setdefault(pair.instrument.symbol, pair.instrument)
    return LiveTerms(
        symbol=symbols[0],
        currency=account.currency,
        currency_digits=account.currency_digits,
        initial_minor=account.initial_balance_minor,
        basis=BASES[profile.high_water_basis],
        floors=(
            *(_floor(rule, account) for rule in profile.daily_losses),
            *(_floor(rule, account) for rule in profile.drawdowns),
        ),
        instruments=tuple(instruments[symbol] for symbol in sorted(instruments)),
        conversions=conversions,
        leverages={
            one.symbol: leverage
            for one in instruments.values()
            if (leverage := trading.leverage(one)) is not None
        },
        hedging=trading.hedging,
    )


def _floor(rule: rules.EquityRule, account: Account) -> FloorRule:
    row = rule_row(rule, replace(account, tally=EMPTY_TALLY))
    if isinstance(rule, rules.DailyLoss):
        return FloorRule(row, not rule.costs_count, None)
    return FloorRule(row, False, rule.payout_floor_minor)


def _written(one: Instrument) -> dict[str, Any]:
    return {
        "symbol": one.symbol, "aliases": list(one.aliases),
        "baseCurrency": one.base_currency, "quoteCurrency": one.quote_currency,
        "quoteDigits": one.quote_digits, "tick": str(one.tick), "sizeStep": str(one.size_step),
        "contractSize": str(one.contract_size), "unitNum": one.unit_num, "unitDen": one.unit_den,
        "maxAgeNs": one.gate.max_age_ns,
    }  # fmt: skip


def _instrument(one: Mapping[str, Any]) -> Instrument:
    return Instrument(
        symbol=one["symbol"],
        description="",
        base_currency=one["baseCurrency"],
        quote_currency=one["quoteCurrency"],
        quote_digits=one["quoteDigits"],
        tick=Decimal(one["tick"]),
        size_step=Decimal(one["sizeStep"]),
        contract_size=Decimal(one["contractSize"]),
        min_size_steps=1,
        max_size_steps=1 << 40,
        unit_num=one["unitNum"],
        unit_den=one["unitDen"],
        calendar="",
        gate=replace(_GATE, max_age_ns=one.get("maxAgeNs", _GATE.max_age_ns)),
        aliases=tuple(one["aliases"]),
    )
