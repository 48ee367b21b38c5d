"""What the tenant schema cannot say of programs: references, order of stages, exact money.

Like the other checks it bears documents of any shape and does not stop at the first problem.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from quantlab.kernel.decimals import parse_minor
from quantlab.tenancy.programs import (
    PAYING_STAGES,
    SCALE_PPM_MAX,
    STAGES,
    amount_minor,
    percent_ppm,
    phase_balance_minor,
)

Path = tuple[str | int, ...]
Found = tuple[Path, str, object]
BALANCE_MINOR_MAX: Final = 10**12
_PERCENT: Final = "a percent above 0 and up to 100 as decimal text with at most 4 decimals"


def program_problems(
    document: Mapping[str, Any],
    profiles: Mapping[str, Mapping[str, Any]],
    currency_digits: Mapping[str, int],
) -> Iterator[Found]:
    """Yield a path, what was expected and what was found for all that is wrong with programs."""
    programs = _objects(document.get("programs"))
    yield from _repeated(("programs",), programs)
    for index, program in enumerate(programs):
        yield from _program(("programs", index), program, profiles)
    for index, kind in enumerate(_objects(document.get("accountTypes"))):
        yield from _type(("accountTypes", index), kind, programs, currency_digits)


def _objects(value: object) -> list[Mapping[str, Any]]:
    """Return the items of a list; an item of another shape counts as empty and keeps its place."""
    items = value if isinstance(value, list) else []
    return [item if isinstance(item, dict) else {} for item in items]


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _repeated(path: Path, items: list[Mapping[str, Any]]) -> Iterator[Found]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get("id")
        if isinstance(name, str):
            if name in seen:
                yield (*path, index, "id"), "an id used once", name
            seen.add(name)


def _program(
    path: Path, program: Mapping[str, Any], profiles: Mapping[str, Mapping[str, Any]]
) -> Iterator[Found]:
    phases = _objects(program.get("phases"))
    yield from _repeated((*path, "phases"), phases)
    reached = 0
    for index, phase in enumerate(phases):
        where = (*path, "phases", index)
        stage, profile = phase.get("stage"), phase.get("profile")
        if isinstance(stage, str) and stage in STAGES:
            if STAGES.index(stage) < reached:
                expected = f"a stage that does not come before {STAGES[reached]}"
                yield (*where, "stage"), expected, stage
            reached = max(reached, STAGES.index(stage))
        if isinstance(profile, str) and profile not in profiles:
            expected = f"one of the profiles {', '.join(sorted(profiles))}"
            yield (*where, "profile"), expected, profile
        yield from _phase_money(where, phase)


def _phase_money(path: Path, phase: Mapping[str, Any]) -> Iterator[Found]:
    if "initialBalance" in phase and "scalePercent" in phase:
        yield (*path, "scalePercent"), "either initialBalance or scalePercent", "both"
    elif isinstance(phase.get("scalePercent"), str) and (
        percent_ppm(phase["scalePercent"], SCALE_PPM_MAX) is None
    ):
        expected = "a percent above 0 and up to 10000 as decimal text with at most 4 decimals"
        yield (*path, "scalePercent"), expected, phase["scalePercent"]
    payouts = _object(phase.get("payouts"))
    if "payouts" in phase and phase.get("stage") in STAGES[: STAGES.index(PAYING_STAGES[0])]:
        yield (*path, "payouts"), f"no payouts before {PAYING_STAGES[0]}", payouts
    shares = (
        (("payouts", "splitPercent"), payouts.get("splitPercent")),
        (
            ("payouts", "gates", "maxBestDaySharePercent"),
            _object(payouts.get("gates")).get("maxBestDaySharePercent"),
        ),
    )
    for name, value in shares:
        if isinstance(value, str) and percent_ppm(value) is None:
            yield (*path, *name), _PERCENT, value


def _type(
    path: Path,
    kind: Mapping[str, Any],
    programs: list[Mapping[str, Any]],
    currency_digits: Mapping[str, int],
) -> Iterator[Found]:
    program_id = kind.get("program")
    if not isinstance(program_id, str):
        return
    if "profile" in kind:
        yield (*path, "profile"), "no profile beside a program, whose phases name theirs", "one"
    found = next((i for i, item in enumerate(programs) if item.get("id") == program_id), None)
    if found is None:
        known = sorted(str(item["id"]) for item in programs if "id" in item)
        yield (*path, "program"), f"one of the programs {', '.join(known) or '(none)'}", program_id
        return
    phases = _objects(programs[found].get("phases"))
    ids = [phase.get("id") for phase in phases]
    first = kind.get("phase")
    if isinstance(first, str) and first not in ids:
        expected = f"one of the phases {', '.join(str(one) for one in ids)}"
        yield (*path, "phase"), expected, first
        return
    yield from _money(("programs", found, "phases"), kind, phases, currency_digits)


def _money(
    path: Path,
    kind: Mapping[str, Any],
    phases: list[Mapping[str, Any]],
    currency_digits: Mapping[str, int],
) -> Iterator[Found]:
    """Check every phase in the currency of one account type that uses it."""
    digits = currency_digits.get(str(kind.get("currency")))
    balance = kind.get("initialBalance")
    if digits is None or not isinstance(balance, str):
        return
    base_minor = parse_minor(balance, digits)
    if base_minor is None or base_minor <= 0:
        return
    for index, phase in enumerate(phases):
        own_minor = phase_balance_minor(phase, base_minor, digits)
        name = "initialBalance" if "initialBalance" in phase else "scalePercent"
        if own_minor is None or not 0 < own_minor <= BALANCE_MINOR_MAX:
            expected = f"a balance in whole minor units of the {kind.get('id')}'s currency"
            yield (*path, index, name), expected, phase.get(name)
            continue
        gates = _object(_object(phase.get("payouts")).get("gates"))
        for gate in ("minimumProfit", "buffer"):
            item = gates.get(gate)
            if isinstance(item, dict) and amount_minor(item, own_minor, digits) is None:
                expected = f"an amount of 0 or more with at most {digits} decimals, or a percent"
                yield (*path, index, "payouts", "gates", gate), expected, item
