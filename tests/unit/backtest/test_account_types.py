"""Every preset and account type of agent/configs runs, those that hedge too."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import backtest_runs as runs
from tests.support.engine_cases import catalog

from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.results.finished import heading_of
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.conversion import conversion_pair
from quantlab.qls.ir import Program
from quantlab.rules.profile import parse_profile
from quantlab.rules.surroundings import NewsCalendar
from quantlab.rules.terms import Profile
from quantlab_edge import backtest
from quantlab_edge.tenant_files import read_configs, read_tenant

CONFIGS = Path("agent/configs")
PRESETS = sorted(path.stem for path in (CONFIGS / "profiles").glob("*.json"))
TENANTS = sorted(path.stem for path in (CONFIGS / "tenants").glob("*.json"))
MINOR = 50_000_00
NO_NEWS = NewsCalendar((), 1 << 62)


def preset(name: str) -> Profile:
    """Read a preset; one that names no day takes its tenant's."""
    text = (CONFIGS / "profiles" / f"{name}.json").read_text(encoding="utf-8")
    document = {"day": {"reset": "00:00", "timeZone": "UTC"}, **json.loads(text)}
    return parse_profile(document, currency_digits=2, initial_balance_minor=MINOR)


def account(
    profile: Profile, currency: str, symbols: tuple[str, ...], trading: Any
) -> BacktestAccount:
    known = catalog()
    instruments = tuple(known.instruments[one] for one in sorted(symbols))
    pairs = {
        one.quote_currency: conversion_pair(known, one.quote_currency, currency)
        for one in instruments
    }
    return BacktestAccount(
        currency,
        2,
        profile.initial_balance_minor,
        profile,
        instruments,
        {one: known.fill_models[one] for one in symbols},
        trading,
        conversions={one: pair for one, pair in pairs.items() if pair is not None},
        news=NO_NEWS,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_runs(engine: backtest.EngineFiles, name: str) -> None:
    profile = preset(name)
    # Profiles of futures allow no currencies: their orders would all be refused.
    allowed = [rule.symbols for rule in profile.order_rules if hasattr(rule, "symbols")]
    symbol = "EURUSD" if all("EURUSD" in one for one in allowed) else "ES"
    owner = account(profile, "USD", (symbol,), read_trading_terms({}))
    models = {one: replace(model, unlimited=True) for one, model in owner.models.items()}
    run_sma(engine, replace(owner, models=models), symbol)


def with_stops() -> Program:
    """Return the cross of averages whose entries have a stop: one preset asks for it."""
    source = Path("examples/sma_cross.qls").read_text(encoding="utf-8")
    return runs.source_program(source.replace("buy(lots)", "buy(lots, sl=bid * 0.998)"))


def run_sma(engine: backtest.EngineFiles, owner: BacktestAccount, symbol: str) -> None:
    quotes = runs.walk(20_000)
    quotes[:, 0] = runs.START_NS + (quotes[:, 0] - runs.START_NS) * 8  # almost two days
    lots = 0.1 if symbol == "EURUSD" else 1.0
    run = runs.finished(engine, with_stops(), quotes, owner, lots=lots)
    assert run.end in ("end_of_data", "rule_broken")
    assert len(run.fills) > 0
    heading = heading_of(run)
    assert heading.passing.passed_ns is None or heading.passing.goals


@pytest.mark.parametrize("tenant", TENANTS)
def test_every_account_type_of_a_tenant_runs(engine: backtest.EngineFiles, tenant: str) -> None:
    config = read_tenant(CONFIGS / "tenants" / f"{tenant}.json", read_configs(CONFIGS)).config
    assert config is not None
    for kind in config.account_types.values():
        profile = parse_profile(
            kind.profile,
            currency_digits=kind.currency_digits,
            initial_balance_minor=kind.initial_balance_minor,
        )
        symbol = "EURUSD" if "EURUSD" in kind.instruments else "ES"
        trading = read_trading_terms(kind.trading)
        owner = account(profile, kind.currency, (symbol,), trading)
        models = {one: replace(model, unlimited=True) for one, model in owner.models.items()}
        run_sma(engine, replace(owner, models=models), symbol)
