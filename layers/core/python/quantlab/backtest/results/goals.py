"""Whether a run has reached what its profile asks for, and when: judged by the rules of live."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from quantlab.backtest import layout as at
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fills import Netted
from quantlab.ledger.state import Account, ClosedDay, Day, Position
from quantlab.ledger.tally import count_fill
from quantlab.rules import terms
from quantlab.rules.day import open_day
from quantlab.rules.phase_goals import Goal, goals, has_goals


@dataclass(frozen=True, slots=True)
class Passing:
    """The goals as they stand at the end, and the first instant at which all were met.

    An evaluation is passed while the account may trade and holds nothing; passed_ns is None where
    that never came about.
    """

    goals: tuple[Goal, ...] = ()
    passed_ns: int | None = None


class _Moment(NamedTuple):
    ns: int
    account: Account
    counts: bool


def passing(finished: Any) -> Passing:
    """Judge a `running.Finished` after each fill and at each reset."""
    profile = finished.account.profile
    if not has_goals(profile):
        return Passing()
    targets = [one.target_minor for one in profile.rules if isinstance(one, terms.ProfitTarget)]
    least_minor = finished.account.initial_minor + max(targets, default=-(1 << 62))
    passed_ns, last = None, None
    for moment in _moments(finished):
        last = moment.account
        may = moment.counts and not last.positions and last.balance_minor >= least_minor
        if passed_ns is None and may and all(goal.met for goal in goals(profile, last)):
            passed_ns = moment.ns
    return Passing(() if last is None else goals(profile, last), passed_ns)


def _moments(finished: Any) -> Iterator[_Moment]:
    """Yield the account after each fill and each reset, and as it is at the end."""
    block, profile = finished.block, finished.account.profile
    initial = finished.account.initial_minor
    ended_ns = _ended_ns(finished)
    rows, fills = finished.days.tolist(), finished.fills.tolist()
    first_ns = int(block[block[at.DAYS_AT]])
    account = finished.account.opening(open_day(profile, initial, initial, first_ns))
    done = 0
    for row in rows:
        until_ns = row[at.D_RESET]
        while done < len(fills) and fills[done][at.F_NS] < until_ns:
            account = _after_fill(account, fills[done], finished.account.instruments)
            by_rule = fills[done][at.F_CAUSE] == at.BY_RULE
            yield _Moment(fills[done][at.F_NS], account, not by_rule)
            done += 1
        account = _after_day(account, row, profile)
        yield _Moment(until_ns, account, until_ns < ended_ns)
    for fill in fills[done:]:
        account = _after_fill(account, fill, finished.account.instruments)
        yield _Moment(fill[at.F_NS], account, fill[at.F_CAUSE] != at.BY_RULE)
    yield _Moment(int(block[at.NOW]), account, block[at.STATUS] == at.ACTIVE_STATUS)


def position_key(fill: Sequence[int], symbol: str) -> str:
    """Return what an account would hold the position of a fill under: its symbol, or its leg."""
    return f"{symbol} {fill[at.F_TICKET]}" if fill[at.F_TICKET] else symbol


def _after_fill(account: Account, fill: list[int], instruments: Any) -> Account:
    instrument = instruments[fill[at.F_SYMBOL]]
    size, cost = fill[at.F_POSITION], fill[at.F_COST]
    key = position_key(fill, instrument.symbol)
    positions = {k: one for k, one in account.positions.items() if k != key}
    if size:
        positions[key] = Position(instrument.symbol, size, cost, None, None, 0, 0)
    netted = Netted(size, cost, 0, fill[at.F_CLOSED], fill[at.F_OPENED])
    day, balance = account.day, fill[at.F_BALANCE]
    return replace(
        account,
        balance_minor=balance,
        positions=positions,
        day=replace(
            day,
            realised_minor=balance - day.start_balance_minor,
            traded=day.traded or fill[at.F_OPENED] > 0,
        ),
        tally=count_fill(account.tally, instrument, key, netted, fill[at.F_PROFIT], fill[at.F_FEE]),
    )


def _after_day(account: Account, row: list[int], profile: terms.Profile) -> Account:
    """Close a day as `rules.day.roll_day` does: one that left nothing behind is not kept."""
    ended = account.day
    gain = row[at.D_EQUITY] - ended.start_equity_minor
    closed = account.closed_days
    if row[at.D_TRADED] or row[at.D_REALISED] or gain:
        found = ClosedDay(ended.date, row[at.D_REALISED], bool(row[at.D_TRADED]), gain)
        closed = (*closed, found)
    day: Day = open_day(profile, row[at.D_BALANCE], row[at.D_EQUITY], row[at.D_RESET])
    return replace(account, balance_minor=row[at.D_BALANCE], day=day, closed_days=closed)


def _ended_ns(finished: Any) -> int:
    """Return when a rule ended the account; never where none has."""
    if finished.block[at.STATUS] != at.DISABLED:
        return at.NEVER_HIGH
    return int(finished.block[at.NOW])
