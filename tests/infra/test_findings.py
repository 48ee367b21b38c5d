"""cdk-nag and cfn-lint find nothing that was not accepted, for a reason that is written down."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab_cdk.findings import TAKES_NO_RESOURCE
from quantlab_cdk.places import ROOT

# A resource by its name, or what is inside of one that is deployed with it.
NAMED = re.compile(r"\[Resource::(arn:|<\w+\.Arn>/)")
REASON_CHARS_MIN = 40


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the app as the CDK does, with validation."""
    folder = tmp_path_factory.mktemp("judged")
    context = json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]
    context |= {"sweep_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/quantlab:1"}
    environment = os.environ | {
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
    }
    environment.pop("CDK_VALIDATION", None)
    done = subprocess.run(
        [sys.executable, "-m", "quantlab_cdk"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def report(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "validation-report.json").read_text("utf-8"))
    found: dict[str, Any]
    (found,) = (item for item in document["pluginReports"] if item["pluginName"] == "AwsSolutions")
    return found


def test_nothing_is_found_that_was_not_accepted(judged: Path) -> None:
    found = report(judged)
    assert found["violations"] == []
    assert found["conclusion"] == "success"
    assert found["suppressedViolations"]


def test_what_was_accepted_has_a_reason_and_names_one_finding(judged: Path) -> None:
    for item in report(judged)["suppressedViolations"]:
        assert len(item["reason"]) >= REASON_CHARS_MIN, item
        wildcard = item["ruleName"].startswith("AwsSolutions-IAM5")
        # A wildcard is accepted on its very pattern, never all wildcards of a role.
        named = NAMED.search(item["acknowledgedId"]) or item["reason"] == TAKES_NO_RESOURCE
        assert not wildcard or named, item


def test_the_service_would_take_the_templates(judged: Path) -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    templates = sorted(str(path) for path in judged.glob("*.template.json"))
    assert len(templates) == 4
    done = subprocess.run(
        [lint, "--ignore-checks", "W3005", "--", *templates],
        cwd=judged, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
