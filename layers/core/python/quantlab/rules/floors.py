"""Equity floors: the amount under which a daily-loss or drawdown rule fails an account.

A floor is the smallest (lt) or largest (le) whole minor unit on the same side as the exact
quotient, so comparing integers decides as comparing fractions would. It must not act.
"""

from quantlab.kernel.arith import MICRO
from quantlab.kernel.check import check
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.rules import scalars, terms
from quantlab.rules.wording import money, percent

RuleRow = tuple[int, int, int, int, int, int, int]
RULE_COLUMNS = 7

COMPARATORS = {
    terms.BELOW: scalars.BELOW,
    terms.AT_OR_BELOW: scalars.AT_OR_BELOW,
}
ANCHORS = {
    terms.ANCHOR_BALANCE: scalars.ANCHOR_BALANCE,
    terms.ANCHOR_EQUITY: scalars.ANCHOR_EQUITY,
    terms.ANCHOR_HIGHER: scalars.ANCHOR_HIGHER,
    terms.ANCHOR_INITIAL: scalars.ANCHOR_INITIAL,
    terms.ANCHOR_NET_RESULT: scalars.ANCHOR_NET_RESULT,
}
BASES = {
    None: scalars.BASIS_INITIAL,
    terms.BASIS_EQUITY: scalars.BASIS_EQUITY,
    terms.BASIS_BALANCE: scalars.BASIS_BALANCE,
    terms.BASIS_END_OF_DAY: scalars.BASIS_END_OF_DAY,
}

_ANCHOR_WORDS = {
    terms.ANCHOR_BALANCE: "balance at reset",
    terms.ANCHOR_EQUITY: "equity at reset",
    terms.ANCHOR_HIGHER: "higher of balance and equity at reset",
    terms.ANCHOR_INITIAL: "initial balance",
    terms.ANCHOR_NET_RESULT: "balance without the day's closed result",
}
_BASIS_WORDS = {
    None: "initial balance",
    terms.BASIS_EQUITY: "equity high water",
    terms.BASIS_BALANCE: "balance high water",
    terms.BASIS_END_OF_DAY: "end-of-day balance high water",
}


@dataclass(frozen=True, slots=True)
class Floor:
    """The equity under (lt) or at and under (le) which a rule is broken, and how it came about."""

    rule: str
    rule_id: str
    floor_minor: int
    comparator: str
    severity: str
    action: str
    detail: str

    def distance_minor(self, equity_minor: int) -> int:
        """Return how far the equity is above the floor."""
        return equity_minor - self.floor_minor

    @property
    def breach_below_minor(self) -> int:
        """The amount any equity below which breaks the rule, whatever the comparator."""
        return scalars.breach_below(COMPARATORS[self.comparator], self.floor_minor)


def floors(profile: terms.Profile, account: Account, equity_minor: int) -> tuple[Floor, ...]:
    """Return every equity floor of the account at this equity, daily losses first."""
    check_resolved_for(profile, account)
    high_water_minor = next_high_water(profile, account, equity_minor, at_day_end=False)
    daily = [
        _floor(rule, daily_floor_minor(rule, account), daily_detail(rule, account))
        for rule in profile.daily_losses
    ]
    drawdowns = [
        _floor(
            rule,
            drawdown_floor_minor(rule, account, high_water_minor),
            drawdown_detail(rule, account, high_water_minor),
        )
        for rule in profile.drawdowns
    ]
    return (*daily, *drawdowns)


def equity_breached(floor: Floor, equity_minor: int) -> bool:
    """Say whether this equity breaks the floor."""
    return is_broken(floor.comparator, floor.floor_minor, equity_minor)


def open_result_breached(
    floor: Floor, balance_minor: int, tick_steps: int, minor_num: int, minor_den: int
) -> bool:
    """Say, without dividing, whether an open result breaks the floor.

    The result is tick_steps (position * price - cost) at minor_num / minor_den minor units each.
    It is compared unrounded: within half a minor unit of the floor a booked equity may still
    stand, and the account's writer, which judges that, has the last word.
    """
    result, gap = tick_steps * minor_num, (floor.floor_minor - balance_minor) * minor_den
    return result <= gap if floor.comparator == terms.AT_OR_BELOW else result < gap


def next_high_water(
    profile: terms.Profile, account: Account, equity_minor: int, *, at_day_end: bool
) -> int:
    """Return the account's high-water mark after this equity, by the basis the profile trails."""
    return scalars.next_mark(
        BASES[profile.high_water_basis],
        account.high_water_minor,
        account.balance_minor,
        equity_minor,
        at_day_end,
    )


def is_broken(comparator: str, floor_minor: int, equity_minor: int) -> bool:
    """Compare an equity with a floor."""
    return scalars.is_under(COMPARATORS[comparator], floor_minor, equity_minor)


def anchor_minor(rule: terms.DailyLoss, account: Account) -> int:
    """Return the amount a daily loss is counted from."""
    return scalars.daily_anchor(
        ANCHORS[rule.anchor],
        account.initial_balance_minor,
        account.day.start_balance_minor,
        account.day.start_equity_minor,
        account.balance_minor,
        account.day.realised_minor,
    )


def daily_floor_minor(rule: terms.DailyLoss, account: Account) -> int:
    """Return the floor of a daily loss for the account's open day."""
    return _floor_minor(rule_row(rule, account), account, account.high_water_minor)


def drawdown_floor_minor(rule: terms.MaxDrawdown, account: Account, high_water_minor: int) -> int:
    """Return the floor of a drawdown under the initial balance or the high-water mark."""
    return _floor_minor(rule_row(rule, account), account, high_water_minor)


def rule_row(rule: terms.EquityRule, account: Account) -> RuleRow:
    """Return (kind, code, keep_ppm, loss_micro, comparator, lock_minor, least_minor).

    It is what the scalars take, the same until the account changes: costs of the day that do not
    count are part of the loss, the floor after a payout is the least.
    """
    comparator = COMPARATORS[rule.comparator]
    lock_minor = least_minor = None
    loss_micro = rule.loss_micro
    if isinstance(rule, terms.DailyLoss):
        kind, code = scalars.DAILY_LOSS, ANCHORS[rule.anchor]
        if not rule.costs_count:
            loss_micro += account.tally.day_costs_minor * MICRO
    else:
        kind, code, lock_minor = scalars.MAX_DRAWDOWN, BASES[rule.basis], rule.lock_minor
        if account.tally.payouts:
            least_minor = rule.payout_floor_minor
    lock = scalars.NO_LOCK if lock_minor is None else lock_minor
    least = scalars.NO_LEAST if least_minor is None else least_minor
    return kind, code, rule.keep_ppm, loss_micro, comparator, lock, least


def breach_below_minor(profile: terms.Profile, rule: terms.EquityRule, account: Account) -> int:
    """Return the equity any below which breaks the rule, at the account's own high-water mark."""
    mark_minor = next_high_water(profile, account, account.high_water_minor, at_day_end=False)
    row = rule_row(rule, account)
    return scalars.breach_below(row[4], _floor_minor(row, account, mark_minor))


def _floor_minor(row: RuleRow, account: Account, high_water_minor: int) -> int:
    return scalars.floor_of(
        *row,
        account.initial_balance_minor,
        account.day.start_balance_minor,
        account.day.start_equity_minor,
        account.balance_minor,
        account.day.realised_minor,
        high_water_minor,
    )


def daily_detail(rule: terms.DailyLoss, account: Account) -> str:
    """Write a daily loss's floor as arithmetic."""
    anchor = anchor_minor(rule, account)
    digits = account.currency_digits
    reference = f"{_ANCHOR_WORDS[rule.anchor]} {money(anchor, digits)}"
    floor = money(daily_floor_minor(rule, account), digits)
    words = f"floor {floor} = {reference} - {_loss_words(rule, account, anchor)}"
    if not rule.costs_count and account.tally.day_costs_minor:
        words += f" - costs of the day {money(account.tally.day_costs_minor, digits)}"
    return words


def drawdown_detail(rule: terms.MaxDrawdown, account: Account, high_water_minor: int) -> str:
    """Write a drawdown's floor as arithmetic."""
    digits = account.currency_digits
    amount = account.initial_balance_minor if rule.basis is None else high_water_minor
    floor = money(drawdown_floor_minor(rule, account, high_water_minor), digits)
    words = f"{_BASIS_WORDS[rule.basis]} {money(amount, digits)}"
    words = f"{words} - {_loss_words(rule, account, amount)}"
    if rule.lock_minor is not None:
        words = f"the lesser of {words} and {money(rule.lock_minor, digits)}"
    if rule.payout_floor_minor is not None and account.tally.payouts:
        least = money(rule.payout_floor_minor, digits)
        words = f"the greater of {words} and, after a payout, {least}"
    return f"floor {floor} = {words}"


def check_resolved_for(profile: terms.Profile, account: Account) -> None:
    """Refuse a profile that was resolved for another balance or currency."""
    check(
        profile.initial_balance_minor == account.initial_balance_minor
        and profile.currency_digits == account.currency_digits,
        "expected a profile resolved for the account's initial balance and currency",
    )


def _floor(rule: terms.EquityRule, floor_minor: int, detail: str) -> Floor:
    return Floor(
        rule.slug,
        rule.rule_id,
        floor_minor,
        rule.comparator,
        rule.severity,
        rule.action,
        detail,
    )


def _loss_words(rule: terms.EquityRule, account: Account, reference_minor: int) -> str:
    digits = account.currency_digits
    if rule.percent_ppm == 0:
        return money(rule.loss_micro // MICRO, digits)
    base_minor = account.initial_balance_minor if rule.loss_micro else reference_minor
    return f"{percent(rule.percent_ppm)} of {money(base_minor, digits)}"
