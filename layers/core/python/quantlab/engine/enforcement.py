"""What follows from a verdict: events, locks, ended accounts, closed orders and positions."""

from quantlab.engine.commands import CHECK_RULES, Violation
from quantlab.engine.context import Market, equity_of, exposure_id, symbols_of, write_quotes
from quantlab.engine.draft import Draft
from quantlab.engine.filling import fill_market_order
from quantlab.engine.orders import cancel_openers, cancel_working
from quantlab.engine.overnight import charge_swaps, rollovers
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import closing_intent
from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.day import goes_on, is_day_over, is_lock_over, roll_day, unlocked
from quantlab.rules.evidence import Verdict, gravest_action, raised_after
from quantlab.rules.floors import next_high_water
from quantlab.rules.verdicts import judge_equity, judge_floors, judge_standing


def roll_if_over(draft: Draft) -> None:
    """Begin the trading day that holds now, as of its reset, before anything else happens.

    Swap is booked first: it is part of the day that ends, whose floors hold for it. What it breaks
    is acted on once the new day has begun.

    Equity at the reset uses the last accepted quotes before it; where one is missing the
    position counts at its cost, and the event says so. The new day's floors hold from its first
    instant, so the account is judged as of the reset, unless its quotes were stale by then, and
    at the present quotes. Those of the day that ends hold to its last.
    """
    context = draft.context
    if not is_day_over(draft.account, context.now_ns):
        return
    if goes_on(draft.account, context.profile, context.now_ns):
        _prolong_day(draft)
        return
    _judge_ended_day(draft)
    account = draft.account
    market = context.reset_market if context.reset_market is not None else context.market
    overdue = _charge_nights(draft, market)
    account = draft.account
    equity_minor = equity_of(account, market, stale_counts=True)
    known = not isinstance(equity_minor, Rejection)
    marked_minor = equity_minor if isinstance(equity_minor, int) else account.balance_minor
    rolled = roll_day(account, context.profile, account.balance_minor, marked_minor, context.now_ns)
    draft.outcome.closed_days.extend(rolled.closed_days[len(account.closed_days) :])
    draft.account = rolled
    draft.emit(
        "account.day_rolled",
        {
            "closedDate": account.day.date,
            "date": rolled.day.date,
            "resetAt": format_rfc3339(rolled.day.started_ns),
            "nextResetAt": format_rfc3339(rolled.day.next_reset_ns),
            "realised": draft.money(account.day.realised_minor),
            "startBalance": draft.money(rolled.day.start_balance_minor),
            "startEquity": draft.money(rolled.day.start_equity_minor),
            "equityKnown": known,
            "highWater": draft.money(rolled.high_water_minor),
            "unlocked": account.status == "locked" and rolled.status == "active",
            "closing": _still_closing(rolled),
        },
    )
    if gravest_action(overdue) == terms.DISABLE_ACCOUNT:
        enforce(draft, (), overdue=overdue)
    elif context.reset_market is not None:
        enforce_equity(draft, context.reset_market, overdue)
    enforce_equity(draft)


def _charge_nights(draft: Draft, market: Market) -> tuple[Verdict, ...]:
    """Book the swap of the nights passed; return what the ended day's own has broken in it."""
    account, context = draft.account, draft.context
    if not account.positions:
        return ()
    own, *later = rollovers(account, context.profile.day, context.now_ns)
    charge_swaps(draft, market, [own])
    overdue: tuple[Verdict, ...] = ()
    if context.reset_market is not None and draft.account != account:
        last = context.reset_market.as_of(own)
        overdue = _judge_floors(draft, last, own - 1)
        _report(draft, overdue, last)
    charge_swaps(draft, market, later)
    return overdue


def _prolong_day(draft: Draft) -> None:
    """Let the open day last to the next reset of the day terms that hold now."""
    account, context = draft.account, draft.context
    balance_minor = account.balance_minor
    draft.account = roll_day(account, context.profile, balance_minor, balance_minor, context.now_ns)
    day = draft.account.day
    next_reset = format_rfc3339(day.next_reset_ns)
    draft.emit("account.updated", {"date": day.date, "nextResetAt": next_reset})


def _still_closing(account: Account) -> list[Json]:
    """Name what a lock had to close and a new day finds open."""
    if account.status != "locked":
        return []
    return [*sorted({position.symbol for position in account.positions.values()})]


def lift_lock(draft: Draft) -> None:
    """Let an account trade again whose lock has outlasted its day, once nothing is open.

    What closing it has cost is judged first, by the floors of the present day.
    """
    profile = draft.context.profile
    if not is_lock_over(draft.account, profile):
        return
    enforce_equity(draft)
    if is_lock_over(draft.account, profile):
        draft.account = unlocked(draft.account)
        draft.emit("account.updated", {"status": "active", "unlocked": True})


def _judge_ended_day(draft: Draft) -> None:
    """Judge the account by the floors of the day that is over, however late.

    By what account_watch saw in it, and by its last quotes.
    """
    reset_ns, last = draft.account.day.next_reset_ns, draft.context.reset_market
    seen = seen_by_watch(draft)
    if seen is not None and seen.feed_now_ns < reset_ns:
        enforce(draft, _judge_floors(draft, seen, reset_ns - 1), seen)
    if last is not None:
        last = last.as_of(reset_ns)
        enforce(draft, _judge_floors(draft, last, reset_ns - 1), last)


def _judge_floors(draft: Draft, market: Market, moment_ns: int) -> tuple[Verdict, ...]:
    """Hold the account's equity in a market against its floors, where that is known."""
    equity_minor = equity_of(draft.account, market)
    if isinstance(equity_minor, Rejection):
        return ()
    return judge_floors(draft.context.profile, draft.account, equity_minor, moment_ns)


def seen_by_watch(draft: Draft) -> Market | None:
    """Return the quotes at which account_watch saw a rule broken.

    They count while the account still holds what it held then, in the same trading day.
    """
    command, payload = draft.command, draft.command.payload
    if (command.name, command.source_kind) != (CHECK_RULES, "watch"):
        return None
    same_day = int(payload["dayStartedNs"]) == draft.account.day.started_ns
    if not same_day or payload["exposureId"] != exposure_id(draft.account):
        return None
    return draft.context.recorded_market(payload["quotes"])


def enforce_equity(
    draft: Draft, seen: Market | None = None, overdue: tuple[Verdict, ...] = ()
) -> int | None:
    """Judge the account at its present equity, or at that in a market seen before, and act.

    Verdicts that are overdue have been reported, and are acted on with what is found.

    None when the equity cannot be known; then only what needs none is judged: a mark of balances
    rises all the same. What follows is carried out at present quotes; what closing positions has
    cost is judged in turn.
    """
    account, context = draft.account, draft.context
    market = context.market if seen is None else seen
    equity_minor = equity_of(account, market)
    if isinstance(equity_minor, Rejection):
        _raise_mark(draft, account.high_water_minor)
        enforce(draft, judge_standing(context.profile, account, context.now_ns), overdue=overdue)
        return None
    verdicts = judge_equity(context.profile, account, equity_minor, context.now_ns)
    _raise_mark(draft, equity_minor)
    if not verdicts and not overdue:
        return equity_minor
    enforce(draft, verdicts, market, overdue)
    closed_some = draft.account.positions != account.positions
    return enforce_equity(draft) if closed_some else equity_minor


def _raise_mark(draft: Draft, equity_minor: int) -> None:
    account = draft.account
    mark_minor = next_high_water(draft.context.profile, account, equity_minor, at_day_end=False)
    if mark_minor != account.high_water_minor:
        draft.change(high_water_minor=mark_minor)


def take_over_peak(draft: Draft) -> None:
    """Raise the high-water mark to an equity that account_watch has seen between commands.

    It holds over a reset of the day, as the mark does; not once a correction has lowered the mark
    that the watch knew of.
    """
    account, payload = draft.account, draft.command.payload
    if "peakMinor" not in payload or account.high_water_minor < int(payload["knownMarkMinor"]):
        return
    peak_minor, feed_seq = int(payload["peakMinor"]), payload["feedSeq"]
    mark_minor = next_high_water(draft.context.profile, account, peak_minor, at_day_end=False)
    if mark_minor > account.high_water_minor:
        draft.change(high_water_minor=mark_minor)
        draft.emit("account.updated", {"highWater": draft.money(mark_minor), "feedSeq": feed_seq})


def enforce(
    draft: Draft,
    verdicts: tuple[Verdict, ...],
    market: Market | None = None,
    overdue: tuple[Verdict, ...] = (),
) -> None:
    """Report the verdicts, with the quotes of the equity they rest on, and act on the gravest.

    Those that are overdue were reported before.
    """
    _report(draft, verdicts, market)
    broken = tuple(verdict for verdict in (*overdue, *verdicts) if verdict.violated)
    action = gravest_action(broken)
    rule = next((one.rule for one in broken if one.action == action), "")
    if action == terms.DISABLE_ACCOUNT:
        _end(draft, "disabled", "account.disabled", rule)
    elif action == terms.LOCK_UNTIL_RESET:
        _end(draft, "locked", "account.locked", rule)
    elif action == terms.FLATTEN:
        _flatten(draft, rule)


def _report(draft: Draft, verdicts: tuple[Verdict, ...], market: Market | None) -> None:
    """Tell of the verdicts, but for one that asks again for flat."""
    if not verdicts:
        return
    known = draft.account.raised
    fresh = [v for v in verdicts if v.action != terms.FLATTEN or v.rule_id not in known]
    draft.change(raised=raised_after(draft.account, verdicts))
    used = _used_quotes(draft, market)
    for verdict in fresh:
        payload = {**verdict.as_payload(), **used}
        seq = draft.emit(verdict.event_type, payload)
        if verdict.violated:
            violation = Violation(verdict.rule, verdict.action, payload, seq)
            draft.outcome.violations.append(violation)


def _used_quotes(draft: Draft, market: Market | None) -> dict[str, Json]:
    if market is None:
        return {}
    symbols = sorted(symbols_of(draft.account, market.catalog))
    known = [market.quotes[symbol] for symbol in symbols if symbol in market.quotes]
    return {"quotes": write_quotes(known)}


def _end(draft: Draft, status: str, event_type: str, rule: str) -> None:
    draft.change(status=status, status_reason=rule)
    draft.emit(event_type, {"rule": rule, "balance": draft.money(draft.account.balance_minor)})
    cancel_working(draft, f"account_{status}", rule=rule)
    _close_for(draft, rule)


def _flatten(draft: Draft, rule: str) -> None:
    """Close every position, and first cancel what could open another.

    Orders that only reduce stay until their position is gone, as it may have to wait for a quote.
    """
    cancel_openers(draft, "flattened", rule=rule)
    _close_for(draft, rule)


def _close_for(draft: Draft, rule: str) -> None:
    """Close what can be closed, and record what has to wait, with the reason."""
    market = draft.context.market
    waiting: list[Json] = []
    for symbol in liquidate(draft, f"rule:{rule}"):
        found = market.usable(market.catalog.instruments[symbol])
        reason = found.reason if isinstance(found, Rejection) else Reason.NO_DISPLAYED_SIZE
        waiting.append({"symbol": symbol, "reason": str(reason)})
    if waiting:
        draft.emit("position.close_waiting", {"rule": rule, "positions": waiting})


def liquidate(draft: Draft, cause: str, only: str | None = None) -> tuple[str, ...]:
    """Close what can be closed at a good quote, of one symbol where given.

    Returns the symbols that must wait for one, or for the rest of their size.
    """
    waiting = []
    market = draft.context.market
    for position in draft.account.legs(only):
        instrument = market.catalog.instruments[position.symbol]
        quote = market.usable(instrument)
        intent = (
            quote
            if isinstance(quote, Rejection)
            else closing_intent(position, instrument, quote, None)
        )
        refused = isinstance(intent, Rejection) or fill_market_order(draft, intent, cause)
        if refused or position.key in draft.account.positions:
            waiting.append(position.symbol)
    return tuple(dict.fromkeys(waiting))
