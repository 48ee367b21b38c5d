"""Rolling an account's trading day: close the open one, begin the one that holds now."""

from quantlab.kernel.records import replace
from quantlab.ledger.state import Account, ClosedDay, Day
from quantlab.ledger.tally import begin_day
from quantlab.rules import terms
from quantlab.rules.calendar import day_of

_ACTIVE = "active"
_LOCKED = "locked"


def open_day(profile: terms.Profile, balance_minor: int, equity_minor: int, now_ns: int) -> Day:
    """Return a fresh trading day that holds now, starting from this balance and equity."""
    day = day_of(now_ns, profile.day.reset, profile.day.time_zone)
    return Day(
        date=day.date,
        started_ns=day.started_ns,
        next_reset_ns=day.next_reset_ns,
        start_balance_minor=balance_minor,
        start_equity_minor=equity_minor,
        realised_minor=0,
        traded=False,
    )


def is_day_over(account: Account, now_ns: int) -> bool:
    """Say whether the account's open day must be rolled before anything else happens to it."""
    return now_ns >= account.day.next_reset_ns


def last_reset_ns(account: Account, profile: terms.Profile, now_ns: int) -> int:
    """Return the reset that began the day which holds now, of an account whose open day is over.

    Other day terms than those of the open day begin none before that has ended.
    """
    day = day_of(now_ns, profile.day.reset, profile.day.time_zone)
    return max(day.started_ns, account.day.next_reset_ns)


def goes_on(account: Account, profile: terms.Profile, now_ns: int) -> bool:
    """Say whether the open day goes on to the next reset of other day terms.

    That is where these would begin a day of the same date again: each date is one day.
    """
    day = day_of(now_ns, profile.day.reset, profile.day.time_zone)
    return is_day_over(account, now_ns) and day.date <= account.day.date


def roll_day(
    account: Account,
    profile: terms.Profile,
    reset_balance_minor: int,
    reset_equity_minor: int,
    now_ns: int,
) -> Account:
    """Return the account in the trading day that holds now; unchanged while its day lasts.

    Balance and equity are those at the latest reset passed. Only the day that was open can have
    seen commands, so days in between leave nothing behind, and one with neither trading nor a
    change of equity is not recorded. What was raised in the old day and what was counted for it end
    with it, and so does its lock, unless positions that had to be closed are still open. A day that
    goes on under other day terms is only longer.
    """
    if not is_day_over(account, now_ns):
        return account
    ended, closed_days = account.day, account.closed_days
    fresh = open_day(profile, reset_balance_minor, reset_equity_minor, now_ns)
    if goes_on(account, profile, now_ns):
        return replace(account, day=replace(ended, next_reset_ns=fresh.next_reset_ns))
    gain_minor = reset_equity_minor - ended.start_equity_minor
    if ended.traded or ended.realised_minor != 0 or gain_minor != 0:
        closed = ClosedDay(ended.date, ended.realised_minor, ended.traded, gain_minor)
        closed_days = (*closed_days, closed)
    rolled = replace(
        account,
        high_water_minor=_mark_at_reset(account, profile, reset_balance_minor, reset_equity_minor),
        day=replace(fresh, started_ns=last_reset_ns(account, profile, now_ns)),
        closed_days=closed_days,
        raised=(),
        tally=begin_day(account.tally, ended.date),
    )
    return unlocked(rolled) if is_lock_over(rolled, profile) else rolled


def is_lock_over(account: Account, profile: terms.Profile) -> bool:
    """Say whether a lock has nothing left to wait for: its day is over, and no position is open."""
    if account.status != _LOCKED or account.positions:
        return False
    return not any(
        rule.action == terms.LOCK_UNTIL_RESET and rule.rule_id in account.raised
        for rule in profile.rules
    )


def unlocked(account: Account) -> Account:
    """Return the account as it may trade again."""
    return replace(account, status=_ACTIVE, status_reason=None)


def _mark_at_reset(
    account: Account, profile: terms.Profile, balance_minor: int, equity_minor: int
) -> int:
    if profile.high_water_basis is None:
        return account.high_water_minor
    on_equity = profile.high_water_basis == terms.BASIS_EQUITY
    return max(account.high_water_minor, equity_minor if on_equity else balance_minor)
