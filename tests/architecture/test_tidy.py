"""What no linter checks: lengths, names, contents of folders, what must not be committed."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("layers", "functions", "infra", "k8s-alt")
EVERYTHING = (*PRODUCT, "tests", "bench", "docs", "agent", ".ci", ".github")
TOP_FILES = ("README.md", "Makefile", "pyproject.toml", "uv.lock", ".pre-commit-config.yaml")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
HANDLER_FOLDER = {"__init__.py", "handler.py", "function.toml"}
RAW_FOLDER = {*HANDLER_FOLDER, "description.py"}
BANNED_MODULE = re.compile(r"(.*_)?(utils?|helpers?|misc|common|manager)\.py")
BANNED_CLASS = re.compile(r"I[A-Z][a-z]\w*|Abstract\w*|\w*(Manager|Helper|Utils?)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home|Users)/[\w.-]+")
GENERATED = {"__pycache__", "node_modules", "out", ".venv"}
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sql", ".sh", ".txt", ".lock", ""}


@cache
def python_files() -> tuple[Path, ...]:
    return tuple(path for path in files(PRODUCT) if path.suffix == ".py")


def files(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not GENERATED & set(path.relative_to(ROOT).parts):
                yield path


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for path in python_files():
        for node in ast.walk(tree(path)):
            if isinstance(node, kinds):
                yield str(path.relative_to(ROOT)), node


def test_there_is_something_to_check() -> None:
    assert len(python_files()) > 50


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert [(str(p), n) for p, n in lengths.items() if n > MODULE_LINES_MAX] == []


def test_functions_are_short() -> None:
    assert [
        (path, node.name, node.end_lineno - node.lineno + 1)
        for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ] == []


def test_modules_have_names_that_say_something() -> None:
    assert [str(path) for path in python_files() if BANNED_MODULE.fullmatch(path.name)] == []


def test_classes_have_names_that_say_something() -> None:
    assert [
        (path, node.name)
        for path, node in nodes(ast.ClassDef)
        if isinstance(node, ast.ClassDef) and BANNED_CLASS.fullmatch(node.name)
    ] == []


def test_modules_say_what_they_hold() -> None:
    assert [
        str(path.relative_to(ROOT))
        for path in python_files()
        if tree(path).body and ast.get_docstring(tree(path)) is None
    ] == []


def test_a_function_folder_holds_three_files_and_the_description_of_what_is_raw() -> None:
    folders = [
        folder
        for kind in (ROOT / "functions").iterdir()
        if kind.is_dir() and kind.name != "__pycache__"
        for folder in kind.iterdir()
        if folder.is_dir() and folder.name != "__pycache__"
    ]
    contents = {
        str(folder.relative_to(ROOT)): {entry.name for entry in folder.iterdir()} - GENERATED
        for folder in folders
    }
    wanted = {
        name: RAW_FOLDER if _is_raw(ROOT / name) else HANDLER_FOLDER
        for name, held in contents.items()
        if held
    }
    assert {name: held for name, held in contents.items() if held} == wanted


def _is_raw(folder: Path) -> bool:
    manifest = tomllib.loads((folder / "function.toml").read_text("utf-8"))
    return bool(manifest.get("wake", {}).get("raw", False))


def test_no_broad_exception_is_swallowed() -> None:
    """Only the outermost edge may catch everything, and says so on the line."""
    swallowed = []
    for path, node in nodes(ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        broad = node.type is None or (
            isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
        )
        raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        line = (ROOT / path).read_text(encoding="utf-8").splitlines()[node.lineno - 1]
        if broad and not raises and "noqa: BLE001 - " not in line:
            swallowed.append((path, node.lineno))
    assert swallowed == []


def test_no_path_of_one_machine_is_committed() -> None:
    found = []
    for path in (*files(EVERYTHING), *(ROOT / name for name in TOP_FILES)):
        if path.suffix not in TEXT or not path.exists():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append((str(path.relative_to(ROOT)), number, line.strip()[:100]))
    assert found == []


def test_the_checks_would_notice() -> None:
    assert MACHINE_PATH.search("open('/ho" + "me/ada/data')")
    assert not MACHINE_PATH.search("https://host.example/home/page")
    assert BANNED_CLASS.fullmatch("IOrders")
    assert BANNED_CLASS.fullmatch("OrderManager")
    assert not BANNED_CLASS.fullmatch("Inbox")
    assert BANNED_MODULE.fullmatch("order_utils.py")
    assert not BANNED_MODULE.fullmatch("utility_orders.py")
