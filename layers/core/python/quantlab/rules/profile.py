"""Rule profiles: a JSON document becomes terms in integers, or a list of what is wrong with it.

It must not judge accounts.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from quantlab.kernel.arith import MICRO
from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.check import check
from quantlab.rules import forms_money, forms_orders, terms
from quantlab.rules.calendar import CLOCK
from quantlab.rules.forms import FREE_TEXT, Graded, Money, read_zone
from quantlab.rules.limits import PROFILES_CACHED_MAX, RULES_MAX, TEXT_LENGTH_MAX
from quantlab.rules.reader import Problem, ProfileError, Reader

_FORMAT = 1
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_RULE_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")

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
_GOAL_ACTIONS: _Actions = {terms.GATE: (terms.WARN_ONLY,)}
_HOLDING_ACTIONS: _Actions = {
    terms.SOFT: (terms.FLATTEN, terms.LOCK_UNTIL_RESET),
    terms.HARD: (terms.DISABLE_ACCOUNT,),
    terms.WARN: (terms.WARN_ONLY,),
}
_INACTIVITY_ACTIONS: _Actions = {
    terms.HARD: (terms.DISABLE_ACCOUNT,),
    terms.WARN: (terms.WARN_ONLY,),
}
_ORDER_ACTIONS: _Actions = {
    terms.SOFT: (terms.REJECT_ORDERS, terms.LOCK_UNTIL_RESET),
    terms.HARD: (terms.DISABLE_ACCOUNT,),
    terms.WARN: (terms.WARN_ONLY,),
}


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
        _parse(document, "", Money(2, MICRO))
        raise ProfileError([Problem("", "JSON without floats", str(error))]) from error


@lru_cache(maxsize=PROFILES_CACHED_MAX)
def _resolved(canonical: bytes, currency_digits: int, initial_minor: int) -> terms.Profile:
    version = hashlib.sha256(canonical).hexdigest()
    return _parse(json.loads(canonical), version, Money(currency_digits, initial_minor))


def _parse(document: Any, version: str, money: Money) -> terms.Profile:
    problems: list[Problem] = []
    reader = Reader(document, "", problems)
    reader.text("$schema", FREE_TEXT, "text", default="")
    reader.whole("format", _FORMAT, _FORMAT)
    name = reader.text("name", _NAME, "lower-case words joined by hyphens")
    for key in ("title", "description"):
        reader.text(key, FREE_TEXT, f"text of at most {TEXT_LENGTH_MAX} characters", default="")
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
    name: str, version: str, money: Money, day: terms.DayTerms, rules: tuple[terms.Rule, ...]
) -> terms.Profile:
    drawdowns = tuple(rule for rule in rules if isinstance(rule, terms.MaxDrawdown))
    consistencies = (rule for rule in rules if isinstance(rule, terms.Consistency))
    order_kinds = (
        terms.TradingHours,
        terms.InstrumentAllowlist,
        terms.FlatBy,
        terms.WeekendHolding,
    )
    asked_kinds = (
        terms.NewsWindow,
        terms.PositionSize,
        terms.ScalingPlan,
        terms.OrderLimits,
        terms.StopLossRequired,
        terms.Hedging,
        terms.CopyTrading,
    )
    standing_kinds = (terms.FlatBy, terms.WeekendHolding, terms.Inactivity)
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
            if rule.action == terms.REJECT_ORDERS
            and isinstance(rule, (terms.DailyLoss, terms.MaxDrawdown))
        ),
        high_water_basis=next((rule.basis for rule in drawdowns if rule.basis), None),
        asked_rules=tuple(rule for rule in rules if isinstance(rule, asked_kinds)),
        standing_rules=tuple(rule for rule in rules if isinstance(rule, standing_kinds)),
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
    zone = read_zone(reader)
    reader.finish()
    return terms.DayTerms(reset, zone)


def _rule(reader: Reader, money: Money) -> terms.Rule | None:
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


_Form = tuple[_Actions, Callable[[Reader, Graded, Money], terms.Rule]]
_FORMS: dict[str, _Form] = {
    terms.DailyLoss.slug: (_EQUITY_ACTIONS, forms_money.daily_loss),
    terms.MaxDrawdown.slug: (_EQUITY_ACTIONS, forms_money.max_drawdown),
    terms.Consistency.slug: (_CONSISTENCY_ACTIONS, forms_money.consistency),
    terms.TradingHours.slug: (_ORDER_ACTIONS, forms_orders.trading_hours),
    terms.InstrumentAllowlist.slug: (_ORDER_ACTIONS, forms_orders.instrument_allowlist),
    terms.ProfitTarget.slug: (_GOAL_ACTIONS, forms_money.profit_target),
    terms.MinTradingDays.slug: (_GOAL_ACTIONS, forms_money.min_trading_days),
    terms.ProfitableDays.slug: (_GOAL_ACTIONS, forms_money.profitable_days),
    terms.FlatBy.slug: (_HOLDING_ACTIONS, forms_orders.flat_by),
    terms.WeekendHolding.slug: (_HOLDING_ACTIONS, forms_orders.weekend_holding),
    terms.NewsWindow.slug: (_ORDER_ACTIONS, forms_orders.news_window),
    terms.PositionSize.slug: (_ORDER_ACTIONS, forms_orders.position_size),
    terms.ScalingPlan.slug: (_ORDER_ACTIONS, forms_orders.scaling_plan),
    terms.OrderLimits.slug: (_ORDER_ACTIONS, forms_orders.order_limits),
    terms.StopLossRequired.slug: (_ORDER_ACTIONS, forms_orders.stop_loss_required),
    terms.Hedging.slug: (_ORDER_ACTIONS, forms_orders.hedging),
    terms.CopyTrading.slug: (_ORDER_ACTIONS, forms_orders.copy_trading),
    terms.Inactivity.slug: (_INACTIVITY_ACTIONS, forms_orders.inactivity),
}
