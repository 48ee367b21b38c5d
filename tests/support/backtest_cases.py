"""One history for both: the live engine in a batch run, and the kernels of a backtest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.block import new_block
from quantlab.backtest.conditions import judged_rules
from quantlab.backtest.kernels.legs import leg_at
from quantlab.backtest.kernels.reading import COMMAND_WORDS
from quantlab.backtest.plain import PlainBlock, run_plain
from quantlab.backtest.span import Span
from quantlab.backtest.words import word_of
from quantlab.engine.batch import BatchRun
from quantlab.engine.commands import Command, Fill
from quantlab.engine.draft import Draft
from quantlab.engine.fill_models import first_draw, next_draw
from quantlab.engine.inputs import Inputs
from quantlab.engine.opening import Rules
from quantlab.engine.replay import Decided
from quantlab.kernel.decimals import format_units
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair
from quantlab.market.fill_model import FillModel, chosen_model
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.qls import ir
from quantlab.rules.day import open_day
from quantlab.rules.surroundings import NewsCalendar, Surroundings
from quantlab.rules.terms import Profile
from tests.support.engine_cases import ACCOUNT_ID, BALANCE, catalog

NAN = float("nan")
NO_EXITS = (None, None, None)
NUMBERS = {"limit": "price", "trigger": "triggerPrice", "trail": "trailDistance"}


@dataclass(frozen=True)
class Asked:
    """A command behind a tick; prices in ticks, size in steps. exits are (stop, trail, target).

    ouo says that the orders of oco make each other smaller instead. modify changes what is given of
    the order of a number (steps of 0 are not), or one of its exits. equity_ppm is the size as a
    share of the equity, 0 where it is steps.
    """

    after: int
    verb: str
    symbol: str
    side: int = 1
    steps: int = 1
    kind: str = "market"
    time: str = "default"
    limit: int | None = None
    trigger: int | None = None
    trail: int | None = None
    reduce: bool = False
    post: bool = False
    exits: tuple[int | None, int | None, int | None] = NO_EXITS
    oco: tuple["Asked", ...] = ()
    ouo: bool = False
    children: tuple["Asked", ...] = ()
    order: int = 0
    equity_ppm: int = 0


@dataclass(frozen=True)
class History:
    """Ticks and commands of one account."""

    profile: Profile = field(repr=False)
    ticks: Sequence[Quote]
    asked: Sequence[Asked]
    symbols: tuple[str, ...]
    models: dict[str, FillModel] = field(repr=False)
    trading: TradingTerms = field(default=STANDARD, repr=False)
    currency: str = "USD"
    news: NewsCalendar | None = field(default=None, repr=False)
    catalog: Catalog = field(default=catalog(), repr=False)

    def opening(self) -> Account:
        day = open_day(self.profile, BALANCE, BALANCE, self.ticks[0].ts_ns)
        return replace(self.account().opening(day, self.ticks[0].ts_ns), account_id=ACCOUNT_ID)

    def account(self) -> BacktestAccount:
        known = self.catalog
        chosen = {
            one: chosen_model(self.models, one, known.fill_models[one]) for one in self.symbols
        }
        instruments = tuple(known.instruments[one] for one in sorted(self.symbols))
        pairs = {
            one.quote_currency: conversion_pair(known, one.quote_currency, self.currency)
            for one in instruments
        }
        return BacktestAccount(
            self.currency,
            2,
            BALANCE,
            self.profile,
            instruments,
            chosen,
            self.trading,
            conversions={one: pair for one, pair in pairs.items() if pair is not None},
            seed=len(self.ticks),
            news=self.news,
        )


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


class Script:
    """Hands the commands over as a strategy would."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.ticks = 0
        self.placed = 0
        self.symbols = sorted(history.symbols)

    def __call__(self, out: list[int], event: int, _index: int) -> int:
        if event != -1:
            return 0
        now, self.ticks = self.ticks, self.ticks + 1
        count = 0
        for one in self.history.asked:
            if one.after == now:
                count = self._write(out, count, one)
        out[at.OUT_ORDERS], out[at.OUT_PLACED] = count, self.placed
        return count

    def _write(self, out: list[int], count: int, one: Asked) -> int:
        group = count + 1 if one.oco else 0
        self._record(out, count, one, group, 0, ouo=one.ouo)
        parent = self.placed
        count += 1
        for leg in one.oco:
            self._record(out, count, leg, group, 0, ouo=one.ouo)
            count += 1
        for child in one.children:
            self._record(out, count, child, 0, parent)
            count += 1
        return count

    def _record(
        self,
        out: list[int],
        count: int,
        one: Asked,
        group: int,
        parent: int,
        *,
        ouo: bool = False,
    ) -> None:
        self.placed += 1
        instrument = self.history.catalog.instruments[one.symbol]
        stop, trail, target = one.exits
        flags = ir.REDUCE_ONLY * one.reduce + ir.POST_ONLY * one.post
        flags += ir.EXIT_TRAIL * (trail is not None) + ir.OUO_GROUP * ouo

        def price(ticks: int | None) -> int:
            return word_of(NAN if ticks is None else float(Decimal(ticks) * instrument.tick))

        verb = "place" if one.verb == "place" else one.verb
        has_size = verb == "place" or (verb == "modify" and one.steps > 0)
        words = [
            ir.ORDER_VERBS.index(verb),
            self.symbols.index(one.symbol),
            ir.ORDER_TYPES.index(one.kind),
            ir.TIMES.index(one.time),
            ir.SIZE_UNITS.index("equity_percent" if one.equity_ppm else "lots"),
            flags,
            group,
            -1,
            one.side,
            one.order,
            parent,
            0,
            word_of(_quantity(one, instrument) if has_size else NAN),
            price(one.limit),
            price(one.trigger),
            price(one.trail if trail is None else trail),
            price(stop),
            price(target),
        ]
        assert len(words) == COMMAND_WORDS == ir.ORDER_WORDS
        begin = at.OUT_FIRST + count * COMMAND_WORDS
        out[begin : begin + COMMAND_WORDS] = words


def _quantity(one: Asked, instrument: Instrument) -> float:
    share = one.equity_ppm / 10_000
    return share or float(one.steps * instrument.size_step)


def block_of(history: History) -> Any:
    """Return the first block of a history; symbols of a script are the account's, by number."""
    span = Span(history.ticks[0].ts_ns, history.ticks[-1].ts_ns)
    words = new_block(history.account(), None, span)
    count = len(history.symbols)
    words[at.MAP_AT] = len(words)
    return np.concatenate((words, np.arange(count)))


def quote_words(history: History) -> list[int]:
    """Write the ticks as the loop takes them."""
    places = {symbol: s for s, symbol in enumerate(sorted(history.symbols))}
    words: list[int] = []
    for tick in history.ticks:
        words += [
            tick.ts_ns,
            tick.bid_ticks,
            tick.ask_ticks,
            tick.bid_size_steps,
            tick.ask_size_steps,
            places[tick.symbol],
        ]
    return words


def plain(history: History) -> PlainBlock:
    """Run a history through the kernels as plain Python."""
    block = PlainBlock(block_of(history), Script(history))
    out = [0] * (at.OUT_FIRST + 64 * COMMAND_WORDS)
    run_plain(block, out, quote_words(history), len(history.ticks))
    return block


def fills_of(m: Sequence[int], history: History) -> list[tuple[Any, ...]]:
    """Return what the log says of each fill."""
    symbols = sorted(history.symbols)
    found = []
    for k in range(m[at.FILLS]):
        f = m[at.FILLS_AT] + k * at.FILL_WORDS
        word = [int(m[f + j]) for j in range(at.FILL_WORDS)]
        found.append(
            (
                word[at.F_SEQ],
                symbols[word[at.F_SYMBOL]],
                word[at.F_SIDE],
                word[at.F_STEPS],
                word[at.F_TICKS],
                word[at.F_SLIPPAGE],
                word[at.F_PROFIT],
                word[at.F_FEE],
                word[at.F_BALANCE],
                word[at.F_CARRY],
            )
        )
    return found


def live_fills(fills: Sequence[Filled]) -> list[tuple[Any, ...]]:
    """Return the same of the fills of the live engine."""
    return [
        (
            fill.quote_seq, fill.symbol, fill.side, fill.size_steps, fill.price_ticks,
            fill.slippage_ticks, fill.realised_minor, fill.commission_minor, balance, carry,
        )
        for fill, balance, carry in fills
    ]  # fmt: skip


def ended(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out the day of an account that a rule has ended: a backtest is over then."""
    if state["status"] == "disabled" and not state["positions"]:
        return {**state, "day": None, "realised": None, "mark": None}
    return state


def state_of(m: Sequence[int], history: History) -> dict[str, Any]:
    """Return the account of a block in the words of the live one."""
    positions = {}
    working = 0
    for s, symbol in enumerate(sorted(history.symbols)):
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        working += sum(
            m[m[w + at.ORDERS_AT] + k * at.ORDER_WORDS + at.STATE] != at.GONE
            for k in range(m[w + at.ORDERS])
        )
        if m[w + at.SIZE] and not history.trading.hedging:
            positions[symbol] = (int(m[w + at.SIZE]), int(m[w + at.COST]))
        for number, p in enumerate(leg_at(m, k) for k in range(m[at.LEGS])):
            if m[p + at.LEG_OF] == w:
                positions[f"{symbol} {number}"] = (int(m[p + at.SIZE]), int(m[p + at.COST]))
    return {
        "status": ("active", "locked", "disabled")[m[at.STATUS]],
        "balance": int(m[at.BALANCE]),
        "carry": int(m[at.CARRY]),
        "mark": int(m[at.MARK]),
        "positions": positions,
        "working": int(working),
        "day": (int(m[at.DAY_START]), int(m[at.START_BALANCE]), int(m[at.START_EQUITY])),
        "realised": int(m[at.REALISED]),
    }


def broken(m: Sequence[int], history: History) -> Counter[str]:
    """Return how often each rule was broken that needs no equity; warnings are left out."""
    found: Counter[str] = Counter()
    for k, rule in enumerate(judged_rules(history.account())):
        count = m[m[at.TERMS_AT] + k * at.TERM_WORDS + at.TERM_BROKEN]
        if count and rule.severity != "warn":
            found[rule.rule_id] = count
    return found


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
