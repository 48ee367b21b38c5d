"""What a manifest names is what its function reaches: on AWS that list is the function's rights.

Read from the source: from the handler through every function of ours that it refers to.
"""

import ast
import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from quantlab_app.ports.container import Ports
from quantlab_manifest import Manifest, SocketWake, load_all

ROOT = Path(__file__).parents[2]
MANIFESTS = load_all(ROOT / "functions")
NAMES = {field.name for field in dataclasses.fields(Ports)} - {"close"}
ROOMS = ("quantlab_app.use_cases", "quantlab_edge", "functions")
# Every function has these, and no right is needed for them.
ALWAYS = {"clock", "ids"}
# Behind the gateway its authorizer proves who asks, not the function.
ELSEWHERE = {"http": {("quantlab_edge.http", "prove")}}
# What the entry of a socket's route does itself.
ENTRIES = {"$connect": ["opened"], "$disconnect": ["_holder", "ended"]}
OTHERS = ["_holder", "say"]
Symbol = tuple[str, str]


@cache
def tree(module: str) -> ast.Module | None:
    if not module.startswith(ROOMS):
        return None
    for root in ("layers/app/python", "layers/platform/python", "."):
        file = ROOT / root / f"{module.replace('.', '/')}.py"
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


@cache
def definitions(module: str) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in (tree(module) or ast.Module([], [])).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


@cache
def imported(module: str) -> dict[str, Symbol]:
    """Return what names of a module stand for: (module, name), or (module, "") for modules."""
    found = {}
    for node in ast.walk(tree(module) or ast.Module([], [])):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = node.module.startswith(ROOMS) and tree(whole) is not None
                target = (whole, "") if is_module else (node.module, alias.name)
                found[alias.asname or alias.name] = target
    return found


def referred(module: str, node: ast.AST) -> Iterator[Symbol]:
    names = imported(module)
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            target, name = names.get(part.value.id, ("", "x"))
            if not name:
                yield target, part.attr
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            if part.id in definitions(module):
                yield module, part.id
            elif names.get(part.id, ("", ""))[1]:
                yield names[part.id]


def touched(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and part.attr in NAMES and is_ports(part.value):
            yield part.attr


def is_ports(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="ports") | ast.Attribute(attr="ports" | "_ports"):
            return True
        case ast.Call(func=ast.Name(id="ports_of")):
            return True
    return False


def reached(manifest: Manifest) -> set[str]:
    handler = tree(manifest.module)
    assert handler is not None
    found = set(touched(handler))
    left = [*referred(manifest.module, handler)]
    if isinstance(manifest.wake, SocketWake):
        names = ENTRIES.get(manifest.wake.route, OTHERS)
        left += [("quantlab_edge.lambdas_socket", name) for name in names]
    seen = set(ELSEWHERE.get(manifest.kind, set()))
    while left:
        symbol = left.pop()
        module, name = symbol
        node = definitions(module).get(name) if tree(module) else None
        if symbol in seen or node is None:
            continue
        seen.add(symbol)
        found |= set(touched(node))
        left.extend(referred(module, node))
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: f"{m.kind}-{m.name}")
def test_a_function_names_the_ports_it_reaches_and_no_others(manifest: Manifest) -> None:
    assert set(manifest.ports) - ALWAYS == reached(manifest) - ALWAYS
