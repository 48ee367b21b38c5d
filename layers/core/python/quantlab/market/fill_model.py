"""How orders of an instrument are filled: how much at once, at what slippage, how soon.

It must not know orders; `engine.fill_models` computes fills from these numbers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.records import dataclass
from quantlab.market.document import Node
from quantlab.market.instrument import Instrument

NO_SLIPPAGE: Final = 0
FIXED_TICKS: Final = 1
SPREAD_SHARE: Final = 2
VOLUME: Final = 3
RANDOM_TICKS: Final = 4

ANY_SIZE: Final = 0
DISPLAYED_OR_ANY: Final = 1
DISPLAYED: Final = 2

TICKS_MAX: Final = 1_000_000
SHARE_PPM_MAX: Final = 10_000_000
STEPS_MAX: Final = 1 << 40
LATENCY_NS_MAX: Final = 60_000_000_000
EVERY_INSTRUMENT: Final = "*"


@dataclass(frozen=True, slots=True)
class FillModel:
    """One model. version is the SHA-256 of the document, which says all that the rest does.

    amount is in ticks, of SPREAD_SHARE in millionths of the spread; reference_steps is the size
    that VOLUME compares with where none is displayed. latency_ns is how long an order travels: only
    quotes at least that much later on the feed's clock may trigger or fill it.
    """

    version: str
    unlimited: bool
    slippage: int
    amount: int
    reference_steps: int
    latency_ns: int
    document: Mapping[str, Any] = field(repr=False, hash=False)

    def size_rule(self, instrument: Instrument) -> int:
        """Return how the displayed size bounds a fill of the instrument."""
        if self.unlimited:
            return ANY_SIZE
        return DISPLAYED if instrument.size_required else DISPLAYED_OR_ANY


def parse_fill_model(node: Node) -> FillModel:
    """Read a model; CatalogError says where it is none."""
    node.only("size", "slippage", "latencyNs")
    unlimited = node.text("size", "displayed|unlimited") == "unlimited"
    kind, amount, reference_steps = _slippage(node.child("slippage"))
    latency_ns = node.integer("latencyNs", 1, LATENCY_NS_MAX) if "latencyNs" in node.value else 0
    document = dict(node.value)
    version = hashlib.sha256(canonical_json(document)).hexdigest()
    return FillModel(version, unlimited, kind, amount, reference_steps, latency_ns, document)


def top_of_book(slippage_ticks: int = 0) -> FillModel:
    """Return the model of an instrument that names none: displayed size, fixed slippage."""
    slippage: dict[str, Any] = {"kind": "none"}
    if slippage_ticks:
        slippage = {"kind": "fixed", "ticks": slippage_ticks}
    return parse_fill_model(Node("", {"size": "displayed", "slippage": slippage}))


def chosen_model(models: Mapping[str, FillModel], symbol: str, default: FillModel) -> FillModel:
    """Return a tenant's model of a symbol, else its model of every instrument, else the default."""
    return models.get(symbol) or models.get(EVERY_INSTRUMENT) or default


def _slippage(node: Node) -> tuple[int, int, int]:
    kind = node.text("kind", "none|fixed|spread_share|volume|random")
    if kind == "none":
        node.only("kind")
        return NO_SLIPPAGE, 0, 0
    if kind == "spread_share":
        node.only("kind", "sharePpm")
        return SPREAD_SHARE, node.integer("sharePpm", 1, SHARE_PPM_MAX), 0
    if kind == "volume":
        node.only("kind", "ticks", "referenceSteps")
        ticks = node.integer("ticks", 1, TICKS_MAX)
        return VOLUME, ticks, node.integer("referenceSteps", 1, STEPS_MAX)
    name = "ticks" if kind == "fixed" else "maxTicks"
    node.only("kind", name)
    return FIXED_TICKS if kind == "fixed" else RANDOM_TICKS, node.integer(name, 1, TICKS_MAX), 0


def parse_fill_models(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, FillModel]:
    """Read models by symbol, as a recorded tenant configuration holds them."""
    return {
        symbol: parse_fill_model(Node(f"/fillModels/{symbol}", document))
        for symbol, document in documents.items()
    }
