"""Every function folder is complete: its manifest is sound and its handler keeps the promise."""

import asyncio
import dataclasses
import importlib
from pathlib import Path

import pytest
from fastapi import APIRouter

from quantlab_app.ports.container import Ports
from quantlab_manifest import HttpWake, Manifest, load_all
from quantlab_server.plan import roles_of

ROOT = Path(__file__).parents[2]
MANIFESTS = load_all(ROOT / "functions")
ENTRY = {"socket": "handle", "queue": "handle", "schedule": "handle", "worker": "run"}


def names(manifest: Manifest) -> str:
    return f"{manifest.kind}-{manifest.name}"


def test_there_are_functions() -> None:
    assert MANIFESTS


@pytest.mark.parametrize("manifest", MANIFESTS, ids=names)
def test_the_handler_has_what_its_kind_promises(manifest: Manifest) -> None:
    handler = importlib.import_module(manifest.module)
    if not isinstance(manifest.wake, HttpWake):
        assert asyncio.iscoroutinefunction(getattr(handler, ENTRY[manifest.kind], None))
        return
    router = getattr(handler, manifest.wake.router, None)
    assert isinstance(router, APIRouter)
    assert router.routes


@pytest.mark.parametrize("manifest", MANIFESTS, ids=names)
def test_the_ports_it_names_exist(manifest: Manifest) -> None:
    known = {field.name for field in dataclasses.fields(Ports)} - {"close"}
    assert set(manifest.ports) <= known


@pytest.mark.parametrize(
    "manifest", [m for m in MANIFESTS if isinstance(m.wake, HttpWake)], ids=names
)
def test_its_routes_stand_below_its_prefixes(manifest: Manifest) -> None:
    assert isinstance(manifest.wake, HttpWake)
    router = getattr(importlib.import_module(manifest.module), manifest.wake.router)
    prefixes = manifest.wake.prefixes
    below = tuple(f"{prefix.rstrip('/')}/" for prefix in prefixes)
    paths = [route.path for route in router.routes]
    assert [path for path in paths if path not in prefixes and not path.startswith(below)] == []


def test_every_function_has_a_process() -> None:
    roles = {role.name for role in roles_of(MANIFESTS)}
    hosts = {"http": "server", "socket": "server", "schedule": "scheduler"}
    assert {hosts.get(m.kind, f"{m.kind}:{m.name}") for m in MANIFESTS} == roles
