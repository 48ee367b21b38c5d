"""Tenant files: read, checked against schema and meaning in one pass, every problem with its line.

It must not record anything; whoever loads a file decides what becomes of it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from quantlab.kernel.decimals import parse_minor
from quantlab.market.catalog import Catalog, parse_catalog
from quantlab.market.conversion import conversion_pair
from quantlab.market.document import CatalogError
from quantlab.rules.phase_goals import has_goals
from quantlab.rules.profile import parse_profile
from quantlab.rules.reader import ProfileError
from quantlab.tenancy.config import TenantConfig, parse_tenant_config, profile_content
from quantlab.tenancy.programs import phase_balance_minor
from quantlab.tenancy.validation import (
    Problem,
    References,
    pointer,
    semantic_problems,
    shown,
)
from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.json_source import JsonSource, JsonSyntaxError, read_json

FILE_BYTES_MAX = 1 << 20

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "object": "an object",
    "array": "a list",
    "boolean": "true or false",
}
_LIMITS = {
    "minimum": "a number of at least {}",
    "maximum": "a number of at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} fields",
    "maxProperties": "at most {} fields",
}


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One problem of a file; column only where the text is not JSON at all."""

    line: int
    column: int | None
    field: str
    pointer: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f"line {self.line}" + ("" if self.column is None else f", column {self.column}")
        return f"{where}: {self.field}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class TenantFile:
    """A checked file: a configuration, or the problems that keep it from being one."""

    path: Path
    config: TenantConfig | None
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True, slots=True)
class Configs:
    """The configuration folder: the tenant schema and what tenants may refer to."""

    folder: Path
    schema: Mapping[str, Any]
    catalog: Catalog
    references: References


def read_configs(folder: Path) -> Configs:
    """Read the schema, the instrument catalogue and the rule profiles of a folder."""
    catalog_path = folder / "instruments.json"
    try:
        catalog = parse_catalog(_object_in(catalog_path))
    except CatalogError as error:
        raise Misconfigured(f"{catalog_path}: {error}") from error
    profiles = {path.stem: _object_in(path) for path in sorted(folder.glob("profiles/*.json"))}
    references = References(
        profiles,
        _convertible(catalog),
        dict(catalog.currency_digits),
        frozenset(instrument.asset_class for instrument in catalog.instruments.values()),
    )
    return Configs(folder, _object_in(folder / "tenant.schema.json"), catalog, references)


def read_tenant(path: Path, configs: Configs) -> TenantFile:
    """Read one tenant file and check all of it."""
    return check_tenant(path, _content(path), configs)


def check_tenant(path: Path, content: bytes, configs: Configs) -> TenantFile:
    """Check what a tenant file of that name holds, wherever it was read."""
    try:
        source = read_json(content)
    except JsonSyntaxError as error:
        syntax = FileProblem(error.line, error.column, "(file)", "", error.expected, error.got)
        return TenantFile(path, None, (syntax,))
    problems = _problems(path, source, configs)
    if problems:
        return TenantFile(path, None, problems)
    return TenantFile(path, parse_tenant_config(source.document, configs.references), ())


def read_tenants(configs: Configs) -> tuple[TenantFile, ...]:
    """Read every tenant file of the folder; a host name claimed twice is a problem of the later."""
    files = []
    owners: dict[str, Path] = {}
    for path in sorted(configs.folder.glob("tenants/*.json")):
        file = read_tenant(path, configs)
        clashes = tuple(_host_clashes(file, owners))
        files.append(TenantFile(path, None, clashes) if clashes else file)
    return tuple(files)


def _convertible(catalog: Catalog) -> dict[str, frozenset[str]]:
    return {
        symbol: frozenset(
            currency
            for currency in catalog.currency_digits
            if conversion_pair(catalog, instrument.quote_currency, currency) is not None
        )
        for symbol, instrument in catalog.instruments.items()
    }


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"expected a file at {path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise Misconfigured(f"{path}: expected at most {FILE_BYTES_MAX} bytes, got {len(content)}")
    return content


def _object_in(path: Path) -> dict[str, Any]:
    try:
        source = read_json(_content(path))
    except JsonSyntaxError as error:
        raise Misconfigured(f"{path}: {error}") from error
    if not isinstance(source.document, dict):
        raise Misconfigured(f"{path}: expected an object, got {shown(source.document)}")
    for repeated in source.repeated:
        raise Misconfigured(f"{path}: line {repeated.line}: {repeated.pointer} stands twice")
    return source.document


def _problems(path: Path, source: JsonSource, configs: Configs) -> tuple[FileProblem, ...]:
    found = [
        _repeated_problem(item.pointer, item.line, item.first_line) for item in source.repeated
    ]
    validator = Draft202012Validator(configs.schema)
    schema_problems = [
        problem for error in validator.iter_errors(source.document) for problem in _of_schema(error)
    ]
    found += _located(schema_problems, source)
    if isinstance(source.document, dict):
        wrong = {problem.pointer for problem in schema_problems}
        document, references = source.document, configs.references
        meanings = [
            *_file_name(path, document),
            *semantic_problems(document, references),
            *_profile_problems(document, references),
        ]
        found += _located((item for item in meanings if item.pointer not in wrong), source)
    return tuple(sorted(dict.fromkeys(found), key=lambda item: (item.line, item.pointer)))


def _located(problems: Iterable[Problem], source: JsonSource) -> list[FileProblem]:
    return [
        FileProblem(
            source.line_of(item.pointer),
            None,
            field_of(item.pointer),
            item.pointer,
            item.expected,
            item.got,
        )
        for item in problems
    ]


def field_of(place: str) -> str:
    """Write a JSON pointer as people write fields: accountTypes[0].currency."""
    field = ""
    for part in place.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        field += f"[{name}]" if name.isdigit() else f".{name}"
    return field.removeprefix(".") or "(file)"


def _repeated_problem(place: str, line: int, first_line: int) -> FileProblem:
    got = f"a second one (the first is on line {first_line})"
    return FileProblem(line, None, field_of(place), place, "each field once", got)


def _file_name(path: Path, document: Mapping[str, Any]) -> Iterator[Problem]:
    tenant_id = document.get("tenantId")
    if isinstance(tenant_id, str) and path.name != f"{tenant_id}.json":
        yield Problem("/tenantId", f'"{path.stem}", as the file is named', shown(tenant_id))


def _host_clashes(file: TenantFile, owners: dict[str, Path]) -> Iterator[FileProblem]:
    if file.config is None:
        return
    for index, host in enumerate(file.config.branding.host_names):
        owner = owners.setdefault(host, file.path)
        if owner != file.path:
            place = f"/branding/hostNames/{index}"
            line = read_json(_content(file.path)).line_of(place)
            expected = f"a host name that {owner.name} does not claim"
            yield FileProblem(line, None, field_of(place), place, expected, shown(host))


def _profile_problems(document: Mapping[str, Any], references: References) -> Iterator[Problem]:
    """Resolve the profile of every account type and of every phase that one leads through."""
    for where, profile, digits, balance_minor, must_end in _uses(document, references):
        try:
            content = profile_content(document, profile)
            resolved = parse_profile(
                content, currency_digits=digits, initial_balance_minor=balance_minor
            )
        except ProfileError as error:
            for inner in error.problems:
                if inner.pointer.startswith("/day") and "day" not in profile:
                    continue  # the tenant's own day, reported where it stands
                expected = f"a usable profile, with {inner.expected} at {inner.pointer or '/'}"
                yield Problem(where, expected, inner.got)
            continue
        if must_end and not has_goals(resolved):
            yield Problem(where, "a profile with goals, since a phase follows", "none")


_Use = tuple[str, Mapping[str, Any], int, int, bool]


def _uses(document: Mapping[str, Any], references: References) -> Iterator[_Use]:
    """Yield pointer, profile, currency digits, balance and whether a phase follows."""
    for index, item in enumerate(_objects(document.get("accountTypes"))):
        digits = references.currency_digits.get(str(item.get("currency")))
        balance = item.get("initialBalance")
        if digits is None or not isinstance(balance, str):
            continue
        base_minor = parse_minor(balance, digits) or 0
        if "program" not in item:
            profile = references.profiles.get(str(item.get("profile")))
            if profile is not None and base_minor > 0:
                yield f"/accountTypes/{index}/profile", profile, digits, base_minor, False
        elif base_minor > 0:
            yield from _phase_uses(document, item, references, digits, base_minor)


def _phase_uses(
    document: Mapping[str, Any],
    kind: Mapping[str, Any],
    references: References,
    digits: int,
    base_minor: int,
) -> Iterator[_Use]:
    for number, program in enumerate(_objects(document.get("programs"))):
        if program.get("id") != kind.get("program"):
            continue
        phases = _objects(program.get("phases"))
        for index, phase in enumerate(phases):
            profile = references.profiles.get(str(phase.get("profile")))
            balance_minor = phase_balance_minor(phase, base_minor, digits) or 0
            if profile is not None and balance_minor > 0:
                where = f"/programs/{number}/phases/{index}/profile"
                yield where, profile, digits, balance_minor, index + 1 < len(phases)


def _objects(value: object) -> list[Mapping[str, Any]]:
    items = value if isinstance(value, list) else []
    return [item if isinstance(item, dict) else {} for item in items]


def _of_schema(error: ValidationError) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    schema = error.schema if isinstance(error.schema, dict) else {}
    match error.validator:
        case "required":
            for name in schema.get("required", ()):
                if name not in _fields(error):
                    yield Problem(pointer((*path, name)), "a value", "nothing")
        case "additionalProperties":
            known = schema.get("properties", {})
            for name in sorted(set(_fields(error)) - set(known)):
                expected = f"one of {', '.join(sorted(known))}"
                yield Problem(pointer((*path, name)), expected, "an unknown field")
        case "type":
            yield Problem(
                pointer(path),
                _TYPES.get(str(error.validator_value), "another type"),
                _hidden(path, error.instance),
            )
        case _ if "propertyNames" in error.absolute_schema_path:
            name = str(error.instance)
            yield Problem(pointer((*path, name)), _expected(error, schema), shown(name))
        case _:
            yield Problem(pointer(path), _expected(error, schema), _hidden(path, error.instance))


def _fields(error: ValidationError) -> Mapping[str, Any]:
    return error.instance if isinstance(error.instance, dict) else {}


def _expected(error: ValidationError, schema: Mapping[str, Any]) -> str:
    keyword = str(error.validator)
    if keyword in _LIMITS:
        return _LIMITS[keyword].format(error.validator_value)
    if keyword == "uniqueItems":
        return "each item once"
    return str(schema.get("errorMessage", f"{keyword} {json.dumps(error.validator_value)}"))


def _hidden(path: tuple[str | int, ...], value: object) -> str:
    if path[:1] == ("dataProviders",) and isinstance(value, str):
        return f"text of {len(value)} characters"
    return shown(value)
