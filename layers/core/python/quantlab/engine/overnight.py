"""Swap: positions held over the account's day roll are charged, or earn, for the nights.

Each rollover is passed once, with the day that it ends, under the account's one writer; so is its
swap, whoever is the first to come after it.
"""

from collections.abc import Sequence

from quantlab.engine.context import Market, write_quotes
from quantlab.engine.draft import Draft
from quantlab.engine.life_records import Booking
from quantlab.engine.rejections import Rejection
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import replace
from quantlab.ledger.fills import Rate, book_entry
from quantlab.ledger.state import Account, Position
from quantlab.ledger.swap import night_value, nights_of, swap_micro
from quantlab.market.conversion import conversion_pair
from quantlab.market.costs import SwapTerms
from quantlab.market.instrument import Instrument
from quantlab.rules.calendar import day_of, night_of
from quantlab.rules.terms import DayTerms


def charge_swaps(draft: Draft, market: Market, resets_ns: Sequence[int]) -> None:
    """Book the swap of every position for rollovers passed; the ended day's result has it.

    A night that the rollover before the open day has charged is not charged again: day terms that
    have changed may end it twice. Converted at the last quotes before the latest rollover, however
    old, as the market gives them; without any that could convert it, an event says that the swap
    was not charged.
    """
    account, day = draft.account, draft.context.profile.day
    charged = night_of(account.day.started_ns, day.time_zone)
    for reset_ns in resets_ns:
        ended = night_of(reset_ns, day.time_zone)
        if ended == charged:
            continue
        night: dict[str, Json] = {
            "night": ended.isoformat(),
            "rolloverAt": format_rfc3339(reset_ns),
        }
        for position in account.legs():
            instrument = market.catalog.instruments[position.symbol]
            terms = draft.context.trading.swap(instrument)
            nights = 0 if terms is None else nights_of(ended.weekday(), terms.triple_day)
            if terms is not None and nights:
                _charge(draft, market, position, terms, {**night, "nights": nights}, nights)


def rollovers(account: Account, day: DayTerms, now_ns: int) -> list[int]:
    """Return the resets passed since the account's day began, the one that ended it first."""
    passed = []
    reset_ns = account.day.next_reset_ns
    while reset_ns <= now_ns:
        passed.append(reset_ns)
        reset_ns = day_of(reset_ns, day.reset, day.time_zone).next_reset_ns
    return passed


def _charge(
    draft: Draft,
    market: Market,
    position: Position,
    terms: SwapTerms,
    night: dict[str, Json],
    nights: int,
) -> None:
    account = draft.account
    instrument = market.catalog.instruments[position.symbol]
    value = night_value(terms, instrument, position.size_steps)
    if not value[0]:
        return
    told = {**_position_payload(position, instrument, terms), **night}
    found = _rate(draft, market, instrument, value[0])
    if isinstance(found, Rejection):
        reason: dict[str, Json] = {"reason": str(found.reason), "detail": found.detail}
        draft.emit("position.swap_not_charged", {**told, **reason})
        return
    rate, seen = found
    amount_micro = swap_micro(position.size_steps, nights, *value, *rate)
    entry = book_entry(account.balance_minor, account.carry_micro, "swap", amount_micro)
    realised_minor = account.day.realised_minor + entry.amount_minor
    draft.change(
        balance_minor=entry.balance_minor,
        carry_micro=entry.carry_micro,
        day=replace(account.day, realised_minor=realised_minor),
    )
    booked: dict[str, Json] = {
        "amount": draft.money(entry.amount_minor),
        "amountMicro": str(amount_micro),
        "rate": f"{rate[0]}/{rate[1]}",
        "quotes": seen,
        "balance": draft.money(entry.balance_minor),
        "carryMicro": entry.carry_micro,
        "configVersion": account.config_version,
        "catalogVersion": market.catalog.version,
    }
    seq = draft.emit("position.swap_charged", {**told, **booked})
    draft.life.bookings.append(Booking(seq, entry))


def _position_payload(
    position: Position, instrument: Instrument, terms: SwapTerms
) -> dict[str, Json]:
    long = position.size_steps > 0
    return {
        **position.named,
        "side": "long" if long else "short",
        "quantity": format_units(abs(position.size_steps), instrument.size_step),
        "sizeSteps": position.size_steps,
        "unit": terms.unit,
        "perLot": format(terms.long if long else terms.short, "f"),
    }


def _rate(
    draft: Draft, market: Market, instrument: Instrument, sign: int
) -> tuple[Rate, list[Json]] | Rejection:
    """Return the rate of an amount of that sign with the quote it came from, where it needs one."""
    currency = draft.account.currency
    rate: Rate | Rejection = market.unaged().rate(instrument, currency, sign)
    if isinstance(rate, Rejection):
        market = draft.context.market
        rate = market.unaged().rate(instrument, currency, sign)
    if isinstance(rate, Rejection):
        return rate
    conversion = conversion_pair(market.catalog, instrument.quote_currency, currency)
    symbol = None if conversion is None else conversion.symbol
    return rate, [] if symbol is None else write_quotes([market.quotes[symbol]])
