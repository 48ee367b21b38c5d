"""The live engine's side of a history: decided in a batch run, its draws those of a backtest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from unittest import mock

from quantlab.backtest.conditions import judged_rules
from quantlab.engine.batch import BatchRun
from quantlab.engine.commands import Command, Fill
from quantlab.engine.draft import Draft
from quantlab.engine.fill_models import first_draw, next_draw
from quantlab.engine.inputs import Inputs
from quantlab.engine.opening import Rules
from quantlab.engine.replay import Decided
from quantlab.kernel.decimals import format_units
from quantlab.ledger.orders import Order
from quantlab.market.instrument import Instrument
from quantlab.rules.surroundings import Surroundings
from tests.support.engine_cases import ACCOUNT_ID, BALANCE
from tests.support.histories import Asked, History

NUMBERS = {"limit": "price", "trigger": "triggerPrice", "trail": "trailDistance"}


class Filled(NamedTuple):
    """A fill of the live engine, and the money of the account after it."""

    fill: Fill
    balance_minor: int
    carry_micro: int


class Live(BatchRun):
    """Keeps which rules broke."""

    def __post_init__(self) -> None:
        BatchRun.__post_init__(self)
        self.broken: list[str] = []


def live(history: History) -> tuple[Live, list[Filled]]:
    """Let the live engine decide a history."""
    rules = Rules(
        history.profile,
        frozenset(history.symbols),
        None,  # type: ignore[arg-type]
        history.models,
        history.trading,
    )
    around = Surroundings(None if history.news is None else history.news.events, ())
    run = Live(history.opening(), history.catalog, rules, history.ticks, seen=[(0, around)])
    missing = frozenset(history.catalog.instruments) - frozenset(history.symbols)
    given, placed, senders = [], 0, {}
    for number, one in enumerate(history.asked):
        tick = history.ticks[one.after]
        placed += 1
        body = _payload(history, one, placed, senders)
        senders[placed] = f"s{number}"
        placed += len(one.oco) + len(one.children)
        command = Command(
            number, f"s{number}", ACCOUNT_ID, "user", "user", "trade", body, tick.ts_ns
        )
        inputs = Inputs(
            tick.ts_ns + number + 1, tick.ts_ns, tick.seq, missing=missing, around=around
        )
        given.append(Decided(command, inputs, "", None, None))
    fills: list[Filled] = []
    money = BALANCE, 0
    draws = Draws(history.account().seed, fills)
    with (
        mock.patch("quantlab.engine.draft._age", _as_given),
        mock.patch("quantlab.engine.trading._seed", draws.seed_of),
        mock.patch("quantlab.engine.fill_models.draw_of", draws.of_seed),
    ):
        for outcome in run.run(given):
            run.broken += [one.verdict["ruleId"] for one in outcome.violations]
            # Swap is booked as a day rolls, before anything is filled.
            for booked in () if outcome.life is None else outcome.life.bookings:
                money = booked.entry.balance_minor, booked.entry.carry_micro
            for fill in outcome.fills:
                if fill.entries:
                    money = fill.entries[-1].balance_minor, fill.entries[-1].carry_micro
                fills.append(Filled(fill, *money))
    return run, fills


class Draws:
    """Lets live fills draw as a backtest does: the number of a fill is its seed."""

    def __init__(self, seed: int, fills: list[Filled]) -> None:
        self.draws = [first_draw(seed)]
        self.fills = fills

    def seed_of(self, draft: Draft, _event_seq: int) -> int:
        return len(self.fills) + len(draft.outcome.fills)

    def of_seed(self, seed: int) -> int:
        while len(self.draws) <= seed:
            self.draws.append(next_draw(self.draws[-1]))
        return self.draws[seed]


def _as_given(held: tuple[str, Order]) -> int:
    """Keep orders of one command as they came: live they stand by identifiers, which are hashes."""
    return held[1].created_ns


def _payload(
    history: History, one: Asked, number: int, senders: Mapping[int, str]
) -> dict[str, Any]:
    if one.verb in ("close", "reverse"):
        return {"action": one.verb, "symbol": one.symbol}
    if one.verb == "modify":
        return _changes(history, one, senders)
    if one.verb == "cancel":
        return {"action": "cancel", "clientId": f"c{one.order}"}
    if one.verb == "cancel_all":
        return {"action": "cancel_all", "symbol": one.symbol}
    if one.verb == "flatten":
        return {"action": "flat"}
    body = {**_terms(history, one), "symbol": one.symbol, "clientId": f"c{number}"}
    names = ("stopLoss", "trailDistance", "takeProfit")
    bracket = {
        name: _price(history, one, ticks)
        for name, ticks in zip(names, one.exits, strict=True)
        if ticks is not None
    }
    if bracket:
        body["bracket"] = bracket
    kind = "ouo" if one.ouo else "oco"
    kind, legs = (kind, one.oco) if one.oco else ("oto", one.children)
    if legs:
        orders = [
            {**_terms(history, leg), "clientId": f"c{number + place}"}
            for place, leg in enumerate(legs, 1)
        ]
        body["links"] = {"type": kind, "orders": orders}
    return body


def _changes(history: History, one: Asked, senders: Mapping[int, str]) -> dict[str, Any]:
    instrument = history.catalog.instruments[one.symbol]
    body: dict[str, Any] = {"action": "modify"}
    for name, ticks in zip(("triggerPrice", "trailDistance", "price"), one.exits, strict=True):
        if ticks is not None:
            part = "target" if name == "price" else "stop"
            sender = senders.get(one.order, "none")
            return {**body, "signalId": sender, "exit": part, name: _price(history, one, ticks)}
    body["clientId"] = f"c{one.order}"
    if one.steps:
        body["quantity"] = format_units(one.steps, instrument.size_step)
    for number, name in NUMBERS.items():
        if getattr(one, number) is not None:
            body[name] = _price(history, one, getattr(one, number))
    return body


def _terms(history: History, one: Asked) -> dict[str, Any]:
    instrument = history.catalog.instruments[one.symbol]
    body: dict[str, Any] = {
        "action": "buy" if one.side > 0 else "sell",
        **_size(one, instrument),
        "orderType": one.kind,
    }
    if one.time != "default":
        body["timeInForce"] = one.time
    for number, name in NUMBERS.items():
        if getattr(one, number) is not None:
            body[name] = _price(history, one, getattr(one, number))
    if one.reduce:
        body["reduceOnly"] = True
    if one.post:
        body["postOnly"] = True
    return body


def _size(one: Asked, instrument: Instrument) -> dict[str, str]:
    if one.equity_ppm:
        return {"equityPercent": str(Decimal(one.equity_ppm) / 10_000)}
    return {"quantity": format_units(one.steps, instrument.size_step)}


def _price(history: History, one: Asked, ticks: int) -> str:
    return format_units(ticks, history.catalog.instruments[one.symbol].tick)


def live_fills(fills: Sequence[Filled]) -> list[tuple[Any, ...]]:
    """Return the same of the fills of the live engine."""
    return [
        (
            fill.quote_seq, fill.symbol, fill.side, fill.size_steps, fill.price_ticks,
            fill.slippage_ticks, fill.realised_minor, fill.commission_minor, balance, carry,
        )
        for fill, balance, carry in fills
    ]  # fmt: skip


def live_broken(run: Live, history: History) -> Counter[str]:
    """Return the same of the live engine."""
    ids = {rule.rule_id for rule in judged_rules(history.account())}
    return Counter(one for one in run.broken if one in ids)


def live_state(run: BatchRun) -> dict[str, Any]:
    """Return the same of the live account; the watch knows the newest mark."""
    account = run.account
    positions = {k: (p.size_steps, p.cost) for k, p in sorted(account.positions.items())}
    if any(p.ticket for p in account.positions.values()):
        legs = sorted(account.positions.values(), key=lambda leg: leg.opened_seq)
        positions = {f"{leg.symbol} {n}": (leg.size_steps, leg.cost) for n, leg in enumerate(legs)}
    watched = run._watch._watched.get(account.account_id)
    mark = account.high_water_minor
    if watched is not None:
        mark = max(mark, watched.account.high_water_minor)
    return {
        "status": account.status,
        "balance": account.balance_minor,
        "carry": account.carry_micro,
        "mark": mark,
        "positions": positions,
        "working": len(account.working),
        "day": (
            account.day.started_ns,
            account.day.start_balance_minor,
            account.day.start_equity_minor,
        ),
        "realised": account.day.realised_minor,
    }
