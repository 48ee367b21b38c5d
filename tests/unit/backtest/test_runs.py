"""Compiled runs: the peers' workloads counted apart, rules that end a run, the same hash again."""

from typing import Any

import numpy as np
import pytest
from tests.support import backtest_runs as runs
from tests.support.engine_cases import profile
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.backtest import layout as at
from quantlab.backtest import running
from quantlab.backtest.results.finished import heading_of
from quantlab_edge.backtest import EngineFiles

TICKS = 60_000


def sma_fills(quotes: Any) -> tuple[int, int]:
    """Count the fills of SMA(10)/SMA(50) of the mid, and what they leave in ticks."""
    mids = (quotes[:, 1] + quotes[:, 2]).tolist()
    held = gain = fills = 0
    for k in range(49, len(mids)):
        fast, slow = sum(mids[k - 9 : k + 1]) * 5, sum(mids[k - 49 : k + 1])
        if not held and fast > slow:
            held, gain, fills = 1, gain - int(quotes[k, 2]), fills + 1
        elif held and fast < slow:
            held, gain, fills = 0, gain + int(quotes[k, 1]), fills + 1
    return fills, gain + held * int(quotes[-1, 1])


def quote_fills(quotes: Any) -> tuple[int, int]:
    """Count the fills and the submits of re-quoting two ticks around the mid every 100 ticks."""
    bid = ask = None
    fills = submits = 0
    for k, (_, low, high, *_) in enumerate(quotes.tolist()):
        if bid is not None and high <= bid:
            bid, fills = None, fills + 1
        if ask is not None and low >= ask:
            ask, fills = None, fills + 1
        if k % 100 == 0:
            bid, ask, submits = (low + high - 4) // 2, -(-(low + high + 4) // 2), submits + 2
    return fills, submits


def test_sma_cross_fills_what_a_bare_loop_counts(engine: EngineFiles) -> None:
    quotes = runs.walk(TICKS)
    run = runs.finished(engine, runs.program("sma_cross"), quotes)
    fills, ticks = sma_fills(quotes)
    assert len(run.fills) == fills > 1000
    assert run.block[at.EQUITY] - runs.INITIAL == ticks * 100
    assert run.end == "end_of_data"


def test_the_drawdown_is_that_of_every_tick(engine: EngineFiles) -> None:
    quotes = runs.walk(TICKS)
    run = runs.finished(engine, runs.program("sma_cross"), quotes)
    positions = np.zeros(TICKS, np.int64)
    cash = np.zeros(TICKS, np.int64)
    places = np.searchsorted(quotes[:, 0], run.fills[:, at.F_NS])
    for place, row in zip(places.tolist(), run.fills, strict=True):
        positions[place:] = row[at.F_POSITION]
        cash[place:] -= row[at.F_SIDE] * row[at.F_STEPS] * row[at.F_TICKS]
    before = np.concatenate(([0], positions[:-1]))
    cash_before = np.concatenate(([0], cash[:-1]))
    marked = np.stack((cash_before + before * quotes[:, 1], cash + positions * quotes[:, 1]), 1)
    curve = np.concatenate(([0], marked.reshape(-1)))
    assert int((np.maximum.accumulate(curve) - curve).max()) == run.block[at.DRAWDOWN]


def test_quote_fills_what_a_bare_loop_counts(engine: EngineFiles) -> None:
    quotes = runs.walk(TICKS)
    run = runs.finished(engine, runs.program("quote"), quotes)
    fills, submits = quote_fills(quotes)
    assert (len(run.fills), int(run.block[at.PLACED])) == (fills, submits)
    assert fills > 100


def test_two_runs_have_one_hash_and_another_tick_another(engine: EngineFiles) -> None:
    quotes = runs.walk(5_000)
    first = runs.finished(engine, runs.program("sma_cross"), quotes).trace_hash()
    assert runs.finished(engine, runs.program("sma_cross"), quotes).trace_hash() == first
    moved = quotes.copy()
    moved[2_500, 1] -= 1
    assert runs.finished(engine, runs.program("sma_cross"), moved).trace_hash() != first


BY_HAND = """
strategy "by hand"
var id = 0
var best = 0.0
on tick
    if position == 0
        id := buy(1, sl=bid - 0.0001)
        best := bid
    else if bid > best
        best := bid
        modify(id, sl=best - 0.0001)
"""
TRAILING = """
strategy "trailing"
on tick
    if position == 0
        buy(1, exit_trail=0.0001)
"""


def test_a_stop_that_is_moved_by_hand_does_what_a_trailing_exit_does(engine: EngineFiles) -> None:
    quotes = runs.walk(20_000)
    by_hand = runs.finished(engine, runs.source_program(BY_HAND), quotes)
    trailing = runs.finished(engine, runs.source_program(TRAILING), quotes)
    told = [at.F_NS, at.F_SIDE, at.F_STEPS, at.F_TICKS, at.F_BALANCE]
    assert len(by_hand.fills) > 100
    assert np.array_equal(by_hand.fills[:, told], trailing.fills[:, told])


def test_a_change_that_cannot_be_is_recorded_and_changes_nothing(engine: EngineFiles) -> None:
    source = """
strategy "changes"
var id = 0
var seen = 0
on tick
    seen += 1
    if seen == 1
        id := buy(1, limit=bid - 1.0)
    else if seen == 2
        modify(id, lots=0.0000001)
    else if seen == 3
        modify(id, stop=1.5)
    else if seen == 4
        modify(id, lots=2, limit=bid - 0.5)
    else if seen == 5
        modify(999, lots=2)
    else if seen == 6
        cancel_all()
"""
    quotes = runs.walk(10)
    run = runs.finished(engine, runs.source_program(source), quotes)
    reasons = [at.REASONS[reason] for reason in run.orders[:, at.E_REASON].tolist()]
    assert reasons == ["quantity_off_step", "not_of_order_type", "requested"]
    step = float(run.account.instruments[0].size_step)
    assert run.orders[-1, at.E_STEPS] * step == 2
    assert run.orders[-1, at.E_LIMIT] == quotes[3, 1] - 50_000


FLOOD = """
strategy "flood"
on tick
    cancel_all()
    for i in 1..15
        buy(1, limit=bid - 0.5)
"""


def test_a_flood_of_orders_ends_the_run_before_memory_does(
    engine: EngineFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "ROWS_PER_RUN_MAX", 100_000)
    program = runs.source_program(FLOOD)
    ended = [runs.finished(engine, program, runs.walk(TICKS)) for _ in range(2)]
    assert {run.end for run in ended} == {"trap"}
    assert {run.trap for run in ended} == {"rows_limit"}
    assert 100_000 < len(ended[0].orders) <= 100_016
    assert ended[0].trace_hash() == ended[1].trace_hash()


def test_numbers_without_sense_place_and_change_nothing(engine: EngineFiles) -> None:
    source = """
strategy "senseless"
on tick
    n = bid[5000]
    i = bid * 1e308 * 1e308
    buy(n)
    buy(1, limit=n)
    buy(i, limit=-i)
    sell(1e300, limit=1e300, sl=-i, tp=i)
    buy(risk=n, sl=n)
    buy(equity_percent=i)
    modify(1, lots=i, stop=-i)
    modify(-9223372036854775807, sl=1)
    cancel(9223372036854775807)
    close_position(i)
    buy(1, limit=bid, expire=-9223372036854775807)
    buy(1, limit=bid, parent=9223372036854775807)
    log("{} {}", n, i)
"""
    run = runs.finished(engine, runs.source_program(source), runs.walk(300))
    assert (len(run.fills), run.end) == (0, "end_of_data")
    assert run.block[at.EQUITY] == runs.INITIAL
    assert set(run.orders[:, at.E_STATE].tolist()) == {at.REFUSED}


def test_sizes_out_of_bounds_are_refused_by_name(engine: EngineFiles) -> None:
    source = """
var n = 0
on tick
    n += 1
    if n == 1
        buy(position - 110)
    if n == 2
        buy(-0.01 * min(n, 1))
    if n == 3
        buy(floor(-ask))
    if n == 4
        buy(risk=100.1 * min(n, 1), sl=bid - 0.01)
    if n == 5
        buy(risk=1e9 * min(n, 1), sl=bid - 0.01)
    if n == 6
        buy(equity_percent=100001 * min(n, 1))
    if n == 7
        buy(risk=-1 * min(n, 1), sl=bid - 0.01)
"""
    run = runs.finished(engine, runs.source_program(source), runs.walk(20))
    assert len(run.fills) == 0
    small, large = at.QUANTITY_TOO_SMALL, at.QUANTITY_TOO_LARGE
    assert run.orders[:, at.E_REASON].tolist() == [small] * 3 + [large] * 3 + [small]


@pytest.mark.parametrize("event", ["bar(9000000000000000000ns)", "timer(9000000000000000000ns)"])
def test_an_event_that_never_comes_is_waited_for(engine: EngineFiles, event: str) -> None:
    run = runs.finished(engine, runs.source_program(f"on {event}\n    buy(1)\n"), runs.walk(500))
    assert (len(run.fills), run.end) == (0, "end_of_data")


def test_a_broken_floor_ends_the_run_and_closes_all(engine: EngineFiles) -> None:
    rules = profile(
        made_rule("max_drawdown", mode="static", loss=percent("1"), comparator="lt"),
    )
    run = runs.finished(
        engine, runs.program("sma_cross"), runs.walk(TICKS), runs.account(rules), lots=10.0
    )
    heading = heading_of(run)
    (broken,) = heading.rules
    assert run.end == "rule_broken"
    assert run.taken < TICKS
    assert broken.broken == 1
    assert broken.equity_minor < broken.floor_minor == 99_000_00
    assert heading.status == "disabled"
    assert run.block[at.HELD] == 0


def test_logs_that_fill_up_lose_nothing(engine: EngineFiles) -> None:
    quotes = runs.walk(120_000)
    busy = runs.source_program(
        'strategy "Busy"\n\non tick\n    if position == 0\n        buy(1)\n'
        "    else\n        close_position()\n"
    )
    run = runs.finished(engine, busy, quotes)
    assert len(run.fills) == 120_000 > at.MANY_ROWS
    assert len(run.orders) == 120_000
    assert (np.diff(run.fills[:, at.F_ORDER]) == 1).all()


def test_an_endless_chain_of_fills_is_stopped(engine: EngineFiles) -> None:
    chain = runs.source_program(
        'strategy "Chain"\n\non start\n    log("begun")\n\non tick\n    buy(1)\n\n'
        "on fill\n    reverse()\n"
    )
    run = runs.finished(engine, chain, runs.walk(100))
    assert run.end == "endless_events"
    assert len(run.fills) <= at.EVENT_ROWS


def test_a_chain_of_refused_orders_stays_within_its_log(engine: EngineFiles) -> None:
    refused = "    buy(0.0000001)\n" * 15
    flood = runs.source_program(
        f'strategy "Flood"\n\non tick\n    buy(1)\n\non fill\n    reverse()\n{refused}'
    )
    run = runs.finished(engine, flood, runs.walk(100))
    assert run.end == "endless_events"
    assert len(run.fills) < len(run.orders) <= at.EVENT_ROWS


def test_bars_close_with_the_first_quote_after_them(engine: EngineFiles) -> None:
    source = runs.source_program(
        'strategy "Bars"\n\nvar count = 0\n\non bar(1m)\n    count += 1\n'
        "    if count == 3\n        buy(1)\n"
    )
    quotes = runs.walk(1_000)
    run = runs.finished(engine, source, quotes)
    minute = 60 * 10**9
    minutes = quotes[:, 0] // minute
    starts = np.flatnonzero(np.diff(minutes)) + 1
    assert run.fills[0, at.F_NS] == quotes[starts[2], 0]
    assert run.fills[0, at.F_TICKS] == quotes[starts[2], 2]


def test_refused_orders_fill_no_log_beyond_its_end(engine: EngineFiles) -> None:
    greedy = runs.source_program('strategy "Greedy"\n\non tick\n    buy(1000)\n')
    run = runs.finished(engine, greedy, runs.walk(100_000))
    assert len(run.orders) == 100_000 > at.MANY_ROWS
    assert set(run.orders[:, at.E_REASON].tolist()) == {at.QUANTITY_TOO_LARGE}
    assert int(run.block[at.PLACED]) == 0
