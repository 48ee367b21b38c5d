"""Verdicts on an order whose size is known, and on stops that fire."""

from collections.abc import Iterator, Mapping

from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.market.instrument import Instrument
from quantlab.rules import terms
from quantlab.rules.asked import Answer, Asked, answer, news_answer
from quantlab.rules.evidence import Measured, Verdict, make_verdict
from quantlab.rules.surroundings import NOTHING_KNOWN, Surroundings


def judge_asked(
    profile: terms.Profile,
    account: Account,
    asked: Asked,
    around: Surroundings,
    instruments: Mapping[str, Instrument],
) -> Verdict | None:
    """Return the first verdict that refuses the order, None when the rules allow it."""
    verdicts = _verdicts(profile, account, asked, around, instruments)
    return next((verdict for verdict in verdicts if verdict.violated), None)


def asked_warnings(
    profile: terms.Profile,
    account: Account,
    asked: Asked,
    around: Surroundings,
    instruments: Mapping[str, Instrument],
) -> tuple[Verdict, ...]:
    """Return the warnings, not yet given this day, that the order deserves without refusal."""
    return tuple(
        verdict
        for verdict in _verdicts(profile, account, asked, around, instruments)
        if not verdict.violated and verdict.rule_id not in account.raised
    )


def judge_protection(profile: terms.Profile, account: Account, asked: Asked) -> Verdict | None:
    """Return the verdict that keeps a position's stop where it is; None when it may go or move.

    asked is the position with the stops it would have; its risk is that at a stop that moves.
    """
    stops = [rule for rule in profile.asked_rules if isinstance(rule, terms.StopLossRequired)]
    for rule in stops:
        given = answer(rule, account, asked, NOTHING_KNOWN, {})
        verdict = _verdict(profile, rule, account, asked, given)
        if not given.allowed and verdict.violated:
            return verdict
    return None


def judge_stop(
    profile: terms.Profile, instrument: Instrument, around: Surroundings, now_ns: int
) -> tuple[Verdict, ...]:
    """Return what a stop-loss or take-profit breaks by firing now; it is filled all the same."""
    found = (
        (rule, news_answer(rule, instrument, around, now_ns))
        for rule in profile.asked_rules
        if isinstance(rule, terms.NewsWindow) and rule.stops_count
    )
    inputs: dict[str, int | str] = {"symbol": instrument.symbol, "time": format_rfc3339(now_ns)}
    return tuple(
        make_verdict(profile, rule, now_ns, inputs, f"a stop fired {given.words}")
        for rule, given in found
        if not given.allowed
    )


def _verdicts(
    profile: terms.Profile,
    account: Account,
    asked: Asked,
    around: Surroundings,
    instruments: Mapping[str, Instrument],
) -> Iterator[Verdict]:
    for rule in profile.asked_rules:
        given = answer(rule, account, asked, around, instruments)
        if not given.allowed:
            yield _verdict(profile, rule, account, asked, given)


def _verdict(
    profile: terms.Profile, rule: terms.AskedRule, account: Account, asked: Asked, given: Answer
) -> Verdict:
    inputs: dict[str, int | str] = {
        "symbol": asked.symbol,
        "side": "buy" if asked.side > 0 else "sell",
        "sizeSteps": asked.size_steps,
        "positionAfterSteps": asked.after_steps,
        "time": format_rfc3339(asked.now_ns),
        "eventSeq": account.event_seq,
    }
    measured = None
    if given.unit is not None:
        measured = Measured(given.threshold, given.value, given.room, given.unit)
    return make_verdict(profile, rule, asked.now_ns, inputs, given.words, measured=measured)
