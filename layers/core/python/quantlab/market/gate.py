"""The quote gate: which quotes of a source are believed, and which are only counted.

It must not know where quotes come from or who uses them.
"""

from dataclasses import dataclass
from enum import StrEnum

from quantlab.market.instrument import GateLimits
from quantlab.market.quote import Quote


class Verdict(StrEnum):
    """What the gate says of one quote, in order of precedence."""

    NOT_POSITIVE = "not_positive"
    CROSSED = "crossed"
    SPREAD_TOO_WIDE = "spread_too_wide"
    OUT_OF_ORDER = "out_of_order"
    UNCONFIRMED = "unconfirmed"
    OFF_MARKET = "off_market"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class GateState:
    """What the gate remembers of a symbol: the last accepted quote and a held price level.

    Levels are bid + ask, twice the mid price, so that they stay integers. Without an accepted
    quote there is nothing to compare with: the first quotes are held until they confirm
    each other.
    """

    level: int | None = None
    ts_ns: int = 0
    held_level: int | None = None
    confirmed: int = 0


def judge(state: GateState, quote: Quote, limits: GateLimits) -> tuple[GateState, Verdict]:
    """Judge one quote against the symbol's state; only an accepted quote may be used.

    An off-market quote is held; when the next limits.confirmations quotes stay within the jump
    limit of the one before, the last of them is accepted, so that a real gap goes through.
    """
    fault = _fault(state, quote, limits)
    if fault is not None:
        return state, fault
    level = quote.bid_ticks + quote.ask_ticks
    reach = 2 * limits.max_jump_ticks
    if state.level is not None and abs(level - state.level) <= reach:
        return GateState(level, quote.ts_ns), Verdict.ACCEPTED
    follows = state.held_level is not None and abs(level - state.held_level) <= reach
    confirmed = state.confirmed + 1 if follows else 0
    if confirmed >= limits.confirmations:
        return GateState(level, quote.ts_ns), Verdict.ACCEPTED
    held = GateState(state.level, state.ts_ns, level, confirmed)
    return held, Verdict.UNCONFIRMED if state.level is None else Verdict.OFF_MARKET


def resume(last_accepted: Quote) -> GateState:
    """Return the state of a gate whose last accepted quote was this one."""
    return GateState(last_accepted.bid_ticks + last_accepted.ask_ticks, last_accepted.ts_ns)


def is_stale(quote: Quote, feed_now_ns: int, limits: GateLimits) -> bool:
    """Say whether a quote is unfit for use: too old on the feed's clock, or suspended."""
    return quote.suspended or feed_now_ns - quote.ts_ns > limits.max_age_ns


def _fault(state: GateState, quote: Quote, limits: GateLimits) -> Verdict | None:
    if quote.bid_ticks <= 0:
        return Verdict.NOT_POSITIVE
    if quote.ask_ticks < quote.bid_ticks:
        return Verdict.CROSSED
    if quote.ask_ticks - quote.bid_ticks > limits.max_spread_ticks:
        return Verdict.SPREAD_TOO_WIDE
    if quote.ts_ns < state.ts_ns:
        return Verdict.OUT_OF_ORDER
    return None
