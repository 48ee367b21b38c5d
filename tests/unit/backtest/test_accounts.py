"""What an account needs for a backtest, and the sentences that refuse what is missing."""

from dataclasses import replace

import pytest
from tests.support import backtest_runs as runs
from tests.support.engine_cases import catalog

from quantlab.backtest.account import BacktestAccount, NotRun
from quantlab.market.conversion import conversion_pair


def account(*symbols: str, currency: str = "USD") -> BacktestAccount:
    quoted = {catalog().instruments[one].quote_currency for one in symbols}
    pairs = {one: conversion_pair(catalog(), one, currency) for one in quoted}
    known = {one: pair for one, pair in pairs.items() if pair is not None}
    return replace(runs.account(None, *symbols), currency=currency, conversions=known)


@pytest.mark.parametrize(
    ("symbols", "currency"),
    [(("EURUSD",), "USD"), (("USDJPY",), "USD"), (("EURUSD", "XAUUSD"), "EUR")],
)
def test_profits_are_converted_by_a_symbol_of_the_run(
    symbols: tuple[str, ...], currency: str
) -> None:
    account(*symbols, currency=currency).check()


def test_a_pair_that_is_missing_is_named() -> None:
    with pytest.raises(NotRun, match="ticks of EURUSD too, which convert the profits of XAUUSD"):
        account("XAUUSD", currency="EUR").check()


def test_a_currency_that_no_pair_converts_is_named() -> None:
    with pytest.raises(NotRun, match="a pair that converts USD to CHF for XAUUSD"):
        account("XAUUSD", currency="CHF").check()
