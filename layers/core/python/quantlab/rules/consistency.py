"""How evenly a profit was made: shares of the best day or trade, targets that move, lot bands.

Corners: a total of zero or less has no share, so nothing is exceeded and no gate is passed; the
open day counts where the rule says so; the total is the net of the days, or of the profitable ones.
"""

from quantlab.kernel.arith import MICRO
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.results import booked_results
from quantlab.rules.wording import lots, money, percent

_TOTAL_WORDS = {
    terms.TOTAL_NET: "net total",
    terms.TOTAL_PROFITABLE_DAYS: "total of profitable days",
}


@dataclass(frozen=True, slots=True)
class Share:
    """The best day against the total; threshold_minor is what the best day is compared with.

    exceeded is never true without a total above zero and the days the rule asks for; the gate
    is passed only with both, and not exceeded. Of other measures best_day_minor is what is
    compared with the threshold: the total, the counted profit, the best trade; in 10^-9 lots the
    largest lot.
    """

    best_day_minor: int
    total_minor: int
    days: int
    threshold_minor: int
    exceeded: bool
    passed: bool


def best_day_share(rule: terms.Consistency, account: Account) -> Share:
    """Weigh the account's results by the rule's measure."""
    if rule.measure == terms.LOT_BAND:
        return _lot_band(rule, account)
    results = booked_results(account, open_day=rule.open_day_counts, since_payout=rule.since_payout)
    if rule.measure == terms.MOVING_TARGET:
        return _moving_target(rule, results)
    if rule.measure == terms.COUNTED_PROFIT:
        return _counted_profit(rule, results)
    gains_only = rule.total == terms.TOTAL_PROFITABLE_DAYS
    total_minor = sum(result for result in results if result > 0 or not gains_only)
    best_minor = max(results, default=0)
    if rule.measure == terms.BEST_TRADE:
        best_minor = account.tally.best_trade_minor or 0
    of_target = rule.measure == terms.BEST_DAY_OF_TARGET
    strict = rule.comparator == terms.AT_OR_ABOVE
    limit_micro = (rule.target_minor if of_target else total_minor) * rule.share_ppm
    threshold_minor = -(-limit_micro // MICRO) if strict else limit_micro // MICRO
    over = best_minor >= threshold_minor if strict else best_minor > threshold_minor
    defined = of_target or (total_minor > 0 and len(results) >= rule.minimum_days)
    return Share(
        best_minor,
        total_minor,
        len(results),
        threshold_minor,
        defined and over,
        defined and not over,
    )


def _moving_target(rule: terms.Consistency, results: list[int]) -> Share:
    """Let the target grow until the best day is the allowed share of it; nothing is broken."""
    total_minor = sum(results)
    grown_minor = -(-max(results, default=0) * MICRO // rule.share_ppm)
    target_minor = max(rule.target_minor, grown_minor)
    passed = total_minor >= target_minor
    return Share(
        total_minor, total_minor, len(results), target_minor, exceeded=False, passed=passed
    )


def _counted_profit(rule: terms.Consistency, results: list[int]) -> Share:
    """Cut each day at the share of the total; a total of zero or less cuts nothing."""
    total_minor = counted_minor = sum(results)
    if total_minor > 0:
        cut_micro = total_minor * rule.share_ppm
        counted_minor = sum(min(result * MICRO, cut_micro) for result in results) // MICRO
    passed = counted_minor >= rule.target_minor
    return Share(
        counted_minor, total_minor, len(results), rule.target_minor, exceeded=False, passed=passed
    )


def _lot_band(rule: terms.Consistency, account: Account) -> Share:
    tally = account.tally
    most_nano = tally.first_nano * rule.high_ppm // MICRO
    below = tally.least_nano * MICRO < tally.first_nano * rule.low_ppm
    outside = below or tally.most_nano > most_nano
    traded = tally.first_nano > 0
    return Share(tally.most_nano, 0, 0, most_nano, traded and outside, traded and not outside)


def share_detail(rule: terms.Consistency, share: Share, digits: int) -> str:
    """Write the share as arithmetic."""
    if rule.measure == terms.MOVING_TARGET:
        return (
            f"target {money(share.threshold_minor, digits)} = the greater of"
            f" {money(rule.target_minor, digits)} and best day / {percent(rule.share_ppm)};"
            f" profit {money(share.total_minor, digits)} {_reaches(passed=share.passed)} it"
        )
    if rule.measure == terms.COUNTED_PROFIT:
        return (
            f"profit {money(share.total_minor, digits)}, counted"
            f" {money(share.best_day_minor, digits)} with each day up to {percent(rule.share_ppm)}"
            f" of it; that {_reaches(passed=share.passed)} {money(rule.target_minor, digits)}"
        )
    best = "best trade" if rule.measure == terms.BEST_TRADE else "best day"
    relation = "exceeds" if rule.comparator == terms.ABOVE else "reaches or exceeds"
    if not share.exceeded:
        relation = "is within" if rule.comparator == terms.ABOVE else "is below"
    words = f"{best} {money(share.best_day_minor, digits)} {relation} {percent(rule.share_ppm)}"
    if rule.measure == terms.BEST_DAY_OF_TARGET:
        return f"{words} of the target {money(rule.target_minor, digits)}"
    if share.total_minor <= 0:
        return f"{_TOTAL_WORDS[rule.total]} {money(share.total_minor, digits)}: no share to judge"
    if share.days < rule.minimum_days:
        return f"{share.days} of {rule.minimum_days} days needed before the share is judged"
    return f"{words} of {_TOTAL_WORDS[rule.total]} {money(share.total_minor, digits)}"


def band_detail(rule: terms.Consistency, account: Account) -> str:
    """Write the band of lots as arithmetic."""
    tally = account.tally
    if not tally.first_nano:
        return "no trade yet, so no first lot to compare with"
    low = lots(-(-tally.first_nano * rule.low_ppm // MICRO))
    high = lots(tally.first_nano * rule.high_ppm // MICRO)
    return (
        f"lots from {lots(tally.least_nano)} to {lots(tally.most_nano)} were opened;"
        f" the first, of {lots(tally.first_nano)}, allows {low} to {high}"
    )


def _reaches(*, passed: bool) -> str:
    return "reaches" if passed else "does not reach"
