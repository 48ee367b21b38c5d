"""Verdicts on an account: its equity after a fill, tick or checkpoint, and each new order.

They are values; the engine acts on them. Rule ids in Account.raised were reported this day.
"""

from collections.abc import Iterator

from quantlab.kernel.check import check
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.breaks import (
    flat_detail,
    idle_since_ns,
    inactivity_detail,
    is_inactive,
    must_be_flat,
)
from quantlab.rules.consistency import Share, band_detail, best_day_share, share_detail
from quantlab.rules.evidence import Verdict, amount_text, make_verdict
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
    floors = judge_floors(profile, account, equity_minor, now_ns)
    if account.status in _ENDED:
        return ()
    return (
        *floors,
        *_judge_consistencies(profile, account, now_ns),
        *judge_standing(profile, account, now_ns),
    )


def judge_floors(
    profile: terms.Profile, account: Account, equity_minor: int, now_ns: int
) -> tuple[Verdict, ...]:
    """Return a verdict for each floor that is broken or newly warned of; see `judge_equity`."""
    check_resolved_for(profile, account)
    check(now_ns < account.day.next_reset_ns, "expected the day to be rolled before judging")
    if account.status in _ENDED:
        return ()
    return (
        *_judge_daily_losses(profile, account, equity_minor, now_ns),
        *_judge_drawdowns(profile, account, equity_minor, now_ns),
    )


def judge_standing(profile: terms.Profile, account: Account, now_ns: int) -> tuple[Verdict, ...]:
    """Return a verdict for each rule on what may be held, and for how long nothing may be done.

    They need no equity. One that asks for flat is repeated while a position is open.
    """
    if account.status in _ENDED:
        return ()
    return tuple(
        _standing_verdict(profile, rule, account, now_ns)
        for rule in profile.standing_rules
        if _is_overstayed(rule, account, now_ns) and _is_news(rule, account)
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
                return make_verdict(profile, rule, now_ns, inputs, words)
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
    if rule.action == terms.FLATTEN:
        return bool(account.positions)
    return rule.action == terms.LOCK_UNTIL_RESET and account.status != _LOCKED


def _is_overstayed(rule: terms.StandingRule, account: Account, now_ns: int) -> bool:
    if isinstance(rule, terms.Inactivity):
        return is_inactive(rule, account, now_ns)
    return bool(account.positions) and must_be_flat(rule, now_ns)


def _standing_verdict(
    profile: terms.Profile, rule: terms.StandingRule, account: Account, now_ns: int
) -> Verdict:
    inputs: dict[str, int | str] = {"time": format_rfc3339(now_ns), "eventSeq": account.event_seq}
    if isinstance(rule, terms.Inactivity):
        since_ns = idle_since_ns(account)
        inputs |= {"days": rule.days, "since": format_rfc3339(since_ns or 0)}
        words = inactivity_detail(rule, account, now_ns)
        return make_verdict(profile, rule, now_ns, inputs, words)
    held = sorted({position.symbol for position in account.positions.values()})
    inputs |= {"timeZone": rule.time_zone, "held": ", ".join(held)}
    return make_verdict(profile, rule, now_ns, inputs, flat_detail(rule, now_ns))


def _order_verdicts(
    profile: terms.Profile, symbol: str, now_ns: int, *, reducing: bool
) -> Iterator[Verdict]:
    for rule in profile.order_rules:
        inputs: dict[str, int | str] = {"symbol": symbol}
        if isinstance(rule, terms.InstrumentAllowlist):
            if symbol in rule.symbols or (reducing and rule.reducing_allowed):
                continue
            words = f"{symbol} is not among the {len(rule.symbols)} allowed instruments"
            yield make_verdict(profile, rule, now_ns, inputs, words)
            continue
        inputs |= {"time": format_rfc3339(now_ns), "timeZone": rule.time_zone}
        if isinstance(rule, terms.TradingHours):
            if is_open(rule, now_ns) or (reducing and rule.reducing_allowed):
                continue
            words = hours_detail(rule, now_ns)
        elif reducing or not must_be_flat(rule, now_ns):
            continue
        else:
            words = flat_detail(rule, now_ns)
        yield make_verdict(profile, rule, now_ns, inputs, words)


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
    return make_verdict(profile, rule, now_ns, inputs, words, figures=(floor_minor, equity_minor))


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
    return make_verdict(profile, rule, now_ns, inputs, words, figures=(floor_minor, equity_minor))


def _share_verdict(
    profile: terms.Profile, rule: terms.Consistency, account: Account, share: Share, now_ns: int
) -> Verdict:
    inputs: dict[str, int | str] = {
        "bestDay": _text(share.best_day_minor, account),
        "total": _text(share.total_minor, account),
        "totalKind": rule.total,
        "measure": rule.measure,
        "days": share.days,
        "maxSharePpm": rule.share_ppm,
        "comparator": rule.comparator,
    }
    if rule.measure == terms.LOT_BAND:
        inputs |= {"lowPpm": rule.low_ppm, "highPpm": rule.high_ppm}
        return make_verdict(profile, rule, now_ns, inputs, band_detail(rule, account))
    words = share_detail(rule, share, account.currency_digits)
    return make_verdict(
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


def _comparison(rule: terms.EquityRule, equity_minor: int, account: Account) -> str:
    relation = "at or below it" if rule.comparator == terms.AT_OR_BELOW else "below it"
    return f"equity {money(equity_minor, account.currency_digits)} is {relation}"


def _text(amount_minor: int, account: Account) -> str:
    return amount_text(amount_minor, account.currency_digits) or ""
