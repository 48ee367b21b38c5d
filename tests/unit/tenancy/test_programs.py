"""Programs: what a phase becomes, what a payout is split into, and what is refused where."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from quantlab.kernel.canonical import canonical_json
from quantlab.tenancy.config import (
    TenantConfig,
    config_of_resolved,
    config_version,
    parse_tenant_config,
)
from quantlab.tenancy.programs import PayoutTerms, percent_ppm
from quantlab.tenancy.validation import References, semantic_problems
from quantlab_edge.tenant_files import Configs, check_tenant

OPEN = {"format": 1, "name": "open", "rules": []}
REFERENCES = References(
    profiles={name: {**OPEN, "name": name} for name in ("first", "second", "paid")},
    instruments={"EURUSD": frozenset({"USD", "JPY"})},
    currency_digits={"USD": 2, "JPY": 0},
)
PHASES: list[dict[str, Any]] = [
    {"id": "one", "name": "One", "stage": "evaluation", "profile": "first"},
    {"id": "two", "name": "Two", "stage": "verification", "profile": "second"},
    {
        "id": "paid",
        "name": "Paid",
        "stage": "funded",
        "profile": "paid",
        "payouts": {
            "splitPercent": "80",
            "gates": {
                "minimumProfit": {"percent": "0.0333"},
                "minimumDays": 5,
                "maxBestDaySharePercent": "40",
                "buffer": {"amount": "100"},
            },
        },
    },
    {
        "id": "more",
        "name": "More",
        "stage": "scaled",
        "profile": "paid",
        "scalePercent": "125",
        "payouts": {"splitPercent": "90"},
    },
]
DOCUMENT: dict[str, Any] = {
    "tenantId": "acme",
    "branding": {"name": "Acme", "hostNames": ["acme.localhost"]},
    "timeZone": "Europe/Prague",
    "programs": [{"id": "steps", "name": "Steps", "phases": PHASES}],
    "accountTypes": [
        {
            "id": "challenge",
            "name": "Challenge",
            "currency": "USD",
            "initialBalance": "50000.00",
            "program": "steps",
        }
    ],
    "instruments": ["EURUSD"],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the document with one place set; "-" as the last part appends."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.strip("/").split("/")
    target: Any = document
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    target[int(last) if isinstance(target, list) else last] = value
    return document


def parsed(document: dict[str, Any] = DOCUMENT) -> TenantConfig:
    return parse_tenant_config(document, REFERENCES)


def test_every_phase_is_an_account_type_that_names_the_next() -> None:
    kinds = parsed().account_types
    assert list(kinds) == ["challenge", "challenge/two", "challenge/paid", "challenge/more"]
    phases = [kind.phase for kind in kinds.values()]
    assert [phase and phase.next_type for phase in phases] == [*list(kinds)[1:], None]
    assert [phase and phase.stage for phase in phases] == [
        "evaluation", "verification", "funded", "scaled",
    ]  # fmt: skip
    assert [kind.profile_id for kind in kinds.values()] == ["first", "second", "paid", "paid"]
    balances = [kind.initial_balance_minor for kind in kinds.values()]
    assert balances == [5_000_000, 5_000_000, 5_000_000, 6_250_000]
    assert kinds["challenge/two"].name == "Challenge, Two"


def test_a_type_may_begin_at_a_later_phase() -> None:
    kinds = parsed(changed("/accountTypes/0/phase", "paid")).account_types
    assert list(kinds) == ["challenge", "challenge/more"]
    assert kinds["challenge"].profile_id == "paid"


def test_payout_terms_are_integers_and_round_gates_up() -> None:
    phase = parsed().account_types["challenge/paid"].phase
    assert phase is not None
    # 0.0333 % of 50,000.00 is 16.65 exactly.
    assert phase.payouts == PayoutTerms(800_000, 1_665, 5, 400_000, 10_000)
    document = changed("/accountTypes/0/initialBalance", "50000.01")
    document["programs"][0]["phases"][3].pop("scalePercent")
    phase = parsed(document).account_types["challenge/paid"].phase
    assert phase is not None
    assert phase.payouts is not None
    assert phase.payouts.minimum_profit_minor == 1_666


def test_a_recorded_version_parses_to_the_same_programs() -> None:
    config = parsed()
    recorded = json.loads(canonical_json(dict(config.document)))
    assert config_of_resolved(recorded) == config
    assert config_version(recorded) == config.version
    assert "programs" not in recorded


@pytest.mark.parametrize(
    ("amount_minor", "split_ppm", "trader_minor"),
    [
        (100, 800_000, 80),
        (101, 800_000, 80),  # 80.8: the rest of a minor unit is the firm's
        (1, 999_999, 0),
        (999, 333_333, 332),
        (10**12, 1_000_000, 10**12),
    ],
)
def test_a_split_rounds_down_for_the_trader_and_loses_nothing(
    amount_minor: int, split_ppm: int, trader_minor: int
) -> None:
    shares = PayoutTerms(split_ppm, 0, 0, None, 0).shares_of(amount_minor)
    assert shares == (trader_minor, amount_minor - trader_minor)


def test_percents_are_exact_or_none() -> None:
    read = [percent_ppm(text) for text in ("80", "0.0001", "100", "0", "100.0001", "1.00001", "x")]
    assert read == [800_000, 1, 1_000_000, None, None, None, None]


PHASE = "/programs/0/phases"
WRONG: tuple[tuple[str, object, str], ...] = (
    (f"{PHASE}/0/profile", "nope", f"{PHASE}/0/profile"),
    (f"{PHASE}/1/id", "one", f"{PHASE}/1/id"),
    (f"{PHASE}/1/stage", "funded", ""),
    (f"{PHASE}/0/payouts", {"splitPercent": "80"}, f"{PHASE}/0/payouts"),
    (f"{PHASE}/2/payouts/splitPercent", "101", f"{PHASE}/2/payouts/splitPercent"),
    (f"{PHASE}/3/scalePercent", "0", f"{PHASE}/3/scalePercent"),
    (f"{PHASE}/3/scalePercent", "33.3333", ""),
    (f"{PHASE}/3/initialBalance", "1", f"{PHASE}/3/scalePercent"),
    (f"{PHASE}/0/initialBalance", "0.001", f"{PHASE}/0/initialBalance"),
    (
        f"{PHASE}/2/payouts/gates/buffer",
        {"amount": "0.001"},
        f"{PHASE}/2/payouts/gates/buffer",
    ),
    (
        f"{PHASE}/2/payouts/gates/maxBestDaySharePercent",
        "0",
        f"{PHASE}/2/payouts/gates/maxBestDaySharePercent",
    ),
    ("/accountTypes/0/program", "nope", "/accountTypes/0/program"),
    ("/accountTypes/0/phase", "nope", "/accountTypes/0/phase"),
    ("/accountTypes/0/profile", "first", "/accountTypes/0/profile"),
)


@pytest.mark.parametrize(("path", "value", "pointer"), WRONG)
def test_what_a_schema_cannot_say_is_refused_in_its_place(
    path: str, value: object, pointer: str
) -> None:
    found = {problem.pointer for problem in semantic_problems(changed(path, value), REFERENCES)}
    assert found == ({pointer} if pointer else set())


def test_a_program_never_goes_back_to_an_earlier_stage() -> None:
    problems = semantic_problems(changed(f"{PHASE}/0/stage", "funded"), REFERENCES)
    assert [problem.pointer for problem in problems] == [f"{PHASE}/1/stage"]
    assert problems[0].expected == "a stage that does not come before funded"


def test_a_scale_that_leaves_part_of_a_minor_unit_is_refused() -> None:
    document = changed(f"{PHASE}/3/scalePercent", "33.3333")
    document["accountTypes"][0]["initialBalance"] = "50000.01"
    found = [problem.pointer for problem in semantic_problems(document, REFERENCES)]
    assert found == [f"{PHASE}/3/scalePercent"]


@pytest.mark.parametrize("junk", [7, None, [], [7], [{"phases": 7}], [{"phases": [7, {}]}], {}])
def test_any_shape_is_borne(junk: object) -> None:
    document = {**DOCUMENT, "programs": junk}
    assert all(problem.pointer for problem in semantic_problems(document, REFERENCES))


GATE = {
    "rule": "consistency",
    "severity": "gate",
    "parameters": {
        "maxSharePercent": "50",
        "comparator": "gt",
        "openDayCounts": False,
        "total": "net",
        "minimumDays": 2,
    },
}


def with_profiles(configs: Configs, **rules: list[dict[str, Any]]) -> Configs:
    profiles = {name: {**OPEN, "name": name, "rules": found} for name, found in rules.items()}
    references = References(
        profiles, configs.references.instruments, configs.references.currency_digits
    )
    return Configs(configs.folder, configs.schema, configs.catalog, references)


def file_problems(configs: Configs, document: dict[str, Any]) -> list[tuple[int, str, str]]:
    content = json.dumps(document, indent=1).encode()
    file = check_tenant(Path("acme.json"), content, configs)
    return [(problem.line, problem.pointer, problem.expected) for problem in file.problems]


def test_a_phase_that_is_followed_needs_goals(configs: Configs) -> None:
    loss = {
        "rule": "daily_loss",
        "severity": "hard",
        "parameters": {
            "anchor": "balance",
            "loss": {"percent": "5", "of": "initial"},
            "comparator": "lt",
        },
    }
    sound = with_profiles(configs, first=[loss, GATE], second=[GATE], paid=[loss])
    last = changed(f"{PHASE}/3/profile", "paid")
    problems = file_problems(sound, last)
    assert [pointer for _, pointer, _ in problems] == [f"{PHASE}/2/profile"]
    assert "goals" in problems[0][2]
    line = json.dumps(last, indent=1).splitlines()[problems[0][0] - 1]
    assert '"profile": "paid"' in line
    last["programs"][0]["phases"].pop()
    assert file_problems(sound, last) == []


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (f"{PHASE}/0/stage", "live", f"{PHASE}/0/stage"),
        (f"{PHASE}/2/payouts", {}, f"{PHASE}/2/payouts/splitPercent"),
        (f"{PHASE}/2/payouts/gates/minimumDays", -1, f"{PHASE}/2/payouts/gates/minimumDays"),
        (f"{PHASE}/0/goal", "8", f"{PHASE}/0/goal"),
        ("/programs/0/phases", [], "/programs/0/phases"),
    ],
)
def test_the_schema_names_the_field(
    configs: Configs, path: str, value: object, pointer: str
) -> None:
    sound = with_profiles(configs, first=[GATE], second=[GATE], paid=[GATE])
    assert pointer in [where for _, where, _ in file_problems(sound, changed(path, value))]


def test_without_a_program_a_profile_is_wanted(configs: Configs) -> None:
    document = copy.deepcopy(DOCUMENT)
    del document["accountTypes"][0]["program"]
    sound = with_profiles(configs, first=[GATE], second=[GATE], paid=[GATE])
    found = [(pointer, expected) for _, pointer, expected in file_problems(sound, document)]
    assert found == [("/accountTypes/0/profile", "a value")]
