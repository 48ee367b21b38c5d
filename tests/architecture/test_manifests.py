"""Every function folder is complete: its manifest is sound and its handler keeps the promise."""

import asyncio
import dataclasses
import importlib
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Router

from quantlab_app.ports.container import Ports
from quantlab_edge.raw import RawRoute
from quantlab_manifest import EVERYTHING_ELSE, HttpWake, Manifest, load_all
from quantlab_server.plan import roles_of

ROOT = Path(__file__).parents[2]
MANIFESTS = load_all(ROOT / "functions")
ENTRY = {
    "socket": "handle",
    "queue": "handle",
    "schedule": "handle",
    "worker": "run",
    "gateway": "handle",
    "deploy": "handle",
}


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
    assert isinstance(router, Router)
    assert isinstance(router, APIRouter) != manifest.wake.raw
    assert bool(router.routes) == (manifest.wake.prefixes != (EVERYTHING_ELSE,))


def test_one_function_answers_what_no_other_does() -> None:
    wakes = [manifest.wake for manifest in MANIFESTS]
    prefixes = [wake.prefixes for wake in wakes if isinstance(wake, HttpWake)]
    assert prefixes.count((EVERYTHING_ELSE,)) == 1


@pytest.mark.parametrize(
    "manifest",
    [m for m in MANIFESTS if isinstance(m.wake, HttpWake) and m.wake.public],
    ids=names,
)
def test_a_public_function_has_only_public_routes(manifest: Manifest) -> None:
    asking = [route.path for route in _described(manifest) if not _is_public(route)]
    assert asking == []


RAW = [m for m in MANIFESTS if isinstance(m.wake, HttpWake) and m.wake.raw]


@pytest.mark.parametrize("manifest", RAW, ids=names)
def test_what_is_raw_reads_its_requests_itself_and_is_described(manifest: Manifest) -> None:
    routes = importlib.import_module(manifest.module).router.routes
    assert [type(route) for route in routes] == [RawRoute] * len(routes)
    assert [(one.path, one.methods, one.endpoint) for one in _described(manifest)] == [
        (one.path, one.methods, one.endpoint) for one in routes
    ]


def _described(manifest: Manifest) -> list[APIRoute]:
    """Return the routes as OpenAPI has them."""
    assert isinstance(manifest.wake, HttpWake)
    module = f"functions.http.{manifest.name}.{'description' if manifest.wake.raw else 'handler'}"
    routes: list[APIRoute] = importlib.import_module(module).router.routes
    return routes


def _is_public(route: APIRoute) -> bool:
    """A public route says so in the description, and depends on nobody's credentials."""
    depends = [dependency.call for dependency in route.dependant.dependencies]
    return (route.openapi_extra or {}).get("security") == [] and not depends


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
    here = [manifest for manifest in MANIFESTS if manifest.runs_on("selfhost")]
    assert {hosts.get(m.kind, f"{m.kind}:{m.name}") for m in here} == roles
