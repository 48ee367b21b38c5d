"""A strategy with one set of inputs after another, over parts of the same quotes.

In each process the strategy is compiled once and the quotes are mapped once; inputs are words of a
run's state. What comes out depends on no process and no order.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from quantlab.backtest import layout as at
from quantlab.backtest.native.joining import Joined
from quantlab.backtest.results.finished import of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.metric import Metric
from quantlab.backtest.results.metrics.table import METRICS, as_json
from quantlab.backtest.running import Finished, Run
from quantlab.kernel.decimals import format_minor
from quantlab_server.backtests.given import Bench, bench_of
from quantlab_server.refusal import Refusal

Row = dict[str, Any]
Evaluate = Callable[[Iterable["Job"]], Iterator[Row]]

# What is known of a run without its fills and orders: it takes no time to keep them.
WITHOUT_ROWS: Final = frozenset({
    "netProfit", "openProfit", "totalReturn", "cagr", "maxDrawdown", "maxDrawdownPercent",
    "maxDrawdownDuration", "averageDrawdown", "ulcerIndex", "recoveryFactor", "calmar", "mar",
    "tradingDays", "bestDay", "worstDay", "profitableDays", "volatility", "sharpe", "sortino",
    "psr", "omega", "var95", "cvar95", "skew", "kurtosis", "tailRatio", "autocorrelation",
})  # fmt: skip
_WITH_PATHS: Final = frozenset({"averageMae", "averageMfe"})
_CHUNK: Final = 4
# Below so many ticks a process has done the work before others have begun.
_TICKS_FOR_MORE: Final = 200_000_000


class Setup(NamedTuple):
    """What a process needs to run the strategy: what was given on the command line."""

    strategy: Path
    ticks: tuple[str, ...]
    bars: tuple[str, ...]
    profile: str | None
    configs: Path
    metric: str
    traced: bool = False
    news: Path | None = None

    def bench(self) -> Bench:
        """Read it."""
        return bench_of(self.strategy, self.ticks, self.bars, self.profile, self.configs, self.news)


class Job(NamedTuple):
    """Inputs, and the places of the quotes to run over."""

    inputs: Mapping[str, Any]
    begin: int
    end: int


def metric_named(key: str) -> Metric:
    """Return a metric by its key, or raise Refusal."""
    found = next((one for one in METRICS if one.key == key), None)
    if found is None:
        known = ", ".join(one.key for one in METRICS)
        raise Refusal(f"--metric: expected one of {known}, was {key!r}")
    return found


class Evaluator:
    """Runs jobs in this process."""

    def __init__(self, bench: Bench, metric: str, *, traced: bool = False) -> None:
        self._bench, self._metric, self._traced = bench, metric_named(metric), traced
        self._keeps_rows = traced or metric not in WITHOUT_ROWS
        self._joined: Joined | None = None

    def __call__(self, job: Job) -> Row:
        """Return what a run came to: see docs/sweeps.md."""
        return self.row(self.finished(job), job)

    def row(self, run: Finished, job: Job) -> Row:
        """Return what a finished run came to."""
        account, block = self._bench.account, run.block
        row: Row = {
            "value": self._value(run, job),
            "netProfit": format_minor(
                int(block[at.BALANCE]) - account.initial_minor, account.currency_digits
            ),
            "maxDrawdown": format_minor(int(block[at.DRAWDOWN]), account.currency_digits),
            "fills": int(block[at.FILLS_TOTAL]),
            "end": run.end,
            "ticks": run.taken,
        }
        if self._traced:
            row["traceHash"] = run.trace_hash()
        return row

    def finished(self, job: Job) -> Finished:
        """Run a job."""
        bench = self._bench
        run = Run(
            bench.program, bench.account, bench.records.words[job.begin : job.end], bench.engine,
            job.inputs, bench.code, self._joined, keeps_rows=self._keeps_rows,
        )  # fmt: skip
        self._joined = run.joined
        return run.finish()

    def _value(self, run: Finished, job: Job) -> str | int | float | None:
        """Return the metric; None of a strategy that was stopped."""
        if run.end in ("trap", "endless_events"):
            return None
        quotes = self._bench.records.words[job.begin : job.end]
        with_paths = self._metric.key in _WITH_PATHS
        result = figures(of_finished(run, quotes, with_paths=with_paths))
        digits = self._bench.account.currency_digits
        return as_json(self._metric, self._metric.of(result), digits)


def processes(asked: int, ticks: int) -> int:
    """Return how many processes to use: as many as asked, for 0 one a core where it pays."""
    if asked > 0:
        return asked
    if ticks < _TICKS_FOR_MORE:
        return 1
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known is not None else os.cpu_count() or 1


@contextmanager
def evaluators(setup: Setup, bench: Bench, jobs: int) -> Iterator[Evaluate]:
    """Run jobs in so many processes; rows come back in the order of their jobs."""
    here = Evaluator(bench, setup.metric, traced=setup.traced)
    if jobs == 1:
        yield lambda wanted: map(here, wanted)
        return
    here.finished(Job({}, 0, 1))  # compiled and kept before others look for it
    known = bench.program.source_hash, bench.records.digest
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (setup, known))
    try:
        yield lambda wanted: pool.map(_evaluate, wanted, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise Refusal(f"a process ended before its work was done: {error}") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_own: list[Evaluator] = []


def _begin(setup: Setup, known: tuple[str, str]) -> None:
    """Begin a process; what it reads must be what the first one has read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bench = setup.bench()
    if (bench.program.source_hash, bench.records.digest) != known:
        raise Refusal("the strategy or its quotes have changed while they were run")
    _own[:] = [Evaluator(bench, setup.metric, traced=setup.traced)]


def _evaluate(job: Job) -> Row:
    return _own[0](job)
