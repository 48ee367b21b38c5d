"""Fill models of every kind, for tests that must hold with all of them."""

from typing import Any

from quantlab.market.document import Node
from quantlab.market.fill_model import FillModel, parse_fill_model

_SLIPPAGES: tuple[dict[str, Any], ...] = (
    {"kind": "none"},
    {"kind": "fixed", "ticks": 3},
    {"kind": "spread_share", "sharePpm": 300_000},
    {"kind": "volume", "ticks": 5, "referenceSteps": 20},
    {"kind": "random", "maxTicks": 9},
)
MODELS: dict[str, FillModel] = {
    f"{size} {slippage['kind']}": parse_fill_model(Node("", {"size": size, "slippage": slippage}))
    for size in ("displayed", "unlimited")
    for slippage in _SLIPPAGES
}
LATENCY_NS = 150_000_000
MODELS["late"] = parse_fill_model(
    Node("", {"size": "displayed", "slippage": {"kind": "none"}, "latencyNs": LATENCY_NS})
)
