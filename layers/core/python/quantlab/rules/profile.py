"""Rule profiles: a JSON document becomes terms in integers, or a list of what is wrong with it.

It must not judge accounts.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from quantlab.kernel.arith import MICRO
from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.check import check
from quantlab.kernel.decimals import to_units
from quantlab.rules import terms
from quantlab.rules.calendar import CLOCK, is_zone, minute_of_day
from quantlab.rules.limits import (
    AMOUNT_MINOR_MAX,
    MINIMUM_DAYS_MAX,
    PROFILES_CACHED_MAX,
    RULES_MAX,
    SYMBOLS_MAX,
    TEXT_LENGTH_MAX,
    WINDOWS_MAX,
)
from quantlab.rules.reader import Problem, ProfileError, Reader

_FORMAT = 1
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_RULE_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._/-]{0,31}")
_FREE_TEXT = re.compile(rf"[^\x00-\x1f]{{0,{TEXT_LENGTH_MAX}}}")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile("|".join(_WEEKDAYS))
_PPM = Decimal("0.0001")
_PPM_WHOLE = 1_000_000

_Graded = tuple[str, str, str]
_Actions = dict[str, tuple[str, ...]]

# The first action of a severity is the one that follows when the rule names none.
_EQUITY_ACTIONS: _Actions = {
    terms.HARD: (terms.DISABLE_ACCOUNT,),
    terms.SOFT: (terms.LOCK_UNTIL_RESET, terms.REJECT_ORDERS),
    terms.WARN: (terms.WARN_ONLY,),
}
_CONSISTENCY_ACTIONS: _Actions = {
    terms.GATE: (terms.WARN_ONLY,),
    terms.WARN: (terms.WARN_ONLY,),
    terms.HARD: (terms.DISABLE_ACCOUNT,),
}
_ORDER_ACTIONS: _Actions = {
    terms.SOFT: (terms.REJECT_ORDERS, terms.LOCK_UNTIL_RESET),
    terms.HARD: (terms.DISABLE_ACCOUNT,),
    terms.WARN: (terms.WARN_ONLY,),
}


@dataclass(frozen=True, slots=True)
class _Money:
    digits: int
    initial_minor: int


@dataclass(frozen=True, slots=True)
class _Loss:
    keep_ppm: int
    loss_micro: int
    percent_ppm: int


def profile_version(document: Mapping[str, Any]) -> str:
    """Return the content hash of a profile document: SHA-256 of its canonical JSON, in hex."""
    return hashlib.sha256(_canonical(document)).hexdigest()


def parse_profile(
    document: Mapping[str, Any], *, currency_digits: int, initial_balance_minor: int
) -> terms.Profile:
    """Resolve a profile document for a currency and initial balance, or raise ProfileError.

    The result is kept by content, so parsing the same document again costs only its hash.
    """
    check(initial_balance_minor > 0, f"expected an initial balance, was {initial_balance_minor}")
    return _resolved(_canonical(document), currency_digits, initial_balance_minor)


def _canonical(document: Mapping[str, Any]) -> bytes:
    if not isinstance(document, dict):
        raise ProfileError([Problem("", "an object", type(document).__name__)])
    try:
        return canonical_json(document)
    except ValueError as error:
        _parse(document, "", _Money(2, MICRO))
        raise ProfileError([Problem("", "JSON without floats", str(error))]) from error


@lru_cache(maxsize=PROFILES_CACHED_MAX)
def _resolved(canonical: bytes, currency_digits: int, initial_minor: int) -> terms.Profile:
    version = hashlib.sha256(canonical).hexdigest()
    return _parse(json.loads(canonical), version, _Money(currency_digits, initial_minor))


def _parse(document: Any, version: str, money: _Money) -> terms.Profile:
    problems: list[Problem] = []
    reader = Reader(document, "", problems)
    reader.text("$schema", _FREE_TEXT, "text", default="")
    reader.whole("format", _FORMAT, _FORMAT)
    name = reader.text("name", _NAME, "lower-case words joined by hyphens")
    for key in ("title", "description"):
        reader.text(key, _FREE_TEXT, f"text of at most {TEXT_LENGTH_MAX} characters", default="")
    day = _day(reader.child("day"))
    rules = [
        rule
        for item in reader.objects("rules", RULES_MAX)
        if (rule := _rule(item, money)) is not None
    ]
    reader.finish()
    _refuse_clashes(rules, reader)
    if problems:
        raise ProfileError(problems)
    return _assembled(name, version, money, day, tuple(rules))


def _assembled(
    name: str, version: str, money: _Money, day: terms.DayTerms, rules: tuple[terms.Rule, ...]
) -> terms.Profile:
    drawdowns = tuple(rule for rule in rules if isinstance(rule, terms.MaxDrawdown))
    consistencies = (rule for rule in rules if isinstance(rule, terms.Consistency))
    order_kinds = (terms.TradingHours, terms.InstrumentAllowlist)
    return terms.Profile(
        name=name,
        version=version,
        currency_digits=money.digits,
        initial_balance_minor=money.initial_minor,
        day=day,
        rules=rules,
        daily_losses=tuple(rule for rule in rules if isinstance(rule, terms.DailyLoss)),
        drawdowns=drawdowns,
        judged_consistencies=tuple(rule for rule in consistencies if rule.severity != terms.GATE),
        order_rules=tuple(rule for rule in rules if isinstance(rule, order_kinds)),
        order_blocking_ids=tuple(
            rule.rule_id
            for rule in rules
            if rule.action == terms.REJECT_ORDERS and not isinstance(rule, order_kinds)
        ),
        high_water_basis=next((rule.basis for rule in drawdowns if rule.basis), None),
    )


def _refuse_clashes(rules: list[terms.Rule], reader: Reader) -> None:
    ids = [rule.rule_id for rule in rules]
    for rule_id in sorted({rule_id for rule_id in ids if rule_id and ids.count(rule_id) > 1}):
        reader.refuse("rules", "a distinct id for each rule", f"{rule_id!r} more than once")
    bases = {rule.basis for rule in rules if isinstance(rule, terms.MaxDrawdown) and rule.basis}
    if len(bases) > 1:
        expected = "one basis for all trailing drawdowns, since an account has one high-water mark"
        reader.refuse("rules", expected, ", ".join(sorted(bases)))


def _day(reader: Reader) -> terms.DayTerms:
    reset = reader.text("reset", CLOCK, "a clock time HH:MM")
    zone = _zone(reader)
    reader.finish()
    return terms.DayTerms(reset, zone)


def _zone(reader: Reader) -> str:
    zone = reader.text("timeZone", _FREE_TEXT, "the name of a time zone")
    if zone and not is_zone(zone):
        reader.refuse("timeZone", "the name of a time zone, such as America/New_York")
    return zone


def _rule(reader: Reader, money: _Money) -> terms.Rule | None:
    slug = reader.choice_or_none("rule", tuple(_FORMS))
    if slug is None:
        return None
    actions, parse = _FORMS[slug]
    severity = reader.choice("severity", tuple(actions))
    graded = (
        reader.text("id", _RULE_ID, "lower-case words joined by underscores", default=slug),
        severity,
        reader.choice("onViolation", actions[severity], default=actions[severity][0]),
    )
    parameters = reader.child("parameters")
    rule = parse(parameters, graded, money)
    parameters.finish()
    reader.finish()
    return rule


def _daily_loss(reader: Reader, graded: _Graded, money: _Money) -> terms.DailyLoss:
    anchors = (
        terms.ANCHOR_BALANCE,
        terms.ANCHOR_EQUITY,
        terms.ANCHOR_HIGHER,
        terms.ANCHOR_INITIAL,
        terms.ANCHOR_NET_RESULT,
    )
    anchor = reader.choice("anchor", anchors)
    bases = ("initial",) if anchor == terms.ANCHOR_NET_RESULT else ("initial", "anchor")
    loss = _loss(reader.child("loss"), bases, money)
    comparator = reader.choice("comparator", (terms.BELOW, terms.AT_OR_BELOW))
    return terms.DailyLoss(
        *graded, anchor, loss.keep_ppm, loss.loss_micro, loss.percent_ppm, comparator
    )


def _max_drawdown(reader: Reader, graded: _Graded, money: _Money) -> terms.MaxDrawdown:
    basis = lock_minor = None
    bases: tuple[str, ...] = ("initial",)
    if reader.choice("mode", ("static", "trailing")) == "trailing":
        choices = (terms.BASIS_EQUITY, terms.BASIS_BALANCE, terms.BASIS_END_OF_DAY)
        basis = reader.choice("basis", choices)
        bases = ("initial", "high_water")
        lock_minor = _lock(reader, money)
    loss = _loss(reader.child("loss"), bases, money)
    comparator = reader.choice("comparator", (terms.BELOW, terms.AT_OR_BELOW))
    return terms.MaxDrawdown(
        *graded, basis, loss.keep_ppm, loss.loss_micro, loss.percent_ppm, lock_minor, comparator
    )


def _consistency(reader: Reader, graded: _Graded, _money: _Money) -> terms.Consistency:
    return terms.Consistency(
        *graded,
        share_ppm=_percent_ppm(reader, "maxSharePercent"),
        comparator=reader.choice("comparator", (terms.ABOVE, terms.AT_OR_ABOVE)),
        open_day_counts=reader.flag("openDayCounts"),
        total=reader.choice("total", (terms.TOTAL_NET, terms.TOTAL_PROFITABLE_DAYS)),
        minimum_days=reader.whole("minimumDays", 1, MINIMUM_DAYS_MAX, default=1),
    )


def _trading_hours(reader: Reader, graded: _Graded, _money: _Money) -> terms.TradingHours:
    windows = [_window(item) for item in reader.objects("windows", WINDOWS_MAX)]
    reducing = reader.choice("reducingOrders", ("allowed", "refused"))
    return terms.TradingHours(*graded, _zone(reader), tuple(windows), reducing == "allowed")


def _window(reader: Reader) -> terms.Window:
    days = reader.names("days", len(_WEEKDAYS), _WEEKDAY, "one of " + ", ".join(_WEEKDAYS))
    opened = reader.text("open", CLOCK, "a clock time HH:MM")
    closed = reader.text("close", CLOCK, "a clock time HH:MM")
    reader.finish()
    return terms.Window(
        frozenset(_WEEKDAYS.index(day) for day in days),
        minute_of_day(opened or "00:00"),
        minute_of_day(closed or "00:00"),
    )


def _instrument_allowlist(
    reader: Reader, graded: _Graded, _money: _Money
) -> terms.InstrumentAllowlist:
    symbols = reader.names("symbols", SYMBOLS_MAX, _SYMBOL, "an upper-case symbol")
    reducing = reader.choice("reducingOrders", ("allowed", "refused"))
    return terms.InstrumentAllowlist(*graded, frozenset(symbols), reducing == "allowed")


def _loss(reader: Reader, bases: tuple[str, ...], money: _Money) -> _Loss:
    if reader.has("amount"):
        loss = _Loss(_PPM_WHOLE, _amount_minor(reader, "amount", 1, money) * MICRO, 0)
    else:
        percent_ppm = _percent_ppm(reader, "percent")
        if reader.choice("of", bases) == "initial":
            loss = _Loss(_PPM_WHOLE, money.initial_minor * percent_ppm, percent_ppm)
        else:
            loss = _Loss(_PPM_WHOLE - percent_ppm, 0, percent_ppm)
    reader.finish()
    return loss


def _lock(reader: Reader, money: _Money) -> int | None:
    if not reader.has("lock"):
        return None
    lock = reader.child("lock")
    above_minor = _amount_minor(lock, "aboveInitial", 0, money)
    lock.finish()
    return money.initial_minor + above_minor


def _percent_ppm(reader: Reader, key: str) -> int:
    expected = "a percent above 0 and up to 100 as decimal text with at most 4 decimals"
    percent = reader.decimal(key, expected)
    if percent is None:
        return 0
    ppm = to_units(percent, _PPM)
    if ppm is None or not 0 < ppm <= _PPM_WHOLE:
        reader.refuse(key, expected)
        return 0
    return ppm


def _amount_minor(reader: Reader, key: str, low_minor: int, money: _Money) -> int:
    sign = "above 0" if low_minor else "of 0 or more"
    expected = f"an amount {sign} as decimal text with at most {money.digits} decimals"
    amount = reader.decimal(key, expected)
    if amount is None:
        return 0
    amount_minor = to_units(amount, Decimal(1).scaleb(-money.digits))
    if amount_minor is None or not low_minor <= amount_minor <= AMOUNT_MINOR_MAX:
        reader.refuse(key, expected)
        return 0
    return amount_minor


_Form = tuple[_Actions, Callable[[Reader, _Graded, _Money], terms.Rule]]
_FORMS: dict[str, _Form] = {
    terms.DailyLoss.slug: (_EQUITY_ACTIONS, _daily_loss),
    terms.MaxDrawdown.slug: (_EQUITY_ACTIONS, _max_drawdown),
    terms.Consistency.slug: (_CONSISTENCY_ACTIONS, _consistency),
    terms.TradingHours.slug: (_ORDER_ACTIONS, _trading_hours),
    terms.InstrumentAllowlist.slug: (_ORDER_ACTIONS, _instrument_allowlist),
}
