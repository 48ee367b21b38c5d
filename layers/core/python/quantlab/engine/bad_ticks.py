"""What an account would be without ticks that should never have been: two runs, one difference.

Up to the first command that saw a bad tick both runs are the record. From there the live path is
run twice on the ticks alone, with and without the bad ones, so that nothing but them differs.
Nothing is changed by it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quantlab.engine.batch import BatchRun, given_commands, surroundings_seen
from quantlab.engine.commands import Fill, Outcome, Violation
from quantlab.engine.replay import Recording, outcomes, rules_for
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

    fills_undone and violations_undone would not have happened; fills_instead would have.
    """

    account_with: Account
    account_without: Account
    fills_undone: tuple[Fill, ...]
    fills_instead: tuple[Fill, ...]
    violations_undone: tuple[Violation, ...]

    @property
    def affected(self) -> bool:
        """Say whether anything of it would be different."""
        changed = self.fills_undone or self.fills_instead or self.violations_undone
        return bool(changed) or self.balance_minor != 0

    @property
    def balance_minor(self) -> int:
        """Return what the balance would be more (or less, below zero), in minor units."""
        return self.account_without.balance_minor - self.account_with.balance_minor


def without(recording: Recording, bad: BadTicks) -> Undone:
    """Compare an account with what it would be without the bad ticks.

    The recording needs every tick from the range on, of all symbols that the account looks at.
    """
    cut = next(
        (i for i, one in enumerate(recording.decided) if one.inputs.feed_seq >= bad.from_seq),
        len(recording.decided),
    )
    before = replace(recording, decided=recording.decided[:cut])
    state = recording.opening
    for outcome in outcomes(before):
        state = outcome.account
    good = [tick for tick in recording.ticks if not bad.holds(tick)]
    after = replace(recording, decided=recording.decided[cut:], opening=state)
    here, led_to = _run(after, recording.ticks, bad.from_seq - 1)
    there, would_lead_to = _run(after, good, bad.from_seq - 1)
    fills, others = _fills(led_to), _fills(would_lead_to)
    return Undone(
        account_with=here,
        account_without=there,
        fills_undone=tuple(_beyond(fills, others)),
        fills_instead=tuple(_beyond(others, fills)),
        violations_undone=tuple(_broken_only(led_to, would_lead_to)),
    )


def _run(
    recording: Recording, ticks: Sequence[Quote], after_seq: int
) -> tuple[Account, list[Outcome]]:
    rules = rules_for(recording, recording.opening)
    keeps_hours = any(one.inputs.keeps_hours for one in recording.decided)
    opening, catalog = recording.opening, recording.catalog
    seen = surroundings_seen(recording.decided)
    run = BatchRun(opening, catalog, rules, ticks, after_seq, keeps_hours, seen)
    led_to = list(run.run(given_commands(recording.decided)))
    return run.account, led_to


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
