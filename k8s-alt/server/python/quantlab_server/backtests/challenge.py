"""A challenge over all start days of the data and over drawn days, as one document."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.results.challenge import Challenge, wilson
from quantlab.backtest.results.montecarlo import Distribution, distribution
from quantlab.backtest.results.run import words
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.rules import terms
from quantlab.rules.phase_goals import has_goals
from quantlab.tenancy.programs import PayoutTerms
from quantlab_server.backtests.attempts import (
    FAILED,
    OUT_OF_DATA,
    PASSED,
    STOPPED,
    Attempt,
    attempt,
    day_places,
)
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.paths import Paths, paths_of, without_rules
from quantlab_server.refusal import Refusal

OVERLAP: Final = "attempts that overlap share days: the interval takes them as independent"
FIRST_ONLY: Final = "payouts: the first one, asked for at the first reset at which its gates open"
ONE_PHASE: Final = "the phases that follow: each type is attempted by itself"


def challenge_of(
    bench: Bench,
    inputs: Mapping[str, Any],
    *,
    paths: int,
    block_days: int,
    max_days: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Attempt the account type of a bench; return the document that docs/challenge.md describes.

    progress hears how many attempts of how many are done. Raises Refusal for a type that asks for
    nothing.
    """
    account, kind = bench.account, bench.configured.kind
    payouts = None if kind is None or kind.phase is None else kind.phase.payouts
    if not has_goals(account.profile) and payouts is None:
        raise Refusal(
            f"--profile: expected goals or payouts, was {account.profile.name} without any:"
            " nothing could be passed"
        )
    tried = attempts_of(bench, inputs, payouts, progress)
    drawn = None
    if paths > 0:
        free = without_rules(account)
        run = bench.runner(free)(bench.records.words, inputs)
        drawn = paths_of(
            run, account, payouts, paths=paths, block_days=block_days, max_days=max_days, seed=seed
        )
    return _document(bench, account, payouts, tried, drawn)


def attempts_of(
    bench: Bench,
    inputs: Mapping[str, Any],
    payouts: PayoutTerms | None,
    progress: Callable[[int, int], None],
) -> list[Attempt]:
    """Attempt an account type from every day of the data on, account and strategy fresh."""
    quotes, made = bench.records.words, bench.runner()
    places = day_places(bench.account, quotes)
    ends = [*places[1:], len(quotes)]
    found = []
    for number, place in enumerate(places):
        run = made(quotes[place:], inputs)
        found.append(attempt(run, [end - place for end in ends[number:]], payouts))
        progress(number + 1, len(places))
    return found


def _document(
    bench: Bench,
    account: BacktestAccount,
    payouts: PayoutTerms | None,
    tried: Sequence[Attempt],
    drawn: Paths | None,
) -> dict[str, Any]:
    quotes = bench.records.words
    left_out = [FIRST_ONLY] if payouts is not None else []
    kind = bench.configured.kind
    if kind is not None and kind.phase is not None and kind.phase.next_type is not None:
        left_out.append(f"{ONE_PHASE} ({kind.phase.next_type} is next)")
    return {
        "format": 1,
        "strategy": bench.program.name,
        "sourceHash": bench.program.source_hash,
        "dataDigest": bench.records.digest,
        "symbols": [one.symbol for one in account.instruments],
        "from": format_rfc3339(int(quotes[0, at.Q_NS])),
        "to": format_rfc3339(int(quotes[-1, at.Q_NS])),
        "ticks": len(quotes),
        "account": {
            "currency": account.currency,
            "initialBalance": _money(account, account.initial_minor),
            "ruleProfile": account.profile.name,
            "ruleProfileVersion": account.profile.version,
        },
        "rules": [_rule(one) for one in account.profile.rules],
        "leftOut": left_out,
        "attempts": _attempts(account, payouts, tried),
        "paths": None if drawn is None else _paths(account, drawn),
    }


def _rule(rule: terms.Rule) -> dict[str, Any]:
    return {
        "rule": rule.slug,
        "ruleId": rule.rule_id,
        "severity": rule.severity,
        "action": rule.action,
        "judgedBy": "goals" if rule.severity == terms.GATE else "engine",
    }


def _attempts(
    account: BacktestAccount, payouts: PayoutTerms | None, tried: Sequence[Attempt]
) -> dict[str, Any]:
    outcomes = Counter(one.outcome for one in tried)
    low, high = wilson(outcomes[PASSED], len(tried))
    days = [one.days for one in tried if one.outcome == PASSED]
    failed = Counter(one.cause for one in tried if one.outcome == FAILED)
    return {
        "count": len(tried),
        "outcomes": {name: outcomes[name] for name in (PASSED, FAILED, OUT_OF_DATA, STOPPED)},
        "passedBy": "goals" if has_goals(account.profile) else "payout",
        "passRate": outcomes[PASSED] / len(tried),
        "interval": [low, high],
        "daysToPass": _spread(distribution(words(days)) if days else None),
        "causes": dict(sorted(failed.items())),
        "payout": None if payouts is None else _payout(account, payouts, tried),
        "note": OVERLAP,
        "list": [_row(account, one) for one in tried],
    }


def _payout(
    account: BacktestAccount, payouts: PayoutTerms, tried: Sequence[Attempt]
) -> dict[str, Any]:
    paid = [one.payout for one in tried if one.payout is not None]
    total = sum(one.trader_minor for one in paid)
    low, high = wilson(len(paid), len(tried))
    return {
        "splitPpm": payouts.split_ppm,
        "reached": len(paid),
        "rate": len(paid) / len(tried),
        "interval": [low, high],
        "expectation": _money(account, round(total / len(tried))),
        "mean": _money(account, round(total / len(paid))) if paid else None,
        "days": _spread(distribution(words([one.days for one in paid])) if paid else None),
    }


def _row(account: BacktestAccount, one: Attempt) -> dict[str, Any]:
    paid = one.payout
    return {
        "start": format_rfc3339(one.start_ns),
        "end": format_rfc3339(one.end_ns),
        "outcome": one.outcome,
        "cause": one.cause or None,
        "days": one.days,
        "balance": _money(account, one.balance_minor),
        "payout": None if paid is None else _money(account, paid.trader_minor),
    }


def _paths(account: BacktestAccount, drawn: Paths) -> dict[str, Any]:
    found: Challenge = drawn.found
    expected = drawn.payout_minor
    return {
        "count": found.attempts,
        "days": drawn.days,
        "blockDays": drawn.block_days,
        "maxDays": drawn.max_days,
        "seed": drawn.seed,
        "outcomes": found.outcomes,
        "passRate": found.pass_rate,
        "interval": [found.low, found.high],
        "daysToPass": _spread(found.days_to_pass),
        "payoutExpectation": None if expected is None else _money(account, round(expected)),
        "leftOut": list(drawn.left_out),
    }


def _spread(found: Distribution | None) -> dict[str, int] | None:
    if found is None:
        return None
    shares = {f"p{share}": value for share, value in found.percentiles.items()}
    return {"least": found.least, **shares, "most": found.most}


def _money(account: BacktestAccount, amount_minor: int) -> str:
    return format_minor(amount_minor, account.currency_digits)
