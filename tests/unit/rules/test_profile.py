"""Profile documents: what is read, what is refused and where."""

# ruff: noqa: E501 - one row is one case

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from jsonschema import Draft202012Validator
from tests.support.rule_cases import document, percent, profile, rule

from quantlab.rules import terms
from quantlab.rules.profile import parse_profile, profile_version
from quantlab.rules.reader import ProfileError

CONFIGS = Path(__file__).parents[3] / "agent" / "configs"
PRESETS = sorted((CONFIGS / "profiles").glob("*.json"))
SCHEMA = Draft202012Validator(json.loads((CONFIGS / "profile.schema.json").read_text()))

DAILY = rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt")
DRAWDOWN = rule(
    "max_drawdown", mode="trailing", basis="equity", loss=percent("10", "high_water"),
    lock={"aboveInitial": "100"}, comparator="lt",
)  # fmt: skip
CONSISTENCY = rule(
    "consistency", "gate", maxSharePercent="40", comparator="ge", openDayCounts=False, total="net"
)
HOURS = rule(
    "trading_hours", "soft", timeZone="America/Chicago", reducingOrders="allowed",
    windows=[{"days": ["mon", "fri"], "open": "17:00", "close": "15:10"}],
)  # fmt: skip
SYMBOLS = rule("instrument_allowlist", "soft", symbols=["ES", "NQ"], reducingOrders="allowed")
WHOLE = document(DAILY, DRAWDOWN, CONSISTENCY, HOURS, SYMBOLS)


def parsed(doc: Any) -> terms.Profile:
    return parse_profile(doc, currency_digits=2, initial_balance_minor=10_000_000)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the whole document with a value at a path set; ... removes it."""
    doc: Any = copy.deepcopy(WHOLE)
    *parents, last = path.strip("/").split("/")
    place = doc
    for parent in parents:
        place = place[int(parent) if isinstance(place, list) else parent]
    key = int(last) if isinstance(place, list) else last
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return doc


def test_presets_are_there() -> None:
    assert {path.stem for path in PRESETS} >= {
        "demo-open", "futures-eod-trailing", "one-step-trailing", "scalper-strict", "two-step-evaluation",
    }  # fmt: skip


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("digits", "initial"), [(2, 10_000_000), (0, 15_000_000), (8, 10**10)])
def test_preset_is_valid_for_schema_and_parser(path: Path, digits: int, initial: int) -> None:
    doc = json.loads(path.read_text())

    SCHEMA.validate(doc)
    doc = {"day": {"reset": "00:00", "timeZone": "Europe/Prague"}, **doc}
    found = parse_profile(doc, currency_digits=digits, initial_balance_minor=initial)

    assert found.name == path.stem
    assert len(found.rules) == len(doc["rules"])
    catalogue = json.loads((CONFIGS / "instruments.json").read_text())
    known = {item["symbol"] for item in catalogue["instruments"]}
    for item in found.rules:
        if isinstance(item, terms.InstrumentAllowlist):
            assert item.symbols <= known


def test_demo_preset_has_every_rule_at_work() -> None:
    doc = json.loads((CONFIGS / "profiles" / "demo-open.json").read_text())
    doc["day"] = {"reset": "00:00", "timeZone": "Europe/Prague"}

    assert {item.slug for item in parsed(doc).rules} == {
        "daily_loss", "max_drawdown", "consistency", "trading_hours", "instrument_allowlist",
    }  # fmt: skip


def test_version_is_the_hash_of_the_canonical_document() -> None:
    shuffled = json.loads(json.dumps(dict(reversed(WHOLE.items()))))

    assert profile_version(WHOLE) == hashlib.sha256(rfc8785.dumps(WHOLE)).hexdigest()
    assert parsed(shuffled).version == profile_version(shuffled) == profile_version(WHOLE)
    assert profile_version(changed("/day/reset", "00:01")) != profile_version(WHOLE)


def test_profile_is_resolved_once_per_content() -> None:
    assert parsed(WHOLE) is parsed(copy.deepcopy(WHOLE))
    other = parse_profile(WHOLE, currency_digits=2, initial_balance_minor=5_000_000)
    assert other.version == parsed(WHOLE).version
    assert other != parsed(WHOLE)


def test_amounts_become_integers_of_the_account() -> None:
    found = parsed(WHOLE)

    (daily,), (drawdown,) = found.daily_losses, found.drawdowns
    assert (daily.keep_ppm, daily.loss_micro) == (1_000_000, 500_000 * 10**6)
    assert (drawdown.keep_ppm, drawdown.loss_micro, drawdown.lock_minor) == (900_000, 0, 10_010_000)
    assert found.high_water_basis == "equity"
    assert found.day == terms.DayTerms("00:00", "Europe/Prague")
    (hours, _) = found.order_rules
    assert isinstance(hours, terms.TradingHours)
    assert hours.windows == (terms.Window(frozenset({0, 4}), 1020, 910),)


@pytest.mark.parametrize(
    ("slug", "severity", "action"),
    [
        ("daily_loss", "hard", "disable_account"), ("daily_loss", "soft", "lock_until_reset"),
        ("daily_loss", "warn", "warn"), ("consistency", "gate", "warn"),
        ("consistency", "hard", "disable_account"), ("trading_hours", "soft", "reject_orders"),
        ("instrument_allowlist", "hard", "disable_account"),
    ],
)  # fmt: skip
def test_action_follows_from_the_severity(slug: str, severity: str, action: str) -> None:
    (template,) = (item for item in WHOLE["rules"] if item["rule"] == slug)

    (found,) = profile({**template, "severity": severity}).rules

    assert (found.rule_id, found.severity, found.action) == (slug, severity, action)


LOSS = "/rules/0/parameters/loss"
# path, value, pointer of the problem, words of what was expected; schema: whether it says so too
REFUSED: dict[str, tuple[str, Any, str, str, bool]] = {
    "no format": ("/format", ..., "/format", "a whole number from 1 to 1", True),
    "format of the future": ("/format", 2, "/format", "a whole number from 1 to 1", True),
    "format as true": ("/format", True, "/format", "a whole number", True),
    "unknown key": ("/rule", [], "/rule", "one of", True),
    "unknown key with a slash": ("a~1b", [], "/a~01b", "one of", True),
    "name with capitals": ("/name", "Mine", "/name", "lower-case", True),
    "title as number": ("/title", 7, "/title", "text", True),
    "title as a float": ("/title", 7.5, "/title", "text", True),
    "no day": ("/day", ..., "/day", "an object", False),
    "reset of 24:00": ("/day/reset", "24:00", "/day/reset", "HH:MM", True),
    "reset with seconds": ("/day/reset", "17:00:00", "/day/reset", "HH:MM", True),
    "reset with a newline": ("/day/reset", "17:00\n", "/day/reset", "HH:MM", False),
    "unknown zone": ("/day/timeZone", "Mars/Olympus", "/day/timeZone", "time zone", False),
    "offset as zone": ("/day/timeZone", "+02:00", "/day/timeZone", "time zone", True),
    "machine's zone": ("/day/timeZone", "localtime", "/day/timeZone", "time zone", True),
    "no rules": ("/rules", [], "/rules", "a list of 1 to 64", True),
    "rules as object": ("/rules", {}, "/rules", "a list", True),
    "a rule as text": ("/rules/0", "daily_loss", "/rules/0", "an object", True),
    "unknown rule": ("/rules/0/rule", "weekly_loss", "/rules/0/rule", "one of daily_loss", True),
    "rule without severity": ("/rules/0/severity", ..., "/rules/0/severity", "hard, soft, warn", True),
    "gate for an equity rule": ("/rules/0/severity", "gate", "/rules/0/severity", "hard", True),
    "soft consistency": ("/rules/2/severity", "soft", "/rules/2/severity", "gate", True),
    "action against the severity": ("/rules/0/onViolation", "warn", "/rules/0/onViolation", "disable_account", True),
    "unknown action": ("/rules/3/onViolation", "shrug", "/rules/3/onViolation", "reject_orders", True),
    "unknown key of a rule": ("/rules/0/note", "x", "/rules/0/note", "one of", True),
    "id with a space": ("/rules/0/id", "a b", "/rules/0/id", "underscores", True),
    "id twice": ("/rules/0/id", "consistency", "/rules", "a distinct id", False),
    "no parameters": ("/rules/0/parameters", ..., "/rules/0/parameters", "an object", True),
    "unknown parameter": ("/rules/0/parameters/mode", "x", "/rules/0/parameters/mode", "one of", True),
    "unknown anchor": ("/rules/0/parameters/anchor", "equities", "/rules/0/parameters/anchor", "one of", True),
    "no comparator": ("/rules/0/parameters/comparator", ..., "/rules/0/parameters/comparator", "lt, le", True),
    "comparator of another rule": ("/rules/0/parameters/comparator", "gt", "/rules/0/parameters/comparator", "lt, le", True),
    "loss without anything": (LOSS, {}, f"{LOSS}/percent", "a percent", True),
    "percent without base": (LOSS, {"percent": "5"}, f"{LOSS}/of", "initial, anchor", True),
    "percent of the high water of a day": (LOSS, percent("5", "high_water"), f"{LOSS}/of", "initial, anchor", True),
    "percent and amount": (LOSS, {**percent("5"), "amount": "5"}, f"{LOSS}/percent", "one of", True),
    "percent as number": (LOSS, {"percent": 5, "of": "initial"}, f"{LOSS}/percent", "decimal text", True),
    "percent as float": (LOSS, {"percent": 0.5, "of": "initial"}, f"{LOSS}/percent", "decimal text", True),
    "percent of zero": (LOSS, percent("0.0"), f"{LOSS}/percent", "above 0", True),
    "percent negative": (LOSS, percent("-5"), f"{LOSS}/percent", "above 0", True),
    "percent over 100": (LOSS, percent("100.0001"), f"{LOSS}/percent", "up to 100", True),
    "percent too fine": (LOSS, percent("5.00001"), f"{LOSS}/percent", "4 decimals", True),
    "percent with sign of it": (LOSS, percent("5%"), f"{LOSS}/percent", "decimal text", True),
    "amount of zero": (LOSS, {"amount": "0"}, f"{LOSS}/amount", "above 0", True),
    "amount finer than the currency": (LOSS, {"amount": "0.001"}, f"{LOSS}/amount", "at most 2 decimals", False),
    "amount in exponents": (LOSS, {"amount": "1e3"}, f"{LOSS}/amount", "decimal text", True),
    "amount too large": (LOSS, {"amount": "9" * 18}, f"{LOSS}/amount", "an amount", False),
    "base for the net result": ("/rules/0/parameters", {"anchor": "net_result", "loss": percent("5", "anchor"), "comparator": "le"}, f"{LOSS}/of", "one of initial", True),
    "basis of a static drawdown": ("/rules/1/parameters/mode", "static", "/rules/1/parameters/basis", "one of", True),
    "trailing without basis": ("/rules/1/parameters/basis", ..., "/rules/1/parameters/basis", "end_of_day_balance", True),
    "lock as text": ("/rules/1/parameters/lock", "100", "/rules/1/parameters/lock", "an object", True),
    "lock below the start": ("/rules/1/parameters/lock", {"aboveInitial": "-1"}, "/rules/1/parameters/lock/aboveInitial", "0 or more", True),
    "two bases": ("/rules/0", {**DRAWDOWN, "id": "other", "parameters": {**DRAWDOWN["parameters"], "basis": "balance"}}, "/rules", "one basis", False),
    "flag as text": ("/rules/2/parameters/openDayCounts", "no", "/rules/2/parameters/openDayCounts", "true or false", True),
    "no days needed": ("/rules/2/parameters/minimumDays", 0, "/rules/2/parameters/minimumDays", "from 1 to 366", True),
    "no windows": ("/rules/3/parameters/windows", [], "/rules/3/parameters/windows", "a list", True),
    "unknown day": ("/rules/3/parameters/windows/0/days", ["monday"], "/rules/3/parameters/windows/0/days/0", "one of mon", True),
    "day twice": ("/rules/3/parameters/windows/0/days", ["mon", "mon"], "/rules/3/parameters/windows/0/days/1", "each item once", True),
    "window without close": ("/rules/3/parameters/windows/0/close", ..., "/rules/3/parameters/windows/0/close", "HH:MM", True),
    "hours without saying what reducing does": ("/rules/3/parameters/reducingOrders", ..., "/rules/3/parameters/reducingOrders", "allowed, refused", True),
    "symbol in lower case": ("/rules/4/parameters/symbols", ["es"], "/rules/4/parameters/symbols/0", "upper-case", True),
    "symbol as number": ("/rules/4/parameters/symbols", ["ES", 7], "/rules/4/parameters/symbols/1", "upper-case", True),
    "no symbols": ("/rules/4/parameters/symbols", [], "/rules/4/parameters/symbols", "a list", True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "pointer", "expected", "by_schema"), REFUSED.values(), ids=REFUSED.keys()
)
def test_document_is_refused_with_place_and_reason(
    path: str, value: Any, pointer: str, expected: str, by_schema: bool
) -> None:
    doc = changed(path, value)

    with pytest.raises(ProfileError) as caught:
        parsed(doc)

    problems = {problem.pointer: problem for problem in caught.value.problems}
    assert pointer in problems
    assert expected in problems[pointer].expected
    assert f"{pointer}: expected " in str(caught.value)
    assert SCHEMA.is_valid(doc) is not by_schema


def test_the_unchanged_document_is_accepted() -> None:
    assert SCHEMA.is_valid(WHOLE)
    assert len(parsed(WHOLE).rules) == 5


def test_every_problem_is_reported_at_once() -> None:
    doc = changed("/day/reset", "noon")
    doc["rules"][0]["severity"] = "mild"
    doc["rules"][4]["parameters"]["symbols"] = ["es"]

    with pytest.raises(ProfileError) as caught:
        parsed(doc)

    assert [problem.pointer for problem in caught.value.problems] == [
        "/day/reset", "/rules/0/severity", "/rules/4/parameters/symbols/0",
    ]  # fmt: skip
    assert caught.value.problems[0].got == "'noon'"


@pytest.mark.parametrize("doc", [None, [], "profile", 7])
def test_what_is_no_object_is_refused(doc: Any) -> None:
    for read in (parsed, profile_version):
        with pytest.raises(ProfileError, match="expected an object"):
            read(doc)
