"""The share of the best day in the total result: a gate that dilutes with trading."""

from dataclasses import dataclass

from quantlab.kernel.arith import MICRO
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.wording import money, percent

_TOTAL_WORDS = {
    terms.TOTAL_NET: "net total",
    terms.TOTAL_PROFITABLE_DAYS: "total of profitable days",
}


@dataclass(frozen=True, slots=True)
class Share:
    """The best day against the total; threshold_minor is what the best day is compared with.

    exceeded is never true without a total above zero and the days the rule asks for; the gate
    is passed only with both, and not exceeded.
    """

    best_day_minor: int
    total_minor: int
    days: int
    threshold_minor: int
    exceeded: bool
    passed: bool


def best_day_share(rule: terms.Consistency, account: Account) -> Share:
    """Weigh the account's best day against its total by the rule."""
    results = [day.realised_minor for day in account.closed_days]
    day = account.day
    if rule.open_day_counts and (day.traded or day.realised_minor):
        results.append(day.realised_minor)
    gains_only = rule.total == terms.TOTAL_PROFITABLE_DAYS
    total_minor = sum(result for result in results if result > 0 or not gains_only)
    best_minor = max(results, default=0)
    strict = rule.comparator == terms.AT_OR_ABOVE
    limit_micro = total_minor * rule.share_ppm
    threshold_minor = -(-limit_micro // MICRO) if strict else limit_micro // MICRO
    over = best_minor >= threshold_minor if strict else best_minor > threshold_minor
    defined = total_minor > 0 and len(results) >= rule.minimum_days
    return Share(
        best_minor,
        total_minor,
        len(results),
        threshold_minor,
        defined and over,
        defined and not over,
    )


def share_detail(rule: terms.Consistency, share: Share, digits: int) -> str:
    """Write the share as arithmetic."""
    if share.total_minor <= 0:
        return f"{_TOTAL_WORDS[rule.total]} {money(share.total_minor, digits)}: no share to judge"
    if share.days < rule.minimum_days:
        return f"{share.days} of {rule.minimum_days} days needed before the share is judged"
    relation = "exceeds" if rule.comparator == terms.ABOVE else "reaches or exceeds"
    if not share.exceeded:
        relation = "is within" if rule.comparator == terms.ABOVE else "is below"
    return (
        f"best day {money(share.best_day_minor, digits)} {relation} {percent(rule.share_ppm)}"
        f" of {_TOTAL_WORDS[rule.total]} {money(share.total_minor, digits)}"
    )
