"""What must be there before it is worth asking the rules room whether goals are met."""

from quantlab.rules import terms


def least_profit_minor(profile: terms.Profile) -> int:
    """Return the closed profit without which some goal of a profile is not met."""
    found = [_least(rule, profile.initial_balance_minor) for rule in profile.rules]
    return max(found, default=-profile.initial_balance_minor)


def least_days(profile: terms.Profile) -> int:
    """Return the days with a position opened without which some goal is not met."""
    days = [
        rule.days
        for rule in profile.rules
        if isinstance(rule, terms.MinTradingDays) and rule.counting == terms.DAYS_OPENED
    ]
    return max(days, default=0)


def _least(rule: terms.Rule, initial_minor: int) -> int:
    if isinstance(rule, terms.ProfitTarget):
        return rule.target_minor
    if isinstance(rule, terms.Consistency) and rule.severity == terms.GATE:
        if rule.measure in (terms.MOVING_TARGET, terms.COUNTED_PROFIT):
            return rule.target_minor
        if rule.measure == terms.BEST_DAY and rule.total == terms.TOTAL_NET:
            return 1
    return -initial_minor
