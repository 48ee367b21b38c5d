"""The kernels of a backtest decide as the live engine does: every fill, fee, mark and floor."""

import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import backtest_cases as cases
from tests.support import live_cases
from tests.support.engine_cases import NOW, profile
from tests.support.histories import NO_EXITS, Asked, History
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.trading_terms import STANDARD, read_trading_terms
from quantlab.market.document import Node
from quantlab.market.fill_model import FillModel, parse_fill_model
from quantlab.market.quote import Quote
from quantlab.rules.surroundings import NewsCalendar, NewsEvent
from quantlab.rules.terms import Profile

HISTORIES = int(os.environ.get("QUANTLAB_BACKTEST_HISTORIES", "60"))
NEWS_AFTER_S = 3_000
SYMBOLS = {"EURUSD": 108_000, "GBPUSD": 126_500, "USDJPY": 155_000}
# What is traded, in which currency: its profits are converted by the quotes there are.
WORLDS = (
    (("EURUSD",), "USD"),
    (("EURUSD", "GBPUSD"), "USD"),
    (("USDJPY",), "USD"),
    (("EURUSD", "USDJPY"), "USD"),
    (("EURUSD", "GBPUSD"), "EUR"),
)
KINDS = ("market", "limit", "stop", "stop_limit", "trailing_stop", "market_if_touched",
         "limit_if_touched")  # fmt: skip
PROFILES = (
    profile(made_rule("daily_loss", anchor="balance", loss=percent("50"), comparator="lt")),
    profile(
        made_rule("daily_loss", "soft", anchor="equity", loss=percent("0.2"), comparator="lt"),
        made_rule(
            "max_drawdown", mode="trailing", basis="equity", loss=percent("1"), comparator="le"
        ),
    ),
    profile(
        made_rule(
            "max_drawdown", mode="trailing", basis="balance", loss=percent("0.5"), comparator="lt"
        ),
        made_rule(
            "daily_loss", "warn", anchor="higher_of_balance_and_equity", loss=percent("0.1"),
            comparator="lt",
        ),
    ),
    profile(
        made_rule(
            "daily_loss", "soft", action="reject_orders", anchor="balance", loss=percent("0.1"),
            comparator="lt",
        ),
        made_rule("max_drawdown", mode="static", loss=percent("0.6"), comparator="lt"),
    ),
)  # fmt: skip
DAYS = ("mon", "tue", "wed", "thu", "fri")
WIDE = made_rule("daily_loss", anchor="balance", loss=percent("50"), comparator="lt")
TIGHT = made_rule("max_drawdown", mode="trailing", basis="equity", loss=percent("1"),
                  comparator="le")  # fmt: skip


def windows(*spans: tuple[str, str], opening: str = "open", closing: str = "close") -> list[Any]:
    return [{"days": [*DAYS], opening: one, closing: other} for one, other in spans]


def hours(severity: str, action: str, reducing: str) -> dict[str, Any]:
    return made_rule(
        "trading_hours", severity, action=action, timeZone="Europe/London",
        windows=windows(("02:00", "12:00"), ("13:00", "21:30")), reducingOrders=reducing,
    )  # fmt: skip


def flat_by(action: str, zone: str, *spans: tuple[str, str]) -> dict[str, Any]:
    return made_rule(
        "flat_by", "soft", action=action, timeZone=zone,
        windows=windows(*spans, opening="at", closing="until"),
    )  # fmt: skip


def news(severity: str, action: str, *, stops: bool) -> dict[str, Any]:
    return made_rule(
        "news_window", severity, action=action, secondsBefore=600, secondsAfter=NEWS_AFTER_S,
        impacts=["high"], instruments="targeted", reducingOrders="refused", stopsCount=stops,
    )  # fmt: skip


CONDITIONS = (
    profile(WIDE, hours("soft", "reject_orders", "allowed")),
    profile(TIGHT, hours("soft", "lock_until_reset", "refused")),
    profile(WIDE, hours("hard", "disable_account", "allowed")),
    profile(WIDE, flat_by("flatten", "UTC", ("20:30", "23:00"), ("05:00", "06:00"))),
    profile(
        TIGHT,
        flat_by("lock_until_reset", "America/New_York", ("16:00", "18:00")),
        made_rule("inactivity", "hard", days=1),
    ),
    profile(
        TIGHT,
        made_rule("weekend_holding", "soft", action="flatten", timeZone="America/Chicago",
                  sessions=windows(("17:00", "15:10")), longerThanHours=1, minutesBefore=10),
        made_rule("instrument_allowlist", "soft", symbols=["EURUSD", "USDJPY"],
                  reducingOrders="allowed"),
    ),
    profile(
        WIDE,
        made_rule("position_size", "soft", per="order", maxLots="3"),
        made_rule("position_size", "warn", rule_id="much", per="position", maxLots="4"),
        made_rule("order_limits", "soft", maxOrders=4, maxTrades=3, maxLots="12"),
    ),
    profile(
        WIDE,
        made_rule("scaling_plan", "soft",
                  steps=[{"profitBelow": "10", "maxLots": "2"}, {"maxLots": "5"}]),
        made_rule("position_size", "soft", action="lock_until_reset", per="account",
                  maxLots="3.5", lotWeights=[{"symbol": "GBPUSD", "countsAs": "1.5"}]),
    ),
    profile(
        WIDE,
        news("soft", "reject_orders", stops=False),
        made_rule("order_limits", "soft", action="lock_until_reset", maxOrders=8),
        made_rule("hedging", "soft", accountsOf="any"),
    ),
)  # fmt: skip


def stopped(severity: str, action: str, risk: str | None = None, of: str = "initial") -> Any:
    most = {} if risk is None else {"maxRisk": {"percent": risk, "of": of}}
    return made_rule("stop_loss_required", severity, action=action, **most)


STOPS = (
    profile(WIDE, stopped("soft", "reject_orders")),
    profile(TIGHT, stopped("soft", "reject_orders", "0.2")),
    profile(WIDE, stopped("soft", "lock_until_reset", "0.05", "balance")),
    profile(
        WIDE,
        stopped("warn", "warn", "0.01"),
        stopped("soft", "reject_orders", "3") | {"id": "stop_of_3"},
        stopped("hard", "disable_account", "7", "balance") | {"id": "stop_of_7"},
    ),
    profile(TIGHT, news("soft", "reject_orders", stops=True)),
    profile(WIDE, news("soft", "lock_until_reset", stops=True), stopped("soft", "reject_orders")),
    profile(WIDE, news("hard", "disable_account", stops=True)),
)
NEWS = NewsCalendar(
    (
        NewsEvent(NOW + 9 * 3600 * SECOND_NS, "jobs", "high", frozenset(("JPY",)), frozenset()),
        NewsEvent(NOW + 40_000 * SECOND_NS, "rates", "high", frozenset(("EUR",)), frozenset()),
        NewsEvent(NOW + 50_000 * SECOND_NS, "talk", "low", frozenset(("USD",)), frozenset()),
    ),
    NOW + 10**18,
)
TRADING = (
    STANDARD,
    read_trading_terms({"commissions": {"*": {"commissionMinorPerLot": "277.7"}}}),
    read_trading_terms(
        {
            "commissions": {
                "*": {
                    "commissionMinorPerLot": "0",
                    "commissionBasisPoints": "0.3",
                    "minimumMinorPerOrder": "125",
                }
            }
        }
    ),
)
SWAPS = {
    "*": {"unit": "points", "long": "-6.55", "short": "2.1", "tripleDay": "wed"},
    "USDJPY": {"unit": "money", "long": "1.7", "short": "-890.3"},
}
# A night of some lots takes an account past a floor.
DEAR_SWAPS = {
    "*": {"unit": "points", "long": "-120", "short": "-70"},
    "USDJPY": {"unit": "money", "long": "9000", "short": "-14000"},
}
MARGINED = (
    read_trading_terms({"swaps": SWAPS}),
    read_trading_terms({"swaps": DEAR_SWAPS}),
    read_trading_terms({"margin": {"leverage": {"*": "30"}, "stopOutPercent": "80"}}),
    read_trading_terms(
        {
            "swaps": SWAPS,
            "margin": {"leverage": {"EURUSD": "9.5", "GBPUSD": "20"}, "stopOutPercent": "130"},
            "commissions": {"*": {"commissionMinorPerLot": "0", "commissionBasisPoints": "0.3"}},
        }
    ),
    read_trading_terms({"margin": {"leverage": {"fx": "5"}}}),
)


def model(**fields: Any) -> FillModel:
    return parse_fill_model(Node("", {"size": "displayed", "slippage": {"kind": "none"}, **fields}))


MODELS = (
    model(),
    model(size="unlimited"),
    model(slippage={"kind": "fixed", "ticks": 3}),
    model(slippage={"kind": "spread_share", "sharePpm": 400_000}),
    model(slippage={"kind": "volume", "ticks": 5, "referenceSteps": 40}),
    model(latencyNs=SECOND_NS),
    model(slippage={"kind": "random", "maxTicks": 9}),
)

off = st.integers(1, 60)
size = st.one_of(st.integers(1, 30), st.integers(200, 900))


@st.composite
def ticks(draw: st.DrawFn, symbols: tuple[str, ...], count: int) -> list[Quote]:
    prices = {symbol: SYMBOLS[symbol] for symbol in symbols}
    now, made = NOW, []
    for seq in range(1, count + 1):
        symbol = draw(st.sampled_from(symbols))
        prices[symbol] += draw(st.one_of(st.integers(-15, 15), st.integers(-200, 200)))
        gap = draw(st.sampled_from((100_000_000, 400_000_000, 1_500_000_000, 9 * 3600 * SECOND_NS)))
        now += gap
        spread = draw(st.integers(1, 6))
        sizes = draw(st.tuples(st.sampled_from((0, 5, 40, 3000)), st.sampled_from((0, 5, 3000))))
        made.append(
            Quote(
                symbol,
                prices[symbol],
                prices[symbol] + spread,
                now,
                seq,
                bid_size_steps=sizes[0],
                ask_size_steps=sizes[1],
            )
        )
    return made


@st.composite
def order(draw: st.DrawFn, after: int, tick: Quote, kinds: tuple[str, ...] = KINDS) -> Asked:
    kind, side = draw(st.sampled_from(kinds)), draw(st.sampled_from((1, -1)))
    price = tick.ask_ticks if side > 0 else tick.bid_ticks
    asked = Asked(after, "place", tick.symbol, side, draw(size), kind)
    if kind in ("stop", "stop_limit"):
        asked = replace(asked, trigger=price + side * draw(off))
    if kind in ("market_if_touched", "limit_if_touched"):
        asked = replace(asked, trigger=price - side * draw(off))
    if kind in ("limit", "stop_limit", "limit_if_touched"):
        asked = replace(asked, limit=price + draw(st.integers(-60, 60)))
    if kind == "trailing_stop":
        asked = replace(asked, trail=draw(off))
    times = {"market": ("default", "fok"), "limit": ("gtc", "day", "ioc", "fok")}
    asked = replace(asked, time=draw(st.sampled_from(times.get(kind, ("gtc", "day")))))
    if draw(st.integers(0, 5)) == 0:
        asked = replace(asked, reduce=True)
    elif kind == "limit" and asked.time == "gtc" and draw(st.integers(0, 5)) == 0:
        asked = replace(asked, post=True)
    return asked


@st.composite
def command(draw: st.DrawFn, after: int, tick: Quote, placed: list[Asked]) -> Asked:
    choice = draw(st.integers(0, 13))
    if choice == 0:
        verb = draw(st.sampled_from(("close", "reverse", "cancel_all", "flatten")))
        return Asked(after, verb, tick.symbol)
    if placed and choice in (1, 12, 13):
        cancels = Asked(after, "cancel", tick.symbol, order=draw(st.integers(1, len(placed))))
        return cancels if choice == 1 else draw(change(after, placed))
    one = draw(order(after, tick))
    if choice == 8 or (choice < 6 and draw(st.integers(0, 5)) == 0):
        one = replace(one, equity_ppm=draw(st.sampled_from((1, 20_000, 310_055, 25_000_000))))
    if choice < 6 and not one.reduce:
        return replace(one, exits=draw(exits(one, tick)))
    if choice == 6 and one.kind != "market" and one.time not in ("ioc", "fok"):
        other = replace(draw(order(after, tick, KINDS[1:])), time="gtc", steps=one.steps)
        return replace(one, oco=(other,), ouo=draw(st.booleans()))
    if choice == 7:
        child = replace(draw(order(after, tick, KINDS[1:])), time="gtc", reduce=False)
        return replace(one, children=(child,))
    return one


@st.composite
def change(draw: st.DrawFn, after: int, placed: list[Asked]) -> Asked:
    """Change a term that an order has, or has not; one of the newest of those that may wait."""
    numbers = [
        n for n, one in enumerate(placed, 1) if one.kind != "market" or one.exits != NO_EXITS
    ]
    number = draw(st.sampled_from(numbers[-3:] or [len(placed)]))
    one = placed[number - 1]
    asked = Asked(after, "modify", one.symbol, steps=0, order=number)
    moved = {
        name: ticks + draw(st.integers(-60, 60))
        for name, ticks in (("limit", one.limit), ("trigger", one.trigger))
        if ticks is not None
    }
    near = (one.limit or one.trigger or SYMBOLS[one.symbol]) + draw(st.integers(-90, 90))
    what = draw(st.sampled_from(("own", "own", "steps", "trail", "exits", "exits", "other")))
    if what == "own" and moved:
        return replace(asked, **moved)
    if what == "exits" and one.exits != NO_EXITS:
        stop, trail, target = one.exits
        wanted = [(near if stop else None, None, None), (None, trail and draw(off), None)]
        wanted.append((None, None, target and target + draw(st.integers(-60, 60))))
        return replace(asked, exits=draw(st.sampled_from([w for w in wanted if w != NO_EXITS])))
    if what == "trail" or one.trail is not None:
        return replace(asked, trail=draw(off))
    if what == "other":
        return replace(asked, trigger=near)
    return replace(asked, steps=draw(size))


@st.composite
def exits(draw: st.DrawFn, one: Asked, tick: Quote) -> tuple[int | None, int | None, int | None]:
    price = tick.ask_ticks if one.side > 0 else tick.bid_ticks
    entry = one.limit or one.trigger or price
    stop = entry - one.side * draw(off) if draw(st.booleans()) else None
    trail = draw(off) if stop is None and one.trail is None and draw(st.booleans()) else None
    target = entry + one.side * draw(off) if draw(st.booleans()) else None
    return stop, trail, target


@st.composite
def histories(
    draw: st.DrawFn,
    profiles: tuple[tuple[Profile, ...], ...] = (PROFILES, CONDITIONS),
    *,
    hedging: bool = False,
) -> History:
    symbols, currency = draw(st.sampled_from(WORLDS))
    made = draw(ticks(symbols, draw(st.integers(5, 40))))
    asked: list[Asked] = []
    placed: list[Asked] = []
    for after in range(len(made)):
        for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2)))):
            one = draw(command(after, made[after], placed))
            placed += (one, *one.oco, *one.children)
            asked.append(one)
    return History(
        draw(st.sampled_from(draw(st.sampled_from(profiles)))),
        made,
        asked,
        symbols,
        {"*": draw(st.sampled_from(MODELS))},
        replace(draw(st.sampled_from(draw(st.sampled_from((TRADING, MARGINED))))), hedging=hedging),
        currency,
        NEWS,
    )


# A history that fails is long to print, and worth it.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(
    max_examples=HISTORIES,
    derandomize="QUANTLAB_BACKTEST_HISTORIES" not in os.environ,  # make soak looks for new ones
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(histories())
def test_a_backtest_decides_as_live_trading_does(history: History) -> None:
    run, fills = live_cases.live(history)
    block = cases.plain(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.ended(cases.state_of(block, history)) == cases.ended(live_cases.live_state(run))
    assert cases.broken(block, history) == live_cases.live_broken(run, history)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(
    max_examples=HISTORIES // 2,
    derandomize="QUANTLAB_BACKTEST_HISTORIES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(histories((STOPS,)))
def test_rules_on_stops_are_judged_as_in_live_trading(history: History) -> None:
    run, fills = live_cases.live(history)
    block = cases.plain(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.ended(cases.state_of(block, history)) == cases.ended(live_cases.live_state(run))
    assert cases.broken(block, history) == live_cases.live_broken(run, history)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(
    max_examples=HISTORIES,
    derandomize="QUANTLAB_BACKTEST_HISTORIES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(histories((PROFILES, CONDITIONS, STOPS), hedging=True))
def test_legs_are_traded_as_in_live_trading(history: History) -> None:
    run, fills = live_cases.live(history)
    block = cases.plain(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.ended(cases.state_of(block, history)) == cases.ended(live_cases.live_state(run))
    assert cases.broken(block, history) == live_cases.live_broken(run, history)
