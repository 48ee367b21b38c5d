"""Our engine as one line of the peers' table: `run_all.py --engine-script bench/peer.py`.

It takes the arguments of the peers' scripts (--data DIR --workload sma|quote|idle --runs N --n N
--variant TEXT) and prints one JSON object as they do. A run is from the first quote to the last,
with equity, drawdown and two rules on each; compiling and reading are told beside it.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.backtest import FOLDER, ROOT, account, read
from quantlab.backtest.running import Run
from quantlab.qls.compiler import compile_source
from quantlab_edge import backtest

IDLE = 'strategy "Idle"\n\non tick\n    if bid <= 0\n        buy(1)\n'
STRATEGIES = {"sma": "sma_cross", "quote": "quote"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workload", choices=("sma", "quote", "idle"), default="sma")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--n", type=int, default=0, help="the first so many quotes only")
    parser.add_argument("--variant", default="")
    asked = parser.parse_args()
    begun = time.perf_counter()
    quotes = read(asked.data)[: asked.n or None]
    loaded = time.perf_counter()
    engine = backtest.engine(FOLDER, lambda text: print(text, file=sys.stderr))
    program: Any = compile_source(source_of(asked.workload)).program
    joined = Run(program, account(), quotes, engine).joined
    compiled = time.perf_counter()
    seconds, fills = [], 0
    for _ in range(asked.runs):
        run = Run(program, account(), quotes, engine, joined=joined)
        start = time.perf_counter()
        finished = run.finish()
        seconds.append(round(time.perf_counter() - start, 9))
        fills = len(finished.fills)
    median = statistics.median_high(seconds)
    print(
        json.dumps(
            {
                "engine": "quantlab",
                "version": metadata.version("quantlab-engine"),
                "workload": asked.workload,
                "variant": asked.variant,
                "python": platform.python_version(),
                "run_s": seconds,
                "load_s": round(loaded - begun, 4),
                "compile_s": round(compiled - loaded, 4),
                "events": len(quotes),
                "median_s": median,
                "ns_per_event": round(median / len(quotes) * 1e9, 2),
                "events_per_s": round(len(quotes) / median),
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "facts": {"fills": fills},
            }
        )
    )


def source_of(workload: str) -> str:
    """Return the strategy of a workload: those of examples/, or one that only listens."""
    if workload == "idle":
        return IDLE
    return (ROOT / "examples" / f"{STRATEGIES[workload]}.qls").read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
