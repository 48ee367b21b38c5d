"""What must be reached before a phase is passed or profit is paid: gates, never broken."""

from typing import NamedTuple

from quantlab.kernel.decimals import format_minor
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.results import closed_profit_minor, day_results
from quantlab.rules.wording import money


class Progress(NamedTuple):
    """How far a goal is reached: in words, and as text in the goal's unit (money or days)."""

    reached: bool
    words: str
    threshold: str
    value: str
    unit: str


def progress(rule: terms.Goal, account: Account) -> Progress:
    """Say how far an account has come towards a goal."""
    if isinstance(rule, terms.ProfitTarget):
        return _profit(rule, account)
    days = day_results(account, open_day=rule.open_day_counts, since_payout=rule.since_payout)
    if isinstance(rule, terms.MinTradingDays):
        moved = rule.counting == terms.DAYS_BALANCE_MOVE
        count = sum(
            abs(day.realised_minor) >= rule.move_minor if moved else day.traded for day in days
        )
        kind = "a position opened"
        if moved:
            kind = f"a closed result of {money(rule.move_minor, account.currency_digits)} or more"
            kind += " either way"
    elif rule.measure == terms.RESULT_EQUITY:
        gains = [day.equity_gain_minor for day in days]
        count = sum(gain is not None and gain >= rule.least_minor for gain in gains)
        kind = f"an equity gain of {money(rule.least_minor, account.currency_digits)} or more"
    else:
        count = sum(day.realised_minor >= rule.least_minor for day in days)
        kind = f"a closed profit of {money(rule.least_minor, account.currency_digits)} or more"
    words = f"{count} of {rule.days} days with {kind}"
    return Progress(count >= rule.days, words, str(rule.days), str(count), "days")


def _profit(rule: terms.ProfitTarget, account: Account) -> Progress:
    digits = account.currency_digits
    profit_minor = closed_profit_minor(account)
    reached = profit_minor >= rule.target_minor
    relation = "reaches" if reached else "does not reach"
    words = (
        f"closed profit {money(profit_minor, digits)} {relation}"
        f" the target of {money(rule.target_minor, digits)}"
    )
    if rule.flat_required and account.positions:
        reached = False
        words += f"; {len(account.positions)} positions must be closed first"
    threshold, value = (format_minor(m, digits) for m in (rule.target_minor, profit_minor))
    return Progress(reached, words, threshold, value, "money")
