"""What may be asked for an account: payouts, overrides of a breach, resets; and its snapshots."""

from collections.abc import Sequence

from quantlab.engine.payouts import Offer, in_market, is_flat, offer
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor, parse_minor
from quantlab.ledger.state import Account
from quantlab.rules.day import roll_day
from quantlab.rules.terms import Profile
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import OwnedAccount, Row
from quantlab_app.ports.approvals import Approval, ApprovalKind
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.approvals import (
    Asked,
    Refused,
    RefusedBecause,
    approval_id_of,
    ask,
    asked_before,
    list_approvals,
)
from quantlab_app.use_cases.visibility import visible_account


async def request_payout(
    ports: Ports, scope: Scope, account_id: str, amount: str | None, key: str | None
) -> Asked | Refused:
    """Ask for a payout of an amount, None for all that is available; its gates must be open now.

    The account's writer looks at them again when the payout is carried out.
    """
    account = (await visible_account(ports, scope, account_id)).account
    asked: dict[str, Json] = {"amount": amount}
    repeated = await _repeated(ports, scope, "payout", account_id, asked, key)
    if repeated is not None:
        return repeated
    wanted_minor = None if amount is None else parse_minor(amount, account.currency_digits)
    if amount is not None and (wanted_minor is None or wanted_minor <= 0):
        return _no_amount("/amount", account)
    since_date, found, split_ppm = await _offer(ports, scope, account, wanted_minor)
    if not found.open:
        return Refused(RefusedBecause.PAYOUT_GATES, found.words, gates=found.gates)
    subject: dict[str, Json] = {
        "amount": format_minor(found.amount_minor, account.currency_digits),
        "traderShare": format_minor(found.trader_minor, account.currency_digits),
        "firmShare": format_minor(found.firm_minor, account.currency_digits),
        "splitPpm": split_ppm,
        "sinceDate": since_date,
    }
    return await ask(ports, scope, "payout", account_id, asked=asked, subject=subject, key=key)


async def read_payouts(
    ports: Ports, scope: Scope, account_id: str, before: tuple[int, str] | None, limit: int
) -> tuple[OwnedAccount, Offer, Sequence[Approval]]:
    """Return an account, the payout it could ask for now, and those it asked for, newest first."""
    owned = await visible_account(ports, scope, account_id)
    _, found, _ = await _offer(ports, scope, owned.account, None)
    rows = await list_approvals(
        ports, scope, account_id=account_id, kind="payout", before=before, limit=limit
    )
    return owned, found, rows


async def request_reset(
    ports: Ports, scope: Scope, account_id: str, reason: str, key: str | None
) -> Asked | Refused:
    """Ask for another attempt at the account's phase."""
    account = (await visible_account(ports, scope, account_id)).account
    asked: dict[str, Json] = {"reason": reason}
    repeated = await _repeated(ports, scope, "reset", account_id, asked, key)
    if repeated is not None:
        return repeated
    if account.status == "closed":
        return Refused(RefusedBecause.ACCOUNT_CLOSED, "the account is closed")
    if not is_flat(account):
        return _not_flat(account)
    return await ask(ports, scope, "reset", account_id, asked=asked, subject=asked, key=key)


async def request_override(
    ports: Ports,
    scope: Scope,
    account_id: str,
    *,
    reason: str,
    evidence: str,
    adjustment: str | None,
    high_water: str | None,
    key: str | None,
) -> Asked | Refused:
    """Ask that a disabled account be enabled again, with what the evidence corrects.

    adjustment is a signed amount to be booked; high_water is what the mark should have been.
    """
    account = (await visible_account(ports, scope, account_id)).account
    asked: dict[str, Json] = {
        "reason": reason,
        "evidence": evidence,
        "adjustment": adjustment,
        "highWater": high_water,
    }
    repeated = await _repeated(ports, scope, "override", account_id, asked, key)
    if repeated is not None:
        return repeated
    for pointer, text in (("/adjustment", adjustment), ("/highWater", high_water)):
        if text is not None and parse_minor(text, account.currency_digits) is None:
            return _no_amount(pointer, account)
    if account.status == "closed":
        return Refused(RefusedBecause.ACCOUNT_CLOSED, "the account is closed")
    if account.status != "disabled":
        words = f"expected a disabled account, was {account.status}"
        return Refused(RefusedBecause.NOT_DISABLED, words)
    if not is_flat(account):
        return _not_flat(account)
    return await ask(ports, scope, "override", account_id, asked=asked, subject=asked, key=key)


async def read_snapshots(
    ports: Ports, scope: Scope, account_id: str, before: int | None, limit: int
) -> Sequence[Row]:
    """Return what an account was at the turns of its life, newest first."""
    await visible_account(ports, scope, account_id)
    return await ports.accounts.snapshots(scope, account_id, before, limit)


async def _repeated(
    ports: Ports,
    scope: Scope,
    kind: ApprovalKind,
    account_id: str,
    asked: dict[str, Json],
    key: str | None,
) -> Asked | Refused | None:
    """Return the answer of an earlier request under the same key, None without one."""
    if key is None:
        return None
    approval_id = approval_id_of(ports, scope, key)
    if await ports.approvals.find(scope, approval_id) is None:
        return None
    return await asked_before(ports, scope, approval_id, kind, account_id, asked)


async def _offer(
    ports: Ports, scope: Scope, account: Account, wanted_minor: int | None
) -> tuple[str | None, Offer, int]:
    rulebook = await ports.rulebooks.of(account)
    phase, profile = rulebook.course.start.kind.phase, rulebook.profile
    payouts = None if phase is None else phase.payouts
    since_date = await ports.approvals.last_payout_date(scope, account.account_id)
    present = _present(account, profile, ports.clock.now_ns())
    found = offer(present, profile, payouts, wanted_minor, since_date)
    return since_date, found, 0 if payouts is None else payouts.split_ppm


def _present(account: Account, profile: Profile, now_ns: int) -> Account:
    """Return an account without positions in the day that holds now; it is worth its balance."""
    if account.positions:
        return account
    return roll_day(account, profile, account.balance_minor, account.balance_minor, now_ns)


def _no_amount(pointer: str, account: Account) -> Refused:
    digits = account.currency_digits
    words = f"an amount in {account.currency} as decimal text with at most {digits} decimals"
    return Refused(RefusedBecause.INVALID_FIELD, words, pointer)


def _not_flat(account: Account) -> Refused:
    words = f"expected nothing in the market, was {in_market(account)}"
    return Refused(RefusedBecause.NOT_FLAT, words)
