"""Programs as data: the phases an account type leads through, and what each phase pays out.

Resolving a program makes an account type of every phase: the first keeps the type's own id, a later
one is named TYPE/PHASE. An account is one attempt at one phase, so its type says where it stands.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from quantlab.kernel.arith import MICRO
from quantlab.kernel.check import check
from quantlab.kernel.decimals import format_minor, parse_decimal, parse_minor, to_units
from quantlab.kernel.records import dataclass

Document = Mapping[str, Any]

STAGES: Final = ("evaluation", "verification", "funded", "scaled")
PAYING_STAGES: Final = ("funded", "scaled")
PERCENT_PPM: Final = 10_000
SCALE_PPM_MAX: Final = 100 * MICRO
MINIMUM_DAYS_MAX: Final = 366
_PPM: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """What a phase pays out: the trader's split_ppm of an amount, and the gates before it.

    Amounts in minor units of the account's currency. minimum_days are trading days since the last
    payout; best_day_share_ppm bounds the best of those days' share, None for no bound; buffer_minor
    stays on the account above its initial balance.
    """

    split_ppm: int
    minimum_profit_minor: int
    minimum_days: int
    best_day_share_ppm: int | None
    buffer_minor: int

    def shares_of(self, amount_minor: int) -> tuple[int, int]:
        """Split an amount: floor(amount * split_ppm / 10^6) to the trader, the rest to the firm."""
        trader_minor = amount_minor * self.split_ppm // MICRO
        return trader_minor, amount_minor - trader_minor


@dataclass(frozen=True, slots=True)
class Phase:
    """Where an account type stands in its program.

    next_type is the account type of the phase that follows, None for the last; payouts is None
    where the phase pays nothing out.
    """

    program_id: str
    program_name: str
    phase_id: str
    name: str
    stage: str
    next_type: str | None
    payouts: PayoutTerms | None


def percent_ppm(text: object, most_ppm: int = MICRO) -> int | None:
    """Read a percent above 0 as decimal text with at most 4 decimals; None when it is not one."""
    value = parse_decimal(text) if isinstance(text, str) else None
    ppm = None if value is None else to_units(value, _PPM)
    return ppm if ppm is not None and 0 < ppm <= most_ppm else None


def type_id_of(kind: Document, first_phase_id: str, phase_id: str) -> str:
    """Name the account type of a phase; the first phase's is the type itself."""
    return str(kind["id"]) if phase_id == first_phase_id else f"{kind['id']}/{phase_id}"


def phase_balance_minor(phase: Document, base_minor: int, digits: int) -> int | None:
    """Return the balance a phase begins with: its own, or a scale of the type's; None if inexact.

    A scale that leaves a part of a minor unit over is inexact.
    """
    if "initialBalance" in phase:
        balance = phase["initialBalance"]
        return parse_minor(balance, digits) if isinstance(balance, str) else None
    if "scalePercent" not in phase:
        return base_minor
    scale_ppm = percent_ppm(phase["scalePercent"], SCALE_PPM_MAX)
    if scale_ppm is None or base_minor * scale_ppm % MICRO:
        return None
    return base_minor * scale_ppm // MICRO


def phases_of(program: Document, first_phase_id: str | None) -> list[Document]:
    """Return the phases of a program from the one named, all for None."""
    phases = list(program["phases"])
    ids = [phase["id"] for phase in phases]
    return phases[ids.index(first_phase_id) :] if first_phase_id is not None else phases


def amount_minor(item: Document | None, initial_minor: int, digits: int) -> int | None:
    """Return an amount, or a percent of the initial balance rounded up; 0 for None, None if wrong.

    Rounding up keeps a gate at least as strict as its text.
    """
    if item is None:
        return 0
    if "amount" in item:
        found = parse_minor(item["amount"], digits) if isinstance(item["amount"], str) else None
        return found if found is not None and found >= 0 else None
    share_ppm = percent_ppm(item.get("percent"))
    return None if share_ppm is None else -(-initial_minor * share_ppm // MICRO)


def resolve_phase(
    program: Document,
    phase: Document,
    *,
    next_type: str | None,
    initial_minor: int,
    digits: int,
) -> dict[str, Any]:
    """Write what a recorded account type keeps of its phase: amounts as text, rates in ppm."""
    payouts = phase.get("payouts")
    return {
        "programId": program["id"],
        "programName": program["name"],
        "id": phase["id"],
        "name": phase["name"],
        "stage": phase["stage"],
        "nextType": next_type,
        "payouts": None if payouts is None else _resolve_payouts(payouts, initial_minor, digits),
    }


def _resolve_payouts(payouts: Document, initial_minor: int, digits: int) -> dict[str, Any]:
    gates = payouts.get("gates", {})

    def amount(name: str) -> str:
        found = amount_minor(gates.get(name), initial_minor, digits)
        check(found is not None, f"{name} of a payout was validated")
        return format_minor(found or 0, digits)

    share = gates.get("maxBestDaySharePercent")
    return {
        "splitPpm": percent_ppm(payouts["splitPercent"]),
        "minimumProfit": amount("minimumProfit"),
        "minimumDays": gates.get("minimumDays", 0),
        "bestDaySharePpm": None if share is None else percent_ppm(share),
        "buffer": amount("buffer"),
    }


def parse_phase(item: Document | None, digits: int) -> Phase | None:
    """Read what was recorded of a phase; None for an account type without a program."""
    if item is None:
        return None
    payouts = item["payouts"]
    return Phase(
        program_id=item["programId"],
        program_name=item["programName"],
        phase_id=item["id"],
        name=item["name"],
        stage=item["stage"],
        next_type=item["nextType"],
        payouts=None if payouts is None else _parse_payouts(payouts, digits),
    )


def _parse_payouts(item: Document, digits: int) -> PayoutTerms:
    return PayoutTerms(
        split_ppm=item["splitPpm"],
        minimum_profit_minor=parse_minor(item["minimumProfit"], digits) or 0,
        minimum_days=item["minimumDays"],
        best_day_share_ppm=item["bestDaySharePpm"],
        buffer_minor=parse_minor(item["buffer"], digits) or 0,
    )
