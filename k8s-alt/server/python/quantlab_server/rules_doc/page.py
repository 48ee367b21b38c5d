"""docs/rules.md from the vectors: what each rule says, an example of it, and its picture."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantlab.kernel.instants import format_rfc3339
from quantlab.rules import terms
from quantlab_server.rule_vectors.document import Step, Vector, VectorFile
from quantlab_server.rule_vectors.run import Run, Seen
from quantlab_server.rules_doc.picture import Point, picture
from quantlab_server.rules_doc.words import CORNERS, INTRODUCTION, LEGS, RULES

FOLDER = "rules"
_EQUITY = (terms.DailyLoss.slug, terms.MaxDrawdown.slug)


def pages(document: Mapping[str, Any], vectors: VectorFile) -> dict[str, str]:
    """Return every file below docs by its path: rules.md and the pictures."""
    told = {item["name"]: item for item in document["vectors"]}
    files: dict[str, str] = {}
    lines = [INTRODUCTION]
    for slug, words in RULES.items():
        lines.append(f"## {slug}\n\n{words}")
        for vector in vectors.vectors:
            about = told[vector.name]
            if slug == about["rule"].replace(",", " ").split()[0]:
                lines += _example(vector, about, vectors, slug, files)
    lines += [LEGS, CORNERS]
    files["rules.md"] = "\n\n".join(lines).rstrip() + "\n"
    return files


def _example(
    vector: Vector,
    about: Mapping[str, Any],
    vectors: VectorFile,
    slug: str,
    files: dict[str, str],
) -> Iterator[str]:
    seen = list(Run(vector, vectors.catalog).steps())
    yield f"### {about['rule']}: {vector.name}"
    if about.get("about"):
        yield about["about"]
    name = about["profile"] if isinstance(about["profile"], str) else None
    known = [f"Initial balance {about['initialBalance']} USD"]
    known.append(f"preset `{name}`" if name else "a profile of its own")
    if about.get("source"):
        known.append(f"source: {about['source']}")
    yield "; ".join(known) + "."
    rules = vector.profile.rules
    rule = next((rule for rule in rules if rule.slug == slug), rules[0])
    if slug in _EQUITY:
        points = _points(seen, rule.rule_id)
        if len(points) > 1:
            digits = vector.profile.currency_digits
            files[f"{FOLDER}/{vector.name}.svg"] = picture(vector.name, points, digits)
            yield f"![Equity and floor: {vector.name}]({FOLDER}/{vector.name}.svg)"
    yield _table(seen, rule.rule_id)


def _points(seen: Sequence[tuple[Step, Seen]], rule_id: str) -> list[Point]:
    points = []
    for step, found in seen:
        status = next(one for one in found.statuses if one.rule_id == rule_id)
        if found.equity_minor is not None and status.floor_minor is not None:
            broken = any(
                verdict["ruleId"] == rule_id and verdict["violated"]
                for verdict in found.told["verdicts"]
            )
            label = format_rfc3339(step.at_ns)[:16].replace("T", " ")
            points.append(Point(label, found.equity_minor, status.floor_minor, broken))
    return points


def _table(seen: Sequence[tuple[Step, Seen]], rule_id: str) -> str:
    rows = [
        "| UTC | what happens | balance | equity | account | the rule says |",
        "|---|---|---|---|---|---|",
    ]
    for step, found in seen:
        status = next(one for one in found.statuses if one.rule_id == rule_id)
        told = found.told
        account = told["status"] if told["refused"] is None else f"order refused: {told['refused']}"
        cells = (
            format_rfc3339(step.at_ns)[:19].replace("T", " "),
            _act(step),
            told["balance"],
            told["equity"] or "unknown",
            account,
            f"{status.state}: {status.detail}",
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _act(step: Step) -> str:
    if step.act == "quote":
        return f"{step.body['symbol']} at {step.body['bid']}"
    if step.act == "trade":
        words = [step.body[key] for key in ("action", "quantity", "symbol") if key in step.body]
        if "stopLoss" in step.body:
            words.append(f"stop {step.body['stopLoss']}")
        return " ".join(words)
    if step.act == "payout":
        return "payout"
    return "checkpoint" if step.act == "check" else "look"
