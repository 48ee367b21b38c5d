"""What importing a Lambda's entry costs, each time in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from quantlab_cdk.lambda_python import ENVIRONMENT

# What a Lambda may never load: it makes nothing there but size and time.
HEAVY: Final = ("llvmlite", "numba", "numpy", "pandas", "polars", "pyarrow")
RUNS: Final = 5

_MEASURE: Final = """
import sys, time
started, busy = time.perf_counter(), time.process_time()
import quantlab_edge.lambdas
took_ms = (time.perf_counter() - started) * 1000
busy_ms = (time.process_time() - busy) * 1000
import json
packages = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"ms": took_ms, "busy_ms": busy_ms, "modules": packages}))
"""


@dataclass(frozen=True, slots=True)
class ImportCost:
    """The median of some runs, what was loaded, and what should not have been.

    busy_ms is the least time on a core: what the import costs where others share the cores.
    """

    function: str
    ms: float
    busy_ms: float
    packages: tuple[str, ...]
    heavy: tuple[str, ...]


def import_ms(
    function: str,
    *,
    runs: int = RUNS,
    python: Sequence[str] = (sys.executable,),
    environment: Mapping[str, str] | None = None,
) -> ImportCost:
    """Measure the cold start's import of a function such as `http/webhooks`, bytecode at hand."""
    if runs > 1:
        _once(function, python, environment or {})  # writes the bytecode, fills the page cache
    found = [_once(function, python, environment or {}) for _ in range(runs)]
    packages = tuple(found[0]["modules"])
    heavy = tuple(name for name in packages if name in HEAVY)
    return ImportCost(
        function,
        median(run["ms"] for run in found),
        min(run["busy_ms"] for run in found),
        packages,
        heavy,
    )


def lambda_environment(function: str) -> dict[str, str]:
    """Return the variables that a function is given; their values lead nowhere."""
    return {**ENVIRONMENT, "QUANTLAB_FUNCTION": function}


def _once(
    function: str, python: Sequence[str], environment: Mapping[str, str]
) -> dict[str, object]:
    done = subprocess.run(
        [*python, "-c", _MEASURE],
        env={**_inherited(), **lambda_environment(function), **environment},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{function} cannot be imported:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _inherited() -> dict[str, str]:
    """Bytecode is written, as the layers bring theirs."""
    left = ("PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START")
    return {name: value for name, value in os.environ.items() if name not in left}
