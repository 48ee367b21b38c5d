"""What trading and holding an instrument costs, as catalogue and account types say it.

It must not know accounts; ledger.fees and ledger.swap say what one fill and one night cost.
"""

from decimal import Decimal

from quantlab.kernel.arith import MICRO
from quantlab.kernel.decimals import to_units
from quantlab.kernel.records import dataclass
from quantlab.market.document import CatalogError, Node

PPM_STEP = Decimal("0.01")
PPM_MAX = 1_000_000
MINOR_MAX = 10**12
POINTS = "points"
MONEY = "money"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
SWAP_MAX = 10**9


@dataclass(frozen=True, slots=True)
class Commission:
    """What each side of a trade costs: per lot, a share of the notional, at least a minimum.

    per_lot_minor and minimum_micro are in the account currency: minor units, and millionths of one
    for a whole order; notional_ppm are millionths of the notional (a basis point is 100).
    """

    per_lot_minor: Decimal = Decimal(0)
    notional_ppm: int = 0
    minimum_micro: int = 0


def read_commission(node: Node) -> Commission:
    """Read a commission; CatalogError names the pointer, what was expected and what was there."""
    node.only("commissionMinorPerLot", "commissionBasisPoints", "minimumMinorPerOrder")
    per_lot = node.decimal("commissionMinorPerLot")
    if not 0 <= per_lot <= MINOR_MAX:
        raise CatalogError(
            node.at("commissionMinorPerLot"), "a commission of 0 or more", f"{per_lot}"
        )
    return Commission(
        per_lot,
        _units(node, "commissionBasisPoints", PPM_STEP, PPM_MAX),
        _units(node, "minimumMinorPerOrder", Decimal(1) / MICRO, MINOR_MAX * MICRO),
    )


def _units(node: Node, name: str, unit: Decimal, most: int) -> int:
    if name not in node.value:
        return 0
    value = node.decimal(name)
    count = to_units(value, unit)
    if count is None or not 0 <= count <= most:
        expected = f"0 to {most * unit:f} in steps of {unit:f}"
        raise CatalogError(node.at(name), expected, str(value))
    return count


@dataclass(frozen=True, slots=True)
class SwapTerms:
    """What a lot held over a night earns (above zero) or costs: long and short.

    In points (ticks of the price) or in money (whole units of the quote currency). With a
    triple_day (0 is Monday) that rollover counts three nights and those of Saturday and Sunday
    none; without one every night counts once.
    """

    unit: str
    long: Decimal
    short: Decimal
    triple_day: int | None = None


def read_swap(node: Node) -> SwapTerms:
    """Read swap terms; CatalogError names the pointer, what was expected and what was there."""
    node.only("unit", "long", "short", "tripleDay")
    triple = None
    if "tripleDay" in node.value:
        triple = WEEKDAYS.index(node.text("tripleDay", "|".join(WEEKDAYS)))
    unit = node.text("unit", f"{POINTS}|{MONEY}")
    return SwapTerms(unit, _per_night(node, "long"), _per_night(node, "short"), triple)


def _per_night(node: Node, name: str) -> Decimal:
    amount = node.decimal(name)
    if abs(amount) > SWAP_MAX:
        raise CatalogError(node.at(name), f"an amount within {SWAP_MAX}", str(amount))
    return amount
