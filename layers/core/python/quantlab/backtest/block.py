"""A run's block of words as it stands before the first quote."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from math import gcd
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount, NotRun
from quantlab.backtest.conditions import ACTIONS, Conditions
from quantlab.backtest.span import Span
from quantlab.backtest.words import word_of
from quantlab.engine.fill_models import first_draw
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.scalars import worth_limit
from quantlab.ledger.swap import night_value, nights_of
from quantlab.ledger.tally import NANO
from quantlab.market.conversion import Conversion
from quantlab.market.instrument import Instrument
from quantlab.market.quote import BUY, SELL
from quantlab.qls.ir import Handler, Program
from quantlab.rules import terms
from quantlab.rules.calendar import day_of, local_time, night_of, wall_instant_ns
from quantlab.rules.day import open_day
from quantlab.rules.floors import BASES, rule_row

DAY_NS: Final = 86_400 * SECOND_NS


def new_block(
    account: BacktestAccount, program: Program | None, span: Span, log_rows: int = at.FEW_ROWS
) -> Any:
    """Return the block of a run, an array of int64 words; raises NotRun for what it cannot hold.

    Symbols of the program are found among the account's instruments; its first, the symbol it is
    put on, is the first of them when the program names none.
    """
    account.check()
    resets = reset_instants(account.profile, span)
    zone = zone_offsets("UTC" if program is None else program.zone, span)
    timers = () if program is None else timer_handlers(program)
    daily = [daily_instants(program, one, span) for one in timers] if program else []
    conditions = Conditions(account, span)
    sizes = _section_sizes(account, program, len(resets), len(zone), len(timers), daily)
    most_rows = log_rows + at.EVENT_ROWS + 2 * at.EVENT_ENDS
    sizes |= {
        at.TERMS_AT: len(conditions.rows) * at.TERM_WORDS,
        at.GATES_AT: len(conditions.gates) * at.GATE_WORDS + conditions.turns,
        at.TABLES_AT: len(conditions.table),
        # These come last: each is much larger than what a run touches of it.
        at.BOOKS_AT: len(account.instruments) * at.BOOK_MAX * at.ORDER_WORDS,
        at.FILLS_AT: most_rows * at.FILL_WORDS,
        at.ENDS_AT: most_rows * at.END_WORDS,
    }
    if account.trading.hedging:
        # Behind those that are open stands the one that an order would open.
        sizes[at.LEGS_AT] = (at.LEGS_MAX + 1) * at.LEG_WORDS
    offsets, total = {}, at.ACCOUNT_WORDS
    for name, words in sizes.items():
        offsets[name], total = total, total + words
    m = np.zeros(total, np.int64)
    for name, offset in offsets.items():
        m[name] = offset
    m[at.LOG_ROWS], m[at.ROWS_MOST] = log_rows, at.NEVER_HIGH
    _put_account(m, account, span, resets)
    m[at.FORCE] = at.HEDGED if account.trading.hedging else 0
    _put_rules(m, account, span)
    conditions.put(m)
    for s, instrument in enumerate(account.instruments):
        _put_symbol(m, s, account, instrument)
    m[m[at.DAYS_AT] : m[at.DAYS_AT] + len(resets)] = resets
    m[m[at.OFFSETS_AT] : m[at.OFFSETS_AT] + len(zone)] = zone
    _put_nights(m, account, resets)
    m[at.OFFSETS], m[at.ZONE_NEXT] = len(zone) // 2, zone[0]
    if program is not None:
        _put_program(m, account, program)
        _put_timers(m, timers, daily, span)
    return m


def _section_sizes(
    account: BacktestAccount,
    program: Program | None,
    resets: int,
    zone: int,
    timers: int,
    daily: Sequence[Sequence[int]],
) -> dict[int, int]:
    symbols = len(account.instruments)
    streams = 0 if program is None else len(program.streams)
    mapped = 1 if program is None else len(program.symbols)
    return {
        at.SYMBOLS_AT: symbols * at.SYMBOL_WORDS,
        at.RULES_AT: len(account.profile.rules) * at.RULE_WORDS,
        at.STREAMS_AT: streams * at.STREAM_WORDS,
        at.TIMERS_AT: timers * at.TIMER_WORDS + sum(len(one) for one in daily),
        at.MAP_AT: mapped,
        at.DAYS_AT: resets,
        at.NIGHTS_AT: resets * symbols,
        at.OFFSETS_AT: zone,
        at.SCRATCH_AT: at.SCRATCH_MAX * at.ORDER_WORDS,
        at.ROLLS_AT: (resets + 1) * at.ROLL_WORDS,
        at.SAMPLES_AT: at.SAMPLES_MAX * at.SAMPLE_WORDS,
    }


def _put_account(m: Any, account: BacktestAccount, span: Span, resets: Sequence[int]) -> None:
    initial = account.initial_minor
    for word in (
        at.BALANCE, at.MARK, at.INITIAL, at.START_BALANCE, at.START_EQUITY, at.EQUITY, at.PEAK,
    ):  # fmt: skip
        m[word] = initial
    m[at.BASIS] = BASES[account.profile.high_water_basis]
    m[at.DAYS] = len(resets)
    m[at.DAY_START] = resets[0]
    m[at.DAY_RESET] = resets[1]
    m[at.EXPIRY] = at.NEVER_HIGH
    m[at.BREACH] = -1
    m[at.SYMBOLS] = len(account.instruments)
    m[at.DRAW] = first_draw(account.seed)
    m[at.STOP_BELOW] = at.NEVER_LOW
    m[at.STOP_OUT] = account.trading.stop_out_ppm or 0
    m[at.SAMPLE_EVERY] = max((span.last_ns - span.first_ns) // (at.SAMPLES_MAX // 2), SECOND_NS)
    m[at.MONEY_DIV] = word_of(float(10**account.currency_digits))


def _put_rules(m: Any, account: BacktestAccount, span: Span) -> None:
    day = open_day(account.profile, account.initial_minor, account.initial_minor, span.first_ns)
    opened = account.opening(day)
    rules = equity_rules(account.profile)
    m[at.RULES] = len(rules)
    for j, rule in enumerate(rules):
        r = m[at.RULES_AT] + j * at.RULE_WORDS
        row = rule_row(rule, opened)
        m[r : r + len(row)] = row
        spares = isinstance(rule, terms.DailyLoss) and not rule.costs_count
        m[r + at.RULE_SPARES_COSTS] = spares
        m[r + at.RULE_ACTION] = ACTIONS[rule.action]


def equity_rules(profile: terms.Profile) -> tuple[terms.EquityRule, ...]:
    """Return the rules of a block in the order of its words."""
    return (*profile.daily_losses, *profile.drawdowns)


def _put_symbol(m: Any, s: int, account: BacktestAccount, instrument: Instrument) -> None:
    w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
    model = account.models[instrument.symbol]
    fees = account.trading.fees(instrument)
    price_mul, price_div = instrument.tick.as_integer_ratio()
    step_mul, step_div = instrument.size_step.as_integer_ratio()
    offered = not account.offered or instrument.symbol in account.offered
    words = {
        at.UNIT_NUM: instrument.unit_num,
        at.UNIT_DEN: instrument.unit_den,
        at.WORTH_LIMIT: worth_limit(instrument.unit_num, instrument.unit_den),
        at.MAX_AGE: instrument.gate.max_age_ns,
        at.MIN_STEPS: instrument.min_size_steps,
        at.MAX_STEPS: instrument.max_size_steps,
        at.SIZE_RULE: model.size_rule(instrument),
        at.SLIPPAGE: model.slippage,
        at.AMOUNT: model.amount,
        at.REFERENCE: model.reference_steps,
        at.LATENCY: model.latency_ns,
        at.FEE_NUM: fees.step_num,
        at.FEE_DEN: fees.step_den,
        at.FEE_PPM: fees.notional_ppm,
        at.FEE_LEAST: fees.minimum_micro,
        at.ORDERS_AT: m[at.BOOKS_AT] + s * at.BOOK_MAX * at.ORDER_WORDS,
        at.PRICE_MUL: word_of(float(price_mul)),
        at.PRICE_DIV: word_of(float(price_div)),
        at.STEP_MUL: word_of(float(step_mul)),
        at.STEP_DIV: word_of(float(step_div)),
        at.OFFERED: offered,
        at.NANO_NUM: step_mul * NANO // gcd(step_mul * NANO, step_div),
        at.NANO_DEN: step_div // gcd(step_mul * NANO, step_div),
        **dict.fromkeys((at.LOW_BID, at.LOW_ASK, at.EQ_LOW_BID, at.EQ_LOW_ASK), at.NEVER_LOW),
        **dict.fromkeys((at.HIGH_BID, at.HIGH_ASK, at.EQ_HIGH_BID, at.EQ_HIGH_ASK), at.NEVER_HIGH),
    }
    for word, value in words.items():
        m[w + word] = value
    leverage = account.trading.leverage(instrument)
    if leverage is not None:
        m[w + at.LEVERAGE_NUM], m[w + at.LEVERAGE_DEN] = leverage
    if instrument.quote_currency != account.currency:
        _put_conversion(m, w, account, account.conversions[instrument.quote_currency])


def _put_nights(m: Any, account: BacktestAccount, resets: Sequence[int]) -> None:
    """Write how many nights each reset counts for each symbol."""
    day = account.profile.day
    for s, instrument in enumerate(account.instruments):
        terms_ = account.trading.swap(instrument)
        if terms_ is None:
            continue
        m[at.SWAPPED] += 1
        w = m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS
        m[w + at.LONG_NUM], m[w + at.LONG_DEN] = night_value(terms_, instrument, BUY)
        m[w + at.SHORT_NUM], m[w + at.SHORT_DEN] = night_value(terms_, instrument, SELL)
        for number, reset_ns in enumerate(resets):
            weekday = night_of(reset_ns, day.time_zone).weekday()
            place = m[at.NIGHTS_AT] + number * m[at.SYMBOLS] + s
            m[place] = nights_of(weekday, terms_.triple_day)


def _put_conversion(m: Any, w: int, account: BacktestAccount, conversion: Conversion) -> None:
    symbols = [one.symbol for one in account.instruments]
    m[at.CONVERSIONS] += 1
    m[w + at.CONVERTED_BY] = symbols.index(str(conversion.symbol)) + 1
    m[w + at.CONVERT_MULTIPLIES] = conversion.multiplies
    m[w + at.CONVERT_NUM], m[w + at.CONVERT_DEN] = conversion.scale()


def symbol_map(account: BacktestAccount, program: Program) -> tuple[int, ...]:
    """Return which instrument each of the program's symbols is; raises NotRun for a missing one."""
    known = {one.symbol: s for s, one in enumerate(account.instruments)}
    aliases = {alias: s for s, one in enumerate(account.instruments) for alias in one.aliases}
    found = []
    for name in program.symbols:
        place = 0 if name == "" else known.get(name, aliases.get(name))
        if place is None:
            raise NotRun(f"expected ticks of {name}, which the strategy reads, was {list(known)}")
        found.append(place)
    return tuple(found)


def _put_program(m: Any, account: BacktestAccount, program: Program) -> None:
    symbols = symbol_map(account, program)
    m[m[at.MAP_AT] : m[at.MAP_AT] + len(symbols)] = symbols
    m[at.HEARS_FILLS] = any(handler.kind == "fill" for handler in program.handlers)
    m[at.STREAMS] = len(program.streams)
    for k, stream in enumerate(program.streams):
        b = m[at.STREAMS_AT] + k * at.STREAM_WORDS
        m[b + at.STREAM_SYMBOL] = symbols[stream.symbol]
        m[b + at.PERIOD] = stream.period_ns
        m[b + at.BAR_END] = at.NEVER_HIGH
        m[b + at.INDEX] = -1
        w = m[at.SYMBOLS_AT] + symbols[stream.symbol] * at.SYMBOL_WORDS
        m[w + at.HAS_STREAMS] = 1


def _put_timers(
    m: Any, timers: Sequence[Handler], daily: Sequence[Sequence[int]], span: Span
) -> None:
    m[at.TIMERS] = len(timers)
    free = m[at.TIMERS_AT] + len(timers) * at.TIMER_WORDS
    for k, (handler, instants) in enumerate(zip(timers, daily, strict=True)):
        t = m[at.TIMERS_AT] + k * at.TIMER_WORDS
        if handler.period_ns > 0:
            m[t + at.TIMER_PERIOD] = handler.period_ns
            m[t + at.TIMER_NEXT] = -(-span.first_ns // handler.period_ns) * handler.period_ns
            continue
        m[t + at.TIMER_AT], m[t + at.TIMER_COUNT] = free, len(instants)
        m[t + at.TIMER_NEXT] = instants[0]
        m[free : free + len(instants)] = instants
        free += len(instants)


def timer_handlers(program: Program) -> tuple[Handler, ...]:
    """Return the handlers of timers in the order of a block's timers."""
    return tuple(handler for handler in program.handlers if handler.kind == "timer")


def reset_instants(profile: terms.Profile, span: Span) -> tuple[int, ...]:
    """Return the resets of the trading days that the data touches, and the one after."""
    return _resets(profile.day.reset, profile.day.time_zone, span)


@lru_cache
def _resets(reset: str, zone: str, span: Span) -> tuple[int, ...]:
    day = day_of(span.first_ns, reset, zone)
    instants = [day.started_ns, day.next_reset_ns]
    while instants[-1] <= span.last_ns:
        day = day_of(instants[-1], reset, zone)
        instants.append(day.next_reset_ns)
    return tuple(instants)


def daily_instants(program: Program, handler: Handler, span: Span) -> list[int]:
    """Return when a timer of a time of day rings: from the data's start to after its end."""
    if handler.period_ns > 0:
        return []
    minute = handler.daily_ns // (60 * SECOND_NS)
    ordinal = local_time(span.first_ns, program.zone).toordinal()
    instants: list[int] = []
    while not instants or instants[-1] <= span.last_ns:
        instant = wall_instant_ns(ordinal, minute, program.zone)
        ordinal += 1
        if instant >= span.first_ns:
            instants.append(instant)
    return instants


@lru_cache
def zone_offsets(zone: str, span: Span) -> tuple[int, ...]:
    """Return (instant, offset) pairs flat: what a zone is ahead of UTC from then on, in ns."""
    instant = span.first_ns - span.first_ns % SECOND_NS
    found = [instant, _offset(instant, zone)]
    while instant <= span.last_ns:
        later = instant + DAY_NS
        if _offset(later, zone) != found[-1]:
            change = _change(instant, later, zone)
            found += [change, _offset(change, zone)]
        instant = later
    return tuple(found)


def _change(before: int, after: int, zone: str) -> int:
    while after - before > SECOND_NS:
        middle = (before + after) // 2
        middle -= middle % SECOND_NS
        if _offset(middle, zone) == _offset(before, zone):
            before = middle
        else:
            after = middle
    return after


def _offset(instant: int, zone: str) -> int:
    offset = local_time(instant, zone).utcoffset() or timedelta()
    return offset // timedelta(seconds=1) * SECOND_NS
