"""Putting an account right once two people approved it: overrides, and what bad ticks did to it.

Nothing that happened is rewritten: what is wrong is compensated by an entry of its own.
"""

from typing import Any, Final

from quantlab.engine.approved import approved, book, carried_out, refuse
from quantlab.engine.draft import Draft
from quantlab.engine.payouts import in_market, is_flat
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.snapshots import take_snapshot
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import parse_minor
from quantlab.kernel.records import replace
from quantlab.ledger.state import Account
from quantlab.rules.terms import BASIS_END_OF_DAY, Profile
from quantlab.rules.verdicts import judge_equity

CORRECTION: Final = "correction"
_STOPPED: Final = ("disabled", "locked")
_TOLD: Final = (
    "approvalId", "rangeId", "symbol", "fromSeq", "toSeq", "reason", "amount", "differenceDigest",
    "positionsDiffer",
)  # fmt: skip


def override(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Enable a disabled account again, with what the evidence corrects.

    An adjustment is booked into the balance and the day's result; a high-water mark that was never
    reached comes down. Refused while the account, so corrected, would break a rule at once.
    """
    approved(draft, payload)
    account = draft.account
    refused = _not_overridable(account)
    if refused is not None:
        return refuse(draft, payload, refused, "approval")
    corrected, adjustment_minor = _corrected(account, payload, draft.context.profile)
    refused = _still_broken(draft, corrected)
    if refused is not None:
        return refuse(draft, payload, refused, "approval")
    turn = take_snapshot(draft, "override", {"approvalId": payload["approvalId"]})
    draft.account = corrected
    if adjustment_minor:
        book(draft, "adjustment", adjustment_minor)
    done: dict[str, Json] = {
        "status": "active",
        "override": True,
        "wasDisabledBy": account.status_reason,
        "balance": draft.money(draft.account.balance_minor),
        "highWater": draft.money(draft.account.high_water_minor),
        **{key: payload[key] for key in ("approvalId", "reason", "evidence", "adjustment")},
        **turn,
    }
    carried_out(draft, payload, "account.updated", done)
    return None


def _not_overridable(account: Account) -> Rejection | None:
    if account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    if account.status != "disabled":
        words = f"expected a disabled account, was {account.status}"
        return Rejection(Reason.NOT_DISABLED, words)
    if not is_flat(account):
        words = f"expected nothing in the market, was {in_market(account)}"
        return Rejection(Reason.NOT_FLAT, words)
    return None


def _corrected(account: Account, payload: dict[str, Any], profile: Profile) -> tuple[Account, int]:
    """Return the account enabled again, and what is booked for it.

    No mark is below the balance; one of ended days not below that or the start of the day.
    """
    digits = account.currency_digits
    adjustment_minor = parse_minor(payload["adjustment"] or "0", digits) or 0
    mark_minor = account.high_water_minor
    if payload["highWater"] is not None:
        wanted_minor = parse_minor(payload["highWater"], digits)
        mark_minor = mark_minor if wanted_minor is None else min(mark_minor, wanted_minor)
    balance_minor = account.balance_minor + adjustment_minor
    least_minor = balance_minor
    if profile.high_water_basis == BASIS_END_OF_DAY:
        least_minor = min(balance_minor, account.day.start_balance_minor)
    day = replace(account.day, realised_minor=account.day.realised_minor + adjustment_minor)
    corrected = replace(
        account, status="active", status_reason=None, raised=(), balance_minor=balance_minor,
        high_water_minor=max(mark_minor, least_minor), day=day,
    )  # fmt: skip
    return corrected, adjustment_minor


def correct(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Book what bad ticks took from an account, or gave it, as the recomputed difference says.

    Positions are not opened again. A lock or an end that only those ticks led to is lifted; that is
    refused, and nothing booked, while the account would break a rule at once. A high-water mark
    comes down to what it would have been, unless it has risen since.
    """
    approved(draft, payload)
    account = draft.account
    lifts = account.status in _STOPPED and account.status_reason == payload["liftsRule"]
    corrected, amount_minor = _compensated(account, payload, lifts=lifts)
    refused = _not_correctable(draft, corrected, lifts=lifts)
    if refused is not None:
        return refuse(draft, payload, refused, "approval")
    turn = take_snapshot(draft, CORRECTION, {"approvalId": payload["approvalId"]})
    draft.account = corrected
    if amount_minor:
        book(draft, CORRECTION, amount_minor)
    done: dict[str, Json] = {
        **{key: payload[key] for key in _TOLD},
        "status": corrected.status,
        "lifted": payload["liftsRule"] if lifts else None,
        "balance": draft.money(corrected.balance_minor),
        "highWater": draft.money(corrected.high_water_minor),
        **turn,
    }
    carried_out(draft, payload, "account.corrected", done)
    draft.outcome.result = {"amount": payload["amount"], "lifted": lifts}
    return None


def _compensated(account: Account, payload: dict[str, Any], *, lifts: bool) -> tuple[Account, int]:
    digits = account.currency_digits
    amount_minor = parse_minor(payload["amount"], digits) or 0
    balance_minor, mark_minor = account.balance_minor + amount_minor, account.high_water_minor
    if payload["highWater"] is not None:
        untouched = mark_minor == parse_minor(payload["highWaterWas"], digits)
        should_be = parse_minor(payload["highWater"], digits)
        mark_minor = should_be if untouched and should_be is not None else mark_minor
    day = replace(account.day, realised_minor=account.day.realised_minor + amount_minor)
    corrected = replace(account, balance_minor=balance_minor, high_water_minor=mark_minor, day=day)
    if lifts:
        corrected = replace(corrected, status="active", status_reason=None, raised=())
    return corrected, amount_minor


def _not_correctable(draft: Draft, corrected: Account, *, lifts: bool) -> Rejection | None:
    if draft.account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    if lifts and not is_flat(corrected):
        words = f"expected nothing in the market, was {in_market(corrected)}"
        return Rejection(Reason.NOT_FLAT, words)
    return _still_broken(draft, corrected, judged=lifts)


def _still_broken(draft: Draft, corrected: Account, *, judged: bool = True) -> Rejection | None:
    """Say what a flat account would break at once, or that it would be left without money."""
    context, broken = draft.context, []
    if judged:
        equity_minor = corrected.balance_minor
        verdicts = judge_equity(context.profile, corrected, equity_minor, context.now_ns)
        broken = [verdict for verdict in verdicts if verdict.violated]
    if not broken and corrected.balance_minor > 0:
        return None
    words = "; ".join(verdict.arithmetic for verdict in broken) or "no money would be left"
    return Rejection(Reason.STILL_IN_BREACH, words)
