"""Which processes run the functions: read from the manifests alone."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from quantlab_manifest import Manifest, ManifestError, load_all
from quantlab_server.refusal import Refusal

# What a role has to finish in once it was asked to stop.
ROLE_STOP_WAIT_S: Final = 15
SERVER: Final = "server"
SCHEDULER: Final = "scheduler"
# What the server does the work of: also that of the gateway's authorizer.
SERVED: Final = ("http", "socket", "gateway")


@dataclass(frozen=True, slots=True)
class Role:
    """One process: its name in logs and files, and the arguments of `quantlab role`."""

    name: str
    arguments: tuple[str, ...]


def functions_folder() -> Path:
    """Find the functions beside which this program was installed."""
    spec = find_spec("functions")
    if spec is None or not spec.submodule_search_locations:
        raise Refusal("the package `functions` is not installed beside this program.")
    return Path(next(iter(spec.submodule_search_locations)))


def root_folder() -> Path:
    """Find the repository: a local cloud is deployed from it, never from a wheel."""
    return functions_folder().parent


def manifests() -> tuple[Manifest, ...]:
    """Read all manifests of this installation, those that are only for AWS as well."""
    try:
        return load_all(functions_folder())
    except ManifestError as error:
        raise Refusal(str(error)) from error


def roles_of(functions: tuple[Manifest, ...]) -> tuple[Role, ...]:
    """Name the processes: one server, one scheduler, one for each queue function and worker."""
    functions = tuple(function for function in functions if function.runs_on("selfhost"))
    kinds = {function.kind for function in functions}
    roles = [
        Role(f"{function.kind}:{function.name}", (function.kind, function.name))
        for function in functions
        if function.kind in {"queue", "worker"}
    ]
    if "schedule" in kinds:
        roles.append(Role(SCHEDULER, (SCHEDULER,)))
    if kinds & {"http", "socket"}:
        roles.append(Role(SERVER, (SERVER,)))
    return tuple(roles)


def one(functions: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """Pick a function by kind and name."""
    for function in functions:
        if (function.kind, function.name) == (kind, name):
            return function
    known = ", ".join(f.name for f in functions if f.kind == kind) or "none"
    raise Refusal(f"there is no {kind} function {name!r}: expected one of {known}.")
