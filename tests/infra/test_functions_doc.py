"""docs/functions.md says what the manifests say; `make functions-doc` writes it anew."""

from quantlab_cdk.app import lambdas
from quantlab_cdk.code import identity
from quantlab_cdk.functions_doc import FILE, document, rows_of


def test_the_table_says_what_the_manifests_say() -> None:
    assert rows_of(FILE.read_text("utf-8")) == rows_of(document({}, ""))


def test_every_function_was_measured() -> None:
    lines = FILE.read_text("utf-8").splitlines()
    for manifest in lambdas():
        (row,) = (line for line in lines if line.startswith(f"| {identity(manifest)} |"))
        size, import_ms = row.strip("| ").split(" | ")[-2:]
        assert float(size) > 0
        assert float(import_ms) > 0
