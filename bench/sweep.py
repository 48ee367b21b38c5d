"""Sweeps in one process: what a run costs beside the loop over its quotes, and ticks a second.

`python -m bench.sweep --ticks N --runs N` runs SMA(fast)/SMA(slow) of examples/ with other inputs
each time over quotes of the peers' kind. The loop alone is a run whose results nobody asks for.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from bench.backtest import FOLDER, account, walk
from quantlab.backtest.running import Run
from quantlab.qls.compiler import compile_source
from quantlab_edge import backtest
from quantlab_server.backtests.accounts import Configured
from quantlab_server.backtests.evaluating import Evaluator, Job
from quantlab_server.backtests.given import Bench


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    program: Any = compile_source(Path("examples/sma_cross.qls").read_text()).program
    owner, quotes = account(), walk(arguments.ticks)
    records = backtest.Records(quotes, 0, "")
    engine, code = backtest.engine(FOLDER, print), backtest.KeptCode(FOLDER)
    evaluate = Evaluator(Bench(program, Configured(owner, {}), records, engine, code), "sharpe")
    joined = Run(program, owner, quotes, engine, {}, code).joined
    whole, loop = [], []
    for number in range(arguments.runs):
        inputs = {"fast": 5 + number % 16, "slow": 30 + 5 * (number % 9)}
        run = Run(program, owner, quotes, engine, inputs, code, joined, keeps_rows=False)
        begun = time.perf_counter()
        run.finish()
        loop.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        evaluate(Job(inputs, 0, len(quotes)))
        whole.append(time.perf_counter() - begun)
    document = {
        "ticks": len(quotes),
        "runs": arguments.runs,
        "loopMilliseconds": round(statistics.median(loop) * 1e3, 2),
        "runMilliseconds": round(statistics.median(whole) * 1e3, 2),
        "leastLoopMilliseconds": round(min(loop) * 1e3, 2),
        "leastRunMilliseconds": round(min(whole) * 1e3, 2),
        "millionTicksPerSecond": round(len(quotes) / statistics.median(whole) / 1e6, 1),
        "mostMillionTicksPerSecond": round(len(quotes) / min(whole) / 1e6, 1),
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
