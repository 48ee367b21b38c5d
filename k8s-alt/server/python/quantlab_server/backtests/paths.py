"""Paths of drawn days through an account type's rules: what is left out is said in words.

The days are those of one run over all the data without the rules, so that no broken rule cuts it
short. Goals are judged by the rules room at the close of each path's days.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.block import equity_rules
from quantlab.backtest.results import challenge
from quantlab.backtest.results.challenge import Challenge, DayMoves, Terms
from quantlab.backtest.results.finished import of_finished
from quantlab.backtest.results.run import Words
from quantlab.backtest.running import Run
from quantlab.engine.payouts import offer
from quantlab.ledger.state import Account, ClosedDay
from quantlab.rules import terms
from quantlab.rules.day import open_day
from quantlab.rules.floors import RuleRow, rule_row
from quantlab.rules.phase_goals import goals, has_goals
from quantlab.tenancy.programs import PayoutTerms
from quantlab_server.backtests.bounds import least_days, least_profit_minor

_OF_TRADES: Final = (terms.BEST_TRADE, terms.LOT_BAND)
_KNOWN: Final = (
    terms.DailyLoss, terms.MaxDrawdown, terms.Consistency, terms.ProfitTarget,
    terms.MinTradingDays, terms.ProfitableDays,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paths:
    """What paths of drawn days came to.

    payout_minor is the mean over all paths of the trader's part of the payout that passes a path,
    where a payout is what passes it. left_out says what of the profile the paths do not know.
    outcome and taken are those of each path, paid what each was paid by its number.
    """

    found: Challenge
    days: int
    block_days: int
    max_days: int
    seed: int
    payout_minor: float | None
    left_out: tuple[str, ...]
    outcome: Words = field(compare=False)
    taken: Words = field(compare=False)
    paid: dict[int, int]


def without_rules(account: BacktestAccount) -> BacktestAccount:
    """Return the account with its days and costs, and no rules."""
    free = replace(
        account.profile, rules=(), daily_losses=(), drawdowns=(), judged_consistencies=(),
        order_rules=(), order_blocking_ids=(), high_water_basis=None, asked_rules=(),
        standing_rules=(),
    )  # fmt: skip
    return replace(account, profile=free)


def paths_of(
    run: Run,
    account: BacktestAccount,
    payouts: PayoutTerms | None,
    *,
    paths: int,
    block_days: int,
    max_days: int,
    seed: int,
    drawn_before: int = 0,
) -> Paths | None:
    """Draw paths from the days of a run `without_rules`, and attempt the account's type on each.

    drawn_before is how many blocks were drawn from the seed already. None where the paths know none
    of the goals.
    """
    judged, left_out = _judged(account.profile)
    if not has_goals(judged) and (has_goals(account.profile) or payouts is None):
        return None
    moves = challenge.day_moves(of_finished(run.finish(), run.quotes))
    owner = replace(account, profile=judged)
    opened = owner.opening(
        open_day(judged, account.initial_minor, account.initial_minor, run.span.first_ns)
    )
    rules = tuple(
        rule_row(rule, opened)
        for rule in equity_rules(judged)
        if rule.action == terms.DISABLE_ACCOUNT
    )
    wanted = _necessary(judged, payouts, rules, max_days)
    judge = _Judge(moves, opened, judged, payouts)
    drawn = challenge.drawn_days(moves, wanted, paths, block_days, seed, drawn_before)
    outcome, taken = challenge.attempt(moves, wanted, drawn, judge.passes)
    found = challenge.summary_of(outcome, taken)
    paid = None if has_goals(judged) else sum(judge.paid.values()) / paths
    return Paths(
        *(found, len(moves), block_days, max_days, seed, paid, left_out),
        *(outcome, taken, judge.paid),
    )


def _necessary(
    profile: terms.Profile,
    payouts: PayoutTerms | None,
    rules: tuple[RuleRow, ...],
    max_days: int,
) -> Terms:
    """Return terms that are broken as the profile's are, and met wherever its goals are."""
    profit, days = least_profit_minor(profile), least_days(profile)
    if not has_goals(profile) and payouts is not None:
        profit = max(payouts.minimum_profit_minor, payouts.buffer_minor + 1)
        days = payouts.minimum_days
    return Terms(profile.initial_balance_minor, profit, rules, days, max_days)


def _judged(profile: terms.Profile) -> tuple[terms.Profile, tuple[str, ...]]:
    """Return the profile with the goals a path can be asked for, and what it leaves out."""
    kept, left_out = [], []
    for rule in profile.rules:
        if isinstance(rule, terms.Consistency) and rule.measure in _OF_TRADES:
            left_out.append(f"{rule.rule_id}: single trades of a path are not known")
        elif isinstance(rule, _KNOWN) and _is_judged(rule):
            kept.append(rule)
        else:
            left_out.append(f"{rule.rule_id}: a path follows no {rule.action}")
        if isinstance(rule, terms.DailyLoss) and not rule.costs_count:
            left_out.append(f"{rule.rule_id}: the costs of a path's days count")
    return replace(profile, rules=tuple(kept)), tuple(left_out)


def _is_judged(rule: terms.Rule) -> bool:
    return rule.severity == terms.GATE or rule.action == terms.DISABLE_ACCOUNT


class _Judge:
    """Asks the rules room whether a path has passed by the closes of its days."""

    def __init__(
        self,
        moves: DayMoves,
        opened: Account,
        profile: terms.Profile,
        payouts: PayoutTerms | None,
    ) -> None:
        self._moves, self._opened, self._profile = moves, opened, profile
        self._payouts = payouts
        self.paid: dict[int, int] = {}

    def passes(self, row: int, days: Words) -> bool:
        """Say whether the account passes at the close of the last of these days."""
        account = self._account(days)
        if has_goals(self._profile):
            return all(goal.met for goal in goals(self._profile, account))
        found = offer(account, self._profile, self._payouts, None, None)
        if found.open:
            self.paid[row] = found.trader_minor
        return found.open

    def _account(self, days: Words) -> Account:
        """Return the account after days, flat, in a day in which nothing has happened yet."""
        moves, opened = self._moves, self._opened
        change = moves.change[days]
        closes = opened.initial_balance_minor + np.cumsum(change)
        mark = max(opened.initial_balance_minor, int(closes.max()))
        if self._profile.high_water_basis == terms.BASIS_EQUITY:
            mark = max(mark, int((closes - change + moves.high[days]).max()))
        closed = tuple(
            ClosedDay(f"{number:06}", result, traded, result)
            for number, (result, traded) in enumerate(
                zip(change.tolist(), (moves.traded[days] != 0).tolist(), strict=True)
            )
        )
        balance = int(closes[-1])
        day = replace(opened.day, start_balance_minor=balance, start_equity_minor=balance)
        return replace(
            opened, balance_minor=balance, high_water_minor=mark, closed_days=closed, day=day
        )
