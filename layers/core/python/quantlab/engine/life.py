"""The life of an account: promotion, reset, payout, and a move to other rules.

An account is one attempt at one phase. What comes after it is a new account, opened in the same
transaction, so that nothing of an attempt is ever rewritten.
"""

from typing import Any, Final, get_args

from quantlab.engine.approved import approved, book, carried_out, executed, refuse
from quantlab.engine.draft import Draft
from quantlab.engine.life_records import Opened
from quantlab.engine.life_records import Payout as Paid
from quantlab.engine.opening import Start, fresh_account, opened_payload
from quantlab.engine.payouts import in_market, is_flat, offer
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.snapshots import take_snapshot
from quantlab.kernel.canonical import Json
from quantlab.kernel.check import InvariantBroken, check
from quantlab.kernel.decimals import parse_minor
from quantlab.kernel.records import replace
from quantlab.ledger import tally
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.rules import terms
from quantlab.rules.phase_goals import goals
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
    approved(draft, payload, "payout.approved")
    account, course = draft.account, draft.context.course
    phase = None if course is None else course.start.kind.phase
    payouts = None if phase is None else phase.payouts
    amount_minor = parse_minor(payload["amount"], account.currency_digits) or 0
    found = offer(account, draft.context.profile, payouts, amount_minor, payload["sinceDate"])
    if payouts is None or not found.open:
        return refuse(draft, payload, Rejection(Reason.PAYOUT_GATES, found.words), "payout")
    if payouts.split_ppm != payload["splitPpm"]:
        words = f"expected the approved split of {payload['splitPpm']}, was {payouts.split_ppm}"
        return refuse(draft, payload, Rejection(Reason.TERMS_CHANGED, words), "payout")
    draft.account = tally.pay_out(account, amount_minor, draft.context.now_ns)
    turn = take_snapshot(draft, "payout", _payout_details(payload))
    book(draft, "payout", -amount_minor)
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
    carried_out(draft, payload, "payout.paid", paid)
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
    approved(draft, payload)
    account, course = draft.account, draft.context.course
    if account.status == "closed":
        closed = Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
        return refuse(draft, payload, closed, "approval")
    if course is None or not is_flat(account):
        words = f"expected nothing in the market, was {in_market(account)}"
        return refuse(draft, payload, Rejection(Reason.NOT_FLAT, words), "approval")
    details: dict[str, Json] = {"approvalId": payload["approvalId"], "reason": payload["reason"]}
    account_id = _succeed(draft, course.start, RESET, "account.reset", details)
    draft.life.approval_ends.append(executed(draft, payload))
    draft.outcome.result = {"nextAccountId": account_id}
    return None


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
    trading = read_trading_terms(target.kind.trading)
    if trading.hedging != draft.context.trading.hedging and not is_flat(account):
        words = (
            f"expected nothing in the market to change from {draft.context.trading.positioning}"
            f" to {trading.positioning}, was {in_market(account)}"
        )
        return Rejection(Reason.NOT_FLAT, words)
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
        trading=trading,
    )
    draft.emit("account.updated", moved)
    draft.outcome.result = {"moved": True}
    return None
