"""Monthly returns, the JSON document, columns for Parquet, and the documented table."""

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from tests.support.finished_runs import CENT, ODD, SECOND, START, path_of, run_of

from quantlab.backtest import layout as at
from quantlab.backtest.outputs import NO_OUTPUTS
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.table import METRICS
from quantlab.backtest.results.monthly import monthly, yearly
from quantlab.backtest.results.run import DAY_NS, NO_FLOOR, NoResult, day_date
from quantlab.backtest.results.summary import (
    Heading,
    RuleOutcome,
    details,
    document,
    parquet_columns,
)
from quantlab.kernel.instants import parse_rfc3339
from quantlab_server.metrics_doc import with_tables

ROOT = Path(__file__).parents[4]


def test_months_and_years_follow_from_the_closes() -> None:
    closes = [1_010_000] * 31 + [990_000] * 28 + [1_100_000] * 306 + [1_210_000]
    run = run_of(closes=closes, seconds=366 * 86_400)
    months = monthly(run)
    assert [(one.year, one.month) for one in months] == [(2026, n) for n in range(1, 13)] + [
        (2027, 1)
    ]
    assert months[0].return_ == Fraction(1, 100)
    assert months[1].return_ == Fraction(-2, 101)
    assert months[2].profit_minor == 110_000
    assert [one.return_ for one in months[3:12]] == [0] * 9
    assert months[12].return_ == Fraction(1, 10)
    assert [(one.year, one.return_) for one in yearly(run)] == [
        (2026, Fraction(1, 10)),
        (2027, Fraction(1, 10)),
    ]


def test_a_month_that_begins_without_equity_has_no_return() -> None:
    run = run_of(closes=[0] * 31 + [5000])
    assert [one.return_ for one in monthly(run)] == [-1, None]
    assert yearly(run)[0].profit_minor == 5000 - 1_000_000


@pytest.mark.parametrize(
    ("starts", "date"),
    [
        ("2026-01-31T22:00:00Z", "2026-02-01"),  # 17:00 in New York
        ("2026-01-31T00:00:00Z", "2026-01-31"),
        ("2026-01-31T08:00:00Z", "2026-01-31"),  # midnight in Los Angeles
        ("2026-01-31T13:00:00Z", "2026-02-01"),  # midnight in Sydney
    ],
)
def test_a_trading_day_has_the_date_of_its_middle(starts, date) -> None:
    assert str(day_date(parse_rfc3339(starts))) == date


HEADING = Heading(
    "fade",
    "end_of_data",
    "acme/2-step",
    inputs=(("length", "12"),),
    rules=(
        RuleOutcome("daily_loss", "a", 0, 0, 0, 0),
        RuleOutcome("max_drawdown", "b", 2, START, 7, 9),
    ),
)


def test_the_document_has_one_order_of_keys_and_money_as_text() -> None:
    run = run_of(
        [(1, 0, 3, 1000, 1), (2, 0, -3, 1001, 1), (3, 0, 1, 990)],
        closes=[1_000_001],
        curve=[1_000_000],
    )
    found = document(figures(run), HEADING)
    text = json.dumps(found, allow_nan=False)
    assert text == json.dumps(document(figures(run), HEADING), allow_nan=False)
    assert list(found["metrics"]) == [metric.key for metric in METRICS]
    assert found["account"] == {
        "currency": "USD",
        "initialBalance": "10000.00",
        "balance": "10000.01",
        "equity": "10000.01",
        "status": "active",
    }
    assert (found["fills"], found["trades"], found["profile"], found["trap"]) == (
        3,
        2,
        "acme/2-step",
        None,
    )
    assert [rule["broken"] for rule in found["rules"]] == [0, 2]
    assert [rule["floor"] for rule in found["rules"]] == [None, "0.09"]
    assert found["metrics"]["netProfit"] == "0.01"
    assert found["months"] == [{"month": "2026-01", "profit": "0.01", "return": 0.0001}]
    lists = details(figures(run))
    [day] = lists["dayList"]
    assert (day["date"], day["equity"], day["traded"]) == ("2026-01-01", "10000.01", True)
    assert [(one["side"], one["price"], one["commission"]) for one in lists["fillList"]] == [
        ("buy", "10.00", "0.01"),
        ("sell", "10.01", "0.01"),
        ("buy", "9.90", "0.00"),
    ]
    first, second = lists["tradeList"]
    assert (first["entryPrice"], first["exitPrice"], first["size"]) == ("10.00", "10.01", "0.3")
    assert (first["profit"], first["seconds"], first["mae"]) == ("0.01", "1", None)
    assert (second["exitTime"], second["exitPrice"]) == (None, None)


def test_an_average_price_between_ticks_has_two_digits_more() -> None:
    run = run_of([(1, 0, 1, 1000), (2, 0, 2, 1001), (3, 0, -3, 1001)])
    [trade] = details(figures(run))["tradeList"]
    assert (trade["entryPrice"], trade["exitPrice"]) == ("10.0067", "10.01")


def test_columns_become_tables_of_parquet() -> None:
    run = run_of(
        [(1, 0, 3, 1000), (2, 1, -3, 1001), (3, 1, 3, 990)],
        scales=(CENT, ODD),
        curve=[1_000_000, 999_000, 1_000_500],
        closes=[1_000_500],
        paths={0: path_of([(1, 1000, 1001)])},
    )
    tables = {name: pa.table(columns) for name, columns in parquet_columns(figures(run)).items()}
    assert set(tables) == {"trades", "fills", "orders", "equity", "days"}
    assert tables["fills"]["symbol"].to_pylist() == ["XYZ", "ODD", "ODD"]
    assert tables["trades"]["symbol"].to_pylist() == ["ODD", "XYZ"]
    assert tables["equity"]["drawdown"].to_pylist() == [0, 1000, 0]
    assert tables["equity"]["floor"].to_pylist() == [None] * 3
    assert pa.types.is_int64(tables["fills"].schema.field("profit").type)


def test_a_run_that_no_results_can_be_made_of_says_why() -> None:
    with pytest.raises(NoResult, match="expected an initial balance above zero, was 0"):
        run_of(initial=0)
    with pytest.raises(NoResult, match="expected a last instant from"):
        run_of(seconds=-1)


def test_the_documented_tables_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "backtest-metrics.md").read_text(encoding="utf-8")
    assert with_tables(text) == text, "run make metrics-doc"
    with pytest.raises(ValueError, match="expected the line"):
        with_tables("nothing")


def rows_of(words, *rows):
    table = np.zeros((len(rows), words), np.int64)
    for row, values in zip(table, rows, strict=True):
        for place, value in values.items():
            row[place] = value
    return table


def finished_run():
    """Make what the engine leaves: a trade, an order that was refused, a broken rule."""
    block = np.zeros(at.ACCOUNT_WORDS + at.RULE_WORDS, np.int64)
    block[[at.BALANCE, at.EQUITY]] = 1_000_007
    block[[at.DRAWDOWN, at.DAY_START, at.TRADED]] = 60, START + DAY_NS, 1
    block[[at.STATUS, at.PLACED, at.RULES_AT]] = at.DISABLED, 3, at.ACCOUNT_WORDS
    rule = (at.RULE_BROKEN, at.RULE_BROKEN_AT, at.RULE_BROKEN_EQUITY, at.RULE_BROKEN_FLOOR)
    block[[at.ACCOUNT_WORDS + word for word in rule]] = 1, START, 11, 12
    both = {at.F_STEPS: 5, at.F_OWNER: 40}
    entry = {at.F_OPENED: 5, at.F_TICKS: 12, at.F_SIDE: 1, at.F_SEQ: 1}
    left = {
        at.F_CLOSED: 5,
        at.F_TICKS: 14,
        at.F_SIDE: -1,
        at.F_SEQ: 3,
        at.F_PROFIT: 10,
        at.F_FEE: 3,
    }
    refused = {
        at.E_OWNER: 7, at.E_SIDE: -1, at.E_TYPE: at.LIMIT_TYPE, at.E_TIME: at.IOC, at.E_STEPS: 9,
        at.E_ENDED: START, at.E_STATE: at.REFUSED, at.E_REASON: at.NO_QUOTE,
    }  # fmt: skip
    day = {at.D_START: START, at.D_RESET: START + DAY_NS, at.D_EQUITY: 1_000_003}
    sample = {at.S_NS: START, at.S_EQUITY: 1_000_000, at.S_BELOW: at.NEVER_LOW}
    return SimpleNamespace(
        block=block,
        fills=rows_of(at.FILL_WORDS, both | entry | {at.F_POSITION: 5, at.F_COST: 60}, both | left),
        orders=rows_of(at.END_WORDS, refused),
        days=rows_of(at.ROLL_WORDS, day),
        samples=rows_of(at.SAMPLE_WORDS, sample),
        taken=3,
        end="rule_broken",
        trap="",
        trace_hash=lambda: "ab",
        outputs=NO_OUTPUTS,
        program=SimpleNamespace(name="fade", source_hash="cd"),
        account=SimpleNamespace(
            currency="USD",
            currency_digits=2,
            initial_minor=1_000_000,
            instruments=(CENT,),
            profile=SimpleNamespace(
                rules=(),
                daily_losses=(),
                drawdowns=(SimpleNamespace(slug="max_drawdown", rule_id="dd"),),
            ),
        ),
    )


def quote_rows():
    bids = enumerate((11, 2, 14, 99))
    return rows_of(
        at.QUOTE_WORDS,
        *({at.Q_NS: START + n * SECOND, at.Q_BID: bid, at.Q_ASK: bid + 1} for n, bid in bids),
    )


def test_a_finished_run_is_read_by_its_layout() -> None:
    run = of_finished(finished_run(), quote_rows())
    assert run.last_ns == START + 2 * SECOND
    assert (run.max_drawdown_minor, run.fills.order.tolist()) == (60, [40, 40])
    assert run.days.equity.tolist() == [1_000_003, 1_000_007]
    assert run.days.start_ns.tolist() == [START, START + DAY_NS]
    assert run.curve.floor.tolist() == [NO_FLOOR]
    found = figures(run)
    assert (found.net_profit, found.profits) == (7, (7,))
    assert (found.closed.mae.tolist(), found.closed.mfe.tolist()) == ([-50], [10])


def test_the_heading_of_a_finished_run() -> None:
    finished = finished_run()
    heading = heading_of(finished, "acme/2-step", (("length", "12"),))
    found = document(figures(of_finished(finished, quote_rows())), heading)
    assert (found["strategy"], found["sourceHash"], found["traceHash"]) == ("fade", "cd", "ab")
    assert (found["ticks"], found["orders"], found["rejectedOrders"]) == (3, 3, 1)
    assert found["account"]["status"] == "disabled"
    [rule] = found["rules"]
    assert (rule["rule"], rule["broken"], rule["equity"], rule["floor"]) == (
        "max_drawdown", 1, "0.11", "0.12",
    )  # fmt: skip


def test_an_order_says_how_it_ended() -> None:
    [order] = details(figures(of_finished(finished_run(), quote_rows())))["orderList"]
    assert order == {
        "order": 7,
        "symbol": "XYZ",
        "side": "sell",
        "type": "limit",
        "timeInForce": "ioc",
        "quantity": "0.9",
        "filledQuantity": "0.0",
        "placedAt": None,
        "endedAt": "2026-01-01T00:00:00.000000Z",
        "status": "rejected",
        "reason": "no_quote",
    }
