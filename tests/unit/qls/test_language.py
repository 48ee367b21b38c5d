"""What programs mean: values, history, state, branches, inputs, orders, several symbols."""

from math import isnan
from typing import Any

import pytest
from tests.support.qls_bars import BarHost, compiled, series

from quantlab.qls import ir
from quantlab.qls.compiler import compile_source
from quantlab.qls.interpreter import Effects, Interpreter

CLOSES = {"close": [1.0, 2.0, 4.0, 8.0, 16.0]}


def _values(expression: str) -> list[float]:
    return [value for (value,) in series(expression, CLOSES)]


def _effects(body: str, rows: int = 5, inputs: dict[str, Any] | None = None) -> list[Effects]:
    interpreter = Interpreter(compiled(body), inputs)
    host, found = BarHost(CLOSES), []
    interpreter.run("start", host)
    for row in range(rows):
        host.row = row
        found.append(interpreter.run("bar", host, stream=0))
    return found


def _plots(body: str, inputs: dict[str, Any] | None = None) -> list[float]:
    return [float(one.outputs[0].values[0]) for one in _effects(body, 5, inputs)]


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("1 / 2", [0.5] * 5), ("2 + 3 * 4 - 1 + 0.0", [13.0] * 5), ("-2 * -3 + 0.0", [6.0] * 5),
        ("not true or true ? 1.0 : 0.0", [1.0] * 5), ("1 < 2 == true ? 1.0 : 0.0", [1.0] * 5),
        ("close - 1 - 1", [-1.0, 0.0, 2.0, 6.0, 14.0]), ("close % 3", [1.0, 2.0, 1.0, 2.0, 1.0]),
        ("-close % 3", [2.0, 1.0, 2.0, 1.0, 2.0]), ("nz(close[1])", [0.0, 1.0, 2.0, 4.0, 8.0]),
        ("close > 3 and close < 10 ? close : 0.0", [0.0, 0.0, 4.0, 8.0, 0.0]),
        ("nz((close * 2)[2])", [0.0, 0.0, 2.0, 4.0, 8.0]), ("na == na ? 1.0 : 0.0", [0.0] * 5),
        ("na != 1 ? 1.0 : 0.0", [0.0] * 5), ("nz(close[1][1])", [0.0, 0.0, 1.0, 2.0, 4.0]),
        ("float(bar_index)", [0.0, 1.0, 2.0, 3.0, 4.0]),
        ("cum(close)", [1.0, 3.0, 7.0, 15.0, 31.0]),
        ("1_000 + 0.0", [1000.0] * 5), ("5m / 1s", [300.0] * 5), ("close[0]", CLOSES["close"]),
    ],
)  # fmt: skip
def test_expressions(expression: str, values: list[float]) -> None:
    assert _values(expression) == values


SWITCHED = {
    "switch int(close)\n        1 => 10.0\n        4 => 40\n        => -close": [
        10, -2, 40, -8, -16,
    ],
    "switch\n        close > 3 => 1.0\n        close > 7 => 2.0\n        => 0.0": [0, 0, 1, 1, 1],
    "switch close > 3\n        true => 1.0\n        false => 2.0": [2, 2, 1, 1, 1],
    'switch mode\n        "a" => 1.0\n        "b" => close': CLOSES["close"],
    'switch mode\n        "a" => 1\n        "b" => 2': [2] * 5,
    "switch\n        close > 3 => cum(close)\n        => 0.0": [0, 0, 7, 15, 31],
    "switch\n        close > 100 => 1.0": [float("nan")] * 5,
}  # fmt: skip


@pytest.mark.parametrize("value", SWITCHED)
def test_a_switch_gives_the_value_of_the_first_arm_that_fits(value: str) -> None:
    body = f'input mode = choice("b", ["a", "b"])\non bar(1m)\n    x = {value}\n    plot("p", x)\n'
    assert str(_plots(body)) == str([float(one) for one in SWITCHED[value]])


def test_only_the_first_arm_that_fits_is_carried_out() -> None:
    body = (
        "var n = 0\non bar(1m)\n    switch int(close)\n        2 =>\n            n += 1\n"
        "            n += 1\n        4 => n := 40\n        16 =>\n            switch\n"
        "                n > 39 => n += 5\n                => n := 0\n        => n += 100\n"
        '    plot("p", n)\n'
    )
    assert _plots(body) == [100.0, 102.0, 40.0, 140.0, 145.0]


def test_a_switch_has_its_cost_and_its_limit() -> None:
    arms = [f'        {k} => log("x")\n' for k in range(64)]
    body = 'on bar(1m)\n    switch int(close)\n{}        => log("y")\n'
    few, many = (compile_source(body.format("".join(arms[:part]))) for part in (60, len(arms)))
    assert few.program is not None
    assert many.program is None
    assert [one.code for one in many.diagnostics] == ["limit:ARMS_MAX"]


def test_a_name_keeps_its_last_value_of_each_event() -> None:
    body = 'on bar(1m)\n    x = close\n    x += 1\n    x *= 2\n    plot("p", nz(x[1]))\n'
    assert _plots(body) == [0.0, 4.0, 6.0, 10.0, 18.0]


def test_history_by_a_loop_and_by_an_input() -> None:
    body = (
        "input n = int(2, min=0, max=3)\non bar(1m)\n    total = 0.0\n    for i in 0..n\n"
        '        total += nz(close[i])\n    plot("p", total + nz(close[n]))\n'
    )
    assert _plots(body) == [1.0, 3.0, 8.0, 16.0, 32.0]
    assert _plots(body, {"n": 0}) == [2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_var_begins_once_and_lasts() -> None:
    body = (
        "on bar(1m)\n    var first = close\n    var count = 10\n    count += 1\n"
        '    plot("p", first * 100 + count)\n'
    )
    assert _plots(body) == [111.0, 112.0, 113.0, 114.0, 115.0]


def test_each_call_has_a_state_of_its_own() -> None:
    body = (
        "def counted(int step)\n    var n = 0\n    n += step\n    return n\n"
        'on bar(1m)\n    a = counted(1)\n    b = counted(10)\n    plot("p", a + b)\n'
    )
    assert _plots(body) == [11.0, 22.0, 33.0, 44.0, 55.0]


def test_a_parameter_has_a_history() -> None:
    body = 'def before(x)\n    return nz(x[1])\non bar(1m)\n    plot("p", before(close * 3))\n'
    assert _plots(body) == [0.0, 3.0, 6.0, 12.0, 24.0]


def test_both_sides_of_a_choice_are_computed() -> None:
    """An indicator in a choice never misses a bar."""
    chosen = _values("close > 3 ? cum(close) : 0.0")
    assert chosen == [0.0, 0.0, 7.0, 15.0, 31.0]


def test_else_if_takes_the_first_that_holds() -> None:
    body = (
        "on bar(1m)\n    x = 0.0\n    if close > 10\n        x := 3\n"
        "    else if close > 3\n        x := 2\n"
        '    else\n        x := 1\n    plot("p", x)\n'
    )
    assert _plots(body) == [1.0, 1.0, 2.0, 2.0, 3.0]


def test_inputs_of_every_kind() -> None:
    source = (
        'input n = int(3, min=1, max=5)\ninput f = float(2, min=0.5)\ninput b = bool(true)\n'
        'input c = choice("mid", ["low", "mid"])\ninput s = string("EURUSD")\n'
        'var twice = n * 2\non bar(1m)\n    x = c == "low" ? 1.0 : 2.0\n    y = b ? 10.0 : 20.0\n'
        '    z = s == "EURUSD" ? 100.0 : 200.0\n    plot("p", x + y + z + n * f + twice)\n'
    )  # fmt: skip
    assert _plots(source)[0] == 2 + 10 + 100 + 6 + 6
    assert _plots(source, {"n": 5, "f": 1.0, "b": False, "c": "low"})[0] == 1 + 20 + 100 + 5 + 10


@pytest.mark.parametrize(
    "inputs",
    [
        {"n": 9},
        {"n": 1.5},
        {"n": True},
        {"c": "none"},
        {"x": 1},
        {"b": 1},
        {"f": float("nan")},
        {"f": float("inf")},
        {"f": 10**400},
        {"n": 10**400},
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any]) -> None:
    program = compiled(
        'input n = int(3, min=1, max=5)\ninput c = choice("a", ["a"])\ninput b = bool(true)\n'
        'input f = float(1, min=0)\non bar(1m)\n    plot("p", n + f + (b and c == "a" ? 1 : 0))\n'
    )
    with pytest.raises(ValueError, match=next(iter(inputs))):
        Interpreter(program, inputs)


ORDERS = {
    "buy(2)": ("market", "default", 0),
    "buy(2, limit=1.5)": ("limit", "default", 0),
    'buy(2, limit=1.5, tif="fok")': ("limit", "fok", 0),
    "buy(2, limit=1.5, post_only=true)": ("limit", "default", ir.POST_ONLY),
    "buy(2, stop=1.5)": ("stop", "default", 0),
    "buy(2, stop=1.5, limit=1.6)": ("stop_limit", "default", 0),
    "buy(2, touch=1.5)": ("market_if_touched", "default", 0),
    "buy(2, touch=1.5, limit=1.4)": ("limit_if_touched", "default", 0),
    "buy(2, trail=0.5)": ("trailing_stop", "default", 0),
    "buy(2, trail_percent=0.5)": ("trailing_stop", "default", ir.TRAIL_PERCENT),
    'buy(2, stop=1.5, tif="day", reduce_only=true)': ("stop", "day", ir.REDUCE_ONLY),
    "buy(2, limit=1.5, expire=time + 5m)": ("limit", "gtd", 0),
    "buy(2, sl=1.0, tp=2.0)": ("market", "default", 0),
    "buy(2, exit_trail=0.2, tp=2.0)": ("market", "default", ir.EXIT_TRAIL),
}


@pytest.mark.parametrize("call", ORDERS)
def test_order_types_follow_from_their_terms(call: str) -> None:
    order_type, time, flags = ORDERS[call]
    (order,) = _effects(f"on bar(1m)\n    {call}\n", 1)[0].orders
    assert ir.ORDER_TYPES[order.spec.order_type] == order_type
    assert ir.TIMES[order.spec.time] == time
    assert order.spec.flags == flags
    assert (order.args["side"], order.args["quantity"]) == (1, 2.0)
    assert ("limit" in call) == (not isnan(order.args["price"]))
    assert ("stop=" in call or "touch" in call) == (not isnan(order.args["trigger"]))
    assert ("tp" in call) == (not isnan(order.args["take_profit"]))


def test_ids_groups_and_verbs() -> None:
    body = (
        'on bar(1m)\n    a = buy(1, limit=close, oco="exit", tag="in")\n'
        '    b = sell(risk=0.5, stop=close, sl=close, oco="exit", parent=a)\n    cancel(b)\n'
        '    cancel_all()\n    close_position(0.5)\n    flatten()\n    reverse(symbol="GBPUSD")\n'
    )
    first, second = _effects(body, 2)
    assert [order.order_id for order in second.orders] == list(range(8, 15))
    a, b, cancel, *rest = first.orders
    assert a.spec.group == b.spec.group == 1
    assert b.args["parent"] == a.order_id == 1
    assert ir.SIZE_UNITS[b.spec.size_unit] == "risk_percent"
    assert cancel.args["order"] == b.order_id
    assert [ir.ORDER_VERBS[one.spec.verb] for one in rest] == [
        "cancel_all", "close", "flatten", "reverse",
    ]  # fmt: skip
    assert (rest[1].args["quantity"], rest[3].spec.symbol) == (0.5, 1)


MODIFIED = {
    "modify(a, limit=1.5)": ({"price": 1.5}, 0),
    "modify(a, lots=2, stop=1.25)": ({"quantity": 2.0, "trigger": 1.25}, 0),
    "modify(order=a, touch=1.25, limit=1.5)": ({"price": 1.5, "trigger": 1.25}, 0),
    "modify(a, trail_percent=0.5)": ({"trail": 0.5}, ir.TRAIL_PERCENT),
    "modify(a, exit_trail=0.25, tp=9)": ({"trail": 0.25, "take_profit": 9.0}, ir.EXIT_TRAIL),
    "modify(a, sl=1.5, expire=time + 1m)": ({"stop_loss": 1.5, "expire_ns": 60 * 10**9}, 0),
}


@pytest.mark.parametrize("call", MODIFIED)
def test_modify_carries_what_it_changes_and_nothing_else(call: str) -> None:
    wanted, flags = MODIFIED[call]
    body = f"on bar(1m)\n    a = buy(1, limit=close)\n    {call}\n"
    _, changed = _effects(body, 1)[0].orders
    assert ir.ORDER_VERBS[changed.spec.verb] == "modify"
    assert changed.spec.flags == flags
    given = {k: v for k, v in changed.args.items() if v and not isnan(v)}
    assert given == {"order": 1, **wanted}


def test_orders_of_one_name_are_two_groups_where_one_is_oco_and_one_ouo() -> None:
    body = (
        'on bar(1m)\n    buy(1, limit=close, oco="a")\n    sell(1, limit=close, ouo="a")\n'
        '    sell(2, stop=close, ouo="a")\n'
    )
    one, other, third = _effects(body, 1)[0].orders
    assert (one.spec.group, other.spec.group, third.spec.group) == (1, 2, 2)
    assert (one.spec.flags, other.spec.flags, third.spec.flags) == (0, ir.OUO_GROUP, ir.OUO_GROUP)


class _Market:
    """Gives each read by its symbol, stream and field."""

    def __init__(self, values: dict[tuple[int, int, str], float]) -> None:
        self.values = values

    def read(self, read: ir.Read) -> float | int:
        return self.values.get(
            (read.symbol, read.stream, read.field), 0 if read.type == "i" else float("nan")
        )


def test_several_symbols_and_timeframes() -> None:
    program = compiled(
        'on bar(1m)\n    plot("a", close + close("GBPUSD", 1h) + close(1h)[1] + bid("GBPUSD"))\n'
        'on bar("GBPUSD", 1h)\n    plot("b", close)\n'
    )
    assert program.symbols == ("", "GBPUSD")
    periods = [(stream.symbol, stream.period_ns // 60_000_000_000) for stream in program.streams]
    assert periods == [(0, 1), (1, 60), (0, 60)]
    interpreter = Interpreter(program)
    market = _Market({(1, 1, "close"): 20.0, (1, -1, "bid"): 300.0})
    for hour, price in enumerate((4000.0, 5000.0)):
        market.values[0, 2, "close"] = price
        assert not interpreter.run("bar", market, stream=2).outputs, hour
    market.values[0, 0, "close"] = 1.0
    assert interpreter.run("bar", market, stream=0).outputs[0].values == (4321.0,)
    assert interpreter.run("bar", market, symbol=1, stream=1).outputs[0].values == (20.0,)


def test_handlers_of_other_events() -> None:
    program = compiled(
        'on start\n    log("begin")\non stop\n    log("end")\non fill\n    log("{}", fill_price)\n'
        'on timer(5m)\n    log("t")\non timer("16:55")\n    log("d")\n'
        'on tick("GBPUSD")\n    log("{}", bid)\n'
    )
    kinds = {one.kind: one for one in program.handlers}
    assert kinds["timer"].daily_ns == (16 * 60 + 55) * 60 * 10**9
    assert [one.period_ns for one in program.handlers if one.kind == "timer"] == [300 * 10**9, 0]
    interpreter, market = (
        Interpreter(program),
        _Market({(0, -1, "price"): 7.0, (1, -1, "bid"): 8.0}),
    )
    assert interpreter.run("fill", market, symbol=3).outputs[0].values == (7.0,)
    assert interpreter.run("tick", market, symbol=1).outputs[0].values == (8.0,)
    assert not interpreter.run("tick", market, symbol=0).outputs


def test_time_in_the_strategys_zone() -> None:
    names = ("year", "month", "dayofmonth", "dayofweek", "hour", "minute", "second")
    shown = ", ".join(names)
    program = compiled(f'on bar(1m)\n    log("{"{} " * 7}", {shown})\n')
    host = BarHost(CLOSES)
    host.time_ns = 1_709_251_199 * 10**9  # 2024-02-29T23:59:59Z, a Thursday
    (output,) = Interpreter(program).run("bar", host, stream=0).outputs
    assert output.values == (2024, 2, 29, 4, 23, 59, 59)
    host.offset_ns = 3600 * 10**9
    (output,) = Interpreter(program).run("bar", host, stream=0).outputs
    assert output.values == (2024, 3, 1, 5, 0, 59, 59)
