"""The difference that bad ticks made to an account, as a document that people approve by.

Everything in it follows from the account's record and the ticks; its digest stands in the events of
the correction, and with that in the audit log.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from quantlab.engine import ENGINE_VERSION
from quantlab.engine.bad_ticks import BadTicks, Undone
from quantlab.engine.commands import Fill
from quantlab.engine.context import write_quotes
from quantlab.engine.trading import side_name
from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.ledger.state import Account
from quantlab.market.catalog import Catalog


def write_difference(
    found: Undone, bad: BadTicks, known: Sequence[BadTicks], catalog: Catalog
) -> dict[str, Json]:
    """Write what would be different: money as decimal text, fills in words, and the evidence."""
    here, there = found.account_with, found.account_without
    digits = here.currency_digits
    kinds = sorted({*found.booked_with, *found.booked_without})
    return {
        "affected": found.affected,
        "badTicks": _range(bad),
        "knownBadTicks": [_range(one) for one in known],
        "balance": format_minor(here.balance_minor, digits),
        "balanceWithout": format_minor(there.balance_minor, digits),
        "difference": format_minor(found.balance_minor, digits),
        "equity": _money(found.equity_with_minor, digits),
        "equityWithout": _money(found.equity_without_minor, digits),
        "amount": _money(found.amount_minor, digits),
        "booked": {kind: format_minor(found.booked_with.get(kind, 0), digits) for kind in kinds},
        "bookedWithout": {
            kind: format_minor(found.booked_without.get(kind, 0), digits) for kind in kinds
        },
        "highWater": format_minor(here.high_water_minor, digits),
        "highWaterWithout": format_minor(there.high_water_minor, digits),
        "status": here.status,
        "statusWithout": there.status,
        "liftsRule": found.lifts_rule,
        "positions": _positions(here, catalog),
        "positionsWithout": _positions(there, catalog),
        "fillsUndone": _fills(found.fills_undone, catalog),
        "fillsInstead": _fills(found.fills_instead, catalog),
        "violationsUndone": [one.verdict["arithmetic"] for one in found.violations_undone],
        "quotes": write_quotes(found.quotes),
        "engineVersion": ENGINE_VERSION,
    }


def difference_digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a difference's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def correction_subject(
    found: Undone, account: Account, document: dict[str, Any]
) -> dict[str, Json] | None:
    """Return what a correction of the account would carry out; None where there is nothing to.

    account is the one as it stands now. Nothing can be booked while the amount is not known.
    """
    here, there = found.account_with, found.account_without
    if found.amount_minor is None:
        return None
    lower = there.high_water_minor < here.high_water_minor
    if not (found.amount_minor or lower or found.lifts_rule):
        return None
    digits = account.currency_digits
    return {
        "amount": format_minor(found.amount_minor, digits),
        "highWater": format_minor(there.high_water_minor, digits) if lower else None,
        "highWaterWas": format_minor(account.high_water_minor, digits),
        "liftsRule": found.lifts_rule,
        "positionsDiffer": found.positions_differ,
        "differenceDigest": difference_digest(document),
    }


def _range(bad: BadTicks) -> dict[str, Json]:
    return {"symbol": bad.symbol, "fromSeq": bad.from_seq, "toSeq": bad.to_seq}


def _money(amount_minor: int | None, digits: int) -> str | None:
    return None if amount_minor is None else format_minor(amount_minor, digits)


def _positions(account: Account, catalog: Catalog) -> list[Json]:
    return [
        {
            **one.named,
            "side": side_name(1 if one.size_steps > 0 else -1),
            "quantity": format_units(
                abs(one.size_steps), catalog.instruments[one.symbol].size_step
            ),
        }
        for one in account.legs()
    ]


def _fills(fills: Iterable[Fill], catalog: Catalog) -> list[Json]:
    return [
        f"{side_name(fill.side)} {format_units(fill.size_steps, known.size_step)} {fill.symbol}"
        f" at {format_units(fill.price_ticks, known.tick)}, tick {fill.quote_seq}"
        for fill in fills
        for known in (catalog.instruments[fill.symbol],)
    ]
