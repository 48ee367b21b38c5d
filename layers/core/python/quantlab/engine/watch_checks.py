"""The demands that an account's writer judge it, with what the watch saw, or begin its day."""

from collections.abc import Sequence

from quantlab.engine import commands
from quantlab.engine.context import exposure_id, write_quotes
from quantlab.engine.watched import Demand, Name, Watched, demand_once, seen_peak
from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import format_rfc3339
from quantlab.market.quote import Quote
from quantlab.rules.evidence import Verdict


def check_at_quotes(
    watched: Watched,
    verdicts: tuple[Verdict, ...],
    equity_minor: int,
    used: Sequence[Quote],
    now_ns: int,
    tick_ts_ns: int | None,
) -> list[Demand]:
    """Demand a check at the equity these quotes give, if there are verdicts on it."""
    if not verdicts:
        return []
    feed_seq = max(seen.seq for seen in used)
    seen: dict[str, Json] = {
        "equityMinor": str(equity_minor),
        "feedSeq": feed_seq,
        "quotes": write_quotes(used),
    }
    identity = (commands.CHECK_RULES, watched.account.event_seq, feed_seq)
    return _check(watched, verdicts, identity, seen, now_ns, tick_ts_ns)


def check_by_clock(
    watched: Watched, verdicts: tuple[Verdict, ...], round_number: int, now_ns: int
) -> list[Demand]:
    """Demand a check of what needs no equity, if there are verdicts on it.

    It is another demand in each round: nothing but the time may have changed.
    """
    if not verdicts:
        return []
    seen: dict[str, Json] = {"equityMinor": None, "feedSeq": 0, "quotes": []}
    identity = (commands.CHECK_RULES, watched.account.event_seq, "clock", round_number)
    return _check(watched, verdicts, identity, seen, now_ns, None)


def roll_day(watched: Watched, now_ns: int) -> list[Demand]:
    """Demand the trading day that follows the one that has ended."""
    reset_ns = watched.account.day.next_reset_ns
    payload: dict[str, Json] = {"resetAt": format_rfc3339(reset_ns)}
    return demand_once(
        watched, (commands.ROLL_DAY,), (commands.ROLL_DAY, reset_ns), payload, now_ns
    )


def _check(
    watched: Watched,
    verdicts: tuple[Verdict, ...],
    identity: Name,
    seen: dict[str, Json],
    now_ns: int,
    tick_ts_ns: int | None,
) -> list[Demand]:
    account = watched.account
    rule_ids = [verdict.rule_id for verdict in verdicts]
    payload: dict[str, Json] = {
        "rules": [*rule_ids],
        **seen_peak(watched),
        "dayStartedNs": str(account.day.started_ns),
        "exposureId": exposure_id(account),
        **seen,
    }
    about = (commands.CHECK_RULES, *rule_ids)
    return demand_once(watched, about, identity, payload, now_ns, tick_ts_ns)
