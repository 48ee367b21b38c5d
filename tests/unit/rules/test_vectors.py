"""The committed vectors hold, tampered ones fail, and files that cannot be run say why."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantlab.rules.profile import _FORMS
from quantlab_server.cli.main import app
from quantlab_server.rule_vectors.document import MalformedVectors, Vector, parse_vectors
from quantlab_server.rule_vectors.run import Run, check_vector, compare

FILE = Path("docs/rules-vectors.json")
PRESETS = {
    path.stem: json.loads(path.read_text())
    for path in Path("agent/configs/profiles").glob("*.json")
}
DOCUMENT = json.loads(FILE.read_text())
PARSED = parse_vectors(DOCUMENT, PRESETS)
VARIANTS = {
    *(f"daily_loss DL{n}" for n in range(1, 7)),
    *(f"max_drawdown MD{n}" for n in range(1, 9)),
    *(f"consistency C{n}" for n in range(1, 8)),
    "profitable_days C8",
}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["rules", "check", *arguments])


@pytest.mark.parametrize("vector", PARSED.vectors, ids=lambda vector: vector.name)
def test_vector_holds(vector: Vector) -> None:
    mismatch = check_vector(vector, PARSED.catalog)

    assert mismatch is None, mismatch.sentence()


def test_every_rule_and_variant_has_a_vector() -> None:
    named = {item["rule"].split(",")[0] for item in DOCUMENT["vectors"]}
    ruled = {rule.slug for vector in PARSED.vectors for rule in vector.profile.rules}

    assert named >= VARIANTS
    assert ruled == set(_FORMS)


def leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def tampered(expected: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return an expectation once for each of its values, with that value changed."""
    for path in leaves(expected, ()):
        changed = copy.deepcopy(expected)
        place: Any = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = "something else"
        yield changed


def test_every_expectation_can_fail() -> None:
    count = 0
    for vector in PARSED.vectors:
        for index, (step, seen) in enumerate(Run(vector, PARSED.catalog).steps(), 1):
            for changed in tampered(dict(step.expected)) if step.expected else ():
                tried = replace(step, expected=changed)
                mismatch = compare(vector.name, index, tried, seen.told)
                assert mismatch is not None, (vector.name, index, changed)
                assert "something else" in str(mismatch.expected)
                count += 1
    assert count > 400


@pytest.mark.parametrize(
    ("name", "path", "value", "what"),
    [
        ("dl1-ftmo-midnight", ("quote", "bid"), "990.00", "equity"),
        ("dl3-breakout-100800", ("trade", "quantity"), "1001", "balance"),
        ("c4-e8-moving-target-3750", ("quote", "bid"), "1001.00", "states.consistency"),
    ],
)
def test_a_changed_timeline_leads_elsewhere(
    name: str, path: tuple[str, str], value: str, what: str
) -> None:
    vector = copy.deepcopy(next(v for v in DOCUMENT["vectors"] if v["name"] == name))
    last = [step for step in vector["steps"] if path[1] in step.get(path[0], {})][-1]
    last[path[0]][path[1]] = value
    if path[0] == "quote":
        last["quote"]["ask"] = value

    (found,) = parse_vectors({**DOCUMENT, "vectors": [vector]}, PRESETS).vectors
    mismatch = check_vector(found, PARSED.catalog)

    assert mismatch is not None
    assert mismatch.what == what


def test_the_command_says_that_all_hold() -> None:
    answer = run(str(FILE))

    assert answer.exit_code == 0
    assert answer.stdout == f"{len(PARSED.vectors)} vectors with {count_steps()} steps hold.\n"


def count_steps() -> int:
    return sum(len(vector["steps"]) for vector in DOCUMENT["vectors"])


def test_the_command_stops_at_the_first_mismatch(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    first = document["vectors"][0]["steps"][0]
    first["expect"]["floors"]["daily_loss"] = "190000.01"
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps(document))

    answer, as_json = run(str(file)), run(str(file), "--json")

    assert (answer.exit_code, as_json.exit_code) == (1, 1)
    assert answer.stderr == (
        "dl1-ftmo-midnight, step 1 at 2026-03-02T08:00:00.000000Z: floors.daily_loss:"
        " expected '190000.01', got '190000.00'\n"
    )
    assert json.loads(as_json.stdout)["mismatch"]["got"] == "190000.00"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected JSON"),
        ("[]", "/: expected an object, got a list of 0"),
        ("{}", "expected a whole number from 1 to 1, got nothing"),
        ("[" * 100_000, "expected JSON that is not nested so deep"),
        ('{"format": 1, "format": 1}', "each key of an object once, got 'format' twice"),
    ],
)
def test_the_command_tells_a_file_that_is_none(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(text)

    answer = run(str(file))

    assert answer.exit_code == 2
    assert sentence in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_the_command_tells_a_missing_file(tmp_path: Path) -> None:
    answer = run(str(tmp_path / "none.json"))

    assert answer.exit_code == 2
    assert "cannot be read" in answer.stderr


MALFORMED: dict[str, tuple[Any, str]] = {
    "two acts": (lambda s: s.update(payout="1"), "/vectors/0/steps/0/payout: expected one act"),
    "unknown key": (lambda s: s.update(tick=1), "/vectors/0/steps/0/tick: expected one of"),
    "no time": (lambda s: s.pop("at"), "/vectors/0/steps/0/at: expected a time as RFC 3339"),
    "local time": (
        lambda s: s.update(at="2026-03-02T09:00:00"),
        "/vectors/0/steps/0/at: expected a time as RFC 3339",
    ),
    "before the opening": (
        lambda s: s.update(at="2020-01-01T00:00:00Z"),
        "/vectors/0/steps/0/at: expected a time not before",
    ),
    "off tick": (
        lambda s: s["quote"].update(bid="1000.001"),
        "/vectors/0/steps/0/quote/bid: expected a price on the tick",
    ),
    "unknown symbol": (
        lambda s: s["quote"].update(symbol="NONE"),
        "/vectors/0/steps/0/quote/symbol: expected one of",
    ),
    "negative price": (
        lambda s: s["quote"].update(bid="-1"),
        "/vectors/0/steps/0/quote/bid: expected a price on the tick",
    ),
    "beyond the calendars": (
        lambda s: s.update(at="2200-01-01T00:00:00Z"),
        "/vectors/0/steps/0/at: expected a time from 1970 to 2199",
    ),
    "number for text": (
        lambda s: s["expect"].update(balance=200000),
        "/vectors/0/steps/0/expect/balance: expected decimal text, got 200000",
    ),
    "list of floors": (
        lambda s: s["expect"].update(floors=[]),
        "/vectors/0/steps/0/expect/floors: expected an object, got a list of 0",
    ),
    "floor that is a number": (
        lambda s: s["expect"].update(floors={"daily_loss": 1}),
        "/vectors/0/steps/0/expect/floors/daily_loss: expected decimal text or null, got 1",
    ),
    "verdict that is text": (
        lambda s: s["expect"].update(verdicts=["daily_loss"]),
        "/vectors/0/steps/0/expect/verdicts/0: expected an object, got 'daily_loss'",
    ),
    "unknown expectation": (
        lambda s: s.update(expect={"floor": "1"}),
        "/vectors/0/steps/0/expect: expected an object with some of",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_step_is_named(change: Any, sentence: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document["vectors"][0]["steps"][0])

    with pytest.raises(MalformedVectors, match="/vectors") as caught:
        parse_vectors(document, PRESETS)

    assert str(caught.value).startswith(sentence)


def test_an_unknown_preset_and_a_bad_profile_are_named() -> None:
    for profile, sentence in (
        ("no-such-preset", "/vectors/0/profile: expected a rule profile, or the name of a preset"),
        ({"format": 1}, "/vectors/0/profile/name: expected"),
    ):
        document = copy.deepcopy(DOCUMENT)
        document["vectors"][0]["profile"] = profile
        with pytest.raises(MalformedVectors) as caught:
            parse_vectors(document, PRESETS)
        assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("name", ["quantity", "stopLoss", "takeProfit"])
@pytest.mark.parametrize("value", ["0", "-5"])
def test_a_trade_with_a_number_that_is_not_above_zero_is_named(name: str, value: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    steps = document["vectors"][0]["steps"]
    (index, trade), *_ = ((i, step["trade"]) for i, step in enumerate(steps) if "trade" in step)
    trade[name] = value

    with pytest.raises(MalformedVectors) as caught:
        parse_vectors(document, PRESETS)

    where = f"/vectors/0/steps/{index}/trade/{name}"
    assert str(caught.value) == f"{where}: expected decimal text above 0, got {value!r}"


def test_a_vector_that_is_no_object_is_named() -> None:
    with pytest.raises(MalformedVectors) as caught:
        parse_vectors({**DOCUMENT, "vectors": ["x"]}, PRESETS)

    assert str(caught.value) == "/vectors/0: expected an object, got 'x'"


def test_amounts_are_compared_as_numbers() -> None:
    vector = copy.deepcopy(DOCUMENT["vectors"][0])
    for step in vector["steps"]:
        for key, value in step.get("expect", {}).items():
            if key in ("balance", "equity"):
                step["expect"][key] = f"+{value.removesuffix('.00')}"

    (found,) = parse_vectors({**DOCUMENT, "vectors": [vector]}, PRESETS).vectors

    assert check_vector(found, PARSED.catalog) is None


def test_known_surroundings_may_be_empty() -> None:
    vector = next(v for v in DOCUMENT["vectors"] if v["name"] == "hedging-unknown")
    known = {**copy.deepcopy(vector), "linked": [], "news": {"format": 1, "events": []}}

    (found,) = parse_vectors({**DOCUMENT, "vectors": [known]}, PRESETS).vectors
    mismatch = check_vector(found, PARSED.catalog)

    assert mismatch is not None
    assert (mismatch.what, mismatch.expected, mismatch.got) == ("refused", "hedging", None)
