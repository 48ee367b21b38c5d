"""The quote gate: which quotes of a source are believed, and which are only counted.

It must not know where quotes come from or who uses them.
"""

from enum import StrEnum

from quantlab.kernel.records import dataclass, replace
from quantlab.market.instrument import GateLimits
from quantlab.market.quote import Quote


class Verdict(StrEnum):
    """What the gate says of one quote, in order of precedence."""

    NOT_POSITIVE = "not_positive"
    ONE_SIDED = "one_sided"
    CROSSED = "crossed"
    SPREAD_TOO_WIDE = "spread_too_wide"
    OUT_OF_ORDER = "out_of_order"
    OUT_OF_SESSION = "out_of_session"
    DUPLICATE = "duplicate"
    LOCKED = "locked"
    UNCONFIRMED = "unconfirmed"
    OFF_MARKET = "off_market"
    ACCEPTED = "accepted"

    @property
    def suspends(self) -> bool:
        """Say whether the symbol waits for another quote now; a repetition says nothing new."""
        return self not in (Verdict.ACCEPTED, Verdict.DUPLICATE)


Seen = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class GateState:
    """What the gate remembers of a symbol: the last accepted quote and a held price level.

    Levels are bid + ask, twice the mid price, so that they stay integers. Without an accepted
    quote there is nothing to compare with: the first quotes are held until they confirm
    each other. locked_since_ns is when bid and ask became equal, None while they differ.
    """

    level: int | None = None
    ts_ns: int = 0
    held_level: int | None = None
    confirmed: int = 0
    last: Seen | None = None
    held: Seen | None = None
    locked_since_ns: int | None = None


def judge(state: GateState, quote: Quote, limits: GateLimits) -> tuple[GateState, Verdict]:
    """Judge one quote against the symbol's state; only an accepted quote may be used.

    An off-market quote is held; when the next limits.confirmations quotes stay within the jump
    limit of the one before, the last of them is accepted, so that a real gap goes through. A
    repetition of a quote confirms nothing.
    """
    fault = _fault(state, quote, limits)
    if fault is not None:
        return state, fault
    level = quote.bid_ticks + quote.ask_ticks
    reach = 2 * limits.max_jump_ticks
    if state.level is not None and abs(level - state.level) <= reach:
        return _accepted(quote, _locked_since(state, quote)), Verdict.ACCEPTED
    follows = state.held_level is not None and abs(level - state.held_level) <= reach
    confirmed = state.confirmed + 1 if follows else 0
    if confirmed >= limits.confirmations:
        return _accepted(quote, _locked_since(state, quote)), Verdict.ACCEPTED
    held = replace(state, held_level=level, confirmed=confirmed, held=_seen(quote))
    return held, Verdict.UNCONFIRMED if state.level is None else Verdict.OFF_MARKET


def resume(last_accepted: Quote) -> GateState:
    """Return the state of a gate whose last accepted quote was this one."""
    return _accepted(last_accepted, _locked_since(GateState(), last_accepted))


def _accepted(quote: Quote, locked_since_ns: int | None) -> GateState:
    return GateState(
        level=quote.bid_ticks + quote.ask_ticks,
        ts_ns=quote.ts_ns,
        last=_seen(quote),
        locked_since_ns=locked_since_ns,
    )


def _seen(quote: Quote) -> Seen:
    sizes = quote.bid_size_steps, quote.ask_size_steps
    return (quote.ts_ns, quote.bid_ticks, quote.ask_ticks, *sizes)


def _locked_since(state: GateState, quote: Quote) -> int | None:
    if quote.bid_ticks != quote.ask_ticks:
        return None
    return quote.ts_ns if state.locked_since_ns is None else state.locked_since_ns


def is_stale(quote: Quote, feed_now_ns: int, limits: GateLimits) -> bool:
    """Say whether a quote is unfit for use: too old on the feed's clock, or suspended."""
    return quote.suspended or feed_now_ns - quote.ts_ns > limits.max_age_ns


def _fault(state: GateState, quote: Quote, limits: GateLimits) -> Verdict | None:
    return _fault_of_numbers(quote, limits) or _fault_of_time(state, quote, limits)


def _fault_of_numbers(quote: Quote, limits: GateLimits) -> Verdict | None:
    if min(quote.bid_ticks, quote.ask_ticks, quote.bid_size_steps, quote.ask_size_steps) < 0:
        return Verdict.NOT_POSITIVE
    if not quote.bid_ticks or not quote.ask_ticks:
        return Verdict.ONE_SIDED
    if quote.ask_ticks < quote.bid_ticks:
        return Verdict.CROSSED
    if quote.ask_ticks - quote.bid_ticks > limits.max_spread_ticks:
        return Verdict.SPREAD_TOO_WIDE
    return None


def _fault_of_time(state: GateState, quote: Quote, limits: GateLimits) -> Verdict | None:
    if quote.ts_ns < state.ts_ns:
        return Verdict.OUT_OF_ORDER
    if _seen(quote) in (state.last, state.held):
        return Verdict.DUPLICATE
    since_ns = _locked_since(state, quote)
    if since_ns is not None and quote.ts_ns - since_ns >= limits.max_locked_ns:
        return Verdict.LOCKED
    return None
