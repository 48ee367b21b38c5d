"""Backtests on hedging accounts: compiled, in plain Python and live, each leg is the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.properties.test_backtest import model
from tests.support import backtest_cases as cases
from tests.support import backtest_runs as runs
from tests.support import live_cases
from tests.support.engine_cases import BALANCE, profile
from tests.support.histories import Asked, History
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.backtest import layout as at
from quantlab.backtest.results.finished import of_finished
from quantlab.backtest.results.trades import round_trips
from quantlab.backtest.running import Finished, Run
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.quote import Quote
from quantlab_edge.backtest import EngineFiles

TICKS = 400
TRADING = read_trading_terms(
    {
        "positioning": "hedging",
        "margin": {"leverage": {"*": "30"}, "stopOutPercent": "100"},
        "swaps": {"*": {"unit": "points", "long": "-6.55", "short": "2.1", "tripleDay": "wed"}},
        "commissions": {"*": {"commissionMinorPerLot": "277.7"}},
    }
)
RULES = profile(
    made_rule("daily_loss", anchor="balance", loss=percent("90"), comparator="lt"),
    made_rule("position_size", "soft", per="account", maxLots="4"),
)
LEGS = """strategy "Legs"

var ticks = 0

on tick
    ticks += 1
    if ticks % 5 == 1
        buy(0.2, sl=bid - 0.0004, tp=bid + 0.0004)
    if ticks % 7 == 1
        sell(0.5)
    if ticks % 11 == 1
        sell(0.3, limit=bid + 0.0003, sl=bid + 0.0010)
    if ticks % 41 == 1
        close_position()
    if ticks % 53 == 1
        reverse()
    if ticks % 97 == 1
        flatten()
"""
READS = """strategy "Reads"

var ticks = 0

on tick
    ticks += 1
    if ticks == 1
        buy(0.3)
    if ticks == 3
        buy(0.1)
    if ticks == 5
        sell(0.25)
    plot("net", position)
    plot("price", position_price)
    plot("profit", position_profit)
    plot("equity", equity)
    plot("free", free_margin)
"""


def walk(count: int) -> Any:
    """Return quotes an hour of which is a few ticks, so that nights are passed."""
    quotes = runs.walk(count, seed=3)
    quotes[:, 0] = runs.START_NS + np.arange(1, count + 1) * 600_000_000_000
    quotes[:, 1:3] += np.arange(count)[:, None] % 13
    return quotes


def history(quotes: Any) -> History:
    """Return what the strategy `Legs` asks for over quotes, as commands."""
    asked: list[Asked] = []
    for after, (_, bid, *_rest) in enumerate(quotes.tolist()):
        if after % 5 == 0:
            asked.append(Asked(after, "place", "EURUSD", 1, 20, exits=(bid - 40, None, bid + 40)))
        if after % 7 == 0:
            asked.append(Asked(after, "place", "EURUSD", -1, 50))
        if after % 11 == 0:
            limit = Asked(after, "place", "EURUSD", -1, 30, "limit", "gtc", limit=bid + 30)
            asked.append(replace(limit, exits=(bid + 100, None, None)))
        for every, verb in ((41, "close"), (53, "reverse"), (97, "flatten")):
            if after % every == 0:
                asked.append(Asked(after, verb, "EURUSD"))
    ticks = [Quote("EURUSD", bid, ask, ns, seq + 1) for seq, (ns, bid, ask, *_) in
             enumerate(quotes.tolist())]  # fmt: skip
    models = {"*": model(size="unlimited")}
    return History(RULES, ticks, asked, ("EURUSD",), models, TRADING)


def finished(engine: EngineFiles, source: str, quotes: Any, given: History) -> Finished:
    return Run(
        runs.source_program(source), given.account(), quotes, engine, keeps_outputs=True
    ).finish()


def test_compiled_legs_are_those_of_plain_python_and_of_live_trading(engine: EngineFiles) -> None:
    quotes = walk(TICKS)
    given = history(quotes)
    run = finished(engine, LEGS, quotes, given)
    block = cases.plain(given)
    logs = ((at.FILLS_AT, at.FILLS, at.FILL_WORDS, run.fills),
            (at.ENDS_AT, at.ENDS, at.END_WORDS, run.orders))  # fmt: skip
    for begin, count, words, rows in logs:
        plain = block[block[begin] : block[begin] + block[count] * words]
        assert np.array_equal(np.array(plain).reshape(-1, words), rows)
    legs = block[block[at.LEGS_AT] : block[at.LEGS_AT] + block[at.LEGS] * at.LEG_WORDS]
    begin = run.block[at.LEGS_AT]
    assert run.block[begin : begin + len(legs)].tolist() == legs
    live, fills = live_cases.live(given)
    assert cases.fills_of(block, given) == live_cases.live_fills(fills)
    assert cases.state_of(block, given) == live_cases.live_state(live)
    reasons = {at.REASONS[one] for one in run.orders[:, at.E_REASON].tolist()}
    assert {"netting_only", "position_size", "flattened", "position_closed"} <= reasons
    assert run.block[at.SWAPS] != 0


def test_a_trade_is_a_leg_and_together_they_are_the_result(engine: EngineFiles) -> None:
    quotes = walk(TICKS)
    run = finished(engine, LEGS, quotes, history(quotes))
    trades = round_trips(of_finished(run, quotes))
    tickets = set(run.fills[:, at.F_TICKET].tolist())
    assert len(trades) == len(tickets) > 50
    ended = trades.is_closed
    assert (trades.closed[ended] == trades.size[ended]).all()
    booked = int(run.block[at.BALANCE]) - BALANCE - int(run.block[at.SWAPS])
    assert int(trades.profit.sum()) == booked
    assert {-1, 1} == set(trades.side.tolist())
    # Legs of both sides are open at once: what is open never adds up to one position.
    entries, exits = trades.entry_ns[ended], trades.exit_ns[ended]
    assert any(
        ((entries < exits[k]) & (exits > entries[k]) & (trades.side[ended] != side)).any()
        for k, side in enumerate(trades.side[ended].tolist())
    )


def test_a_strategy_reads_the_net_and_the_money_of_each_leg(engine: EngineFiles) -> None:
    quotes = walk(20)
    run = finished(engine, READS, quotes, history(quotes))
    plots = {one.name: one.values.tolist() for one in run.outputs.plots}
    opened = {row[at.F_SEQ]: row for row in run.fills.tolist()}
    assert [opened[seq][at.F_SIDE] * opened[seq][at.F_STEPS] for seq in (1, 3, 5)] == [30, 10, -25]
    first, second, third = (opened[seq][at.F_TICKS] for seq in (1, 3, 5))
    for k in range(1, 20):
        bid, ask = int(quotes[k, at.Q_BID]), int(quotes[k, at.Q_ASK])
        # Of an event's own orders a strategy sees nothing until the next.
        held = [(30, first), *[(10, second)] * (k > 2), *[(-25, third)] * (k > 4)]
        minor = sum(size * ((bid if size > 0 else ask) - price) for size, price in held)
        assert plots["net"][k] == pytest.approx(sum(size for size, _ in held) / 100)
        assert plots["profit"][k] == pytest.approx(minor / 100)
        if k > 4:
            assert plots["price"][k] != plots["price"][k]
        else:
            mean = sum(size * price for size, price in held) / sum(size for size, _ in held)
            assert plots["price"][k] == pytest.approx(mean / 100_000, rel=1e-12)
        used = max(sum(abs(size) * price for size, price in held if (size > 0) is long)
                   for long in (True, False)) / 30  # fmt: skip
        assert plots["free"][k] == pytest.approx(plots["equity"][k] - used / 100, abs=0.02)
