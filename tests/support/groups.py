"""Which tests run one after another in one process: those that share a platform or a database."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def group_of(item: pytest.Item) -> str:
    """Name the platform a test shares, else the file whose fixtures it shares."""
    folder, *_, name = item.path.relative_to(TESTS).parts
    if folder == "tenancy":
        return folder
    if folder != "e2e":
        return f"{folder}/{name}"
    callspec = getattr(item, "callspec", None)
    kind = callspec.params.get("running") if callspec is not None else None
    return f"e2e on {kind}" if kind is not None else f"e2e/{name}"
