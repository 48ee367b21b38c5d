"""The schema and the parser take and refuse the same rules."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from quantlab.rules.profile import _FORMS, parse_profile
from quantlab.rules.reader import ProfileError

CONFIGS = Path("agent/configs")
SCHEMA = json.loads((CONFIGS / "profile.schema.json").read_text())
FORMS = {
    form["properties"]["rule"]["const"]: Draft202012Validator({**form, "$defs": SCHEMA["$defs"]})
    for form in SCHEMA["$defs"].values()
    if "rule" in form.get("properties", {})
}
DAY = {"reset": "00:00", "timeZone": "UTC"}


def known_rules() -> Iterator[dict[str, Any]]:
    """Return every distinct rule of the presets and of the vectors."""
    documents = [json.loads(path.read_text()) for path in CONFIGS.glob("profiles/*.json")]
    vectors = json.loads(Path("docs/rules-vectors.json").read_text())["vectors"]
    documents += [v["profile"] for v in vectors if isinstance(v["profile"], dict)]
    seen: set[str] = set()
    for document in documents:
        for rule in document["rules"]:
            text = json.dumps(rule, sort_keys=True)
            if text not in seen:
                seen.add(text)
                yield rule


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def put(rule: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(rule)
    place = changed
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return dict(changed)


def document(rule: dict[str, Any]) -> dict[str, Any]:
    return {"format": 1, "name": "a-profile", "day": DAY, "rules": [rule]}


def parser_takes(rule: dict[str, Any]) -> bool:
    try:
        parse_profile(document(rule), currency_digits=2, initial_balance_minor=10_000_000)
    except ProfileError:
        return False
    return True


RULES = list(known_rules())
NAMES = [f"{rule['rule']}-{number}" for number, rule in enumerate(RULES)]


def test_every_rule_is_among_the_examples() -> None:
    assert {rule["rule"] for rule in RULES} == set(_FORMS) == set(FORMS)
    assert len(SCHEMA["properties"]["rules"]["items"]["oneOf"]) == len(FORMS)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_schema_and_parser_agree(rule: dict[str, Any]) -> None:
    form = FORMS[rule["rule"]]
    assert form.is_valid(rule)
    assert parser_takes(rule)
    for path in places(rule):
        if path == ("rule",):
            continue  # each form is tried by itself
        for value in (..., None, "", "nothing", -1, True, [], {}, "0", "1750"):
            if path[-1] == "profitBelow" and value is ...:
                continue  # that steps rise is beyond the schema's words
            changed = put(rule, path, value)
            assert form.is_valid(changed) == parser_takes(changed), (path, value)
        if isinstance(path[-1], str):
            extra = put(rule, (*path[:-1], "unknown"), 1)
            assert not form.is_valid(extra)
            assert not parser_takes(extra)
