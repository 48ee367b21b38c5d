"""Strategies of examples/ over quotes made here, with the compiled loop."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.backtest.account import BacktestAccount, free_profile
from quantlab.backtest.running import Finished, Run
from quantlab.qls.compiler import compile_source
from quantlab.qls.ir import Program
from quantlab.rules.terms import Profile
from quantlab_edge.backtest import EngineFiles, KeptCode
from tests.support.engine_cases import catalog

INITIAL = 10_000_000_00
START_NS = 1_704_067_200_000_000_000


def program(name: str) -> Program:
    """Compile a strategy of examples/."""
    return source_program(Path("examples", f"{name}.qls").read_text(encoding="utf-8"))


def source_program(source: str) -> Program:
    compiled = compile_source(source)
    assert compiled.program is not None, compiled.diagnostics
    return compiled.program


def walk(count: int, seed: int = 1, symbols: int = 1) -> Any:
    """Return a random walk as records: one tick or none at a time, spreads of 1 to 3."""
    rng = np.random.default_rng(seed)
    words = np.zeros((count, 6), np.int64)
    words[:, 0] = START_NS + np.cumsum(rng.integers(1, 2_000_000, count)) * 1000
    words[:, 1] = 110_000 + np.cumsum(rng.integers(-1, 2, count))
    words[:, 2] = words[:, 1] + rng.integers(1, 4, count)
    words[:, 5] = rng.integers(0, symbols, count)
    return words


def account(profile: Profile | None = None, *symbols: str, **changes: Any) -> BacktestAccount:
    known = catalog()
    names = sorted(symbols or ("EURUSD",))
    return BacktestAccount(
        "USD",
        2,
        profile.initial_balance_minor if profile else INITIAL,
        profile or free_profile(2, INITIAL),
        tuple(replace(known.instruments[one], **changes) for one in names),
        {one: known.fill_models[one] for one in names},
    )


def finished(
    engine: EngineFiles,
    strategy: Program,
    quotes: Any,
    owner: BacktestAccount | None = None,
    **inputs: Any,
) -> Finished:
    code = KeptCode(Path(os.environ["QUANTLAB_NATIVE_FOLDER"]))
    return Run(strategy, owner or account(), quotes, engine, inputs, code).finish()
