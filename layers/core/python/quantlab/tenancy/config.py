"""A tenant's configuration as recorded: resolved, versioned by content, parsed into frozen parts.

A resolved document carries every default and the whole text of its rule profiles, so a version
says the same for ever, whatever our code or the profile files become.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.check import check
from quantlab.kernel.decimals import format_minor, parse_minor
from quantlab.kernel.records import dataclass
from quantlab.tenancy.programs import (
    Phase,
    parse_phase,
    phase_balance_minor,
    phases_of,
    resolve_phase,
    type_id_of,
)
from quantlab.tenancy.validation import Problem, References, semantic_problems

Document = Mapping[str, Any]

DEFAULT_RETENTION_DAYS = 90
DEFAULT_DAY_RESET = "00:00"
TRADING_KEYS = ("commissions", "swaps", "margin", "positioning")
WEBHOOK_DEFAULTS: Document = {
    "replayWindowSeconds": 300,
    "maxLagSeconds": 60,
    "bodyLimitBytes": 65536,
    "secretGraceSeconds": 86400,
    "tickers": {},
    "allowedSources": [],
}
RATE_DEFAULTS: Document = {
    "account": {"perMinute": 10, "burst": 10},
    "bot": {"perMinute": 60, "burst": 60},
    "tenant": {"perMinute": 3000, "burst": 600},
}


class InvalidTenantConfig(ValueError):
    """The document keeps the schema but not its meaning; problems says where."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Branding:
    """How the tenant shows itself; host_names lead a visitor to the tenant."""

    name: str
    host_names: tuple[str, ...]
    colours: Mapping[str, str]
    logo_url: str | None
    support_email: str | None


@dataclass(frozen=True, slots=True)
class AccountType:
    """What an account of this type starts as; profile is its rule profile's document.

    profile_version is the content hash of that document alone. phase is None outside programs.
    trading is the document of its commissions, swaps, margin and positioning, each only where it
    has its own.
    """

    type_id: str
    name: str
    currency: str
    currency_digits: int
    initial_balance_minor: int
    profile_id: str
    profile_version: str
    profile: Document = field(repr=False)
    instruments: tuple[str, ...]
    retention_days: int
    phase: Phase | None = None
    trading: Document = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How signals are received. Empty allowed_sources (networks in CIDR form) allows any address.

    max_lag_s bounds the age of signals that carry their own time in the body.
    """

    replay_window_s: int
    max_lag_s: int
    body_limit_bytes: int
    secret_grace_s: int
    tickers: Mapping[str, str]
    allowed_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: refilled per minute, holding at most burst."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The three buckets a signal draws from."""

    account: RateLimit
    bot: RateLimit
    tenant: RateLimit


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """One version of a tenant's configuration. document is the resolved text that version hashes.

    data_providers holds secret references, never secrets. day_reset is "HH:MM" in time_zone,
    and the day of rule profiles that name none of their own. fill_models holds, by symbol or "*",
    how the tenant's orders are filled where that is not as the instrument says.
    """

    tenant_id: str
    version: str
    branding: Branding
    time_zone: str
    day_reset: str
    account_types: Mapping[str, AccountType]
    instruments: tuple[str, ...]
    webhooks: WebhookSettings
    rate_limits: RateLimits
    fill_models: Mapping[str, Document]
    data_providers: Mapping[str, Mapping[str, str]]
    document: Document = field(repr=False)


def parse_tenant_config(document: Document, references: References) -> TenantConfig:
    """Resolve and parse a document that keeps the tenant schema; InvalidTenantConfig if it lies."""
    problems = semantic_problems(document, references)
    if problems:
        raise InvalidTenantConfig(problems)
    return config_of_resolved(resolve(document, references))


def resolve(document: Document, references: References) -> dict[str, Any]:
    """Return the document with every default filled in and its rule profiles embedded."""
    branding = document["branding"]
    limits = document.get("rateLimits", {})
    return {
        "tenantId": document["tenantId"],
        "branding": {
            "name": branding["name"],
            "hostNames": list(branding["hostNames"]),
            "colours": dict(branding.get("colours", {})),
            "logoUrl": branding.get("logoUrl"),
            "supportEmail": branding.get("supportEmail"),
        },
        "timeZone": document["timeZone"],
        "dayReset": document.get("dayReset", DEFAULT_DAY_RESET),
        "accountTypes": [
            kind
            for item in document["accountTypes"]
            for kind in _resolve_account_types(item, document, references)
        ],
        "instruments": list(document["instruments"]),
        "webhooks": {**WEBHOOK_DEFAULTS, **document.get("webhooks", {})},
        "rateLimits": {kind: limits.get(kind, RATE_DEFAULTS[kind]) for kind in RATE_DEFAULTS},
        "dataProviders": {
            name: dict(keys) for name, keys in document.get("dataProviders", {}).items()
        },
        **_resolve_fill_models(document),
    }


def _resolve_fill_models(document: Document) -> dict[str, Any]:
    """Return the models where there are some: a document without keeps the version it had."""
    models = {symbol: dict(model) for symbol, model in document.get("fillModels", {}).items()}
    return {"fillModels": models} if models else {}


def _resolve_account_types(
    item: Document, document: Document, references: References
) -> list[dict[str, Any]]:
    """Return the account type, or one for each phase of its program from the one it begins at."""
    if "program" not in item:
        return [_resolve_account_type(item, item, document, references)]
    program = next(one for one in document["programs"] if one["id"] == item["program"])
    phases = phases_of(program, item.get("phase"))
    ids = [type_id_of(item, phases[0]["id"], phase["id"]) for phase in phases]
    digits = references.currency_digits[item["currency"]]
    base_minor = parse_minor(item["initialBalance"], digits) or 0
    kinds = []
    for phase, type_id, next_type in zip(phases, ids, [*ids[1:], None], strict=True):
        initial_minor = phase_balance_minor(phase, base_minor, digits) or 0
        own = {
            "id": type_id,
            "name": item["name"] if type_id == ids[0] else f"{item['name']}, {phase['name']}",
            "profile": phase["profile"],
            "initialBalance": format_minor(initial_minor, digits),
        }
        kind = _resolve_account_type(item, own, document, references)
        kind["phase"] = resolve_phase(
            program, phase, next_type=next_type, initial_minor=initial_minor, digits=digits
        )
        kinds.append(kind)
    return kinds


def _resolve_account_type(
    item: Document, own: Document, document: Document, references: References
) -> dict[str, Any]:
    return {
        "id": own["id"],
        "name": own["name"],
        "currency": item["currency"],
        "currencyDigits": references.currency_digits[item["currency"]],
        "initialBalance": own["initialBalance"],
        "profile": own["profile"],
        "profileContent": profile_content(document, references.profiles[own["profile"]]),
        "instruments": list(item.get("instruments", document["instruments"])),
        "retentionDays": item.get("retentionDays", DEFAULT_RETENTION_DAYS),
        **{key: item[key] for key in TRADING_KEYS if key in item},
    }


def profile_content(document: Document, profile: Document) -> dict[str, Any]:
    """Return a profile as it is embedded: with the tenant's day when it names none of its own."""
    day = {
        "reset": document.get("dayReset", DEFAULT_DAY_RESET),
        "timeZone": document.get("timeZone"),
    }
    own = {key: value for key, value in profile.items() if key != "$schema"}
    return {"day": day, **own}


def config_version(resolved: Document) -> str:
    """Return the content hash that names a resolved document: SHA-256 of its canonical JSON."""
    return hashlib.sha256(canonical_json(dict(resolved))).hexdigest()


def config_of_resolved(resolved: Document) -> TenantConfig:
    """Parse a resolved document, as recorded, into a configuration with its version."""
    branding = resolved["branding"]
    return TenantConfig(
        tenant_id=resolved["tenantId"],
        version=config_version(resolved),
        branding=Branding(
            name=branding["name"],
            host_names=tuple(branding["hostNames"]),
            colours=branding["colours"],
            logo_url=branding["logoUrl"],
            support_email=branding["supportEmail"],
        ),
        time_zone=resolved["timeZone"],
        day_reset=resolved["dayReset"],
        account_types={item["id"]: account_type_of(item) for item in resolved["accountTypes"]},
        instruments=tuple(resolved["instruments"]),
        webhooks=_webhooks(resolved["webhooks"]),
        rate_limits=RateLimits(
            **{
                kind: RateLimit(item["perMinute"], item["burst"])
                for kind, item in resolved["rateLimits"].items()
            }
        ),
        fill_models=resolved.get("fillModels", {}),
        data_providers=resolved["dataProviders"],
        document=resolved,
    )


def account_type_of(item: Document) -> AccountType:
    """Read an account type of a resolved document."""
    digits = item["currencyDigits"]
    balance_minor = parse_minor(item["initialBalance"], digits)
    check(balance_minor is not None, f"initial balance of {item['id']} was validated")
    return AccountType(
        type_id=item["id"],
        name=item["name"],
        currency=item["currency"],
        currency_digits=digits,
        initial_balance_minor=balance_minor or 0,
        profile_id=item["profile"],
        profile_version=config_version(item["profileContent"]),
        profile=item["profileContent"],
        instruments=tuple(item["instruments"]),
        retention_days=item["retentionDays"],
        phase=parse_phase(item.get("phase"), digits),
        trading={key: item[key] for key in TRADING_KEYS if key in item},
    )


def _webhooks(item: Document) -> WebhookSettings:
    return WebhookSettings(
        replay_window_s=item["replayWindowSeconds"],
        max_lag_s=item["maxLagSeconds"],
        body_limit_bytes=item["bodyLimitBytes"],
        secret_grace_s=item["secretGraceSeconds"],
        tickers=item["tickers"],
        allowed_sources=tuple(item["allowedSources"]),
    )
