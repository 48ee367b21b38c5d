"""The feed as one line of text: sources joined by commas, options joined by colons.

`synthetic`, `synthetic:seed=7`, `replay:FILE`, `replay:FILE:symbol=EURUSD:speed=10:loop=1`,
`replay:FILE:symbol=ES:contract=201312`, `replay:FILE,synthetic`. Speed is that of the whole feed
(0: as fast as possible); synthetic plays the symbols that no file replays. With `hours=1` the
markets of the feed open and close by their calendars; otherwise they are open whenever they quote.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from quantlab.kernel.decimals import parse_decimal
from quantlab.market.catalog import Catalog
from quantlab.market.quote import PPM, Quote
from quantlab_adapters.feeds.paced import PacedSource, TickStream
from quantlab_adapters.feeds.replay import ReplayStream
from quantlab_adapters.feeds.synthetic import SyntheticStream
from quantlab_app.ports.clock import Clock
from quantlab_app.ports.errors import Misconfigured

OPTIONS = {
    "synthetic": ("seed", "speed", "hours"),
    "replay": ("symbol", "contract", "speed", "loop", "hours"),
}
MAX_SPEED = 100_000


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source of the line."""

    kind: str
    path: str
    options: Mapping[str, str]


def parse_sources(text: str) -> list[SourceSpec]:
    """Split a feed line; Misconfigured says which part is wrong."""
    return [_parse_source(part.strip()) for part in text.split(",")]


def build_source(text: str, catalog: Catalog, clock: Clock, *, seed: int) -> PacedSource:
    """Make the tick source a feed line describes; seed is that of synthetic without its own."""
    specs = parse_sources(text)
    replays = [_replay(spec, catalog) for spec in specs if spec.kind == "replay"]
    played: set[str] = set()
    for replay in replays:
        for symbol in sorted(replay.symbols & played):
            raise Misconfigured(f"feed: expected {symbol} in one file, got it in two")
        played |= replay.symbols
    streams: list[TickStream] = [*replays]
    synthetics = [spec for spec in specs if spec.kind == "synthetic"]
    if len(synthetics) > 1:
        raise Misconfigured("feed: expected synthetic once, got it more often")
    for spec in synthetics:
        models = {s: m for s, m in catalog.synthetic.items() if s not in played}
        shut = _is_shut(catalog) if _keeps_hours(specs) else None
        streams.append(SyntheticStream(models, _integer(spec, "seed", seed), shut))
    return PacedSource(streams, _speed_ppm(specs), clock, keeps_hours=_keeps_hours(specs))


def _parse_source(part: str) -> SourceSpec:
    kind, *rest = part.split(":")
    if kind not in OPTIONS:
        raise Misconfigured(f"feed: expected one of {', '.join(OPTIONS)}, got {part!r}")
    path: list[str] = []
    options: dict[str, str] = {}
    for piece in rest:
        name, equals, value = piece.partition("=")
        if equals and name in OPTIONS[kind]:
            options[name] = value
        else:
            path.append(piece)
    joined = ":".join(path)
    if (kind == "replay") != bool(joined):
        raise Misconfigured(
            f"feed: expected synthetic[:seed=N] or replay:FILE with options among"
            f" {', '.join(OPTIONS[kind])}, got {part!r}"
        )
    return SourceSpec(kind, joined, options)


def _keeps_hours(specs: list[SourceSpec]) -> bool:
    said = {spec.options["hours"] for spec in specs if "hours" in spec.options}
    for value in sorted(said - {"0", "1"}):
        raise Misconfigured(f"feed: expected hours=0 or hours=1, got hours={value}")
    return "1" in said


def _is_shut(catalog: Catalog) -> Callable[[Quote], bool]:
    return lambda quote: not catalog.is_open(catalog.instruments[quote.symbol], quote.ts_ns)


def _replay(spec: SourceSpec, catalog: Catalog) -> ReplayStream:
    loop = spec.options.get("loop", "0")
    if loop not in {"0", "1"}:
        raise Misconfigured(f"feed: expected loop=0 or loop=1, got loop={loop}")
    return ReplayStream(
        Path(spec.path).expanduser(),
        catalog.find,
        symbol=spec.options.get("symbol"),
        contract=spec.options.get("contract"),
        loop=loop == "1",
    )


def _integer(spec: SourceSpec, name: str, default: int) -> int:
    text = spec.options.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise Misconfigured(f"feed: expected {name}= as a whole number, got {text!r}")
    return int(text)


def _speed_ppm(specs: list[SourceSpec]) -> int | None:
    """Return the one speed that the sources ask for; None is as fast as possible."""
    speeds = {spec.options["speed"] for spec in specs if "speed" in spec.options}
    if len(speeds) > 1:
        raise Misconfigured(f"feed: expected one speed, got {', '.join(sorted(speeds))}")
    text = speeds.pop() if speeds else "1"
    speed = parse_decimal(text)
    ppm = -1 if speed is None else int(Fraction(speed) * PPM)
    if speed is None or not 0 <= speed <= MAX_SPEED or (ppm == 0 and speed != 0):
        raise Misconfigured(f"feed: expected speed= from 0 to {MAX_SPEED}, got {text!r}")
    return ppm or None
