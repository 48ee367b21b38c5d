"""`free_margin` in a strategy: the equity less what positions use and working orders reserve."""

from dataclasses import replace

import pytest
from tests.support import backtest_runs as runs

from quantlab.ledger.trading_terms import read_trading_terms
from quantlab_edge.backtest import EngineFiles

TRADING = read_trading_terms({"margin": {"leverage": {"fx": "30"}, "stopOutPercent": "50"}})
USES = """strategy "Uses"

var entry = 0.0

on tick
    if entry == 0.0
        buy(1)
    if entry > 0.0 and position > 0
        if abs(equity - free_margin - entry * 100000 / LEVERAGE) < 0.02
            close_position()

on fill
    entry := fill_price
"""
RESERVES = """strategy "Reserves"

var price = 0.0

on tick
    if price == 0.0
        if free_margin == equity
            price := bid - 0.01
            buy(2, limit=price)
    else if abs(equity - free_margin - price * 200000 / LEVERAGE) < 0.02
        buy(0.01)
        price := 100000.0
"""


@pytest.mark.parametrize(("source", "fills"), [(USES, 2), (RESERVES, 1)])
def test_what_is_used_and_reserved_is_not_free(
    engine: EngineFiles, source: str, fills: int
) -> None:
    quotes = runs.walk(300)
    owner = replace(runs.account(), trading=TRADING)
    strategy = runs.source_program(source.replace("LEVERAGE", "30"))
    assert len(runs.finished(engine, strategy, quotes, owner).fills) == fills
    wrong = runs.source_program(source.replace("LEVERAGE", "29"))
    assert len(runs.finished(engine, wrong, quotes, owner).fills) == fills - 1


def test_without_margin_all_of_the_equity_is_free(engine: EngineFiles) -> None:
    strategy = runs.source_program(
        'strategy "Free"\n\nvar bought = false\n\non tick\n'
        "    if not bought\n        buy(1)\n        bought := true\n"
        "    else if position > 0 and free_margin == equity\n        close_position()\n"
    )
    assert len(runs.finished(engine, strategy, runs.walk(300)).fills) == 2
