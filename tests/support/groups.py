"""Which tests run one after another in one process: those that share what is dear to make."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# What takes minutes comes first, so that no process is left alone with it at the end.
LONGEST = (
    "e2e on aws-local",
    "tenancy",
    "infra",
    "e2e/test_kills.py",
    "compiled backtests",
    "e2e on self-hosted",
    "stack/test_replay.py",
    "stack/test_supervisor_cli.py",
    "stack/test_supervisor.py",
)
# Folders whose tests share one platform, or the templates that are synthesized once.
SHARING = ("tenancy", "infra")
ENDS_THE_CLOUD = "test_aws_local"


def group_of(item: pytest.Item) -> str:
    """Name the platform or the compiled engine a test shares, else the file of its fixtures."""
    if "engine" in getattr(item, "fixturenames", ()):
        return "compiled backtests"
    folder, *_, name = item.path.relative_to(TESTS).parts
    if folder in SHARING:
        return folder
    if folder != "e2e":
        return f"{folder}/{name}"
    callspec = getattr(item, "callspec", None)
    kind = callspec.params.get("running") if callspec is not None else None
    return f"e2e on {kind}" if kind is not None else f"e2e/{name}"


def place_of(item: pytest.Item) -> tuple[int, bool]:
    """Return which tests come before another; those that end a platform come last on it."""
    group = group_of(item)
    place = LONGEST.index(group) if group in LONGEST else len(LONGEST)
    return place, item.path.stem == ENDS_THE_CLOUD
