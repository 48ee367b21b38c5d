"""Currency conversion by hand-worked cases."""

import json
from pathlib import Path

import pytest

from quantlab.kernel.check import InvariantBroken
from quantlab.market.catalog import parse_catalog
from quantlab.market.conversion import conversion_pair, conversion_rate
from quantlab.market.quote import Quote

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[3] / "agent/configs/instruments.json").read_text())
)
USDJPY = Quote("USDJPY", 150_000, 150_100, 1, 1)
GBPUSD = Quote("GBPUSD", 125_000, 125_010, 1, 1)


def rate(source: str, target: str, quote: Quote | None, amount: int) -> tuple[int, int]:
    conversion = conversion_pair(CATALOG, source, target)
    assert conversion is not None
    return conversion_rate(conversion, quote, amount)


def test_yen_become_dollars_at_the_side_one_would_close_at() -> None:
    # A gain of yen buys dollars at the ask, 150.100: a yen is 100 / 150.1 cents.
    assert rate("JPY", "USD", USDJPY, 1) == (1000, 1501)
    # A loss of yen is bought with dollars sold at the bid, 150.000.
    assert rate("JPY", "USD", USDJPY, -1) == (2, 3)


def test_dollars_become_yen() -> None:
    assert rate("USD", "JPY", USDJPY, 1) == (3, 2)
    assert rate("USD", "JPY", USDJPY, -1) == (1501, 1000)


def test_pounds_become_dollars_and_back() -> None:
    assert rate("GBP", "USD", GBPUSD, 1) == (5, 4)
    assert rate("GBP", "USD", GBPUSD, -1) == (12501, 10000)
    assert rate("USD", "GBP", GBPUSD, 1) == (10000, 12501)
    assert rate("USD", "GBP", GBPUSD, -1) == (4, 5)


def test_the_same_currency_needs_no_quote() -> None:
    conversion = conversion_pair(CATALOG, "USD", "USD")
    assert conversion is not None
    assert conversion.symbol is None
    assert conversion_rate(conversion, None, -5) == (1, 1)


@pytest.mark.parametrize(("source", "target"), [("EUR", "JPY"), ("XAU", "USD"), ("USD", "CHF")])
def test_without_a_pair_there_is_no_conversion(source: str, target: str) -> None:
    assert conversion_pair(CATALOG, source, target) is None


@pytest.mark.parametrize("quote", [None, GBPUSD])
def test_a_missing_or_foreign_quote_is_our_bug(quote: Quote | None) -> None:
    conversion = conversion_pair(CATALOG, "JPY", "USD")
    assert conversion is not None
    assert conversion.symbol == "USDJPY"
    with pytest.raises(InvariantBroken):
        conversion_rate(conversion, quote, 1)
