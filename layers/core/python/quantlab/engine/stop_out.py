"""The stop-out: at a margin level too low, positions are closed until it is above again.

account_watch asks for it with the quotes it saw; the account's writer decides it again, and says of
each position it closes why.
"""

from typing import Any, Final

from quantlab.engine import commands
from quantlab.engine.context import (
    Market,
    equity_of,
    exposure_id,
    symbols_of,
    write_quotes,
)
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce_equity
from quantlab.engine.filling import fill_market_order
from quantlab.engine.margin import PPM, is_at_level, used_margin
from quantlab.engine.orders import cancel_openers
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import closing_intent
from quantlab.engine.watched import Demand, Watched, demand_once
from quantlab.kernel.arith import MICRO, muldiv
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.ledger.fills import open_gain_micro
from quantlab.ledger.state import Position
from quantlab.market.fill_model import ANY_SIZE, DISPLAYED
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.rules.wording import money, percent

CAUSE: Final = "margin_stop_out"
PERCENT_DIGITS: Final = 4


def stop_out_demands(
    watched: Watched, quote: Quote | None, equity_minor: int, market: Market, now_ns: int
) -> list[Demand]:
    """Demand a stop-out when an account's margin level has fallen to that of its type."""
    account, level_ppm = watched.account, watched.trading.stop_out_ppm
    if level_ppm is None or account.status != "active":
        return []
    used_minor = used_margin(account, market, watched.trading)
    if isinstance(used_minor, Rejection) or not is_at_level(equity_minor, used_minor, level_ppm):
        return []
    seen = [market.quotes[symbol] for symbol in sorted(watched.symbols)]
    feed_seq = max(one.seq for one in seen)
    payload: dict[str, Json] = {
        "equityMinor": str(equity_minor),
        "usedMinor": str(used_minor),
        "exposureId": exposure_id(account),
        "feedSeq": feed_seq,
        "quotes": write_quotes(seen),
    }
    identity = (commands.STOP_OUT, account.event_seq, feed_seq)
    tick_ts_ns = None if quote is None else quote.ts_ns
    return demand_once(watched, (commands.STOP_OUT,), identity, payload, now_ns, tick_ts_ns)


def stop_out(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Close the largest loser, then the next, until the margin level is above the stop-out.

    What account_watch saw counts while the account still holds what it held then; from the first
    close on the present quotes decide. Orders that could open are cancelled first.
    """
    context = draft.context
    seen = context.market
    if payload["exposureId"] == exposure_id(draft.account):
        seen = context.recorded_market(payload["quotes"])
    evidence = _evidence(draft, seen)
    if evidence is None and seen is not context.market:
        seen = context.market
        evidence = _evidence(draft, seen)
    if isinstance(evidence, Rejection):
        return evidence
    if evidence is None:
        return Rejection(Reason.NOT_TRIGGERED, "the margin level is above the stop-out")
    cancel_openers(draft, CAUSE)
    closed: list[Position] = []
    while isinstance(evidence, dict):
        loser = _largest_loser(draft, seen, closed)
        if loser is None:
            break
        _close(draft, loser, evidence, seen)
        closed.append(loser)
        seen = context.market
        evidence = _evidence(draft, seen)
    draft.outcome.result = {"closed": [one.symbol for one in closed]}
    enforce_equity(draft)
    return None


def _evidence(draft: Draft, market: Market) -> dict[str, Json] | Rejection | None:
    """Return the arithmetic of a level that has been reached; None when it has not."""
    account, trading = draft.account, draft.context.trading
    level_ppm = trading.stop_out_ppm
    if level_ppm is None or not account.positions:
        return None
    equity_minor = equity_of(account, market)
    if isinstance(equity_minor, Rejection):
        return equity_minor
    used_minor = used_margin(account, market, trading)
    if isinstance(used_minor, Rejection):
        return used_minor
    if not is_at_level(equity_minor, used_minor, level_ppm):
        return None
    digits = account.currency_digits
    symbols = sorted(symbols_of(account, market.catalog))
    return {
        "equity": draft.money(equity_minor),
        "usedMargin": draft.money(used_minor),
        "marginLevelPercent": format_minor(equity_minor * PPM // used_minor, PERCENT_DIGITS),
        "stopOutPercent": format_minor(level_ppm, PERCENT_DIGITS),
        "arithmetic": (
            f"equity {money(equity_minor, digits)} is at or below {percent(level_ppm)}"
            f" of the used margin {money(used_minor, digits)}"
        ),
        "configVersion": account.config_version,
        "quotes": write_quotes(market.quotes[symbol] for symbol in symbols),
    }


def _largest_loser(draft: Draft, seen: Market, closed: list[Position]) -> Position | None:
    """Return the position that has lost most, among those a good quote can close now."""
    account, market = draft.account, draft.context.market
    tried = {one.key for one in closed}
    gains: list[tuple[int, Position]] = []
    for position in account.legs():
        if position.key in tried:
            continue
        instrument = market.catalog.instruments[position.symbol]
        usable = isinstance(market.usable(instrument), Quote)
        convertible = not isinstance(market.rate(instrument, account.currency, -1), Rejection)
        gain_micro = _gain_micro(draft, position, seen)
        closable = usable and _has_size(draft, instrument, position)
        if closable and convertible and isinstance(gain_micro, int):
            gains.append((gain_micro, position))
    return min(gains, key=lambda one: one[0])[1] if gains else None


def _has_size(draft: Draft, instrument: Instrument, position: Position) -> bool:
    """Say whether the present quote has any size left to close a position on, or needs none."""
    side = -1 if position.size_steps > 0 else 1
    quote = draft.context.market.quotes[position.symbol]
    rule, shown_steps = (
        draft.context.fill_model(instrument).size_rule(instrument),
        quote.size_for(side),
    )
    if rule == ANY_SIZE or (not shown_steps and rule != DISPLAYED):
        return True
    return shown_steps > draft.taken_steps(quote, side)


def _gain_micro(draft: Draft, position: Position, market: Market) -> int | Rejection:
    instrument = market.catalog.instruments[position.symbol]
    quote = market.usable(instrument)
    if isinstance(quote, Rejection):
        return quote
    gain = open_gain_micro(position, instrument, quote)
    rate = market.rate(instrument, draft.account.currency, gain)
    return rate if isinstance(rate, Rejection) else muldiv(gain, *rate)


def _close(draft: Draft, loser: Position, evidence: dict[str, Json], seen: Market) -> None:
    market = draft.context.market
    instrument = market.catalog.instruments[loser.symbol]
    quote, gain_micro = market.usable(instrument), _gain_micro(draft, loser, seen)
    if isinstance(quote, Rejection) or isinstance(gain_micro, Rejection):
        return
    told: dict[str, Json] = {
        **loser.named,
        "side": "long" if loser.size_steps > 0 else "short",
        "quantity": format_units(abs(loser.size_steps), instrument.size_step),
        "openProfit": draft.money(muldiv(gain_micro, 1, MICRO)),
    }
    draft.emit("account.margin_stop_out", {**told, **evidence})
    intent = closing_intent(loser, instrument, quote, None)
    if not isinstance(intent, Rejection):
        fill_market_order(draft, intent, CAUSE)
