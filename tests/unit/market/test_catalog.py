"""The catalogue: the shipped document, look-ups, and what it says of a wrong one."""

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from quantlab.market.catalog import parse_catalog
from quantlab.market.costs import SwapTerms
from quantlab.market.document import CatalogError

CONFIGS = Path(__file__).parents[3] / "agent" / "configs"
DOCUMENT = json.loads((CONFIGS / "instruments.json").read_text())
SCHEMA = json.loads((CONFIGS / "instruments.schema.json").read_text())


def changed(pointer: str, value: object) -> dict[str, Any]:
    """Return the shipped document with one value replaced, or removed when value is ...."""
    document = copy.deepcopy(DOCUMENT)
    *path, name = pointer.strip("/").split("/")
    node = document
    for step in path:
        node = node[int(step) if isinstance(node, list) else step]
    key = int(name) if isinstance(node, list) else name
    if value is ...:
        del node[key]
    else:
        node[key] = value
    return document


def test_the_shipped_document_matches_its_schema_and_parses() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(DOCUMENT, SCHEMA)
    catalog = parse_catalog(DOCUMENT)
    wanted = {"EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "BTCUSD", "ETHUSD", "ES", "NQ", "GC", "SPY"}
    assert wanted <= set(catalog.instruments)
    assert set(catalog.synthetic) == set(catalog.instruments)


# The value of one tick and one size step in millionths of a minor unit, worked out by hand.
@pytest.mark.parametrize(
    ("symbol", "unit"),
    [
        ("EURUSD", (1_000_000, 1)),  # 0.00001 * 1,000 units = 0.01 USD
        ("USDJPY", (1_000_000, 1)),  # 0.001 * 1,000 units = 1 JPY
        ("XAUUSD", (100_000, 1)),  # 0.001 * 1 oz = 0.001 USD
        ("BTCUSD", (1_000, 1)),  # 0.01 * 0.001 = 0.00001 USD
        ("ES", (1_250_000_000, 1)),  # 0.25 * 50 = 12.50 USD
        ("NQ", (500_000_000, 1)),  # 0.25 * 20 = 5 USD
        ("GC", (1_000_000_000, 1)),  # 0.1 * 100 = 10 USD
        ("SPY", (1_000_000, 1)),  # 0.01 USD
    ],
)
def test_unit_value_of_shipped_instruments(symbol: str, unit: tuple[int, int]) -> None:
    instrument = parse_catalog(DOCUMENT).instruments[symbol]
    assert (instrument.unit_num, instrument.unit_den) == unit


@pytest.mark.parametrize(
    ("ticker", "symbol"),
    [
        ("EURUSD", "EURUSD"),
        ("eurusd", "EURUSD"),
        ("OANDA:EURUSD", "EURUSD"),
        ("EUR/USD", "EURUSD"),
        (" BTCUSDT ", "BTCUSD"),
        ("NQ1!", "NQ"),
        ("CME_MINI:ES1!", "ES"),
    ],
)
def test_find_knows_symbols_and_aliases(ticker: str, symbol: str) -> None:
    found = parse_catalog(DOCUMENT).find(ticker)
    assert found is not None
    assert found.symbol == symbol


@pytest.mark.parametrize("ticker", ["", "EUR", "UNKNOWN:EURUSD", "EURUSD;", "NQ1"])
def test_find_refuses_what_it_does_not_know(ticker: str) -> None:
    assert parse_catalog(DOCUMENT).find(ticker) is None


def test_sizes_and_commission_become_integers() -> None:
    document = changed("/instruments/0/fees/commissionMinorPerLot", "350.5")
    instrument = parse_catalog(document).instruments["EURUSD"]
    assert (instrument.min_size_steps, instrument.max_size_steps) == (1, 10_000)
    # 350.5 cents a lot, a hundredth of a lot a step: 3.505 cents.
    assert instrument.commission_micro_per_step == 3_505_000


def test_an_instrument_says_its_class_its_commission_and_its_swap() -> None:
    document = changed("/instruments/0/fees/commissionBasisPoints", "0.25")
    document["instruments"][0]["fees"]["minimumMinorPerOrder"] = "50.5"
    swap = {"unit": "points", "long": "-6.5", "short": "1.2", "tripleDay": "wed"}
    document["instruments"][0]["swap"] = swap
    instrument = parse_catalog(document).instruments["EURUSD"]
    assert (instrument.asset_class, instrument.commission_ppm) == ("fx", 25)
    assert instrument.commission_minimum_micro == 50_500_000
    assert instrument.swap == SwapTerms("points", Decimal("-6.5"), Decimal("1.2"), 2)
    assert parse_catalog(DOCUMENT).instruments["EURUSD"].swap is None


def test_version_follows_the_content() -> None:
    first = parse_catalog(DOCUMENT).version
    assert first == parse_catalog(copy.deepcopy(DOCUMENT)).version
    assert first != parse_catalog(changed("/instruments/0/slippageTicks", 1)).version


WRONG = [
    ("/version", 2, "/version"),
    ("/instruments", [], "/instruments"),
    ("/instruments/0/tick", "0", "/instruments/0/tick"),
    ("/instruments/0/tick", 0.00001, "/instruments/0/tick"),
    ("/instruments/0/tick", "1e-5", "/instruments/0/tick"),
    ("/instruments/0/tick", ..., "/instruments/0/tick"),
    ("/instruments/0/contractSize", "999999999999999999", "/instruments/0"),
    ("/instruments/0/quoteCurrency", "XXX", "/instruments/0/quoteCurrency"),
    ("/instruments/0/minSize", "0.005", "/instruments/0/minSize"),
    ("/instruments/0/minSize", "101", "/instruments/0/maxSize"),
    ("/instruments/0/gate/confirmations", 0, "/instruments/0/gate/confirmations"),
    ("/instruments/0/gate/maxAgeMs", True, "/instruments/0/gate/maxAgeMs"),
    ("/instruments/0/gate/maxAge", 5, "/instruments/0/gate/maxAge"),
    ("/instruments/0/colour", "red", "/instruments/0/colour"),
    ("/instruments/0/aliases/0", "gbpusd", "/instruments/0/aliases"),
    ("/instruments/1/symbol", "EURUSD", "/instruments/1/symbol"),
    ("/instruments/1/aliases/0", "EUR/USD", "/instruments/1/aliases"),
    (
        "/instruments/0/fees/commissionMinorPerLot",
        "-1",
        "/instruments/0/fees/commissionMinorPerLot",
    ),
    (
        "/instruments/0/fees/commissionMinorPerLot",
        "0.00001",
        "/instruments/0/fees/commissionMinorPerLot",
    ),
    (
        "/instruments/0/fees/commissionBasisPoints",
        "0.255",
        "/instruments/0/fees/commissionBasisPoints",
    ),
    ("/instruments/0/fees/minimumMinorPerOrder", 5, "/instruments/0/fees/minimumMinorPerOrder"),
    ("/instruments/0/assetClass", "FX", "/instruments/0/assetClass"),
    ("/instruments/0/swap", {"unit": "points", "long": "1"}, "/instruments/0/swap/short"),
    (
        "/instruments/0/swap",
        {"unit": "pips", "long": "1", "short": "1"},
        "/instruments/0/swap/unit",
    ),
    (
        "/instruments/0/swap",
        {"unit": "money", "long": "1", "short": "1", "tripleDay": "sun"},
        "/instruments/0/swap/tripleDay",
    ),
    ("/instruments/0/synthetic/spreadTicks", 150, "/instruments/0/synthetic/spreadTicks"),
    ("/conversions/0", "EURJPY", "/conversions/0"),
    ("/conversions/1", "EURUSD", "/conversions/1"),
    ("/currencies/USD", 9, "/currencies/USD"),
    ("/instruments/0", "EURUSD", "/instruments/0"),
]


@pytest.mark.parametrize(("pointer", "value", "named"), WRONG)
def test_a_wrong_value_is_named_where_it_stands(pointer: str, value: object, named: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse_catalog(changed(pointer, value))
    if pointer == "/instruments/0/aliases/0":
        # The second owner of a name is the one that is told.
        assert caught.value.pointer == "/instruments/1/symbol"
    else:
        assert caught.value.pointer == named
    assert caught.value.expected in str(caught.value)
    assert caught.value.got in str(caught.value)


def test_tick_and_step_are_exact_decimals() -> None:
    instrument = parse_catalog(DOCUMENT).instruments["EURUSD"]
    assert instrument.tick == Decimal("0.00001")
    assert instrument.size_step == Decimal("0.01")
