"""What an account type says of commissions, swaps, leverage, the stop-out, and of positions.

The first three are by instrument: each is named by symbol, by asset class or as * for every
instrument; the narrowest name counts.
"""

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

from quantlab.kernel.decimals import to_units
from quantlab.kernel.records import dataclass
from quantlab.ledger.fees import Fees, fees_of
from quantlab.market.costs import Commission, SwapTerms, read_commission, read_swap
from quantlab.market.document import CatalogError, Node
from quantlab.market.instrument import Instrument

ANY = "*"
LEVERAGE_STEP = Decimal("0.01")
LEVERAGE_MAX = 10_000
PERCENT_STEP = Decimal("0.0001")
STOP_OUT_PERCENT_MAX = 1_000
POSITIONINGS = ("netting", "hedging")

Ratio = tuple[int, int]
Named = TypeVar("Named")


@dataclass(frozen=True, slots=True)
class TradingTerms:
    """The terms of an account type; without any, instruments charge their own and nothing else.

    leverages are reduced fractions of notional to margin; no leverage means that no margin is
    asked. stop_out_ppm is the margin level at which positions are closed, None for never. hedging
    says that each order that opens has a position of its own, a leg, rather than one a symbol.
    """

    commissions: Mapping[str, Commission] = field(default_factory=dict)
    swaps: Mapping[str, SwapTerms] = field(default_factory=dict)
    leverages: Mapping[str, Ratio] = field(default_factory=dict)
    stop_out_ppm: int | None = None
    hedging: bool = False

    @property
    def positioning(self) -> str:
        """Return netting or hedging."""
        return POSITIONINGS[self.hedging]

    @property
    def asks_margin(self) -> bool:
        """Say whether any position needs margin."""
        return bool(self.leverages)

    def fees(self, instrument: Instrument) -> Fees:
        """Return what a fill of the instrument costs."""
        return fees_of(instrument, _chosen(self.commissions, instrument))

    def swap(self, instrument: Instrument) -> SwapTerms | None:
        """Return what a night with the instrument costs or earns."""
        own = _chosen(self.swaps, instrument)
        return instrument.swap if own is None else own

    def leverage(self, instrument: Instrument) -> Ratio | None:
        """Return how many times its margin a position may be worth; None without limit."""
        return _chosen(self.leverages, instrument)


STANDARD = TradingTerms()


def read_trading_terms(document: Mapping[str, Any]) -> TradingTerms:
    """Read the terms of a resolved account type; CatalogError where they do not hold."""
    root = Node("", document)
    margin = root.child("margin") if "margin" in document else Node("/margin", {})
    margin.only("leverage", "stopOutPercent")
    leverages = margin.child("leverage") if "leverage" in margin.value else Node("", {})
    percent = _counted(margin, "stopOutPercent", PERCENT_STEP, 1, STOP_OUT_PERCENT_MAX)
    return TradingTerms(
        {name: read_commission(node) for name, node in _named(root, "commissions")},
        {name: read_swap(node) for name, node in _named(root, "swaps")},
        {name: _leverage(leverages, name) for name in leverages.value},
        percent,
        _is_hedging(root),
    )


def _is_hedging(root: Node) -> bool:
    if "positioning" not in root.value:
        return False
    return root.text("positioning", "|".join(POSITIONINGS)) == POSITIONINGS[1]


def _chosen(named: Mapping[str, Named], instrument: Instrument) -> Named | None:
    for name in (instrument.symbol, instrument.asset_class, ANY):
        if name in named:
            return named[name]
    return None


def _named(root: Node, name: str) -> list[tuple[str, Node]]:
    if name not in root.value:
        return []
    child = root.child(name)
    return [(key, child.child(key)) for key in child.value]


def _leverage(node: Node, name: str) -> Ratio:
    hundredths = _counted(node, name, LEVERAGE_STEP, 1, LEVERAGE_MAX)
    ratio = Fraction(hundredths or 0, 100)
    return ratio.numerator, ratio.denominator


def _counted(node: Node, name: str, unit: Decimal, least: int, most: int) -> int | None:
    """Return a decimal as a count of units; None where it is not given."""
    if name not in node.value:
        return None
    value = node.decimal(name)
    count = to_units(value, unit)
    if count is None or not least <= value <= most:
        raise CatalogError(node.at(name), f"{least} to {most} in steps of {unit}", str(value))
    return count
