"""A challenge as one document: each phase, and the row of them as a whole."""

from collections import Counter
from collections.abc import Sequence
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
from quantlab_server.backtests.attempts import FAILED, OUT_OF_DATA, PASSED, STOPPED, Attempt
from quantlab_server.backtests.drawn import Drawn
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.paths import Paths
from quantlab_server.backtests.phases import Course, Phase

FORMAT: Final = 2
OVERLAP: Final = "attempts that overlap share days: the interval takes them as independent"
FIRST_ONLY: Final = "payouts: the first one, asked for at the first reset at which its gates open"


def document(
    bench: Bench,
    phases: Sequence[Phase],
    tried: Sequence[Course],
    drawn: Drawn | None,
    left_out: Sequence[str],
) -> dict[str, Any]:
    """Write a challenge as docs/challenge.md describes."""
    quotes, account = bench.records.words, phases[0].account
    pays = any(one.payouts is not None for one in phases)
    return {
        "format": FORMAT,
        "strategy": bench.program.name,
        "sourceHash": bench.program.source_hash,
        "dataDigest": bench.records.digest,
        "symbols": [one.symbol for one in account.instruments],
        "from": format_rfc3339(int(quotes[0, at.Q_NS])),
        "to": format_rfc3339(int(quotes[-1, at.Q_NS])),
        "ticks": len(quotes),
        "currency": account.currency,
        "leftOut": [*([FIRST_ONLY] if pays else []), *left_out],
        "attempts": {
            **_attempts(account, [one.whole for one in tried], pays=pays),
            "causes": _causes_by_phase(phases, tried),
            "note": OVERLAP,
            "list": [_course(phases, one) for one in tried],
        },
        "paths": None if drawn is None else _all_paths(account, drawn),
        "phases": [_phase(n, one, tried, drawn) for n, one in enumerate(phases)],
    }


def _phase(
    number: int, phase: Phase, tried: Sequence[Course], drawn: Drawn | None
) -> dict[str, Any]:
    account = phase.account
    reached = [one.phases[number] for one in tried if len(one.phases) > number]
    attempts = None
    if reached:
        failed = Counter(one.cause for one in reached if one.outcome == FAILED)
        attempts = {
            **_attempts(account, reached, pays=phase.payouts is not None),
            "causes": dict(sorted(failed.items())),
        }
    known = drawn is not None and len(drawn.phases) > number
    return {
        "type": phase.type_id,
        "name": phase.name or None,
        "stage": phase.stage or None,
        "initialBalance": _money(account, account.initial_minor),
        "ruleProfile": account.profile.name,
        "ruleProfileVersion": account.profile.version,
        "rules": [_rule(one) for one in account.profile.rules],
        "passedBy": "goals" if has_goals(account.profile) else "payout",
        "splitPpm": None if phase.payouts is None else phase.payouts.split_ppm,
        "attempts": attempts,
        "paths": _paths(account, drawn.phases[number]) if drawn is not None and known else None,
    }


def _rule(rule: terms.Rule) -> dict[str, Any]:
    return {
        "rule": rule.slug,
        "ruleId": rule.rule_id,
        "severity": rule.severity,
        "action": rule.action,
        "judgedBy": "goals" if rule.severity == terms.GATE else "engine",
    }


def _attempts(account: BacktestAccount, tried: Sequence[Attempt], *, pays: bool) -> dict[str, Any]:
    outcomes = Counter(one.outcome for one in tried)
    days = [one.days for one in tried if one.outcome == PASSED]
    return {
        "count": len(tried),
        "outcomes": {name: outcomes[name] for name in (PASSED, FAILED, OUT_OF_DATA, STOPPED)},
        "passRate": outcomes[PASSED] / len(tried),
        "interval": [*wilson(outcomes[PASSED], len(tried))],
        "daysToPass": _spread(distribution(words(days)) if days else None),
        "payout": _payout(account, tried) if pays else None,
    }


def _causes_by_phase(phases: Sequence[Phase], tried: Sequence[Course]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {one.type_id: Counter() for one in phases}
    for one in tried:
        if one.whole.outcome == FAILED:
            found[phases[len(one.phases) - 1].type_id][one.whole.cause] += 1
    return {type_id: dict(sorted(causes.items())) for type_id, causes in found.items()}


def _payout(account: BacktestAccount, tried: Sequence[Attempt]) -> dict[str, Any]:
    paid = [one.payout for one in tried if one.payout is not None]
    total = sum(one.trader_minor for one in paid)
    return {
        "reached": len(paid),
        "rate": len(paid) / len(tried),
        "interval": [*wilson(len(paid), len(tried))],
        "expectation": _money(account, round(total / len(tried))),
        "mean": _money(account, round(total / len(paid))) if paid else None,
        "days": _spread(distribution(words([one.days for one in paid])) if paid else None),
    }


def _course(phases: Sequence[Phase], one: Course) -> dict[str, Any]:
    steps = zip(phases, one.phases, strict=False)
    return {
        **_row(phases[len(one.phases) - 1], one.whole),
        "phases": [_row(phase, step) for phase, step in steps],
    }


def _row(phase: Phase, one: Attempt) -> dict[str, Any]:
    paid, account = one.payout, phase.account
    return {
        "type": phase.type_id,
        "start": format_rfc3339(one.start_ns),
        "end": format_rfc3339(one.end_ns),
        "outcome": one.outcome,
        "cause": one.cause or None,
        "days": one.days,
        "balance": _money(account, one.balance_minor),
        "payout": None if paid is None else _money(account, paid.trader_minor),
    }


def _all_paths(account: BacktestAccount, drawn: Drawn) -> dict[str, Any]:
    first = drawn.phases[0]
    return {
        **_path_figures(account, drawn.whole, drawn.payout_minor),
        "days": first.days,
        "blockDays": first.block_days,
        "maxDays": first.max_days,
        "seed": first.seed,
    }


def _paths(account: BacktestAccount, drawn: Paths) -> dict[str, Any]:
    return {
        **_path_figures(account, drawn.found, drawn.payout_minor),
        "leftOut": list(drawn.left_out),
    }


def _path_figures(
    account: BacktestAccount, found: Challenge, payout_minor: float | None
) -> dict[str, Any]:
    return {
        "count": found.attempts,
        "outcomes": found.outcomes,
        "passRate": found.pass_rate,
        "interval": [found.low, found.high],
        "daysToPass": _spread(found.days_to_pass),
        "payoutExpectation": None if payout_minor is None else _money(account, round(payout_minor)),
    }


def _spread(found: Distribution | None) -> dict[str, int] | None:
    if found is None:
        return None
    shares = {f"p{share}": value for share, value in found.percentiles.items()}
    return {"least": found.least, **shares, "most": found.most}


def _money(account: BacktestAccount, amount_minor: int) -> str:
    return format_minor(amount_minor, account.currency_digits)
