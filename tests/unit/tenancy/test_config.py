"""Versions are content: what does not change the meaning does not change them, all else does."""

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785

from quantlab.kernel.canonical import canonical_json
from quantlab.rules.profile import parse_profile, profile_version
from quantlab.tenancy.config import (
    DEFAULT_DAY_RESET,
    DEFAULT_RETENTION_DAYS,
    RATE_DEFAULTS,
    WEBHOOK_DEFAULTS,
    InvalidTenantConfig,
    RateLimit,
    config_of_resolved,
    config_version,
    parse_tenant_config,
    resolve,
)
from quantlab.tenancy.validation import References
from quantlab_edge.tenant_files import Configs, read_tenants

PROFILE = {"$schema": "../x.json", "format": 1, "name": "open", "rules": []}
DAY = {"reset": "17:00", "timeZone": "UTC"}
REFERENCES = References(
    profiles={"open": PROFILE, "own-day": {**PROFILE, "day": DAY}},
    instruments={"EURUSD": frozenset({"USD", "EUR"}), "ES": frozenset({"USD"})},
    currency_digits={"USD": 2, "EUR": 2, "JPY": 0},
)
MINIMAL = {
    "tenantId": "acme",
    "branding": {"name": "Acme", "hostNames": ["acme.localhost"]},
    "timeZone": "Europe/Prague",
    "accountTypes": [
        {
            "id": "demo",
            "name": "Demo",
            "currency": "USD",
            "initialBalance": "50000.5",
            "profile": "open",
        }
    ],
    "instruments": ["EURUSD", "ES"],
}


def test_a_minimal_document_gets_every_default() -> None:
    config = parse_tenant_config(MINIMAL, REFERENCES)
    kind = config.account_types["demo"]
    assert (kind.initial_balance_minor, kind.currency_digits) == (5_000_050, 2)
    assert (kind.instruments, kind.retention_days) == (("EURUSD", "ES"), 90)
    assert kind.profile == {
        "format": 1,
        "name": "open",
        "rules": [],
        "day": {"reset": "00:00", "timeZone": "Europe/Prague"},
    }
    assert config.webhooks.replay_window_s == 300
    assert config.webhooks.body_limit_bytes == 65536
    assert config.webhooks.allowed_sources == ()
    assert config.rate_limits.account == RateLimit(10, 10)
    assert config.branding.logo_url is None
    assert config.data_providers == {}


def test_a_profile_keeps_its_own_day() -> None:
    document = copy.deepcopy(MINIMAL)
    document["accountTypes"][0]["profile"] = "own-day"
    assert parse_tenant_config(document, REFERENCES).account_types["demo"].profile["day"] == DAY


def test_a_recorded_version_parses_to_the_same_configuration() -> None:
    config = parse_tenant_config(MINIMAL, REFERENCES)
    recorded = json.loads(canonical_json(dict(config.document)))
    assert config_of_resolved(recorded) == config
    assert config_version(recorded) == config.version


def test_the_version_of_a_known_document_stays_what_it_was() -> None:
    config = parse_tenant_config(MINIMAL, REFERENCES)
    independent = hashlib.sha256(rfc8785.dumps(dict(config.document))).hexdigest()
    known = "84ce8a5f9058dc03b7ed2609636d9b58f0c58bd518da30c255abc44e29a1730a"
    assert config.version == independent == known


def _spelled_out(document: dict[str, Any]) -> None:
    document |= {"webhooks": dict(WEBHOOK_DEFAULTS), "rateLimits": dict(RATE_DEFAULTS)}
    document |= {"dayReset": "00:00", "$schema": "../tenant.schema.json", "dataProviders": {}}
    document["accountTypes"][0] |= {"retentionDays": 90, "instruments": ["EURUSD", "ES"]}


def _reordered(document: dict[str, Any]) -> None:
    for key in sorted(document, reverse=True):
        document[key] = document.pop(key)


@pytest.mark.parametrize("change", [_spelled_out, _reordered])
def test_what_means_the_same_has_the_same_version(change: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(MINIMAL)
    change(document)
    expected = parse_tenant_config(MINIMAL, REFERENCES).version
    assert parse_tenant_config(document, REFERENCES).version == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("timeZone",), "UTC"),
        (("dayReset",), "17:00"),
        (("branding", "name"), "Acme Ltd"),
        (("instruments",), ["EURUSD"]),
        (("accountTypes", 0, "initialBalance"), "50000.51"),
        (("accountTypes", 0, "retentionDays"), 91),
        (("accountTypes", 0, "profile"), "own-day"),
        (("webhooks",), {"replayWindowSeconds": 301}),
        (("rateLimits",), {"bot": {"perMinute": 61, "burst": 60}}),
    ],
)
def test_every_change_of_meaning_changes_the_version(path: tuple[Any, ...], value: object) -> None:
    document = copy.deepcopy(MINIMAL)
    *parents, last = path
    target: Any = document
    for part in parents:
        target = target[part]
    target[last] = value
    before = parse_tenant_config(MINIMAL, REFERENCES).version
    assert parse_tenant_config(document, REFERENCES).version != before


def test_a_changed_profile_changes_the_version_and_leaves_the_recorded_one_alone() -> None:
    before = parse_tenant_config(MINIMAL, REFERENCES)
    recorded = canonical_json(dict(before.document))
    stricter = References(
        {"open": {**PROFILE, "title": "stricter"}},
        REFERENCES.instruments,
        REFERENCES.currency_digits,
    )
    after = parse_tenant_config(MINIMAL, stricter)
    assert after.version != before.version
    assert (
        after.account_types["demo"].profile_version != before.account_types["demo"].profile_version
    )
    assert config_of_resolved(json.loads(recorded)).account_types["demo"].profile == dict(
        before.account_types["demo"].profile
    )


def test_resolving_leaves_the_document_as_it_was() -> None:
    document = copy.deepcopy(MINIMAL)
    resolve(document, REFERENCES)
    assert document == MINIMAL


def test_a_document_that_lies_is_refused_with_all_its_problems() -> None:
    document = {**MINIMAL, "timeZone": "Mars/Olympus", "instruments": ["EURUSD", "NOPE"]}
    with pytest.raises(InvalidTenantConfig) as caught:
        parse_tenant_config(document, REFERENCES)
    assert [problem.pointer for problem in caught.value.problems] == ["/timeZone", "/instruments/1"]


def test_secrets_and_documents_stay_out_of_the_representation() -> None:
    text = repr(parse_tenant_config(MINIMAL, REFERENCES))
    assert "profileContent" not in text
    assert "document" not in text


def test_the_shipped_tenants_are_valid_and_their_profiles_usable(configs: Configs) -> None:
    files = read_tenants(configs)
    assert [file.path.stem for file in files] == ["blue-harbor", "northwind-capital"]
    assert [file.problems for file in files] == [(), ()]
    for file in files:
        assert file.config is not None
        for kind in file.config.account_types.values():
            profile = parse_profile(
                kind.profile,
                currency_digits=kind.currency_digits,
                initial_balance_minor=kind.initial_balance_minor,
            )
            assert profile.version == kind.profile_version == profile_version(kind.profile)


def test_schema_and_code_agree_on_every_default(configs: Configs) -> None:
    schema = configs.schema
    webhooks = schema["$defs"]["webhooks"]["properties"]
    assert {name: item["default"] for name, item in webhooks.items()} == WEBHOOK_DEFAULTS
    rates = schema["$defs"]["rateLimits"]["properties"]
    assert {name: item["default"] for name, item in rates.items()} == RATE_DEFAULTS
    kind = schema["$defs"]["accountType"]["properties"]
    assert kind["retentionDays"]["default"] == DEFAULT_RETENTION_DAYS
    assert schema["properties"]["dayReset"]["default"] == DEFAULT_DAY_RESET


def test_costs_and_margin_of_an_account_type_become_part_of_its_version() -> None:
    terms = {
        "commissions": {"EURUSD": {"commissionMinorPerLot": "350"}},
        "swaps": {"*": {"unit": "points", "long": "-6.5", "short": "1"}},
        "margin": {"leverage": {"*": "30"}, "stopOutPercent": "50"},
    }
    with_terms = {**MINIMAL, "accountTypes": [{**MINIMAL["accountTypes"][0], **terms}]}  # type: ignore[dict-item,index]
    config = parse_tenant_config(with_terms, REFERENCES)
    assert config.account_types["demo"].trading == terms
    assert config_of_resolved(config.document) == config
    assert config.version != parse_tenant_config(MINIMAL, REFERENCES).version
    assert parse_tenant_config(MINIMAL, REFERENCES).account_types["demo"].trading == {}


def test_fill_models_are_the_tenants_own_instruments() -> None:
    model = {"size": "unlimited", "slippage": {"kind": "fixed", "ticks": 2}}
    config = parse_tenant_config({**MINIMAL, "fillModels": {"*": model, "ES": model}}, REFERENCES)
    assert config.fill_models == {"*": model, "ES": model}
    assert config_of_resolved(config.document).fill_models == config.fill_models
    assert parse_tenant_config({**MINIMAL, "fillModels": {}}, REFERENCES).fill_models == {}
    with pytest.raises(InvalidTenantConfig, match=r"/fillModels/NQ: expected one of the tenant's"):
        parse_tenant_config({**MINIMAL, "fillModels": {"NQ": model}}, REFERENCES)
