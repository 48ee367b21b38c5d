"""Broken tenant files: every problem is named with line, field, expected and got, in one pass."""

# ruff: noqa: E501 - a row of the table is one case

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.json_source import JsonSyntaxError, read_json
from quantlab_edge.tenant_files import (
    FILE_BYTES_MAX,
    Configs,
    read_configs,
    read_tenant,
    read_tenants,
)
from quantlab_server.cli.tenant import app

CONFIGS = Path(__file__).parents[3] / "agent" / "configs"
SECRET = "9f86d081884c7d659a2feaa0c55ad015"

VALID = """{
  "tenantId": "acme",
  "branding": {"name": "Acme", "hostNames": ["acme.localhost"]},
  "timeZone": "Europe/Prague",
  "dayReset": "17:00",
  "accountTypes": [
    {
      "id": "demo",
      "name": "Demo",
      "currency": "USD",
      "initialBalance": "50000.00",
      "profile": "demo-open"
    }
  ],
  "instruments": ["EURUSD", "USDJPY"],
  "webhooks": {
    "tickers": {"FX:EURUSD": "EURUSD"},
    "allowedSources": ["203.0.113.0/24"]
  },
  "rateLimits": {"account": {"perMinute": 10, "burst": 10}},
  "dataProviders": {
    "oanda": {"apiKey": "secret:market/oanda"}
  }
}
"""

WITH = '"currency": "USD",'

# old text, new text -> line, field, part of expected, got
BROKEN = [
    ('"acme"', '"Acme"', 2, "tenantId", "lower-case letters", '"Acme"'),
    ('"acme"', '"other"', 2, "tenantId", '"acme", as the file is named', '"other"'),
    ('"tenantId": "acme",', "", 1, "tenantId", "a value", "nothing"),
    ('"name": "Acme", ', "", 3, "branding.name", "a value", "nothing"),
    ('"Acme"', "7", 3, "branding.name", "text", "7"),
    ('["acme.localhost"]', '["ACME"]', 3, "branding.hostNames[0]", "a host name", '"ACME"'),
    (WITH, WITH + '"margin": {"leverage": {"*": "0.5"}},', 10, "accountTypes[0].margin.leverage.*", "a leverage from 1", '"0.5"'),
    (WITH, WITH + '"margin": {"stopOutPercent": "50"},', 10, "accountTypes[0].margin.leverage", "a value", "nothing"),
    (WITH, WITH + '"margin": {"leverage": {"BTCUSD": "2"}},', 10, "accountTypes[0].margin.leverage.BTCUSD", "a symbol of the tenant, an asset class or *", '"BTCUSD"'),
    (WITH, WITH + '"commissions": {"bonds": {"commissionMinorPerLot": "2"}},', 10, "accountTypes[0].commissions.bonds", "a symbol of the tenant", '"bonds"'),
    (WITH, WITH + '"commissions": {"fx": {"commissionMinorPerLot": "-2"}},', 10, "accountTypes[0].commissions.fx.commissionMinorPerLot", "minor units", '"-2"'),
    (WITH, WITH + '"swaps": {"fx": {"unit": "points", "long": "1"}},', 10, "accountTypes[0].swaps.fx.short", "a value", "nothing"),
    ('["acme.localhost"]', "[]", 3, "branding.hostNames", "at least 1 items", "a list of 0"),
    ('"name": "Acme"', '"nmae": "x", "name": "Acme"', 3, "branding.nmae", "one of colours, hostNames", "an unknown field"),
    ("Europe/Prague", "Europe/Prag", 4, "timeZone", "an IANA time zone", '"Europe/Prag"'),
    ("Europe/Prague", "EST", 4, "timeZone", "an IANA time zone", '"EST"'),
    ("Europe/Prague", "CET+1", 4, "timeZone", "an IANA time zone", '"CET+1"'),
    ("Europe/Prague", "../../etc/passwd", 4, "timeZone", "an IANA time zone", '"../../etc/passwd"'),
    ('"17:00"', '"25:00"', 5, "dayReset", "a time of day as HH:MM", '"25:00"'),
    ('"17:00"', "17", 5, "dayReset", "text", "17"),
    ('"currency": "USD"', '"currency": "XXX"', 10, "accountTypes[0].currency", "one of ", '"XXX"'),
    ('"currency": "USD"', '"currency": "EUR"', 10, "accountTypes[0].currency", "a currency that profits of USDJPY convert into", '"EUR"'),
    ('"50000.00"', "50000.5", 11, "accountTypes[0].initialBalance", "text", "50000.5"),
    ('"50000.00"', '"0.00"', 11, "accountTypes[0].initialBalance", "USD above 0", '"0.00"'),
    ('"50000.00"', '"1.005"', 11, "accountTypes[0].initialBalance", "at most 2 decimals", '"1.005"'),
    ('"50000.00"', '"-5"', 11, "accountTypes[0].initialBalance", "an amount as decimal text", '"-5"'),
    ('"50000.00"', '"9999999999999"', 11, "accountTypes[0].initialBalance", "up to 10000000000.00", '"9999999999999"'),
    ('"demo-open"', '"no-such"', 12, "accountTypes[0].profile", "one of the profiles ", '"no-such"'),
    ('"profile": "demo-open"', '"profile": "demo-open", "retentionDays": 0', 12, "accountTypes[0].retentionDays", "a number of at least 1", "0"),
    ('"profile": "demo-open"', '"profile": "demo-open", "retentionDays": 90.0', 12, "accountTypes[0].retentionDays", "a whole number", "90.0"),
    ('"profile": "demo-open"', '"profile": "demo-open", "retentionDays": true', 12, "accountTypes[0].retentionDays", "a whole number", "true"),
    ('"profile": "demo-open"', '"profile": "demo-open", "instruments": ["ES"]', 12, "accountTypes[0].instruments[0]", "one of the tenant's instruments", '"ES"'),
    ('"USDJPY"]', '"NOPE"]', 15, "instruments[1]", "a symbol of instruments.json", '"NOPE"'),
    ('"USDJPY"]', '"EURUSD"]', 15, "instruments", "each item once", "a list of 2"),
    ('"FX:EURUSD": "EURUSD"', '"FX:GOLD": "XAUUSD"', 17, "webhooks.tickers.FX:GOLD", "one of the tenant's instruments", '"XAUUSD"'),
    ('"FX:EURUSD": "EURUSD"', '"EURUSD": "USDJPY"', 17, "webhooks.tickers.EURUSD", "EURUSD itself", '"USDJPY"'),
    ('"FX:EURUSD": "EURUSD"', '"fx eurusd": "EURUSD"', 17, "webhooks.tickers.fx eurusd", "a ticker in capitals", '"fx eurusd"'),
    ("203.0.113.0/24", "203.0.113.7/24", 18, "webhooks.allowedSources[0]", "a network in CIDR form", '"203.0.113.7/24"'),
    ("203.0.113.0/24", "everywhere", 18, "webhooks.allowedSources[0]", "a network in CIDR form", '"everywhere"'),
    ('"burst": 10', '"burst": 0', 20, "rateLimits.account.burst", "a number of at least 1", "0"),
    ('"perMinute": 10, ', "", 20, "rateLimits.account.perMinute", "a value", "nothing"),
    ("secret:market/oanda", "my plain key", 22, "dataProviders.oanda.apiKey", "a reference such as", "text of 12 characters"),
    ("secret:market/oanda", SECRET, 22, "dataProviders.oanda.apiKey", "a reference such as", "text of 32 characters"),
    ("secret:market/oanda", "secret:../x", 22, "dataProviders.oanda.apiKey", "a reference such as", "text of 11 characters"),
    ('"Acme"', f'"Acme {SECRET}"', 3, "branding.name", "no secret in a tenant file", "text of 37 characters that looks like a secret"),
    ('"name": "Demo"', '"name": "sk_live_abc"', 9, "accountTypes[0].name", "no secret in a tenant file", "text of 11 characters that looks like a secret"),
    ('"dayReset": "17:00"', '"timeZone": "UTC"', 5, "timeZone", "each field once", "a second one (the first is on line 4)"),
]  # fmt: skip


def _write(folder: Path, text: str) -> Path:
    path = folder / "acme.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_text_the_table_breaks_is_valid(tmp_path: Path, configs: Configs) -> None:
    file = read_tenant(_write(tmp_path, VALID), configs)
    assert file.problems == ()
    assert file.config is not None
    assert file.config.data_providers == {"oanda": {"apiKey": "secret:market/oanda"}}


@pytest.mark.parametrize(("old", "new", "line", "field", "expected", "got"), BROKEN)
def test_a_broken_file_is_named_once_with_its_line(
    tmp_path: Path,
    configs: Configs,
    old: str,
    new: str,
    line: int,
    field: str,
    expected: str,
    got: str,
) -> None:
    assert VALID.count(old) >= 1
    file = read_tenant(_write(tmp_path, VALID.replace(old, new, 1)), configs)
    assert file.config is None
    [problem] = file.problems
    assert (problem.line, problem.column, problem.field, problem.got) == (line, None, field, got)
    assert expected in problem.expected


def test_all_problems_come_in_one_pass_in_the_order_of_the_file(
    tmp_path: Path, configs: Configs
) -> None:
    text = VALID
    for old, new in (
        ("Europe/Prague", "Nowhere"),
        ('"17:00"', '"5pm"'),
        ('"demo-open"', '"no-such"'),
        ('"USDJPY"]', '"NOPE"]'),
        ("secret:market/oanda", SECRET),
    ):
        text = text.replace(old, new, 1)
    file = read_tenant(_write(tmp_path, text), configs)
    assert [(problem.line, problem.field) for problem in file.problems] == [
        (4, "timeZone"),
        (5, "dayReset"),
        (12, "accountTypes[0].profile"),
        (15, "instruments[1]"),
        (22, "dataProviders.oanda.apiKey"),
    ]
    assert SECRET not in "".join(map(str, file.problems))


@pytest.mark.parametrize(
    ("text", "line", "column", "expected", "got"),
    [
        ("", 1, 1, "value", "the end of the file"),
        ('{\n  "a": 1,\n}', 3, 1, "property name", '"}"'),
        ('{\n  "a" 1\n}', 2, 7, "':' delimiter", '"1"'),
        ('{"a": 1} x', 1, 10, "extra data", '"x"'),
        ('{\n "a": NaN}', 2, 7, "a number", '"N"'),
        ('{\n "a": ' + "9" * 5000 + "}", 2, 7, "a number of at most 300 digits", '"9"'),
        ("\ufeff{}", 1, 1, "without a byte order mark", "one"),
        ("[" * 40 + "]" * 40, 1, 1, "at most 24 levels", "more"),
        ("[" * 100_000, 1, 1, "at most 24 levels", "more"),
    ],
)
def test_a_syntax_error_names_line_and_column(
    tmp_path: Path, configs: Configs, text: str, line: int, column: int, expected: str, got: str
) -> None:
    file = read_tenant(_write(tmp_path, text), configs)
    [problem] = file.problems
    assert (problem.line, problem.column) == (line, column)
    assert expected in problem.expected
    assert problem.got == got


def test_text_that_is_not_utf8_names_its_place(tmp_path: Path, configs: Configs) -> None:
    path = tmp_path / "acme.json"
    path.write_bytes(b'{\n  "name": "\xff"}')
    [problem] = read_tenant(path, configs).problems
    assert (problem.line, problem.column, problem.expected) == (2, 12, "UTF-8 text")


@pytest.mark.parametrize("text", ["[]", "7", '"text"', "null", "true", "1e400"])
def test_a_document_that_is_no_object_is_one_problem(
    tmp_path: Path, configs: Configs, text: str
) -> None:
    [problem] = read_tenant(_write(tmp_path, text), configs).problems
    assert (problem.field, problem.expected) == ("(file)", "an object")


@pytest.mark.parametrize(
    "junk", [None, 7, -0.5, "x", [], {}, [None], [[]], [{}], {"id": []}, {"": {}}, True]
)
def test_any_shape_of_any_field_gives_problems_and_no_crash(
    tmp_path: Path, configs: Configs, junk: object
) -> None:
    for name in json.loads(VALID):
        document = {**json.loads(VALID), name: junk}
        file = read_tenant(_write(tmp_path, json.dumps(document)), configs)
        assert (file.config is None) is bool(file.problems)
        if name not in {"webhooks", "rateLimits", "dataProviders"} or junk != {}:
            assert file.problems


def test_a_profile_that_cannot_be_used_is_the_tenants_problem(tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    (folder / "profiles").mkdir(parents=True)
    for name in ("tenant.schema.json", "instruments.json"):
        (folder / name).write_bytes((CONFIGS / name).read_bytes())
    (folder / "profiles" / "demo-open.json").write_text('{"format": 9, "name": "demo-open"}')
    problems = read_tenant(_write(tmp_path, VALID), read_configs(folder)).problems
    assert {(problem.line, problem.field) for problem in problems} == {
        (12, "accountTypes[0].profile")
    }
    assert any("/format" in problem.expected and problem.got == "9" for problem in problems)


def test_a_host_name_belongs_to_one_tenant(tmp_path: Path, configs: Configs) -> None:
    (tmp_path / "tenants").mkdir()
    for name in ("acme", "bolt"):
        text = VALID.replace('"acme"', f'"{name}"', 1)
        (tmp_path / "tenants" / f"{name}.json").write_text(text)
    shared = Configs(tmp_path, configs.schema, configs.catalog, configs.references)
    first, second = read_tenants(shared)
    assert first.config is not None
    [problem] = second.problems
    assert (problem.line, problem.field) == (3, "branding.hostNames[0]")
    assert problem.expected == "a host name that acme.json does not claim"


def test_a_file_that_is_absent_or_huge_is_said_plainly(tmp_path: Path, configs: Configs) -> None:
    with pytest.raises(Misconfigured, match="expected a file at"):
        read_tenant(tmp_path / "acme.json", configs)
    path = _write(tmp_path, " " * (FILE_BYTES_MAX + 1))
    with pytest.raises(Misconfigured, match="at most"):
        read_tenant(path, configs)


def test_every_value_of_a_document_has_the_line_it_stands_on() -> None:
    source = read_json(b'{"a": [1,\n {"b/c": "x\\"}\\n"}],\n "d": {}, "~": ""}')
    assert dict(source.lines) == {
        "": 1, "/a": 1, "/a/0": 1, "/a/1": 2, "/a/1/b~1c": 2, "/d": 3, "/~0": 3,
    }  # fmt: skip
    assert source.line_of("/a/1/missing/deep") == 2


def test_a_repeated_field_deep_inside_is_found() -> None:
    [repeated] = read_json(b'[{"a": {"b": 1,\n"b": 2}}]').repeated
    assert (repeated.pointer, repeated.line, repeated.first_line) == ("/0/a/b", 2, 1)


def test_json_errors_carry_their_place_as_text() -> None:
    with pytest.raises(JsonSyntaxError, match="line 2, column 1: expected value, got"):
        read_json(b"[1,\n]")


def test_the_schema_itself_is_valid_and_describes_what_people_fill_in(configs: Configs) -> None:
    jsonschema.Draft202012Validator.check_schema(configs.schema)
    for name in ("branding", "accountType", "webhooks", "rateLimits"):
        fields = configs.schema["$defs"][name]["properties"]
        undescribed = [
            field
            for field, item in fields.items()
            if "description" not in item and item != {"$ref": "#/$defs/colour"}
        ]
        assert undescribed == []


def test_the_command_prints_every_problem_and_exits_1(tmp_path: Path) -> None:
    path = _write(tmp_path, VALID.replace("17:00", "5pm").replace('"NOPE"', '"x"'))
    result = CliRunner().invoke(app, ["validate", str(path), "--configs", str(CONFIGS)])
    assert result.exit_code == 1
    assert result.stdout == (
        f"{path}: line 5: dayReset: expected a time of day as HH:MM from 00:00 to 23:59, "
        'got "5pm"\n'
    )


def test_the_command_prints_problems_as_json(tmp_path: Path) -> None:
    path = _write(tmp_path, VALID.replace("17:00", "5pm"))
    arguments = ["validate", str(path), "--json", "--configs", str(CONFIGS)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "file": str(path),
        "ok": False,
        "problems": [
            {
                "line": 5,
                "column": None,
                "field": "dayReset",
                "pointer": "/dayReset",
                "expected": "a time of day as HH:MM from 00:00 to 23:59",
                "got": '"5pm"',
            }
        ],
    }


def test_the_command_says_ok_and_the_version(configs: Configs) -> None:
    path = CONFIGS / "tenants" / "blue-harbor.json"
    config = read_tenant(path, configs).config
    assert config is not None
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert (result.exit_code, result.stdout) == (0, f"ok: blue-harbor version {config.version}\n")


def test_the_command_says_what_is_missing_and_exits_2(tmp_path: Path) -> None:
    arguments = ["validate", str(tmp_path / "acme.json"), "--configs", str(CONFIGS)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "expected a file at" in result.stderr
    arguments = ["list", "--configs", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "instruments.json" in result.stderr


def test_the_list_names_every_tenant(configs: Configs) -> None:
    result = CliRunner().invoke(app, ["list", "--json", "--configs", str(CONFIGS)])
    assert result.exit_code == 0
    listed = {item["tenantId"]: item["version"] for item in json.loads(result.stdout)}
    expected = {
        file.config.tenant_id: file.config.version for file in read_tenants(configs) if file.config
    }
    assert listed == expected
    table = CliRunner().invoke(app, ["list", "--configs", str(CONFIGS)])
    assert table.exit_code == 0
    assert "Blue Harbor" in table.stdout
