"""Runs that know their future are caught: by a feeder, by an event, in what they hand over."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import backtest_runs as runs
from typer.testing import CliRunner

from quantlab.backtest import layout as at
from quantlab.backtest.running import Run
from quantlab_edge.backtest import EngineFiles, KeptCode
from quantlab_server.backtests.lookahead import (
    Difference,
    Made,
    cut_places,
    first_difference,
    perturbed,
)
from quantlab_server.cli.main import app

TICKS = 4_000
CUTS = 6


@pytest.fixture
def honest(engine: EngineFiles, code: KeptCode) -> Made:
    program, owner = runs.program("sma_cross"), runs.account()
    return lambda quotes: Run(program, owner, quotes, engine, {}, code)


def looked(made: Made) -> tuple[int, Difference | None]:
    return first_difference(made, runs.walk(TICKS), CUTS, 3, lambda _done, _of: None)


def test_only_the_future_is_perturbed() -> None:
    quotes = runs.walk(500)
    found = perturbed(quotes, 200, 9)
    assert (found[:200] == quotes[:200]).all()
    for column in (at.Q_BID, at.Q_ASK, at.Q_BID_SIZE, at.Q_NS):
        assert (found[200:, column] != quotes[200:, column]).mean() > 0.9
    assert (np.diff(found[:, at.Q_NS]) >= 0).all()
    assert found[-1, at.Q_NS] == quotes[-1, at.Q_NS]
    assert (found[:, at.Q_ASK] > found[:, at.Q_BID]).all()
    assert (perturbed(quotes, 200, 9) == found).all()


def test_cuts_are_drawn_among_the_quotes_that_are_taken() -> None:
    found = cut_places(50, 20, 1)
    assert found == sorted(set(found)) == cut_places(50, 20, 1)
    assert 1 <= found[0] <= found[-1] < 50
    assert cut_places(1, 20, 1) == []


def test_an_honest_run_knows_nothing(honest: Made) -> None:
    assert looked(honest) == (CUTS, None)


def test_bars_timers_and_orders_that_wait_know_nothing(engine: EngineFiles, code: KeptCode) -> None:
    program = runs.source_program(
        'strategy "All"\n\nvar n = 0\n\non bar(1m)\n    n += 1\n    plot("n", n)\n'
        "    buy(1, limit=bid - 3 * tick_size, sl=bid - 20 * tick_size, tp=bid + 9 * tick_size)\n"
        '\non timer(5m)\n    cancel_all()\n\non fill\n    alert("filled")\n'
    )
    owner = runs.account()
    made = [Run(program, owner, runs.walk(TICKS), engine, {}, code)]
    assert len(made[0].finish().fills) > 20
    assert looked(lambda quotes: Run(program, owner, quotes, engine, {}, code)) == (CUTS, None)


def test_a_feeder_that_reads_one_quote_ahead_is_caught(honest: Made) -> None:
    def cheating(quotes: Any) -> Run:
        early = quotes.copy()
        early[:-1, at.Q_BID : at.Q_ASK + 1] = quotes[1:, at.Q_BID : at.Q_ASK + 1]
        return honest(early)

    tried, found = looked(cheating)
    assert tried == 1
    assert found is not None


class _Peeking(Run):
    """A run with a hook that looks at the quotes behind those that were taken."""

    def take(self, end: int) -> None:
        super().take(end)
        if end < len(self.quotes):
            self.peek(int(self.quotes[end, at.Q_BID]))

    def peek(self, bid: int) -> None:
        raise NotImplementedError


def test_an_event_that_reads_ahead_is_caught(engine: EngineFiles, code: KeptCode) -> None:
    program, owner = runs.program("sma_cross"), runs.account()

    class Remembers(_Peeking):
        def peek(self, bid: int) -> None:
            self.state.words[-1] = bid

    class Says(_Peeking):
        def peek(self, bid: int) -> None:
            self.out[at.OUT_FIRST] = bid

    class Moves(_Peeking):
        def peek(self, bid: int) -> None:
            self.block[self.block[at.SYMBOLS_AT] + at.HIGH_BID] = bid

    class Fills(_Peeking):
        def peek(self, bid: int) -> None:
            if len(self.fills()):
                self.fills()[-1, at.F_TICKS] = bid

    for cheat, said in (
        (Remembers, "of the strategy's state"),
        (Says, "what the strategy handed over on quote"),
        (Fills, "ticks"),
        (Moves, "of the account"),
    ):
        _, found = looked(
            lambda quotes, cheat=cheat: cheat(program, owner, quotes, engine, {}, code)
        )
        assert found is not None
        assert said in found.what


def test_the_command(engine: EngineFiles, tmp_path: Path, monkeypatch: Any) -> None:
    rows = [
        f"{t // 10**6},{b / 1e5:.5f},{a / 1e5:.5f}" for t, b, a in runs.walk(2_000)[:, :3].tolist()
    ]
    (tmp_path / "quotes.csv").write_text("\n".join(["ts_ms,bid,ask", *rows]) + "\n")
    asked = ["backtest", "lookahead", "examples/sma_cross.qls", "--cuts", "3"]
    asked += ["--ticks", f"EURUSD={tmp_path / 'quotes.csv'}"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "at 3 cuts no order, fill, output or state depends on later quotes" in done.output
    known = Difference(7, runs.START_NS, "fill 3: ticks 1, now 2")
    monkeypatch.setattr(
        "quantlab_server.backtests.lookahead.first_difference", lambda *_asked: (1, known)
    )
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 1
    assert "(quote 8) have changed, before it, fill 3: ticks 1, now 2" in str(done.exception)
