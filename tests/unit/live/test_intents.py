"""Every order verb of the language becomes the fields of a signal, as the author meant it."""

from typing import Any

import pytest
from tests.support.engine_cases import catalog
from tests.support.live_runs import terms
from tests.support.qls_bars import compiled

from quantlab.live.intents import Intent, NotSent, intents_of, signal_id_of
from quantlab.qls.interpreter import Interpreter
from quantlab.qls.ir import Read
from quantlab.webhooks.body import Signal, parse_signal

RUN = "0190b5f0-0000-7000-8000-0000000000aa"


class Host:
    def read(self, read: Read) -> float | int:
        return {"bid": 1.10003, "ask": 1.10005, "time": 1_704_067_200_000_000_000}[read.field]


def commands(*lines: str) -> list[Intent | NotSent]:
    program = compiled("on tick\n    b = bid\n    a = ask\n" + "".join(f"    {x}\n" for x in lines))
    effects = Interpreter(program).run("tick", Host())
    on = terms("EURUSD", "GBPUSD")
    return intents_of(effects.orders, RUN, on, program.symbols, {})


def payload(one: Intent | NotSent) -> dict[str, Any]:
    assert isinstance(one, Intent)
    signal = parse_signal(dict(one.fields))
    assert isinstance(signal, Signal), signal
    return signal.as_payload()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("buy(0.1)", {"action": "buy", "quantity": "0.10", "orderType": "market"}),
        ("sell(0.1 + 0.2)", {"action": "sell", "quantity": "0.30"}),
        ("buy(1, limit=b - 0.0004)", {"orderType": "limit", "price": "1.09963"}),
        ("buy(1, limit=b - 0.000404, post_only=true)", {"price": "1.09963", "postOnly": True}),
        ("buy(1, stop=a + 0.001)", {"orderType": "stop", "triggerPrice": "1.10105"}),
        ("buy(1, stop=a, limit=a + 0.01)", {"orderType": "stop_limit", "price": "1.11005"}),
        ("sell(1, touch=a)", {"orderType": "market_if_touched", "triggerPrice": "1.10005"}),
        ("sell(1, trail=0.0015)", {"orderType": "trailing_stop", "trailDistance": "0.00150"}),
        ("sell(1, trail_percent=0.5)", {"trailPercent": "0.5000"}),
        (
            "buy(risk=0.5, sl=b - 0.002)",
            {"riskPercent": "0.5000", "bracket": {"stopLoss": "1.09803"}},
        ),
        ("buy(equity_percent=2.5)", {"equityPercent": "2.5000"}),
        (
            "sell(equity_percent=250, limit=b, tp=b - 0.01)",
            {"equityPercent": "250.0000", "bracket": {"takeProfit": "1.09003"}},
        ),
        (
            "buy(1, sl=b - 0.002, tp=a + 0.004)",
            {"bracket": {"stopLoss": "1.09803", "takeProfit": "1.10405"}},
        ),
        ("buy(1, exit_trail=0.001)", {"bracket": {"trailDistance": "0.00100"}}),
        ('buy(1, limit=b, tif="fok")', {"timeInForce": "fok"}),
        ("sell(1, limit=a, reduce_only=true)", {"reduceOnly": True}),
        ("buy(1, limit=b, expire=time + 1h)", {"expireAt": "2024-01-01T01:00:00.000000Z"}),
        ('buy(1, symbol="GBPUSD")', {"symbol": "GBPUSD"}),
        ("close_position()", {"action": "close", "symbol": "EURUSD"}),
        ("close_position(0.5)", {"action": "close", "quantity": "0.50"}),
        ("flatten()", {"action": "flat"}),
        ("reverse()", {"action": "reverse"}),
        ("cancel_all()", {"action": "cancel_all", "symbol": "EURUSD"}),
        ("cancel(7)", {"action": "cancel", "clientId": f"{RUN}:7"}),
    ],
)
def test_an_order_becomes_a_signal(line: str, expected: dict[str, Any]) -> None:
    (one,) = commands(line)
    found = payload(one)
    assert {key: _same(found.get(key)) for key in expected} == {
        key: _same(value) for key, value in expected.items()
    }


def _same(value: Any) -> Any:
    """Compare decimals by value: a size in lots has as many digits as its step."""
    if isinstance(value, dict):
        return {key: _same(inner) for key, inner in value.items()}
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@pytest.mark.parametrize("kind", ["oco", "ouo"])
def test_orders_that_cancel_or_reduce_each_other_are_one_command(kind: str) -> None:
    found = commands(
        f'buy(1, stop=a + 0.001, {kind}="out")',
        f'sell(2, stop=b - 0.001, {kind}="out", tp=b - 0.01)',
        "buy(0.5)",
    )
    assert [one.numbers for one in found] == [(1, 2), (3,)]
    links = payload(found[0])["links"]
    assert (links["type"], len(links["orders"])) == (kind, 1)
    assert links["orders"][0]["clientId"] == f"{RUN}:2"


def test_children_wait_in_the_command_of_their_parent() -> None:
    found = commands("id = buy(1, limit=b)", "sell(1, stop=b - 0.002, parent=id)")
    assert [one.numbers for one in found] == [(1, 2)]
    links = payload(found[0])["links"]
    assert links["type"] == "oto"
    assert "quantity" not in links["orders"][0]


def test_what_cannot_be_asked_for_says_why() -> None:
    assert commands("sell(1, stop=b, parent=40)") == [NotSent((1,), "unknown_parent")]
    (off,) = commands("buy(0.123456)")
    assert payload(off)["quantity"] == "0.123456"
    mixed = commands('buy(1, stop=a, oco="x")', 'buy(1, stop=a, oco="x", symbol="GBPUSD")')
    assert mixed == [NotSent((1, 2), "group_refused")]
    assert catalog().instruments["EURUSD"].symbol == "EURUSD"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("limit=a", [{"clientId": f"{RUN}:1", "price": "1.10005"}]),
        (
            "lots=0.5, limit=b > 9 ? b : na, stop=b + 0.000004",
            [{"clientId": f"{RUN}:1", "quantity": "0.50", "triggerPrice": "1.10003"}],
        ),
        ("trail_percent=0.25", [{"clientId": f"{RUN}:1", "trailPercent": "0.2500"}]),
        ("expire=time + 1h", [{"clientId": f"{RUN}:1", "expireAt": "2024-01-01T01:00:00.000000Z"}]),
        ("sl=b - 0.001", [{"exit": "stop", "triggerPrice": "1.09903"}]),
        ("exit_trail=0.002", [{"exit": "stop", "trailDistance": "0.00200"}]),
        (
            "limit=a, sl=b - 0.001, tp=a + 0.02",
            [
                {"clientId": f"{RUN}:1", "price": "1.10005"},
                {"exit": "stop", "triggerPrice": "1.09903"},
                {"exit": "target", "price": "1.12005"},
            ],
        ),
    ],
)
def test_a_change_is_a_command_for_the_order_and_each_of_its_exits(
    changes: str, expected: list[dict[str, Any]]
) -> None:
    placed, *changed = commands("id = buy(1, limit=b)", f"modify(id, {changes})")
    assert isinstance(placed, Intent)
    found = [payload(one) for one in changed]
    for one, want in zip(found, expected, strict=True):
        assert one["action"] == "modify"
        assert {key: _same(one.get(key)) for key in want} == {k: _same(v) for k, v in want.items()}
        assert ("signalId" in one) == ("exit" in one) != ("clientId" in one)
        if "exit" in one:
            assert one["signalId"] == signal_id_of(RUN, 1)
    assert len({signal_id_of(RUN, *one.numbers, one.part) for one in changed}) == len(changed)


def test_a_change_that_names_no_order_or_changes_nothing_is_not_sent() -> None:
    assert commands("modify(4, limit=a)") == [NotSent((1,), "unknown_order")]
    nothing = commands("id = buy(1, limit=b)", "modify(id, limit=b > 9 ? b : na)")[1]
    assert nothing == NotSent((2,), "nothing_changes")


def test_a_change_is_written_in_the_ticks_of_its_own_order() -> None:
    found = commands('id = buy(1, limit=1.2, symbol="GBPUSD")', "modify(id, lots=0.3)")
    assert payload(found[1])["quantity"] == "0.30"
