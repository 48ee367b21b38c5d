"""Ticks that should never have been: marked, recomputed without, and corrected when two approve."""

from collections.abc import Sequence
from typing import Final

from quantlab.engine.bad_ticks import BadTicks, Undone
from quantlab.engine.bad_ticks_document import (
    correction_subject,
    difference_digest,
    write_difference,
)
from quantlab.kernel.canonical import Json
from quantlab.kernel.ids import derive_id
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.approvals import Approval
from quantlab_app.ports.bad_ticks import AccountDifference, BadTickRange
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.use_cases.approvals import Asked, Refused, RefusedBecause, ask, list_approvals
from quantlab_app.use_cases.replay import count_ticks, recompute_without
from quantlab_app.use_cases.tenant_events import note
from quantlab_app.use_cases.visibility import visible_account

# A request that ended so leaves the way free for another one.
_ENDED_IN_VAIN: Final = ("rejected", "expired", "refused")
ATTEMPTS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What one step recomputed, and whether accounts are left to do."""

    differences: Sequence[AccountDifference]
    more: bool


async def mark(
    ports: Ports, scope: Scope, bad: BadTicks, reason: str, key: str | None
) -> tuple[BadTickRange, bool] | Refused:
    """Mark a range of ticks as bad, once per key; say whether it is new. Nothing else changes."""
    if bad.symbol not in ports.catalog.instruments:
        return _wrong_field("/symbol", "a symbol of the catalogue")
    if bad.to_seq < bad.from_seq:
        return _wrong_field("/toSeq", f"at least fromSeq, {bad.from_seq}")
    ticks = await count_ticks(ports, bad)
    if not ticks:
        words = f"a range with ticks of {bad.symbol} that the log still holds"
        return _wrong_field("/fromSeq", words)
    new = BadTickRange(
        range_id=_range_id(ports, scope, key),
        bad=bad,
        ticks=ticks,
        reason=reason,
        marked_by=_by(scope),
        marked_ns=ports.clock.now_ns(),
    )
    fresh = await ports.bad_tick_ranges.add(scope, new)
    marked = await read_range(ports, scope, new.range_id)
    if (marked.bad, marked.reason) != (bad, reason):
        return Refused(RefusedBecause.KEY_TAKEN, "The key was used before for another range.")
    await _note(ports, scope, "market.ticks_marked_bad", marked, marked.marked_by, marked.reason)
    return marked, fresh


async def withdraw(
    ports: Ports, scope: Scope, range_id: str, reason: str
) -> BadTickRange | Refused:
    """Hold marked ticks to be good again; refused once a correction of them was asked for."""
    marked = await read_range(ports, scope, range_id)
    if marked.withdrawn_ns is not None:
        return _withdrawn(marked)
    now_ns = ports.clock.now_ns()
    if not await ports.bad_tick_ranges.withdraw(scope, range_id, _by(scope), reason, now_ns):
        words = "a correction of these ticks is asked for, or has been carried out"
        return Refused(RefusedBecause.TICKS_CORRECTED, words)
    await _note(ports, scope, "market.ticks_withdrawn", marked, _by(scope), reason)
    return await read_range(ports, scope, range_id)


async def read_range(ports: Ports, scope: Scope, range_id: str) -> BadTickRange:
    """Return a marked range; NotFound when the tenant has none of that id."""
    marked = await ports.bad_tick_ranges.find(scope, range_id)
    if marked is None:
        raise NotFound("bad ticks")
    return marked


async def recompute(ports: Ports, scope: Scope, range_id: str, limit: int) -> Recomputed | Refused:
    """Recompute the next accounts that may have seen the ticks; done when nothing more is left.

    Each is stored as it is done, so that a call that is cut short loses at most one.
    """
    marked = await read_range(ports, scope, range_id)
    if marked.withdrawn_ns is not None:
        return _withdrawn(marked)
    symbols = _symbols_that_need(ports.catalog, marked.bad.symbol)
    due = await ports.bad_tick_ranges.accounts_to_compute(
        scope, range_id, marked.bad.from_seq, symbols, limit + 1
    )
    differences = []
    for account_id in due[:limit]:
        difference, _ = await _computed(ports, scope, marked, account_id)
        differences.append(difference)
    return Recomputed(differences, more=len(due) > limit)


async def request_correction(
    ports: Ports, scope: Scope, account_id: str, range_id: str
) -> Asked | Refused:
    """Ask that an account be corrected for a range, by what a fresh replay finds.

    A range corrects an account once: while a request is open or was carried out, that one is the
    answer, whoever asks.
    """
    await visible_account(ports, scope, account_id)
    marked = await read_range(ports, scope, range_id)
    if marked.withdrawn_ns is not None:
        return _withdrawn(marked)
    earlier = await _earlier(ports, scope, account_id, range_id)
    standing = [one for one in earlier if one.state not in _ENDED_IN_VAIN]
    if standing:
        return Asked(standing[0], new=False)
    difference, subject = await _computed(ports, scope, marked, account_id)
    if difference.problem is not None:
        return Refused(RefusedBecause.NOT_REPLAYABLE, difference.problem)
    if subject is None:
        words = "the account would be no different, or what it would be worth is not known"
        return Refused(RefusedBecause.NOTHING_TO_CORRECT, words)
    known: dict[str, Json] = {
        "rangeId": range_id,
        "symbol": marked.bad.symbol,
        "fromSeq": marked.bad.from_seq,
        "toSeq": marked.bad.to_seq,
        "reason": marked.reason,
    }
    return await ask(
        ports, scope, "correction", account_id, asked={"rangeId": range_id},
        subject={**known, **subject},
        approval_id=derive_id("correction", scope.tenant_id, range_id, account_id, len(earlier)),
    )  # fmt: skip


async def _earlier(
    ports: Ports, scope: Scope, account_id: str, range_id: str
) -> Sequence[Approval]:
    rows = await list_approvals(
        ports, scope, account_id=account_id, kind="correction", limit=ATTEMPTS_MAX
    )
    return [row for row in rows if row.subject["rangeId"] == range_id]


async def _computed(
    ports: Ports, scope: Scope, marked: BadTickRange, account_id: str
) -> tuple[AccountDifference, dict[str, Json] | None]:
    """Recompute an account, store what differs, and return it with what a correction would do."""
    before = await ports.bad_tick_ranges.standing_before(scope, marked)
    known = [one.bad for one in before]
    document: dict[str, Json] = {}
    try:
        found, account = await recompute_without(ports, scope, account_id, marked.bad, known)
    except (Conflict, NotFound) as fault:
        difference = _difference(ports, marked, account_id, document, problem=str(fault))
        subject = None
    else:
        document = write_difference(found, marked.bad, known, ports.catalog)
        difference = _difference(ports, marked, account_id, document, found, account)
        subject = correction_subject(found, account, document)
    await ports.bad_tick_ranges.store(scope, difference)
    return difference, subject


def _difference(
    ports: Ports,
    marked: BadTickRange,
    account_id: str,
    document: dict[str, Json],
    found: Undone | None = None,
    account: Account | None = None,
    problem: str | None = None,
) -> AccountDifference:
    return AccountDifference(
        range_id=marked.range_id,
        account_id=account_id,
        event_seq=0 if account is None else account.event_seq,
        affected=found is not None and found.affected,
        amount_minor=None if found is None else found.amount_minor,
        document=document,
        digest=difference_digest(document),
        problem=problem,
        computed_ns=ports.clock.now_ns(),
    )


def _symbols_that_need(catalog: Catalog, symbol: str) -> list[str]:
    """Return the symbols whose money a quote of this one can change: itself, and what it converts.

    An account's currency is one of the catalogue's, so that there is a pair to convert to it.
    """
    found = {symbol}
    for instrument in catalog.instruments.values():
        for currency in catalog.currency_digits:
            pair = conversion_pair(catalog, instrument.quote_currency, currency)
            if pair is not None and pair.symbol == symbol:
                found.add(instrument.symbol)
    return sorted(found)


def _range_id(ports: Ports, scope: Scope, key: str | None) -> str:
    if key is None:
        return ports.ids.new_id()
    return derive_id("bad ticks", scope.tenant_id, scope.actor.id, key)


async def _note(
    ports: Ports, scope: Scope, event_type: str, marked: BadTickRange, by: str, reason: str
) -> None:
    told: dict[str, Json] = {
        "rangeId": marked.range_id,
        "symbol": marked.bad.symbol,
        "fromSeq": marked.bad.from_seq,
        "toSeq": marked.bad.to_seq,
        "ticks": marked.ticks,
        "reason": reason,
        "by": by,
    }
    now_ns, key = ports.clock.now_ns(), marked.range_id
    await note(ports.inbox, ports.ids, scope, event_type, told, now_ns=now_ns, key=key)


def _withdrawn(marked: BadTickRange) -> Refused:
    words = f"withdrawn by {marked.withdrawn_by}: {marked.withdrawn_reason}"
    return Refused(RefusedBecause.TICKS_WITHDRAWN, words)


def _wrong_field(pointer: str, expected: str) -> Refused:
    return Refused(RefusedBecause.INVALID_FIELD, expected, pointer)


def _by(scope: Scope) -> str:
    return f"{scope.actor.kind}:{scope.actor.id}"
