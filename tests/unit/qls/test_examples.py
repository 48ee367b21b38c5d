"""The example strategies against what they are known to do.

Fills are the simplest there are, so that only the strategy is tested: a market order fills at the
next bar's open, or on the spot at the quote.
"""

import csv
import gzip
import io
import random
from datetime import datetime
from pathlib import Path

import pytest
from tests.support.market_data import vectors_file
from tests.support.qls_bars import compiled

from quantlab.qls import ir
from quantlab.qls.interpreter import Interpreter, Order

EXAMPLES = Path(__file__).parents[3] / "examples"
LISTS = "tradingview_pynecore/t30_strategy"


class _Book:
    """One position that market orders change; gives what a strategy reads."""

    def __init__(self) -> None:
        self.values: dict[str, float | int] = {
            "size": 0.0, "tick_size": 0.00001, "equity": 1_000_000.0,
        }  # fmt: skip

    def read(self, read: ir.Read) -> float | int:
        return self.values.get(read.field, 0 if read.type == "i" else float("nan"))

    @property
    def position(self) -> float:
        return float(self.values["size"])

    def take(self, order: Order) -> float:
        """Carry out a market order; return the change of the position."""
        quantity = order.args["quantity"]
        if ir.SIZE_UNITS[order.spec.size_unit] == "equity_percent":
            quantity = self.values["equity"] * quantity / 100 / self.values["open"]
        closes = ir.ORDER_VERBS[order.spec.verb] in {"close", "flatten"}
        change = -self.position if closes else order.args["side"] * quantity
        self.values["size"] = self.position + change
        return change


def _program(name: str) -> ir.Program:
    return compiled((EXAMPLES / name).read_text(encoding="utf-8"))


def _csv(name: str) -> list[dict[str, str]]:
    path = vectors_file(f"{LISTS}/{name}")
    if path is None:
        pytest.skip(f"no {name}: the trade lists are not part of a public clone")
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _entries(example: str, bars: list[dict[str, str]]) -> list[tuple[int, str, float]]:
    """Return (time in s, side, price) of each fill that opens: orders fill at the next open."""
    interpreter, book = Interpreter(_program(example)), _Book()
    interpreter.run("start", book)
    waiting: list[Order] = []
    found = []
    for row, bar in enumerate(bars):
        for order in waiting:
            book.take(order)
            if book.position != 0:
                side = "long" if book.position > 0 else "short"
                found.append((_seconds(bar["time"]), side, float(bar["open"])))
        book.values |= {key: float(bar[key]) for key in ("open", "high", "low", "close")}
        book.values |= {"index": row, "time": _seconds(bar["time"]) * 10**9}
        waiting = interpreter.run("bar", book, stream=0).orders
    return found


def _listed(name: str) -> list[tuple[int, str, float]]:
    rows = [row for row in _csv(name) if row["Type"].startswith("Entry")]
    return [
        (
            _seconds(row["Date/Time"]),
            row["Type"].removeprefix("Entry ").lower(),
            float(row["Price USD"]),
        )
        for row in rows
    ]


@pytest.mark.data
def test_macd_enters_when_trading_view_did() -> None:
    ours = _entries("macd.qls", _csv("ohlcv.csv.gz"))
    theirs = sorted(_listed("macd_trades.csv.gz"))
    assert len(theirs) == 1808
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    assert [one[2] for one in ours] == pytest.approx([one[2] for one in theirs], abs=1e-9)


@pytest.mark.data
def test_barupdn_enters_when_trading_view_did() -> None:
    """No day of the list loses as much as its limit: the stop of a day is not in it."""
    ours = _entries("barupdn.qls", _csv("ohlcv.csv.gz"))
    theirs = sorted(_listed("barupdn_trades.csv.gz"))
    assert len(theirs) == 5550
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    assert [one[2] for one in ours] == pytest.approx([one[2] for one in theirs], abs=1e-9)


def test_barupdn_stops_for_the_day_at_its_loss() -> None:
    interpreter, book = Interpreter(_program("barupdn.qls")), _Book()
    rising = {"open": 1.1, "high": 1.3, "low": 1.0, "close": 1.2}
    verbs = []
    for hour, equity in ((0, 100.0), (1, 100.0), (2, 98.9), (3, 98.9), (24, 98.9)):
        book.values |= {**rising, "equity": equity, "time": hour * 3600 * 10**9}
        rising = {key: value + 1 for key, value in rising.items()}
        orders = interpreter.run("bar", book, stream=0).orders
        verbs.append([ir.ORDER_VERBS[one.spec.verb] for one in orders])
    assert verbs == [[], ["place"], ["flatten"], ["flatten"], ["place"]]


@pytest.mark.data
def test_slippage_basic_enters_on_the_bars_it_names() -> None:
    ours = _entries("slippage_basic.qls", _csv("slippage_basic_ohlcv.csv.gz"))
    theirs = sorted(_listed("slippage_basic_trades.csv.gz"))
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    slipped = [(1 if side == "long" else -1) * 10 * 0.00001 for _, side, _ in ours]
    prices = [one[2] + by for one, by in zip(ours, slipped, strict=True)]
    assert prices == pytest.approx([one[2] for one in theirs], abs=1e-9)


def _quotes(count: int) -> list[tuple[int, int]]:
    rng = random.Random("quotes")
    bid, found = 110_000, []
    for _ in range(count):
        bid += rng.choice((-2, -1, -1, 0, 0, 1, 1, 2))
        found.append((bid, bid + rng.choice((1, 1, 2, 3))))
    return found


def test_sma_cross_is_the_peers_loop() -> None:
    """The same fills as a bare loop over exact sums of price steps."""
    interpreter, book = Interpreter(_program("sma_cross.qls")), _Book()
    quotes = _quotes(3000)
    ours, theirs, mids, holding = [], [], [], False
    for row, (bid, ask) in enumerate(quotes):
        book.values |= {"bid": bid / 100_000, "ask": ask / 100_000}
        for order in interpreter.run("tick", book).orders:
            book.take(order)
            ours.append(row)
        mids.append(bid + ask)
        fast, slow = sum(mids[-10:]), sum(mids[-50:])
        if len(mids) >= 50 and ((not holding and 5 * fast > slow) or (holding and 5 * fast < slow)):
            holding = not holding
            theirs.append(row)
    assert ours == theirs
    assert len(ours) > 50


def test_quote_is_the_peers_loop() -> None:
    """Cancels and quotes on each 100th tick, at the prices of the peers' integers."""
    interpreter, book = Interpreter(_program("quote.qls")), _Book()
    resting: list[int] = []
    for row, (bid, ask) in enumerate(_quotes(2000)):
        book.values |= {"bid": bid / 100_000, "ask": ask / 100_000}
        orders = interpreter.run("tick", book).orders
        if row % 100:
            assert not orders
            continue
        cancels = [one.args["order"] for one in orders if one.spec.verb == 1]
        assert cancels == resting
        placed = [one for one in orders if one.spec.verb == 0]
        prices = [round(one.args["price"] * 100_000) for one in placed]
        assert prices == [(bid + ask - 4) // 2, -((-(bid + ask + 4)) // 2)]
        assert [one.args["side"] for one in placed] == [1, -1]
        resting = [one.order_id for one in placed]
