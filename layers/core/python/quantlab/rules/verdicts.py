"""Verdicts on an account: its equity after a fill, tick or checkpoint, and each new order.

They are values; the engine acts on them. Rule ids in Account.raised were reported this day.
"""

from collections.abc import Iterator

from quantlab.kernel.check import check
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.consistency import Share, best_day_share, share_detail
from quantlab.rules.evidence import RuleStatus, Verdict, amount_text
from quantlab.rules.floors import (
    anchor_minor,
    check_resolved_for,
    daily_detail,
    daily_floor_minor,
    drawdown_detail,
    drawdown_floor_minor,
    is_broken,
    next_high_water,
)
from quantlab.rules.hours import hours_detail, is_open
from quantlab.rules.wording import money

_ENDED = ("disabled", "closed")
_LOCKED = "locked"


def judge_equity(
    profile: terms.Profile, account: Account, equity_minor: int, now_ns: int
) -> tuple[Verdict, ...]:
    """Return a verdict for each equity rule that is broken or newly warned of.

    The day must be rolled first. A disabled or closed account has nothing left to judge; a lock
    is not repeated while it holds, nor a warning or an order block until the next reset.
    """
    check_resolved_for(profile, account)
    check(now_ns < account.day.next_reset_ns, "expected the day to be rolled before judging")
    if account.status in _ENDED:
        return ()
    return (
        *_judge_daily_losses(profile, account, equity_minor, now_ns),
        *_judge_drawdowns(profile, account, equity_minor, now_ns),
        *_judge_consistencies(profile, account, now_ns),
    )


def equity_rules_in_force(profile: terms.Profile, account: Account) -> tuple[terms.EquityRule, ...]:
    """Return the floors whose breaking would be news, none for an ended account.

    It is the same until the account changes.
    """
    if account.status in _ENDED:
        return ()
    floors: tuple[terms.EquityRule, ...] = (*profile.daily_losses, *profile.drawdowns)
    return tuple(rule for rule in floors if _is_news(rule, account))


def judge_order(
    profile: terms.Profile,
    account: Account,
    symbol: str,
    now_ns: int,
    *,
    reducing: bool = False,
) -> Verdict | None:
    """Return the first verdict that refuses a new order, None when the rules allow it.

    reducing says that the order can only make a position smaller. Such orders pass an equity
    rule whose action is to reject orders; opening ones wait for the reset.
    """
    if not reducing:
        for rule in profile.rules:
            if rule.rule_id in profile.order_blocking_ids and rule.rule_id in account.raised:
                words = f"{rule.rule_id} was broken this day; new orders wait for the next reset"
                inputs: dict[str, int | str] = {"symbol": symbol}
                return _verdict(profile, rule, now_ns, inputs, words)
    refusals = _order_verdicts(profile, symbol, now_ns, reducing=reducing)
    return next((verdict for verdict in refusals if verdict.violated), None)


def order_warnings(
    profile: terms.Profile,
    account: Account,
    symbol: str,
    now_ns: int,
    *,
    reducing: bool = False,
) -> tuple[Verdict, ...]:
    """Return the warnings, not yet given this day, that an order deserves without refusal."""
    return tuple(
        verdict
        for verdict in _order_verdicts(profile, symbol, now_ns, reducing=reducing)
        if not verdict.violated and verdict.rule_id not in account.raised
    )


def rule_status(
    profile: terms.Profile, account: Account, equity_minor: int, now_ns: int
) -> tuple[RuleStatus, ...]:
    """Return where the account stands with every rule, in the profile's order."""
    check_resolved_for(profile, account)
    mark_minor = next_high_water(profile, account, equity_minor, at_day_end=False)
    return tuple(_status(rule, account, equity_minor, mark_minor, now_ns) for rule in profile.rules)


def _judge_daily_losses(
    profile: terms.Profile, account: Account, equity_minor: int, now_ns: int
) -> list[Verdict]:
    return [
        _daily_verdict(profile, rule, account, equity_minor, now_ns)
        for rule in profile.daily_losses
        if is_broken(rule.comparator, daily_floor_minor(rule, account), equity_minor)
        and _is_news(rule, account)
    ]


def _judge_drawdowns(
    profile: terms.Profile, account: Account, equity_minor: int, now_ns: int
) -> list[Verdict]:
    mark_minor = next_high_water(profile, account, equity_minor, at_day_end=False)
    return [
        _drawdown_verdict(profile, rule, account, equity_minor, now_ns)
        for rule in profile.drawdowns
        if is_broken(rule.comparator, drawdown_floor_minor(rule, account, mark_minor), equity_minor)
        and _is_news(rule, account)
    ]


def _judge_consistencies(profile: terms.Profile, account: Account, now_ns: int) -> list[Verdict]:
    return [
        _share_verdict(profile, rule, account, share, now_ns)
        for rule in profile.judged_consistencies
        if _is_news(rule, account) and (share := best_day_share(rule, account)).exceeded
    ]


def _is_news(rule: terms.Rule, account: Account) -> bool:
    if rule.action == terms.DISABLE_ACCOUNT or rule.rule_id not in account.raised:
        return True
    return rule.action == terms.LOCK_UNTIL_RESET and account.status != _LOCKED


def _order_verdicts(
    profile: terms.Profile, symbol: str, now_ns: int, *, reducing: bool
) -> Iterator[Verdict]:
    for rule in profile.order_rules:
        if reducing and rule.reducing_allowed:
            continue
        inputs: dict[str, int | str] = {"symbol": symbol}
        if isinstance(rule, terms.TradingHours):
            if is_open(rule, now_ns):
                continue
            inputs |= {"time": format_rfc3339(now_ns), "timeZone": rule.time_zone}
            words = hours_detail(rule, now_ns)
        elif symbol in rule.symbols:
            continue
        else:
            words = f"{symbol} is not among the {len(rule.symbols)} allowed instruments"
        yield _verdict(profile, rule, now_ns, inputs, words)


def _daily_verdict(
    profile: terms.Profile,
    rule: terms.DailyLoss,
    account: Account,
    equity_minor: int,
    now_ns: int,
) -> Verdict:
    floor_minor = daily_floor_minor(rule, account)
    inputs = _floor_inputs(rule, account, equity_minor)
    inputs |= {
        "anchor": rule.anchor,
        "anchorAmount": _text(anchor_minor(rule, account), account),
        "day": account.day.date,
        "balanceAtReset": _text(account.day.start_balance_minor, account),
        "equityAtReset": _text(account.day.start_equity_minor, account),
        "dayRealised": _text(account.day.realised_minor, account),
    }
    words = f"{daily_detail(rule, account)}; {_comparison(rule, equity_minor, account)}"
    return _verdict(profile, rule, now_ns, inputs, words, figures=(floor_minor, equity_minor))


def _drawdown_verdict(
    profile: terms.Profile,
    rule: terms.MaxDrawdown,
    account: Account,
    equity_minor: int,
    now_ns: int,
) -> Verdict:
    mark_minor = next_high_water(profile, account, equity_minor, at_day_end=False)
    floor_minor = drawdown_floor_minor(rule, account, mark_minor)
    inputs = _floor_inputs(rule, account, equity_minor)
    inputs |= {"basis": rule.basis or "initial", "highWater": _text(mark_minor, account)}
    if rule.lock_minor is not None:
        inputs["lock"] = _text(rule.lock_minor, account)
    words = drawdown_detail(rule, account, mark_minor)
    words = f"{words}; {_comparison(rule, equity_minor, account)}"
    return _verdict(profile, rule, now_ns, inputs, words, figures=(floor_minor, equity_minor))


def _share_verdict(
    profile: terms.Profile, rule: terms.Consistency, account: Account, share: Share, now_ns: int
) -> Verdict:
    inputs: dict[str, int | str] = {
        "bestDay": _text(share.best_day_minor, account),
        "total": _text(share.total_minor, account),
        "totalKind": rule.total,
        "days": share.days,
        "maxSharePpm": rule.share_ppm,
        "comparator": rule.comparator,
    }
    words = share_detail(rule, share, account.currency_digits)
    return _verdict(
        profile, rule, now_ns, inputs, words, figures=(share.threshold_minor, share.best_day_minor)
    )


def _floor_inputs(
    rule: terms.EquityRule, account: Account, equity_minor: int
) -> dict[str, int | str]:
    return {
        "comparator": rule.comparator,
        "keepPpm": rule.keep_ppm,
        "lossMicroMinor": str(rule.loss_micro),
        "initialBalance": _text(account.initial_balance_minor, account),
        "balance": _text(account.balance_minor, account),
        "equity": _text(equity_minor, account),
        "eventSeq": account.event_seq,
    }


def _verdict(
    profile: terms.Profile,
    rule: terms.Rule,
    now_ns: int,
    inputs: dict[str, int | str],
    arithmetic: str,
    *,
    figures: tuple[int, int] | None = None,
) -> Verdict:
    return Verdict(
        rule=rule.slug,
        rule_id=rule.rule_id,
        severity=rule.severity,
        action=rule.action,
        profile_version=profile.version,
        violated=rule.action != terms.WARN_ONLY,
        at_ns=now_ns,
        inputs=inputs,
        arithmetic=arithmetic,
        threshold_minor=None if figures is None else figures[0],
        value_minor=None if figures is None else figures[1],
        currency_digits=profile.currency_digits,
    )


def _status(
    rule: terms.Rule, account: Account, equity_minor: int, mark_minor: int, now_ns: int
) -> RuleStatus:
    floor_minor: int | None = None
    if isinstance(rule, terms.DailyLoss):
        floor_minor, detail = daily_floor_minor(rule, account), daily_detail(rule, account)
    elif isinstance(rule, terms.MaxDrawdown):
        floor_minor = drawdown_floor_minor(rule, account, mark_minor)
        detail = drawdown_detail(rule, account, mark_minor)
    elif isinstance(rule, terms.Consistency):
        share = best_day_share(rule, account)
        detail = share_detail(rule, share, account.currency_digits)
    elif isinstance(rule, terms.TradingHours):
        detail = hours_detail(rule, now_ns)
    else:
        detail = "allowed: " + ", ".join(sorted(rule.symbols))
    return RuleStatus(
        rule=rule.slug,
        rule_id=rule.rule_id,
        severity=rule.severity,
        action=rule.action,
        state=_state(rule, account, equity_minor, floor_minor, now_ns),
        detail=detail,
        floor_minor=floor_minor,
        distance_minor=None if floor_minor is None else equity_minor - floor_minor,
        currency_digits=account.currency_digits,
    )


def _state(
    rule: terms.Rule, account: Account, equity_minor: int, floor_minor: int | None, now_ns: int
) -> str:
    if isinstance(rule, terms.TradingHours):
        return "ok" if is_open(rule, now_ns) else "closed"
    broken = rule.rule_id in account.raised
    if isinstance(rule, (terms.DailyLoss, terms.MaxDrawdown)):
        check(floor_minor is not None, "expected the floor of an equity rule")
        broken = broken or is_broken(rule.comparator, floor_minor or 0, equity_minor)
    elif isinstance(rule, terms.Consistency):
        share = best_day_share(rule, account)
        if rule.severity == terms.GATE:
            return "ok" if share.passed else "gate_closed"
        broken = broken or share.exceeded
    if not broken:
        return "ok"
    return "warned" if rule.action == terms.WARN_ONLY else "violated"


def _comparison(rule: terms.EquityRule, equity_minor: int, account: Account) -> str:
    relation = "at or below it" if rule.comparator == terms.AT_OR_BELOW else "below it"
    return f"equity {money(equity_minor, account.currency_digits)} is {relation}"


def _text(amount_minor: int, account: Account) -> str:
    return amount_text(amount_minor, account.currency_digits) or ""
