"""What the tenant schema cannot say: meanings, references, zones, networks, leaked secrets.

It must not stop at the first problem and must bear documents of any shape: what has the wrong
type is the schema's to name.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quantlab.kernel.canonical import SAFE_INTEGER
from quantlab.kernel.decimals import format_minor, parse_minor
from quantlab.kernel.records import dataclass
from quantlab.tenancy.program_problems import BALANCE_MINOR_MAX, program_problems

DEPTH_MAX = 24
ANY = "*"

REFERENCE = re.compile(r"secret:[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*){0,4}\Z")

_KNOWN_SECRET = re.compile(
    r"(AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{16}"
    r"|xox[a-z]-"
    r"|[sr]k[-_](live|test|prod)"
    r"|-----BEGIN"
    r"|eyJ[A-Za-z0-9_-]{8,}\."
    r"|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|://[^/\s:@]+:[^/\s@]+@"
)
_OPAQUE = re.compile(r"(?=[A-Za-z+=]*[0-9])(?=[0-9+=]*[A-Za-z])[A-Za-z0-9+=]{24,}")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class References:
    """What a tenant document may refer to.

    instruments says for each symbol which account currencies its profit can be converted into;
    asset_classes are the classes that terms may name instead of a symbol.
    """

    profiles: Mapping[str, Mapping[str, Any]]
    instruments: Mapping[str, frozenset[str]]
    currency_digits: Mapping[str, int]
    asset_classes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (RFC 6901 pointer), what was expected, what was found."""

    pointer: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: expected {self.expected}, got {self.got}"


def pointer(path: Path) -> str:
    """Return the RFC 6901 JSON pointer of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def looks_like_secret(text: str) -> bool:
    """Say whether text has the look of a credential rather than of words or a reference."""
    return bool(_KNOWN_SECRET.search(text) or _OPAQUE.search(text))


def shown(value: object) -> str:
    """Write a found value for people: short, and never a secret."""
    if isinstance(value, str):
        if looks_like_secret(value):
            return f"text of {len(value)} characters that looks like a secret"
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object with {len(value)} fields"
    return json.dumps(value)


def semantic_problems(document: Mapping[str, Any], references: References) -> tuple[Problem, ...]:
    """Return everything that is wrong with the meaning of a tenant document, in one pass."""
    allowed = _texts(document.get("instruments"))
    return (
        *_unrecordable((), document),
        *_time_zone(document.get("timeZone")),
        *_known_instruments(document.get("instruments"), references),
        *_account_types(document.get("accountTypes"), allowed, references),
        *_programs(document, references),
        *_webhooks(_mapping(document.get("webhooks")), allowed),
        *_fill_models(_mapping(document.get("fillModels")), allowed),
        *_secret_references(_mapping(document.get("dataProviders"))),
        *_leaked_secrets((), document),
    )


def _problem(path: Path, expected: str, value: object) -> Problem:
    return Problem(pointer(path), expected, shown(value))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [item for item in _items(value) if isinstance(item, str)]


def _children(value: object) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _unrecordable(path: Path, value: object) -> Iterator[Problem]:
    """Find what canonical JSON cannot hold: the version is a hash of it."""
    if isinstance(value, float):
        yield _problem(path, 'a whole number, or a decimal as text such as "0.5"', value)
    elif isinstance(value, int) and abs(value) > SAFE_INTEGER:
        yield _problem(path, "a whole number within 2^53", value)
    for key, child in _children(value):
        if isinstance(key, str) and not key.isascii():
            yield Problem(pointer((*path, key)), "a field name in ASCII", shown(key))
        if len(path) < DEPTH_MAX:
            yield from _unrecordable((*path, key), child)
        else:
            yield Problem(pointer((*path, key)), f"at most {DEPTH_MAX} levels", "more")


def _time_zone(zone: object) -> Iterator[Problem]:
    if isinstance(zone, str) and not _is_zone(zone):
        yield _problem(("timeZone",), "an IANA time zone such as America/New_York", zone)


def _is_zone(name: str) -> bool:
    if name != "UTC" and "/" not in name:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _known_instruments(symbols: object, references: References) -> Iterator[Problem]:
    for index, symbol in enumerate(_items(symbols)):
        if isinstance(symbol, str) and symbol not in references.instruments:
            yield _problem(("instruments", index), "a symbol of instruments.json", symbol)


def _account_types(items: object, allowed: list[str], references: References) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, item in enumerate(_items(items)):
        path: Path = ("accountTypes", index)
        type_id = _mapping(item).get("id")
        if isinstance(type_id, str):
            if type_id in seen:
                yield _problem((*path, "id"), "an id used once", type_id)
            seen.add(type_id)
        yield from _money(path, _mapping(item), references.currency_digits)
        yield from _profile(path, _mapping(item).get("profile"), references.profiles)
        yield from _tradable(path, _mapping(item), allowed, references)
        yield from _terms(path, _mapping(item), allowed, references)


def _programs(document: Mapping[str, Any], references: References) -> Iterator[Problem]:
    found = program_problems(document, references.profiles, references.currency_digits)
    for path, expected, value in found:
        yield _problem(path, expected, value)


def _money(
    path: Path, item: Mapping[str, Any], currency_digits: Mapping[str, int]
) -> Iterator[Problem]:
    currency, balance = item.get("currency"), item.get("initialBalance")
    if not isinstance(currency, str):
        return
    digits = currency_digits.get(currency)
    if digits is None:
        yield _problem((*path, "currency"), f"one of {', '.join(currency_digits)}", currency)
    elif isinstance(balance, str):
        amount_minor = parse_minor(balance, digits)
        if amount_minor is None or not 0 < amount_minor <= BALANCE_MINOR_MAX:
            most = format_minor(BALANCE_MINOR_MAX, digits)
            expected = f"{currency} above 0 and up to {most} with at most {digits} decimals"
            yield _problem((*path, "initialBalance"), expected, balance)


def _tradable(
    path: Path, item: Mapping[str, Any], allowed: list[str], references: References
) -> Iterator[Problem]:
    currency = item.get("currency")
    for index, symbol in enumerate(_items(item.get("instruments"))):
        if isinstance(symbol, str) and symbol not in allowed:
            where = (*path, "instruments", index)
            yield _problem(where, "one of the tenant's instruments", symbol)
    if not isinstance(currency, str) or currency not in references.currency_digits:
        return
    own = _texts(item.get("instruments")) if "instruments" in item else allowed
    for symbol in own:
        if currency not in references.instruments.get(symbol, {currency}):
            expected = f"a currency that profits of {symbol} convert into"
            yield _problem((*path, "currency"), expected, currency)


def _terms(
    path: Path, item: Mapping[str, Any], allowed: list[str], references: References
) -> Iterator[Problem]:
    """Find terms of what nobody trades: they name a symbol of the tenant, an asset class or *."""
    margin = _mapping(item.get("margin"))
    for where, named in (
        ((*path, "commissions"), item.get("commissions")),
        ((*path, "swaps"), item.get("swaps")),
        ((*path, "margin", "leverage"), margin.get("leverage")),
    ):
        for name in _mapping(named):
            if name != ANY and name not in references.asset_classes and name not in allowed:
                expected = "a symbol of the tenant, an asset class or *"
                yield Problem(pointer((*where, name)), expected, shown(name))


def _profile(
    path: Path, profile_id: object, profiles: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    if not isinstance(profile_id, str):
        return
    where = (*path, "profile")
    if profile_id not in profiles:
        yield _problem(where, f"one of the profiles {', '.join(sorted(profiles))}", profile_id)
        return
    for inner in _unrecordable((), profiles[profile_id]):
        found = f"{inner.got} at {inner.pointer} of {profile_id}"
        yield Problem(pointer(where), f"a profile with {inner.expected}", found)


def _webhooks(item: Mapping[str, Any], allowed: list[str]) -> Iterator[Problem]:
    for ticker, symbol in _mapping(item.get("tickers")).items():
        path: Path = ("webhooks", "tickers", ticker)
        if isinstance(symbol, str) and symbol not in allowed:
            yield _problem(path, "one of the tenant's instruments", symbol)
        elif ticker in allowed and ticker != symbol:
            yield _problem(path, f"{ticker} itself, since it is an instrument", symbol)
    for index, network in enumerate(_items(item.get("allowedSources"))):
        if isinstance(network, str) and not _is_network(network):
            expected = "a network in CIDR form without host bits such as 203.0.113.0/24"
            yield _problem(("webhooks", "allowedSources", index), expected, network)


def _fill_models(models: Mapping[str, Any], allowed: list[str]) -> Iterator[Problem]:
    for symbol in models:
        if symbol not in (*allowed, "*"):
            yield _problem(("fillModels", symbol), "one of the tenant's instruments, or *", symbol)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _secret_references(providers: Mapping[str, Any]) -> Iterator[Problem]:
    for provider, keys in providers.items():
        for name, value in _mapping(keys).items():
            if isinstance(value, str) and not REFERENCE.match(value):
                yield Problem(
                    pointer(("dataProviders", provider, name)),
                    "a reference such as secret:market/oanda, never the secret itself",
                    f"text of {len(value)} characters",
                )


def _leaked_secrets(path: Path, value: object) -> Iterator[Problem]:
    # Key fields have their own check; a logo's address may carry a content hash.
    if path[:1] == ("dataProviders",) or path == ("branding", "logoUrl"):
        return
    if isinstance(value, str) and looks_like_secret(value):
        yield _problem(path, "no secret in a tenant file", value)
    if len(path) < DEPTH_MAX:
        for key, child in _children(value):
            yield from _leaked_secrets((*path, key), child)
