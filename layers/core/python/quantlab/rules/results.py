"""The days of an account that rules count: each with its closed result.

A result stands on the day it was booked: parts of one position closed on several days are not
merged. A day on which nothing was opened and nothing booked does not count.
"""

from typing import NamedTuple

from quantlab.ledger.state import Account
from quantlab.ledger.tally import traded_since_payout


class DayResult(NamedTuple):
    """One day: net closed result, whether a position was opened, equity gained to the reset."""

    realised_minor: int
    traded: bool
    equity_gain_minor: int | None

    @property
    def counts(self) -> bool:
        """Say whether the day saw trading."""
        return self.traded or self.realised_minor != 0


def day_results(account: Account, *, open_day: bool, since_payout: bool) -> list[DayResult]:
    """Return the closed days, and the open one on request, of the whole life or since the payout.

    Of the day of the payout only what came after it counts.
    """
    tally = account.tally
    first = tally.payout_date if since_payout and tally.payouts else ""
    days = [
        (day.date, DayResult(day.realised_minor, day.traded, day.equity_gain_minor))
        for day in account.closed_days
    ]
    if open_day:
        day = account.day
        days.append((day.date, DayResult(day.realised_minor, day.traded, None)))
    return [
        after_payout(result, account) if first and date == first else result
        for date, result in days
        if date >= first
    ]


def after_payout(whole: DayResult, account: Account) -> DayResult:
    """Return what of the day of the last payout came after it."""
    tally, gain_minor = account.tally, whole.equity_gain_minor
    is_open = account.day.date == tally.payout_date
    return DayResult(
        whole.realised_minor - tally.payout_day_minor,
        traded_since_payout(tally) if is_open else tally.payout_day_traded,
        None if gain_minor is None else gain_minor - tally.payout_day_gain_minor,
    )


def booked_results(account: Account, *, open_day: bool, since_payout: bool) -> list[int]:
    """Return the closed results of the days that count."""
    days = day_results(account, open_day=open_day, since_payout=since_payout)
    return [day.realised_minor for day in days if day.counts]


def closed_profit_minor(account: Account) -> int:
    """Return what the account has made since it was opened, paid-out profit included."""
    return account.balance_minor + account.tally.paid_minor - account.initial_balance_minor
