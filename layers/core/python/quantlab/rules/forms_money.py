"""The forms of rules on money: losses, drawdowns, targets, and how evenly profit is made."""

from quantlab.rules import terms
from quantlab.rules.forms import (
    Graded,
    Money,
    read_above_initial,
    read_amount_or_percent,
    read_costs,
    read_factor,
    read_loss,
    read_percent,
)
from quantlab.rules.limits import MINIMUM_DAYS_MAX
from quantlab.rules.reader import Reader

_ANCHORS = (
    terms.ANCHOR_BALANCE,
    terms.ANCHOR_EQUITY,
    terms.ANCHOR_HIGHER,
    terms.ANCHOR_INITIAL,
    terms.ANCHOR_NET_RESULT,
)
_BASES = (terms.BASIS_EQUITY, terms.BASIS_BALANCE, terms.BASIS_END_OF_DAY)
_FLOOR_COMPARATORS = (terms.BELOW, terms.AT_OR_BELOW)
_SHARE_COMPARATORS = (terms.ABOVE, terms.AT_OR_ABOVE)
_MEASURES = (
    terms.BEST_DAY,
    terms.BEST_DAY_OF_TARGET,
    terms.MOVING_TARGET,
    terms.COUNTED_PROFIT,
    terms.BEST_TRADE,
    terms.LOT_BAND,
)
_COMPARED = (terms.BEST_DAY, terms.BEST_DAY_OF_TARGET, terms.BEST_TRADE)
_TARGETED = (terms.BEST_DAY_OF_TARGET, terms.MOVING_TARGET, terms.COUNTED_PROFIT)


def daily_loss(reader: Reader, graded: Graded, money: Money) -> terms.DailyLoss:
    """Read the parameters of a daily loss."""
    anchor = reader.choice("anchor", _ANCHORS)
    bases = ("initial",) if anchor == terms.ANCHOR_NET_RESULT else ("initial", "anchor")
    loss = read_loss(reader.child("loss"), bases, money)
    comparator = reader.choice("comparator", _FLOOR_COMPARATORS)
    costs_count = read_costs(reader)
    return terms.DailyLoss(
        *graded, anchor, loss.keep_ppm, loss.loss_micro, loss.percent_ppm, comparator, costs_count
    )


def max_drawdown(reader: Reader, graded: Graded, money: Money) -> terms.MaxDrawdown:
    """Read the parameters of a drawdown."""
    basis = lock_minor = None
    bases: tuple[str, ...] = ("initial",)
    if reader.choice("mode", ("static", "trailing")) == "trailing":
        basis = reader.choice("basis", _BASES)
        bases = ("initial", "high_water")
        lock_minor = read_above_initial(reader, "lock", money)
    loss = read_loss(reader.child("loss"), bases, money)
    comparator = reader.choice("comparator", _FLOOR_COMPARATORS)
    payout_floor_minor = read_above_initial(reader, "afterPayout", money)
    return terms.MaxDrawdown(
        *graded,
        basis,
        loss.keep_ppm,
        loss.loss_micro,
        loss.percent_ppm,
        lock_minor,
        comparator,
        payout_floor_minor,
    )


def consistency(reader: Reader, graded: Graded, money: Money) -> terms.Consistency:
    """Read the parameters of a consistency rule; which there are depends on its measure."""
    measure = reader.choice("measure", _MEASURES, default=terms.BEST_DAY)
    if measure == terms.LOT_BAND:
        low_ppm, high_ppm = read_factor(reader, "lowest"), read_factor(reader, "highest")
        if low_ppm > high_ppm:
            reader.refuse("highest", "a factor of at least the lowest")
        return terms.Consistency(
            *graded, 0, terms.ABOVE, open_day_counts=True, total=terms.TOTAL_NET, minimum_days=1,
            measure=measure, low_ppm=low_ppm, high_ppm=high_ppm,
        )  # fmt: skip
    share_ppm, comparator, total = read_percent(reader, "maxSharePercent"), terms.ABOVE, ""
    if measure in _COMPARED:
        comparator = reader.choice("comparator", _SHARE_COMPARATORS)
    open_day_counts = reader.flag("openDayCounts")
    since_payout = measure == terms.BEST_TRADE
    if measure != terms.BEST_TRADE:
        since_payout = read_since_payout(reader)
    if measure == terms.BEST_DAY:
        total = reader.choice("total", (terms.TOTAL_NET, terms.TOTAL_PROFITABLE_DAYS))
    minimum_days = 1
    if measure == terms.BEST_DAY:
        minimum_days = reader.whole("minimumDays", 1, MINIMUM_DAYS_MAX, default=1)
    target_minor = 0
    if measure in _TARGETED:
        target_minor = read_amount_or_percent(reader, "target", money)
    return terms.Consistency(
        *graded,
        share_ppm,
        comparator,
        open_day_counts,
        total or terms.TOTAL_NET,
        minimum_days,
        measure,
        since_payout,
        target_minor,
    )


def read_since_payout(reader: Reader) -> bool:
    """Read window: whether only what came after the last payout counts."""
    return reader.choice("window", ("all", "since_payout"), default="all") == "since_payout"


def profit_target(reader: Reader, graded: Graded, money: Money) -> terms.ProfitTarget:
    """Read the parameters of a profit target."""
    target_minor = read_amount_or_percent(reader, "target", money)
    return terms.ProfitTarget(*graded, target_minor, reader.flag("flatRequired"))


def min_trading_days(reader: Reader, graded: Graded, money: Money) -> terms.MinTradingDays:
    """Read the parameters of a least number of trading days."""
    counting = reader.choice("counting", (terms.DAYS_OPENED, terms.DAYS_BALANCE_MOVE))
    move_minor = 0
    if counting == terms.DAYS_BALANCE_MOVE:
        move_minor = read_amount_or_percent(reader, "move", money)
    return terms.MinTradingDays(
        *graded,
        reader.whole("days", 1, MINIMUM_DAYS_MAX),
        counting,
        move_minor,
        reader.flag("openDayCounts"),
        read_since_payout(reader),
    )


def profitable_days(reader: Reader, graded: Graded, money: Money) -> terms.ProfitableDays:
    """Read the parameters of a number of profitable days."""
    measure = reader.choice("measure", (terms.RESULT_CLOSED, terms.RESULT_EQUITY))
    open_day_counts = measure == terms.RESULT_CLOSED and reader.flag("openDayCounts")
    return terms.ProfitableDays(
        *graded,
        reader.whole("days", 1, MINIMUM_DAYS_MAX),
        read_amount_or_percent(reader, "least", money),
        measure,
        open_day_counts,
        read_since_payout(reader),
    )
