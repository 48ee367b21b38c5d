"""What is uploaded is enough to run, and not more than fits."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_cdk import App

from quantlab_cdk.app import lambdas
from quantlab_cdk.bytecode import compile_tree, matching_python
from quantlab_cdk.code import (
    UNPACKED_BYTES_MAX,
    Asset,
    Code,
    TooLargeError,
    check_sizes,
    gather,
    identity,
)
from quantlab_cdk.lambda_python import modules_below, run
from quantlab_cdk.stage import stage_of
from quantlab_cdk.vendor import pruned

MANIFESTS = lambdas()
# What only workers and the command line import; none of it is in the vendor layer.
WITHOUT_VENDOR = {"quantlab_adapters.feeds.parquet": "pyarrow"}
COMPILED = ("quantlab.engine.native", "quantlab_adapters.postgres.checkpoints")
COMPILERS = {"numba", "numpy"}
HEAVY = {"numpy", "numba", "llvmlite", "pyarrow", "pandas", "scipy"}
START_ALL = """
import importlib, json, os, sys, traceback
import quantlab_edge.lambdas
failed = {}
for function, folder in %r.items():
    for module in [name for name in sys.modules if name.partition(".")[0] == "functions"]:
        del sys.modules[module]
    sys.path[0], os.environ["QUANTLAB_FUNCTION"] = folder, function
    try:
        importlib.reload(quantlab_edge.lambdas)
    except Exception:
        failed[function] = traceback.format_exc()[-500:]
print(json.dumps({"failed": failed, "modules": sorted(sys.modules)}))
"""
IMPORT_ALL = """
import importlib, json, sys
failed = {}
for name in %r:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed[name] = error.name
print(json.dumps({"failed": failed, "modules": sorted(sys.modules)}))
"""

FIND = """
import importlib.util, json
missing = [name for name in %r if importlib.util.find_spec(name) is None]
print(json.dumps({"missing": missing}))
"""


@pytest.fixture(scope="module")
def code() -> Code:
    return gather(MANIFESTS, stage_of(App(context={"stage": "aws-local"}).node))


def test_every_function_starts_with_its_layers_alone(code: Code) -> None:
    folders = {
        identity(manifest): str(code.functions[identity(manifest)].folder) for manifest in MANIFESTS
    }
    found = run(code, MANIFESTS[0], START_ALL % folders)
    assert found["failed"] == {}
    assert not HEAVY & {module.partition(".")[0] for module in found["modules"]}


def test_every_module_of_the_layers_finds_what_it_imports(code: Code) -> None:
    """Adapters are imported when they are first needed: too late to find one missing."""
    ours = [
        module
        for layer in ("core", "app", "platform")
        for module in modules_below(code.layers[layer].folder)
        if module != "quantlab_edge.lambdas"
    ]
    found = run(code, None, IMPORT_ALL % ours)
    failed = {module: missing.partition(".")[0] for module, missing in found["failed"].items()}
    compiled = {module for module in failed if module.startswith(COMPILED)}
    assert {failed[module] for module in compiled} <= COMPILERS
    assert {module: failed[module] for module in failed.keys() - compiled} == WITHOUT_VENDOR
    assert not HEAVY & {module.partition(".")[0] for module in found["modules"]}


def test_what_is_imported_late_is_there_too(code: Code) -> None:
    """Imports inside functions and methods are met in the middle of a call."""
    named: dict[str, set[str]] = {}
    folders = [code.layers[layer].folder for layer in ("core", "app", "platform")]
    folders += [asset.folder for asset in code.functions.values()]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for module in imported(ast.parse(path.read_bytes())):
            named.setdefault(module.partition(".")[0], set()).add(path.name)
    found = run(code, None, FIND % sorted(named))
    missing = {module for module in found["missing"] if module != "functions"}
    assert missing == {*WITHOUT_VENDOR.values(), *COMPILERS}, {
        name: named[name] for name in missing
    }


def imported(tree: ast.AST) -> Iterator[str]:
    """Return the modules that code imports anywhere, but for what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        else:
            yield from imported(node)


def test_what_lambdas_do_without_stays_out(code: Code) -> None:
    vendor = code.layers["vendor"].folder / "python"
    assert {"pyarrow", "uvicorn", "uvloop", "alembic", "typer"} <= set(pruned())
    assert not any((vendor / package.replace("-", "_")).exists() for package in pruned())


def test_the_vendor_layer_has_its_bytecode(code: Code) -> None:
    vendor = code.layers["vendor"].folder / "python"
    tag = f".{sys.implementation.cache_tag}.pyc"
    source = vendor / "fastapi" / "routing.py"
    compiled = source.parent / "__pycache__" / f"routing{tag}"
    assert compiled.stat().st_size > 1000
    # Unchecked hash: no time stamp, and nobody reads the source to compare.
    assert compiled.read_bytes()[4:8] == (0b01).to_bytes(4, "little")


def test_bytecode_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        (folder / "python").mkdir(parents=True)
        (folder / "python" / "one.py").write_text("def f() -> int:\n    return 1\n")
        compile_tree(folder, version)
        (compiled,) = folder.rglob("*.pyc")
        made.append(compiled.read_bytes())
    assert made[0] == made[1]


def test_without_that_python_there_is_no_bytecode(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1\n")
    assert matching_python("3.99") is None
    compile_tree(tmp_path, "3.99")
    assert not list(tmp_path.rglob("*.pyc"))


def test_all_that_a_function_unpacks_fits(code: Code, tmp_path: Path) -> None:
    check_sizes(code)
    large = tmp_path / "large"
    large.mkdir()
    with (large / "data").open("wb") as file:
        file.truncate(UNPACKED_BYTES_MAX)
    with pytest.raises(TooLargeError, match="http/large: expected at most"):
        check_sizes(Code(code.layers, {"http/large": Asset(large, "0")}))


def test_the_platform_layer_holds_what_tenants_refer_to(code: Code) -> None:
    configs = code.layers["platform"].folder / "python" / "quantlab_configs"
    assert json.loads((configs / "instruments.json").read_bytes())
    assert (configs / "tenant.schema.json").exists()
    assert list((configs / "profiles").glob("*.json"))
    assert list((configs / "calendars").glob("*.json"))
    assert not (configs / "tenants").exists()
