"""Payouts: what may be taken out now, by which gates, and who gets which part of it."""

from typing import Final, TypeVar

from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.state import Account, ClosedDay, Day
from quantlab.ledger.tally import pay_out
from quantlab.rules import terms
from quantlab.rules.consistency import best_day_share, share_detail
from quantlab.rules.floors import floors
from quantlab.rules.results import DayResult, after_payout
from quantlab.rules.wording import money
from quantlab.tenancy.programs import PayoutTerms

_Day = TypeVar("_Day", ClosedDay, Day)


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must hold before a payout, whether it does, and the figures in words."""

    slug: str
    met: bool
    words: str

    def as_payload(self) -> dict[str, Json]:
        """Return the gate as events and the API show it."""
        return {"gate": self.slug, "met": self.met, "detail": self.words}


@dataclass(frozen=True, slots=True)
class Offer:
    """A payout looked at: its gates, and the parts of amount_minor in minor units.

    available_minor is the most that may be taken out; an amount above it closes the gate amount.
    """

    gates: tuple[Gate, ...]
    available_minor: int
    amount_minor: int
    trader_minor: int
    firm_minor: int

    @property
    def open(self) -> bool:
        """Say whether every gate is met."""
        return all(gate.met for gate in self.gates)

    @property
    def words(self) -> str:
        """Name the gates that are not met."""
        return "; ".join(f"{gate.slug}: {gate.words}" for gate in self.gates if not gate.met)


CLOSED: Final = Gate("payouts_possible", False, "the account's phase pays nothing out")


def offer(
    account: Account,
    profile: terms.Profile,
    payouts: PayoutTerms | None,
    amount_minor: int | None,
    since_date: str | None,
) -> Offer:
    """Look at a payout of an amount, None for all that is available.

    since_date is the trading day of the last payout: what happened before that has been paid for
    and counts towards no gate any more. The account must be in its present day.
    """
    if payouts is None:
        return Offer((CLOSED,), 0, 0, 0, 0)
    profit_minor = account.balance_minor - account.initial_balance_minor
    available_minor = max(0, profit_minor - payouts.buffer_minor)
    wanted_minor = available_minor if amount_minor is None else amount_minor
    trader_minor, firm_minor = payouts.shares_of(max(0, wanted_minor))
    cycle = _since(account, since_date)
    gates = (
        _standing(account),
        _flat(account),
        _profit(account, payouts, profit_minor),
        _days(cycle, payouts),
        *_share(cycle, payouts),
        _amount(account, payouts, wanted_minor, available_minor),
        *_floors(account, profile, wanted_minor),
    )
    return Offer(gates, available_minor, wanted_minor, trader_minor, firm_minor)


def _since(account: Account, since_date: str | None) -> Account:
    """Return the account with the days since a payout alone, of its own day what came after it."""
    if since_date is None:
        return account
    closed = [day for day in account.closed_days if day.date >= since_date]
    if closed and closed[0].date == since_date:
        closed[0] = _rest_of(closed[0], account)
    day = _rest_of(account.day, account) if account.day.date == since_date else account.day
    return replace(account, closed_days=tuple(closed), day=day)


def _rest_of(day: _Day, account: Account) -> _Day:
    """Return the day of the last payout with what came after that alone."""
    rest = after_payout(DayResult(day.realised_minor, day.traded, None), account)
    return replace(day, realised_minor=rest.realised_minor, traded=rest.traded)


def _standing(account: Account) -> Gate:
    return Gate("account_active", account.status == "active", f"the account is {account.status}")


def _flat(account: Account) -> Gate:
    return Gate("flat", is_flat(account), in_market(account))


def is_flat(account: Account) -> bool:
    """Say whether nothing of the account is in the market: no position, no working order."""
    return not account.positions and not account.working


def in_market(account: Account) -> str:
    """Say in words what of the account is in the market."""
    return f"{len(account.positions)} open positions, {len(account.working)} working orders"


def _profit(account: Account, payouts: PayoutTerms, profit_minor: int) -> Gate:
    least_minor, digits = payouts.minimum_profit_minor, account.currency_digits
    words = f"profit {money(profit_minor, digits)} of at least {money(least_minor, digits)} wanted"
    return Gate("minimum_profit", profit_minor > 0 and profit_minor >= least_minor, words)


def _days(cycle: Account, payouts: PayoutTerms) -> Gate:
    days = sum(day.traded for day in cycle.closed_days)
    words = f"{days} of {payouts.minimum_days} finished trading days since the last payout"
    return Gate("minimum_days", days >= payouts.minimum_days, words)


def _share(cycle: Account, payouts: PayoutTerms) -> list[Gate]:
    if payouts.best_day_share_ppm is None:
        return []
    rule = terms.Consistency(
        "payout_consistency", terms.GATE, terms.WARN_ONLY,
        share_ppm=payouts.best_day_share_ppm, comparator=terms.ABOVE, open_day_counts=True,
        total=terms.TOTAL_NET, minimum_days=1,
    )  # fmt: skip
    share = best_day_share(rule, cycle)
    return [Gate("consistency", share.passed, share_detail(rule, share, cycle.currency_digits))]


def _amount(
    account: Account, payouts: PayoutTerms, wanted_minor: int, available_minor: int
) -> Gate:
    digits = account.currency_digits
    words = (
        f"{money(wanted_minor, digits)} of {money(available_minor, digits)} available:"
        f" balance {money(account.balance_minor, digits)} - initial"
        f" {money(account.initial_balance_minor, digits)} - buffer"
        f" {money(payouts.buffer_minor, digits)}"
    )
    return Gate("amount", 0 < wanted_minor <= available_minor, words)


def _floors(account: Account, profile: terms.Profile, wanted_minor: int) -> list[Gate]:
    """Let no payout break a rule: what is left must stand above every floor."""
    after = account
    if wanted_minor > 0:
        after = pay_out(account, wanted_minor, account.day.started_ns)
    left_minor, digits = after.balance_minor, account.currency_digits
    return [
        Gate(
            f"floor:{floor.rule_id}",
            left_minor >= floor.breach_below_minor,
            f"{money(left_minor, digits)} would be left; {floor.detail}",
        )
        for floor in floors(profile, after, left_minor)
        if floor.severity != terms.WARN
    ]
