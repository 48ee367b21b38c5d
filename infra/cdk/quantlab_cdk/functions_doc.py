"""docs/functions.md: what each Lambda is, from its manifest, and what was measured of it here."""

import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Final

from aws_cdk import App

from quantlab_cdk.app import lambdas
from quantlab_cdk.code import Code, gather, identity
from quantlab_cdk.lambda_python import IMPORT, run
from quantlab_cdk.places import ROOT
from quantlab_cdk.schedules import minutes
from quantlab_cdk.stage import stage_of
from quantlab_manifest import (
    DeployWake,
    GatewayWake,
    HttpWake,
    Manifest,
    QueueWake,
    ScheduleWake,
    SocketWake,
)

FILE: Final = ROOT / "docs" / "functions.md"
RUNS: Final = 5
KILO: Final = 1024
HEAD: Final = (
    "# The Lambdas\n\n"
    "Written by `make functions-doc`. A test holds all columns but the measured ones to the"
    " manifests.\n\n"
    "Unpacked are the function's own files; every function has the four layers besides. Import is"
    " the time on a core to import the entry with what the function needs, before its first call:"
    f" the least of {RUNS} fresh processes with nothing but the layers and the standard library."
    "\n\n"
)
COLUMNS: Final = (
    "Function", "Woken by", "Memory MB", "Timeout s", "At once", "Ports", "Unpacked kB",
    "Import ms",
)  # fmt: skip
MEASURED: Final = 2  # the last ones


def document(measured: Mapping[str, tuple[str, str]], preface: str) -> str:
    """Return the document with the measured columns given by function."""
    rows = [_row(manifest, measured) for manifest in lambdas()]
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows]
    return HEAD + preface + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows_of(text: str) -> list[tuple[str, ...]]:
    """Return the rows of a document without their measured columns."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    return [tuple(line.strip("| ").split(" | "))[:-MEASURED] for line in lines]


def _row(manifest: Manifest, measured: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    name = identity(manifest)
    ports = ", ".join(sorted(manifest.ports)) or "none"
    numbers = (manifest.memory_mb, manifest.timeout_s, manifest.concurrency)
    return (name, _woken(manifest), *map(str, numbers), ports, *measured.get(name, ("-", "-")))


def _woken(manifest: Manifest) -> str:
    match manifest.wake:
        case HttpWake(prefixes):
            return ", ".join(f"`{prefix}`" for prefix in prefixes)
        case SocketWake(route):
            return f"socket route `{route}`"
        case QueueWake(queue):
            return f"queue `{queue}`"
        case ScheduleWake() as wake:
            every = minutes(wake)
            return "every minute" if every == 1 else f"every {every} minutes"
        case GatewayWake(asks):
            return f"the gateway, as its {asks}"
        case DeployWake(resource):
            return f"a deployment, for each {resource}"
    raise ValueError(f"{manifest.name} is no Lambda")


def _measure(code: Code, manifests: Iterable[Manifest]) -> dict[str, tuple[str, str]]:
    found = {}
    for manifest in manifests:
        least = min(float(run(code, manifest, IMPORT)) for _ in range(RUNS))
        size = code.functions[identity(manifest)].unpacked_bytes
        found[identity(manifest)] = (f"{size / KILO:.1f}", f"{least:.0f}")
    return found


def _preface(code: Code) -> str:
    layers = ", ".join(
        f"{name} {layer.unpacked_bytes / KILO / KILO:.1f} MB"
        for name, layer in sorted(code.layers.items())
    )
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return f"Layers, unpacked, for {python} on {platform.machine()}: {layers}.\n\n"


def main() -> None:
    """Measure, and write the document."""
    manifests = lambdas()
    code = gather(manifests, stage_of(App(context={"stage": "aws-local"}).node))
    FILE.write_text(document(_measure(code, manifests), _preface(code)), encoding="utf-8")


if __name__ == "__main__":
    main()
