"""What would have become of an account under rules that were not its own: two runs on its ticks.

Both begin at the account's opening and take the commands of people and bots from its record; what
the platform adds is made again. One keeps the rules the account was opened with, the other has the
others, so that nothing but the rules differs. Later moves to other configurations and corrections
belong to neither. Nothing is changed by it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quantlab.engine.bad_ticks import BadTicks
from quantlab.engine.batch import given_commands, run_again
from quantlab.engine.commands import CORRECT, MOVE_CONFIG, Outcome, Violation
from quantlab.engine.context import Market, equity_of
from quantlab.engine.opening import Rules, fresh_account, rules_of, start_of
from quantlab.engine.rejections import Rejection
from quantlab.engine.replay import Recording, rules_for
from quantlab.engine.tape import Tape
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.tenancy.config import AccountType

LEFT_OUT = frozenset((CORRECT, MOVE_CONFIG))


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that would have been broken, and the moment on the clock of the ticks."""

    violation: Violation
    at_ns: int


@dataclass(frozen=True, slots=True)
class Ran:
    """Where a run ends: equity_minor None where it cannot be known; rejected orders by reason."""

    account: Account
    equity_minor: int | None
    broken: tuple[Broken, ...]
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Compared:
    """The run under the account's own rules and the one under the others, on so many ticks."""

    own: Ran
    other: Ran
    ticks: int
    commands: int


def first_seq(recording: Recording) -> int | None:
    """Return the tick on which an account was first asked for anything; None if it never was."""
    return min((one.inputs.feed_seq for one in given_commands(recording.decided)), default=None)


def under(
    recording: Recording,
    types: Mapping[str, AccountType],
    fill_models: Mapping[str, Mapping[str, Any]] | None = None,
    known: Sequence[BadTicks] = (),
) -> Compared:
    """Compare an account with what it would be under a configuration's types and fill models.

    The recording needs every tick from first_seq on of all symbols that the account looks at.
    known are bad ticks, in neither run. KeyError where its type, or the one its phase leads to, is
    not among the types; ProfileError where a profile of theirs does not hold.
    """
    opening = recording.opening
    kind = replace(types[opening.account_type], initial_balance_minor=opening.initial_balance_minor)
    changed = {**types, kind.type_id: kind}
    version, opened_ns = opening.config_version, opening.tally.opened_ns
    start = start_of(kind, opening.initial_balance_minor)
    fresh = fresh_account(opening.tenant_id, opening.account_id, start, version, opened_ns)
    asked = [one for one in recording.decided if one.command.name not in LEFT_OUT]
    again = replace(recording, decided=asked)
    ticks = [tick for tick in recording.ticks if not any(one.holds(tick) for one in known)]
    after_seq = first_seq(recording) or 0
    last = Tape(ticks).latest(max((tick.seq for tick in ticks), default=0))
    market = Market(recording.catalog, last, 0)

    def ran(opening: Account, rules: Rules) -> Ran:
        return _ran(*run_again(again, opening, rules, ticks, after_seq), market)

    return Compared(
        own=ran(opening, rules_for(recording, opening)),
        other=ran(fresh, rules_of(changed, fresh, fill_models)),
        ticks=_after(ticks, after_seq),
        commands=len(given_commands(asked)),
    )


def _ran(account: Account, led_to: Iterable[Outcome], market: Market) -> Ran:
    broken: list[Broken] = []
    rejected: Counter[str] = Counter()
    for outcome in led_to:
        broken += [Broken(one, outcome.decided_ns) for one in outcome.violations]
        if outcome.rejection is not None:
            rejected[str(outcome.rejection.reason)] += 1
    equity = equity_of(account, market, stale_counts=True)
    known = None if isinstance(equity, Rejection) else equity
    return Ran(account, known, tuple(broken), dict(sorted(rejected.items())))


def _after(ticks: Iterable[Quote], after_seq: int) -> int:
    return sum(tick.seq > after_seq for tick in ticks)


def write_compared(compared: Compared) -> dict[str, Json]:
    """Write both runs: money as decimal text, broken rules with their arithmetic."""
    return {
        "ticks": compared.ticks,
        "commands": compared.commands,
        "own": _written(compared.own),
        "other": _written(compared.other),
    }


def _written(ran: Ran) -> dict[str, Json]:
    account = ran.account
    digits = account.currency_digits
    return {
        "status": account.status,
        "statusReason": account.status_reason,
        "balance": format_minor(account.balance_minor, digits),
        "equity": None if ran.equity_minor is None else format_minor(ran.equity_minor, digits),
        "highWater": format_minor(account.high_water_minor, digits),
        "broken": [
            {
                "rule": one.violation.rule,
                "action": one.violation.action,
                "at": format_rfc3339(one.at_ns),
                "arithmetic": one.violation.verdict["arithmetic"],
            }
            for one in ran.broken
        ],
        "rejected": dict(ran.rejected),
    }
