"""An account at a turn of its life, as one document a certificate can be printed from.

Everything in it follows from the account and its rules at that moment, so that it can be computed
again; its digest stands in the event beside it, and with that in the audit log.
"""

import hashlib

from quantlab.engine import ENGINE_VERSION
from quantlab.engine.draft import Draft
from quantlab.engine.life_records import Snapshot
from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.rules.phase_goals import goals
from quantlab.rules.status import rule_status

PPM = 1_000_000


def statistics(account: Account) -> dict[str, Json]:
    """Sum up an account's trading days; amounts in minor units as text, rates in ppm.

    A day counts when a position was opened in it or something was booked; the open day counts as
    it stands. returnPpm = floor((balance - initial balance) * 10^6 / initial balance).
    """
    days = [(day.realised_minor, day.traded) for day in account.closed_days]
    if account.day.traded or account.day.realised_minor:
        days.append((account.day.realised_minor, account.day.traded))
    results = [result for result, _ in days]
    profit_minor = account.balance_minor - account.initial_balance_minor
    return {
        "initialBalanceMinor": str(account.initial_balance_minor),
        "balanceMinor": str(account.balance_minor),
        "profitMinor": str(profit_minor),
        "returnPpm": profit_minor * PPM // account.initial_balance_minor,
        "highWaterMinor": str(account.high_water_minor),
        "tradingDays": sum(traded for _, traded in days),
        "profitableDays": sum(result > 0 for result in results),
        "losingDays": sum(result < 0 for result in results),
        "bestDayMinor": str(max(results, default=0)),
        "worstDayMinor": str(min(results, default=0)),
        "firstDay": min((day.date for day in account.closed_days), default=account.day.date),
        "lastDay": account.day.date,
        "openPositions": len(account.positions),
    }


def take_snapshot(draft: Draft, cause: str, details: dict[str, Json]) -> dict[str, Json]:
    """Record the account as it stands; return what the event of this turn says of the snapshot.

    It must be followed by that event: the snapshot carries its seq.
    """
    account, profile = draft.account, draft.context.profile
    statuses = rule_status(profile, account, account.balance_minor, draft.context.now_ns)
    document: dict[str, Json] = {
        "format": 1,
        "cause": cause,
        "tenantId": account.tenant_id,
        "accountId": account.account_id,
        "accountType": account.account_type,
        "currency": account.currency,
        "currencyDigits": account.currency_digits,
        "at": format_rfc3339(draft.context.now_ns),
        "eventSeq": draft.next_seq,
        "status": account.status,
        "statusReason": account.status_reason,
        "statistics": statistics(account),
        "rules": [status.as_payload() for status in statuses],
        "goals": [goal.as_payload() for goal in goals(profile, account)],
        "ruleProfile": profile.name,
        "ruleProfileVersion": profile.version,
        "configVersion": account.config_version,
        "engineVersion": ENGINE_VERSION,
        "details": details,
    }
    digest = hashlib.sha256(canonical_json(document)).hexdigest()
    snapshot_id = draft.derived_id("snapshot")
    draft.life.snapshots.append(Snapshot(snapshot_id, cause, draft.next_seq, document, digest))
    return {"snapshotId": snapshot_id, "snapshotDigest": digest}
