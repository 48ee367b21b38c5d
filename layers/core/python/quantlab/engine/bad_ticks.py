"""What an account would be without ticks that should never have been: two runs, one difference.

Up to the first command that saw a bad tick both runs are the record. From there the live path is
run twice on the ticks alone, with and without the bad ones, so that nothing but them differs.
Ticks that are known to be bad already are in neither run, and no correction of them either: so the
differences of several ranges add up to that of all of them. Nothing is changed by it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from quantlab.engine.batch import run_again
from quantlab.engine.commands import CORRECT, Fill, Outcome, Violation
from quantlab.engine.context import Market, equity_of, symbols_of
from quantlab.engine.rejections import Rejection
from quantlab.engine.replay import Recording, outcomes, rules_for
from quantlab.engine.tape import Tape
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote


@dataclass(frozen=True, slots=True)
class BadTicks:
    """A range of a symbol's ticks by the feed's seq, both ends included."""

    symbol: str
    from_seq: int
    to_seq: int

    def holds(self, quote: Quote) -> bool:
        """Say whether a tick is one of them."""
        return quote.symbol == self.symbol and self.from_seq <= quote.seq <= self.to_seq


@dataclass(frozen=True, slots=True)
class Undone:
    """How the account would differ: with is what the ticks led to, without what would have been.

    fills_undone and violations_undone would not have happened; fills_instead would have. The
    equities are marked at the same quotes, the last good ones that are known; None where one is
    missing. booked_with and booked_without are the sums of what was booked, by kind.
    """

    account_with: Account
    account_without: Account
    equity_with_minor: int | None
    equity_without_minor: int | None
    booked_with: Mapping[str, int]
    booked_without: Mapping[str, int]
    quotes: tuple[Quote, ...]
    fills_undone: tuple[Fill, ...]
    fills_instead: tuple[Fill, ...]
    violations_undone: tuple[Violation, ...]

    @property
    def affected(self) -> bool:
        """Say whether anything of it would be different."""
        changed = self.fills_undone or self.fills_instead or self.violations_undone
        mark_minor = self.account_with.high_water_minor
        moved = mark_minor != self.account_without.high_water_minor
        return bool(changed) or moved or self.balance_minor != 0

    @property
    def balance_minor(self) -> int:
        """Return what the balance would be more (or less, below zero), in minor units."""
        return self.account_without.balance_minor - self.account_with.balance_minor

    @property
    def amount_minor(self) -> int | None:
        """Return what the ticks took from the account (gave it, below zero), in minor units.

        It is the difference in equity: a position that would still be held counts as what it was
        worth. None where that is not known.
        """
        if self.equity_with_minor is None or self.equity_without_minor is None:
            return None
        return self.equity_without_minor - self.equity_with_minor

    @property
    def positions_differ(self) -> bool:
        """Say whether other positions would be held."""
        return _held(self.account_with) != _held(self.account_without)

    @property
    def lifts_rule(self) -> str | None:
        """Return the rule that stopped the account over these ticks alone."""
        stopped, free = self.account_with, self.account_without
        rules = {violation.rule for violation in self.violations_undone}
        if stopped.status not in ("disabled", "locked") or free.status != "active":
            return None
        return stopped.status_reason if stopped.status_reason in rules else None


def _held(account: Account) -> list[tuple[str, int]]:
    return sorted((one.symbol, one.size_steps) for one in account.positions.values())


def without(recording: Recording, bad: BadTicks, known: Sequence[BadTicks] = ()) -> Undone:
    """Compare an account with what it would be without the bad ticks.

    known are ticks that were found bad before, and are in neither run. The recording needs every
    tick from the first of all the ranges on, and the last before it, of all symbols that the
    account looks at.
    """
    from_seq = min(one.from_seq for one in (bad, *known))
    cut = next(
        (i for i, one in enumerate(recording.decided) if one.inputs.feed_seq >= from_seq),
        len(recording.decided),
    )
    before = replace(recording, decided=recording.decided[:cut])
    state = recording.opening
    for outcome in outcomes(before):
        state = outcome.account
    believed = [tick for tick in recording.ticks if not any(one.holds(tick) for one in known)]
    good = [tick for tick in believed if not bad.holds(tick)]
    asked = [one for one in recording.decided[cut:] if one.command.name != CORRECT]
    after = replace(recording, decided=asked)
    rules = rules_for(after, state)
    here, led_to = run_again(after, state, rules, believed, from_seq - 1)
    there, would_lead_to = run_again(after, state, rules, good, from_seq - 1)
    fills, others = _fills(led_to), _fills(would_lead_to)
    last = Tape(good).latest(max((tick.seq for tick in good), default=0))
    market = Market(recording.catalog, last, 0)
    looked_at = sorted(symbols_of(here, market.catalog) | symbols_of(there, market.catalog))
    return Undone(
        account_with=here,
        account_without=there,
        equity_with_minor=_equity(here, market),
        equity_without_minor=_equity(there, market),
        booked_with=_booked(led_to),
        booked_without=_booked(would_lead_to),
        quotes=tuple(last[symbol] for symbol in looked_at if symbol in last),
        fills_undone=tuple(_beyond(fills, others)),
        fills_instead=tuple(_beyond(others, fills)),
        violations_undone=tuple(_broken_only(led_to, would_lead_to)),
    )


def _equity(account: Account, market: Market) -> int | None:
    found = equity_of(account, market, stale_counts=True)
    return None if isinstance(found, Rejection) else found


def _booked(led_to: Iterable[Outcome]) -> Counter[str]:
    """Sum up what was booked by kind, in minor units."""
    booked: Counter[str] = Counter()
    for outcome in led_to:
        for entry in (entry for fill in outcome.fills for entry in fill.entries):
            booked[entry.kind] += entry.amount_minor
        for booking in outcome.life.bookings if outcome.life is not None else ():
            booked[booking.entry.kind] += booking.entry.amount_minor
    return booked


def _fills(led_to: Iterable[Outcome]) -> list[Fill]:
    return [fill for outcome in led_to for fill in outcome.fills]


def _beyond(fills: Iterable[Fill], others: Iterable[Fill]) -> list[Fill]:
    """Return the fills that have no equal among the others; identifiers follow from what came."""
    left = Counter(_trade_of(fill) for fill in others)
    found = []
    for fill in fills:
        if left[_trade_of(fill)]:
            left[_trade_of(fill)] -= 1
        else:
            found.append(fill)
    return found


def _trade_of(fill: Fill) -> tuple[str, int, int, int, int]:
    return fill.symbol, fill.side, fill.size_steps, fill.price_ticks, fill.quote_seq


def _broken_only(led_to: Iterable[Outcome], others: Iterable[Outcome]) -> list[Violation]:
    left = Counter((one.rule, one.action) for outcome in others for one in outcome.violations)
    found = []
    for violation in (one for outcome in led_to for one in outcome.violations):
        name = (violation.rule, violation.action)
        if left[name]:
            left[name] -= 1
        else:
            found.append(violation)
    return found
