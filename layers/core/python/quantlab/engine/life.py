"""The life of an account: promotion, reset, payout, override, and a move to other rules.

An account is one attempt at one phase. What comes after it is a new account, opened in the same
transaction, so that nothing of an attempt is ever rewritten.
"""

from dataclasses import replace
from typing import Any, Final, get_args

from quantlab.engine.draft import Draft
from quantlab.engine.life_records import ApprovalEnd, Booking, Opened
from quantlab.engine.life_records import Payout as Paid
from quantlab.engine.opening import Start, fresh_account, opened_payload
from quantlab.engine.payouts import in_market, is_flat, offer
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.snapshots import take_snapshot
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import InvariantBroken, check
from quantlab.kernel.decimals import parse_minor
from quantlab.ledger import tally
from quantlab.ledger.fills import LedgerEntry
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.rules import terms
from quantlab.rules.phase_goals import goals
from quantlab.rules.verdicts import judge_equity
from quantlab.tenancy.config import AccountType

PROMOTED: Final = "promoted"
RESET: Final = "reset"
# What a rule disabled is disabled for the rule's name, whatever rules hold for the account now.
_RULES: Final = frozenset(rule.slug for rule in get_args(terms.Rule))
_NOTED: Final = ("approval.", "payout.")


def follow_turns(draft: Draft, before: Account) -> None:
    """Take the snapshot of a breach, or promote, when what came before has led to either."""
    account = draft.account
    if account.status == "disabled" != before.status and _broke_a_rule(draft):
        turn = take_snapshot(draft, "breach", {"rule": account.status_reason})
        draft.emit("account.snapshot_taken", {"cause": "breach", **turn})
    promote_if_done(draft)


def _broke_a_rule(draft: Draft) -> bool:
    return any(one.action == terms.DISABLE_ACCOUNT for one in draft.outcome.violations)


def promote_if_done(draft: Draft) -> None:
    """Open the next phase when every goal of this one is met and nothing is in the market."""
    course, account = draft.context.course, draft.account
    if course is None or course.following is None:
        return
    if account.status != "active" or not is_flat(account):
        return
    asked = goals(draft.context.profile, account)
    if not asked or not all(goal.met for goal in asked):
        return
    details: dict[str, Json] = {
        **_phase_names(course.start.kind, course.following.kind),
        "toAccountType": course.following.kind.type_id,
        "goals": [goal.as_payload() for goal in asked],
    }
    _succeed(draft, course.following, PROMOTED, "account.promoted", details)


def _phase_names(kind: AccountType, following: AccountType) -> dict[str, Json]:
    phase, next_phase = kind.phase, following.phase
    if phase is None or next_phase is None:
        raise InvariantBroken(f"{kind.type_id} leads on and is no phase of a program")
    return {
        "program": phase.program_id,
        "fromPhase": phase.phase_id,
        "toPhase": next_phase.phase_id,
    }


def _succeed(
    draft: Draft, start: Start, cause: str, event_type: str, details: dict[str, Json]
) -> str:
    """Close this account and open the one that follows it; return the new one's id."""
    account, now_ns = draft.account, draft.context.now_ns
    account_id = draft.derived_id("successor")
    draft.change(status="closed", status_reason=cause)
    turn = take_snapshot(draft, cause, {**details, "nextAccountId": account_id})
    balance = draft.money(account.balance_minor)
    draft.emit(event_type, {**details, "nextAccountId": account_id, "balance": balance, **turn})
    opened = fresh_account(account.tenant_id, account_id, start, account.config_version, now_ns)
    payload = opened_payload(opened, start)
    payload |= {"previousAccountId": account.account_id, "cause": cause}
    draft.life.opened.append(Opened(opened, account.account_id, payload))
    return account_id


def note(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Record steps of an approval on the account's stream; they change nothing of it."""
    for event in payload["events"]:
        check(event["type"].startswith(_NOTED), f"no step of an approval: {event['type']}")
        draft.emit(event["type"], event["payload"])
    return None


def pay_out(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Take an approved amount out of the account, if its gates are still open and its terms hold.

    The parts are those that were approved; the trader's is rounded down to a minor unit.
    """
    _approved(draft, payload, "payout.approved")
    account, course = draft.account, draft.context.course
    phase = None if course is None else course.start.kind.phase
    payouts = None if phase is None else phase.payouts
    amount_minor = parse_minor(payload["amount"], account.currency_digits) or 0
    found = offer(account, draft.context.profile, payouts, amount_minor, payload["sinceDate"])
    if payouts is None or not found.open:
        return _refuse(draft, payload, Rejection(Reason.PAYOUT_GATES, found.words), "payout")
    if payouts.split_ppm != payload["splitPpm"]:
        words = f"expected the approved split of {payload['splitPpm']}, was {payouts.split_ppm}"
        return _refuse(draft, payload, Rejection(Reason.TERMS_CHANGED, words), "payout")
    draft.account = tally.pay_out(account, amount_minor, draft.context.now_ns)
    turn = take_snapshot(draft, "payout", _payout_details(payload))
    _book(draft, "payout", -amount_minor)
    draft.life.payouts.append(
        Paid(
            payload["approvalId"], draft.next_seq, account.day.date, amount_minor,
            found.trader_minor, found.firm_minor, payouts.split_ppm,
        )
    )  # fmt: skip
    paid: dict[str, Json] = {
        **_payout_details(payload),
        "traderShare": draft.money(found.trader_minor),
        "firmShare": draft.money(found.firm_minor),
        "balance": draft.money(draft.account.balance_minor),
        "gates": [gate.as_payload() for gate in found.gates],
        **turn,
    }
    _end(draft, payload, "payout.paid", paid)
    draft.outcome.result = {"payoutId": payload["approvalId"], "amount": payload["amount"]}
    return None


def _payout_details(payload: dict[str, Any]) -> dict[str, Json]:
    return {
        "payoutId": payload["approvalId"],
        "amount": payload["amount"],
        "splitPpm": payload["splitPpm"],
        "sinceDate": payload["sinceDate"],
    }


def reset(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """End this attempt and open another one at the same phase."""
    _approved(draft, payload)
    account, course = draft.account, draft.context.course
    if account.status == "closed":
        closed = Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
        return _refuse(draft, payload, closed, "approval")
    if course is None or not is_flat(account):
        words = f"expected nothing in the market, was {in_market(account)}"
        return _refuse(draft, payload, Rejection(Reason.NOT_FLAT, words), "approval")
    details: dict[str, Json] = {"approvalId": payload["approvalId"], "reason": payload["reason"]}
    account_id = _succeed(draft, course.start, RESET, "account.reset", details)
    draft.life.approval_ends.append(_executed(draft, payload))
    draft.outcome.result = {"nextAccountId": account_id}
    return None


def override(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Enable a disabled account again, with what the evidence corrects.

    An adjustment is booked into the balance and the day's result; a high-water mark that was never
    reached comes down. Refused while the account, so corrected, would break a rule at once.
    """
    _approved(draft, payload)
    account, context = draft.account, draft.context
    refused = _not_overridable(account)
    if refused is not None:
        return _refuse(draft, payload, refused, "approval")
    corrected, adjustment_minor = _corrected(account, payload)
    verdicts = judge_equity(context.profile, corrected, corrected.balance_minor, context.now_ns)
    broken = [verdict for verdict in verdicts if verdict.violated]
    if broken or corrected.balance_minor <= 0:
        words = "; ".join(verdict.arithmetic for verdict in broken) or "no money would be left"
        return _refuse(draft, payload, Rejection(Reason.STILL_IN_BREACH, words), "approval")
    turn = take_snapshot(draft, "override", {"approvalId": payload["approvalId"]})
    draft.account = corrected
    if adjustment_minor:
        _book(draft, "adjustment", adjustment_minor)
    done: dict[str, Json] = {
        "status": "active",
        "override": True,
        "wasDisabledBy": account.status_reason,
        "balance": draft.money(draft.account.balance_minor),
        "highWater": draft.money(draft.account.high_water_minor),
        **{key: payload[key] for key in ("approvalId", "reason", "evidence", "adjustment")},
        **turn,
    }
    _end(draft, payload, "account.updated", done)
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


def _corrected(account: Account, payload: dict[str, Any]) -> tuple[Account, int]:
    digits = account.currency_digits
    adjustment_minor = parse_minor(payload["adjustment"] or "0", digits) or 0
    mark_minor = account.high_water_minor
    if payload["highWater"] is not None:
        mark_minor = min(mark_minor, parse_minor(payload["highWater"], digits) or mark_minor)
    balance_minor = account.balance_minor + adjustment_minor
    day = replace(account.day, realised_minor=account.day.realised_minor + adjustment_minor)
    corrected = replace(
        account, status="active", status_reason=None, raised=(), balance_minor=balance_minor,
        high_water_minor=max(mark_minor, balance_minor), day=day,
    )  # fmt: skip
    return corrected, adjustment_minor


def enable(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Enable an account that an operator switched off; one that broke a rule needs an override."""
    account = draft.account
    if account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    if account.status == "disabled" and account.status_reason in _RULES:
        words = f"disabled by {account.status_reason}: it takes an override that two approve"
        return Rejection(Reason.OVERRIDE_NEEDED, words)
    draft.change(status="active", status_reason=None)
    draft.emit("account.updated", {"status": "active", "by": payload["by"]})
    return None


def move_config(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Put the account under another version of its tenant's configuration.

    Its balance, day and high-water mark stay; its own initial balance is what the new rules are
    resolved for. The new day terms hold from the next reset.
    """
    account, course = draft.account, draft.context.course
    target = None if course is None else course.target
    if account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    if target is None or target.kind.currency != account.currency:
        words = f"expected a type {account.account_type} in {account.currency}, was none"
        return Rejection(Reason.NO_SUCH_TYPE, words)
    if payload["version"] == account.config_version:
        draft.outcome.result = {"moved": False}
        return None
    moved: dict[str, Json] = {
        "configVersion": payload["version"],
        "previousConfigVersion": account.config_version,
        "ruleProfileVersion": target.profile.version,
        "by": payload["by"],
    }
    draft.change(config_version=payload["version"])
    draft.context = replace(
        draft.context,
        profile=target.profile,
        instruments=frozenset(target.kind.instruments),
        course=None,
        trading=read_trading_terms(target.kind.trading),
    )
    draft.emit("account.updated", moved)
    draft.outcome.result = {"moved": True}
    return None


def _approved(draft: Draft, payload: dict[str, Any], *more: str) -> None:
    """Say who asked and who approved before anything of it is carried out."""
    known: dict[str, Json] = {
        key: payload[key] for key in ("approvalId", "kind", "requestedBy", "approvedBy")
    }
    for event_type in ("approval.approved", *more):
        draft.emit(event_type, {**known, "reason": payload["decisionReason"]})


def _refuse(draft: Draft, payload: dict[str, Any], rejection: Rejection, step: str) -> Rejection:
    """End an approved request that cannot be carried out any more."""
    refused: dict[str, Json] = {
        "approvalId": payload["approvalId"],
        "reason": str(rejection.reason),
        "detail": rejection.detail,
    }
    event_type = "payout.rejected" if step == "payout" else "approval.refused"
    seq = draft.emit(event_type, refused)
    reason = f"{rejection.reason}: {rejection.detail}"
    end = ApprovalEnd(payload["approvalId"], "refused", reason, seq)
    draft.life.approval_ends.append(end)
    return rejection


def _end(draft: Draft, payload: dict[str, Any], event_type: str, said: dict[str, Json]) -> None:
    draft.emit(event_type, said)
    draft.life.approval_ends.append(_executed(draft, payload))


def _executed(draft: Draft, payload: dict[str, Any]) -> ApprovalEnd:
    return ApprovalEnd(payload["approvalId"], "executed", None, draft.account.event_seq)


def _book(draft: Draft, kind: str, amount_minor: int) -> None:
    """Record a whole amount that stands in the balance already; the carry stays as it is."""
    account = draft.account
    entry = LedgerEntry(kind, amount_minor, account.carry_micro, account.balance_minor)
    draft.life.bookings.append(Booking(draft.next_seq, entry))
