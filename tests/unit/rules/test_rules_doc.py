"""docs/rules.md and its pictures are what the vectors and the code make of them."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from quantlab_server.rule_vectors.document import parse_vectors
from quantlab_server.rules_doc.page import pages
from quantlab_server.rules_doc.picture import Point, picture
from quantlab_server.rules_doc.words import RULES

DOCS = Path("docs")
PRESETS = {
    path.stem: json.loads(path.read_text())
    for path in Path("agent/configs/profiles").glob("*.json")
}
DOCUMENT = json.loads((DOCS / "rules-vectors.json").read_text())
WRITTEN = pages(DOCUMENT, parse_vectors(DOCUMENT, PRESETS))


def test_the_pages_are_up_to_date() -> None:
    kept = {str(path.relative_to(DOCS)): path.read_text() for path in DOCS.glob("rules/*.svg")}
    kept["rules.md"] = (DOCS / "rules.md").read_text()

    assert kept == WRITTEN, "run `make rules-doc`"


def test_every_vector_is_shown_once() -> None:
    for vector in DOCUMENT["vectors"]:
        assert WRITTEN["rules.md"].count(f": {vector['name']}\n") == 1, vector["name"]


def test_every_rule_is_explained() -> None:
    rules = {rule["rule"].replace(",", " ").split()[0] for rule in DOCUMENT["vectors"]}

    assert rules <= set(RULES)


def test_a_picture_draws_the_floor_as_a_stair_and_marks_the_breach() -> None:
    points = [
        Point("first", 100_000, 90_000, broken=False),
        Point("second", 110_000, 95_000, broken=False),
        Point("last <", 94_000, 95_000, broken=True),
    ]

    root = ET.fromstring(picture("a & b", points, 2))  # noqa: S314 - our own

    paths = {node.get("class"): node.get("d") for node in root.findall(".//{*}path")}
    (line,) = root.findall(".//{*}polyline")
    heights = [int(pair.split(",")[1]) for pair in (line.get("points") or "").split()]
    assert heights[1] < heights[0] < heights[2]
    assert (paths["f"] or "").count("V") == 2
    assert "x" in paths
    assert [node.text for node in root.findall(".//{*}title")] == ["a & b"]
