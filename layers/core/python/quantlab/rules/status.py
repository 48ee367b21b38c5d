"""Where an account stands with every rule of its profile."""

from collections.abc import Mapping

from quantlab.kernel.check import check
from quantlab.ledger.state import Account
from quantlab.market.instrument import Instrument
from quantlab.rules import terms
from quantlab.rules.asked import held_nano, news_answer, scaling_limit
from quantlab.rules.breaks import (
    flat_detail,
    idle_since_ns,
    inactivity_detail,
    is_inactive,
    must_be_flat,
)
from quantlab.rules.consistency import band_detail, best_day_share, share_detail
from quantlab.rules.evidence import Measured, RuleStatus
from quantlab.rules.floors import (
    check_resolved_for,
    daily_detail,
    daily_floor_minor,
    drawdown_detail,
    drawdown_floor_minor,
    is_broken,
    next_high_water,
)
from quantlab.rules.goals import progress
from quantlab.rules.hours import hours_detail, is_open
from quantlab.rules.surroundings import NOTHING_KNOWN, Surroundings
from quantlab.rules.wording import lots, percent

_OK, _CLOSED, _GATE_CLOSED, _UNKNOWN = "ok", "closed", "gate_closed", "unknown"
_State = tuple[str, str, Measured | None]


def rule_status(
    profile: terms.Profile,
    account: Account,
    equity_minor: int,
    now_ns: int,
    instruments: Mapping[str, Instrument] | None = None,
    around: Surroundings = NOTHING_KNOWN,
) -> tuple[RuleStatus, ...]:
    """Return where the account stands with every rule, in the profile's order.

    A rule whose input is not there is unknown: sizes need the instruments of open positions.
    """
    check_resolved_for(profile, account)
    mark_minor = next_high_water(profile, account, equity_minor, at_day_end=False)
    return tuple(
        _equity_status(rule, account, equity_minor, mark_minor)
        if isinstance(rule, (terms.DailyLoss, terms.MaxDrawdown))
        else _status(rule, account, *_state(rule, account, now_ns, instruments, around))
        for rule in profile.rules
    )


def _equity_status(
    rule: terms.EquityRule, account: Account, equity_minor: int, mark_minor: int
) -> RuleStatus:
    if isinstance(rule, terms.DailyLoss):
        floor_minor, detail = daily_floor_minor(rule, account), daily_detail(rule, account)
    else:
        floor_minor = drawdown_floor_minor(rule, account, mark_minor)
        detail = drawdown_detail(rule, account, mark_minor)
    broken = is_broken(rule.comparator, floor_minor, equity_minor)
    state = _graded(rule, account, broken=broken)
    return _status(
        rule, account, state, detail, None, floor_minor=floor_minor, equity_minor=equity_minor
    )


def _status(
    rule: terms.Rule,
    account: Account,
    state: str,
    detail: str,
    measured: Measured | None,
    *,
    floor_minor: int | None = None,
    equity_minor: int = 0,
) -> RuleStatus:
    return RuleStatus(
        rule=rule.slug,
        rule_id=rule.rule_id,
        severity=rule.severity,
        action=rule.action,
        state=state,
        detail=detail,
        floor_minor=floor_minor,
        distance_minor=None if floor_minor is None else equity_minor - floor_minor,
        currency_digits=account.currency_digits,
        measured=measured,
    )


def _graded(rule: terms.Rule, account: Account, *, broken: bool) -> str:
    if not broken and rule.rule_id not in account.raised:
        return _OK
    return "warned" if rule.action == terms.WARN_ONLY else "violated"


def _state(
    rule: terms.Rule,
    account: Account,
    now_ns: int,
    instruments: Mapping[str, Instrument] | None,
    around: Surroundings,
) -> _State:
    found = _own_state(rule, account) or _timed_state(rule, account, now_ns)
    if found is not None:
        return found
    if isinstance(rule, (terms.PositionSize, terms.ScalingPlan)):
        return _sizes(rule, account, instruments)
    if isinstance(rule, terms.NewsWindow):
        return _news(rule, account, now_ns, instruments, around)
    check(isinstance(rule, (terms.Hedging, terms.CopyTrading)), f"no status of {rule.slug}")
    if around.linked is None:
        return _UNKNOWN, "what linked accounts hold and order is not known", None
    words = f"{len(around.linked)} linked accounts are watched"
    return _graded(rule, account, broken=False), words, None


def _own_state(rule: terms.Rule, account: Account) -> _State | None:
    """Return the state of a rule that needs nothing but the account; None for any other."""
    if isinstance(rule, terms.Consistency):
        return _consistency(rule, account)
    if isinstance(rule, (terms.ProfitTarget, terms.MinTradingDays, terms.ProfitableDays)):
        found = progress(rule, account)
        state = _OK if found.reached else _GATE_CLOSED
        return state, found.words, Measured(found.threshold, found.value, None, found.unit)
    if isinstance(rule, terms.OrderLimits):
        return _limits(rule, account)
    if isinstance(rule, terms.InstrumentAllowlist):
        words = "allowed: " + ", ".join(sorted(rule.symbols))
    elif isinstance(rule, terms.StopLossRequired):
        words = "each order that opens needs a stop-loss"
        if rule.risk_ppm is not None:
            words += f" that loses at most {percent(rule.risk_ppm)} of the balance"
    else:
        return None
    return _graded(rule, account, broken=False), words, None


def _timed_state(rule: terms.Rule, account: Account, now_ns: int) -> _State | None:
    """Return the state of a rule that needs the clock as well; None for any other."""
    if isinstance(rule, terms.TradingHours):
        return _OK if is_open(rule, now_ns) else _CLOSED, hours_detail(rule, now_ns), None
    if isinstance(rule, (terms.FlatBy, terms.WeekendHolding)):
        return _CLOSED if must_be_flat(rule, now_ns) else _OK, flat_detail(rule, now_ns), None
    if isinstance(rule, terms.Inactivity):
        return _inactivity(rule, account, now_ns)
    return None


def _consistency(rule: terms.Consistency, account: Account) -> _State:
    share = best_day_share(rule, account)
    detail = share_detail(rule, share, account.currency_digits)
    if rule.measure == terms.LOT_BAND:
        detail = band_detail(rule, account)
    if rule.severity == terms.GATE:
        return _OK if share.passed else _GATE_CLOSED, detail, None
    return _graded(rule, account, broken=share.exceeded), detail, None


def _inactivity(rule: terms.Inactivity, account: Account, now_ns: int) -> _State:
    detail = inactivity_detail(rule, account, now_ns)
    if idle_since_ns(account) is None:
        return _UNKNOWN, detail, None
    return _graded(rule, account, broken=is_inactive(rule, account, now_ns)), detail, None


def _sizes(
    rule: terms.PositionSize | terms.ScalingPlan,
    account: Account,
    instruments: Mapping[str, Instrument] | None,
) -> _State:
    if isinstance(rule, terms.ScalingPlan):
        limit_nano, words = scaling_limit(rule, account)
    else:
        limit_nano, words = rule.max_nano, f"at most {lots(rule.max_nano)} lots per {rule.per}"
        if rule.per != terms.PER_ACCOUNT:
            return _graded(rule, account, broken=False), words, None
    if instruments is None:
        return _UNKNOWN, words, None
    held = held_nano(account, instruments, rule.weights)
    room = max(0, limit_nano - held)
    state = _OK if held <= limit_nano else _CLOSED
    measured = Measured(lots(limit_nano), lots(held), lots(room), "lots")
    return state, f"{words}; {lots(held)} are open, {lots(room)} are left", measured


def _limits(rule: terms.OrderLimits, account: Account) -> _State:
    tally = account.tally
    counted = (
        ("orders", rule.max_orders, tally.orders, str),
        ("trades", rule.max_trades, tally.trades, str),
        ("lots", rule.max_nano, tally.opened_nano, lots),
    )
    found = [
        Measured(text(limit), text(taken), text(max(0, limit - taken)), unit)
        for unit, limit, taken, text in counted
        if limit is not None
    ]
    words = ", ".join(f"{one.value} of {one.threshold} {one.unit}" for one in found)
    tightest = next((one for one in found if one.room == "0"), found[0])
    return _CLOSED if tightest.room == "0" else _OK, f"{words} today", tightest


def _news(
    rule: terms.NewsWindow,
    account: Account,
    now_ns: int,
    instruments: Mapping[str, Instrument] | None,
    around: Surroundings,
) -> _State:
    if around.news is None or instruments is None:
        return _UNKNOWN, "no calendar of releases is known", None
    for _, instrument in sorted(instruments.items()):
        found = news_answer(rule, instrument, around, now_ns)
        if not found.allowed:
            return _CLOSED, found.words, None
    return _graded(rule, account, broken=False), "no release is near", None
