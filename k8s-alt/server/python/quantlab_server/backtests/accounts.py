"""The account of a backtest: that of a tenant's account type, or one without rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from quantlab.backtest.account import BacktestAccount, NotRun, free_profile
from quantlab.ledger.trading_terms import STANDARD, TradingTerms, read_trading_terms
from quantlab.market.catalog import Catalog, parse_catalog
from quantlab.market.conversion import conversion_pair
from quantlab.market.fill_model import FillModel, chosen_model, parse_fill_models
from quantlab.market.instrument import Instrument
from quantlab.rules.reader import ProfileError
from quantlab.rules.surroundings import NewsCalendar, parse_news_calendar
from quantlab.rules.terms import Profile
from quantlab_server.backtests.reading import read_object
from quantlab_server.refusal import Refusal

if TYPE_CHECKING:
    from quantlab.tenancy.config import AccountType, TenantConfig

FREE_MINOR: Final = 10_000_000
DIGITS: Final = 2


class Configured(NamedTuple):
    """An account and the instruments of its files, by the symbols they were named by.

    kind is the account type, None for an account without rules.
    """

    account: BacktestAccount
    instruments: Mapping[str, Instrument]
    kind: AccountType | None = None


def account_for(
    folder: Path,
    profile: str | None,
    symbols: Iterable[str],
    seed: int = 0,
    news: Path | None = None,
) -> Configured:
    """Return the account of TENANT/TYPE, or one of 100,000 without rules; or raise Refusal.

    What fill models draw by chance is drawn from seed. news is the file of a calendar of releases.
    """
    found = _account_for(folder, profile, symbols)
    releases = None if news is None else _releases(news)
    return found._replace(account=replace(found.account, seed=seed, news=releases))


def _releases(file: Path) -> NewsCalendar:
    try:
        return parse_news_calendar(read_object(file))
    except ProfileError as refused:
        one = refused.problems[0]
        pointer = one.pointer or "/"
        raise Refusal(f"{file}: {pointer}: expected {one.expected}, got {one.got}") from refused


def _account_for(folder: Path, profile: str | None, symbols: Iterable[str]) -> Configured:
    if profile is None:
        catalog = parse_catalog(read_object(folder / "instruments.json"))
        instruments = _instruments(catalog, symbols)
        currency = next(iter(instruments.values())).quote_currency
        digits = catalog.currency_digits.get(currency, DIGITS)
        rules = free_profile(digits, FREE_MINOR)
        return _configured(
            catalog, instruments, {}, (currency, digits, FREE_MINOR, rules), STANDARD, frozenset()
        )
    return _of_type(folder, profile, symbols)


def phases_for(
    folder: Path, profile: str, symbols: Iterable[str], news: Path | None = None
) -> tuple[Configured, ...]:
    """Return the account of TENANT/TYPE and those of the phases that follow it, in their order."""
    catalog, config, type_id = _type_named(folder, profile)
    releases = None if news is None else _releases(news)
    found: list[Configured] = []
    following: str | None = type_id
    while following is not None:
        one = account_of(catalog, config, following, symbols)
        found.append(one._replace(account=replace(one.account, news=releases)))
        phase = config.account_types[following].phase
        following = None if phase is None else phase.next_type
    return tuple(found)


def _of_type(folder: Path, profile: str, symbols: Iterable[str]) -> Configured:
    return account_of(*_type_named(folder, profile), symbols)


def _type_named(folder: Path, profile: str) -> tuple[Catalog, TenantConfig, str]:
    from quantlab_edge.tenant_files import read_configs, read_tenant

    tenant_id, _, type_id = profile.partition("/")
    configs = read_configs(folder)
    path = folder / "tenants" / f"{tenant_id}.json"
    if not path.is_file():
        raise Refusal(f"--profile: expected TENANT/TYPE of {folder / 'tenants'}, was {profile!r}")
    config = read_tenant(path, configs).config
    if config is None:
        raise Refusal(f"{path} has problems: see quantlab tenant")
    if type_id not in config.account_types:
        known = ", ".join(config.account_types)
        raise Refusal(f"--profile: expected an account type of {known}, was {type_id!r}")
    return configs.catalog, config, type_id


def account_of(
    catalog: Catalog, config: TenantConfig, type_id: str, symbols: Iterable[str]
) -> Configured:
    """Return the account of an account type that a configuration has."""
    kind = config.account_types[type_id]
    instruments = _instruments(catalog, symbols)
    models = parse_fill_models(config.fill_models)
    return _configured(
        catalog,
        instruments,
        models,
        _terms(kind),
        read_trading_terms(kind.trading),
        frozenset(kind.instruments),
    )._replace(kind=kind)


def _terms(kind: AccountType) -> tuple[str, int, int, Profile]:
    from quantlab.engine.opening import start_of

    start = start_of(kind, kind.initial_balance_minor)
    return kind.currency, kind.currency_digits, kind.initial_balance_minor, start.profile


def _instruments(catalog: Catalog, symbols: Iterable[str]) -> dict[str, Instrument]:
    found = {}
    for symbol in symbols:
        instrument = catalog.instruments.get(symbol)
        if instrument is None:
            known = ", ".join(sorted(catalog.instruments))
            raise NotRun(f"expected one of {known}, was {symbol!r}")
        found[symbol] = instrument
    return found


def _configured(
    catalog: Catalog,
    instruments: dict[str, Instrument],
    models: Mapping[str, FillModel],
    terms: tuple[str, int, int, Profile],
    trading: TradingTerms,
    offered: frozenset[str],
) -> Configured:
    currency, digits, initial_minor, rules = terms
    chosen = {one: chosen_model(models, one, catalog.fill_models[one]) for one in instruments}
    ordered = tuple(instruments[symbol] for symbol in sorted(instruments))
    pairs = {
        one.quote_currency: conversion_pair(catalog, one.quote_currency, currency)
        for one in ordered
    }
    known = {one: pair for one, pair in pairs.items() if pair is not None}
    account = BacktestAccount(
        *(currency, digits, initial_minor, rules, ordered, chosen, trading, offered, known)
    )
    return Configured(account, instruments)
