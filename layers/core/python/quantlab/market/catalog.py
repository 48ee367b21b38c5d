"""The catalogue of instruments, read from its document and checked in full.

It must not know files; whoever loads the document passes it in.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from typing import Any

from quantlab.kernel.arith import MICRO
from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.decimals import to_units
from quantlab.kernel.records import dataclass
from quantlab.market.costs import Commission, read_commission, read_swap
from quantlab.market.document import CatalogError, Node
from quantlab.market.fill_model import FillModel, parse_fill_model, top_of_book
from quantlab.market.instrument import GateLimits, Instrument, unit_value
from quantlab.market.sessions import Calendar
from quantlab.market.synthetic import SyntheticModel

SUPPORTED_VERSION = 1
MAX_INSTRUMENTS = 5000
ASSET_CLASS = r"[a-z][a-z0-9_]{0,31}"
MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every instrument by symbol; version is the content hash of its document.

    conversions lists the symbols that convert currencies, synthetic how a symbol is simulated,
    fill_models how it is filled where the tenant says nothing else, calendars the sessions by name.
    """

    version: str
    currency_digits: Mapping[str, int]
    instruments: Mapping[str, Instrument]
    conversions: tuple[str, ...]
    synthetic: Mapping[str, SyntheticModel]
    fill_models: Mapping[str, FillModel]
    calendars: Mapping[str, Calendar] = field(repr=False)
    _tickers: Mapping[str, str] = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)

    def find(self, ticker: str) -> Instrument | None:
        """Return the instrument a symbol or one of its aliases names, in any case of letters."""
        symbol = self._tickers.get(ticker.strip().upper())
        return None if symbol is None else self.instruments[symbol]

    def is_open(self, instrument: Instrument, ts_ns: int) -> bool:
        """Say whether the instrument's market is open; it is not while its hours are unknown."""
        calendar = self.calendars.get(instrument.calendar)
        return calendar is not None and calendar.is_open(ts_ns)


def parse_catalog(
    document: Mapping[str, Any], calendars: Mapping[str, Calendar] | None = None
) -> Catalog:
    """Read the catalogue; CatalogError names the pointer, what was expected and what was there.

    Without calendars no hours are known.
    """
    root = Node("", document)
    root.only("$schema", "version", "currencies", "conversions", "instruments")
    root.integer("version", SUPPORTED_VERSION, SUPPORTED_VERSION)
    digits = _currencies(root.child("currencies"))
    instruments: dict[str, Instrument] = {}
    synthetic: dict[str, SyntheticModel] = {}
    fill_models: dict[str, FillModel] = {}
    tickers: dict[str, str] = {}
    for node in root.children("instruments", 1, MAX_INSTRUMENTS):
        instrument = _instrument(node, digits)
        _claim(node, instrument, tickers)
        instruments[instrument.symbol] = instrument
        fill_models[instrument.symbol] = _fill_model(node, instrument)
        if "synthetic" in node.value:
            synthetic[instrument.symbol] = _synthetic(node.child("synthetic"), instrument)
    conversions = _conversions(root, instruments)
    version = hashlib.sha256(canonical_json(dict(document))).hexdigest()
    return Catalog(
        version,
        digits,
        instruments,
        conversions,
        synthetic,
        fill_models,
        calendars or {},
        tickers,
        document,
    )


def _currencies(node: Node) -> dict[str, int]:
    if not node.value:
        raise CatalogError(node.pointer, "at least one currency", "none")
    return {code: node.integer(code, 0, 8) for code in node.value}


def _instrument(node: Node, digits: Mapping[str, int]) -> Instrument:
    node.only(
        *("symbol", "description", "baseCurrency", "quoteCurrency", "tick", "sizeStep"),
        *("contractSize", "minSize", "maxSize", "calendar", "aliases", "gate", "fees"),
        *("slippageTicks", "displayedSize", "fillModel", "synthetic", "assetClass", "swap"),
    )
    quote_currency = node.text("quoteCurrency")
    if quote_currency not in digits:
        raise CatalogError(node.at("quoteCurrency"), "a currency of /currencies", quote_currency)
    tick, step = node.positive("tick"), node.positive("sizeStep")
    contract = node.positive("contractSize")
    try:
        unit_num, unit_den = unit_value(tick, step, contract, digits[quote_currency])
    except ValueError as error:
        raise CatalogError(
            node.pointer, "tick * sizeStep * contractSize within range", str(error)
        ) from error
    min_steps, max_steps = _sizes(node, step)
    fees = read_commission(node.child("fees"))
    return Instrument(
        symbol=node.text("symbol", r"[A-Z0-9]{1,20}"),
        description=node.text("description"),
        base_currency=node.text("baseCurrency"),
        quote_currency=quote_currency,
        quote_digits=digits[quote_currency],
        tick=tick,
        size_step=step,
        contract_size=contract,
        min_size_steps=min_steps,
        max_size_steps=max_steps,
        unit_num=unit_num,
        unit_den=unit_den,
        calendar=node.text("calendar", r"[a-z0-9_]{1,40}"),
        gate=_gate(node.child("gate")),
        aliases=node.texts("aliases"),
        commission_micro_per_step=_per_step(node, fees, step),
        slippage_ticks=node.integer("slippageTicks", 0, 1_000_000),
        commission_ppm=fees.notional_ppm,
        commission_minimum_micro=fees.minimum_micro,
        swap=read_swap(node.child("swap")) if "swap" in node.value else None,
        asset_class=node.text("assetClass", ASSET_CLASS) if "assetClass" in node.value else "other",
        size_required=node.text("displayedSize", "unlimited|required") == "required",
    )


def _sizes(node: Node, step: Decimal) -> tuple[int, int]:
    steps: list[int] = []
    for name in ("minSize", "maxSize"):
        size = node.positive(name)
        count = to_units(size, step)
        if count is None:
            raise CatalogError(node.at(name), f"a whole number of size steps of {step}", str(size))
        steps.append(count)
    if steps[0] > steps[1]:
        raise CatalogError(node.at("maxSize"), "at least minSize", str(node.value["maxSize"]))
    return steps[0], steps[1]


def _gate(node: Node) -> GateLimits:
    node.only("maxAgeMs", "maxSpreadTicks", "maxJumpTicks", "confirmations", "maxLockedMs")
    return GateLimits(
        max_age_ns=node.integer("maxAgeMs", 1, 86_400_000) * MILLISECOND_NS,
        max_spread_ticks=node.integer("maxSpreadTicks", 1, 1 << 40),
        max_jump_ticks=node.integer("maxJumpTicks", 1, 1 << 40),
        confirmations=node.integer("confirmations", 1, 100),
        max_locked_ns=node.integer("maxLockedMs", 0, 86_400_000) * MILLISECOND_NS,
    )


def _per_step(node: Node, fees: Commission, step: Decimal) -> int:
    micro = to_units(fees.per_lot_minor * step * MICRO, Decimal(1))
    if micro is None:
        expected = "a commission of zero or more whole micro-minor units per size step"
        where = node.child("fees").at("commissionMinorPerLot")
        raise CatalogError(where, expected, str(fees.per_lot_minor))
    return micro


def _fill_model(node: Node, instrument: Instrument) -> FillModel:
    if "fillModel" not in node.value:
        return top_of_book(instrument.slippage_ticks)
    if instrument.slippage_ticks:
        expected = "0 beside a fillModel, which has its own slippage"
        raise CatalogError(node.at("slippageTicks"), expected, str(instrument.slippage_ticks))
    return parse_fill_model(node.child("fillModel"))


def _synthetic(node: Node, instrument: Instrument) -> SyntheticModel:
    node.only("startTicks", "spreadTicks", "stepPpm", "intervalMs", "sizeSteps")
    model = SyntheticModel(
        start_ticks=node.integer("startTicks", 100, 1 << 40),
        spread_ticks=node.integer("spreadTicks", 1, 1 << 30),
        step_ppm=node.integer("stepPpm", 1, 10_000),
        interval_ms=node.integer("intervalMs", 1, 3_600_000),
        size_steps=node.integer("sizeSteps", 1, 1 << 40) if "sizeSteps" in node.value else 0,
    )
    if model.spread_ticks * 3 // 2 > instrument.gate.max_spread_ticks:
        limit = instrument.gate.max_spread_ticks * 2 // 3
        raise CatalogError(node.at("spreadTicks"), f"at most {limit}", str(model.spread_ticks))
    return model


def _claim(node: Node, instrument: Instrument, tickers: dict[str, str]) -> None:
    """Enter the symbol and its aliases; each names one instrument only."""
    for ticker in (instrument.symbol, *instrument.aliases):
        name = ticker.strip().upper()
        if name in tickers:
            where = "symbol" if ticker == instrument.symbol else "aliases"
            raise CatalogError(node.at(where), "names used once in the catalogue", ticker)
        tickers[name] = instrument.symbol


def _conversions(root: Node, instruments: Mapping[str, Instrument]) -> tuple[str, ...]:
    seen: dict[frozenset[str], str] = {}
    symbols = root.texts("conversions")
    for index, symbol in enumerate(symbols):
        pointer = f"{root.at('conversions')}/{index}"
        instrument = instruments.get(symbol)
        if instrument is None:
            raise CatalogError(pointer, "the symbol of an instrument", symbol)
        pair = frozenset((instrument.base_currency, instrument.quote_currency))
        if pair in seen:
            raise CatalogError(pointer, "one instrument per currency pair", symbol)
        seen[pair] = symbol
    return symbols
