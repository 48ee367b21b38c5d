"""What a fill does to a netting position and to the balance, exactly."""

from quantlab.kernel.arith import book, muldiv
from quantlab.kernel.check import check
from quantlab.kernel.records import dataclass
from quantlab.ledger import scalars
from quantlab.ledger.scalars import closing_ticks, equity_of_open, open_gain
from quantlab.ledger.state import Account, Position
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote

Rate = tuple[int, int]
SAME_CURRENCY: Rate = (1, 1)


@dataclass(frozen=True, slots=True)
class Netted:
    """A position after a fill: signed size and cost, and what the closed part gained.

    gain is in ticks times size steps, before it is valued; closed_steps and opened_steps are
    counts of the filled steps.
    """

    size_steps: int
    cost: int
    gain: int
    closed_steps: int
    opened_steps: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One booking: amount and the balance after it in minor units, and the carry left."""

    kind: str
    amount_minor: int
    carry_micro: int
    balance_minor: int


def net(position: Position | None, side: int, size_steps: int, price_ticks: int) -> Netted:
    """Net a fill of size_steps > 0 on the side BUY or SELL into a position."""
    check(size_steps > 0, f"fill of {size_steps} steps")
    held_steps, cost = (0, 0) if position is None else (position.size_steps, position.cost)
    return Netted(*scalars.netted(held_steps, cost, side, size_steps, price_ticks))


def fits(netted: Netted, price_ticks: int, instrument: Instrument) -> bool:
    """Say whether every product of the position stays below 2^62, as live and batch require."""
    return scalars.fits(
        netted.size_steps,
        netted.cost,
        netted.gain,
        price_ticks,
        scalars.worth_limit(instrument.unit_num, instrument.unit_den),
    )


def gain_micro(gain: int, instrument: Instrument) -> int:
    """Value ticks times steps in millionths of the quote currency's minor unit."""
    return muldiv(gain, instrument.unit_num, instrument.unit_den)


def open_gain_micro(position: Position, instrument: Instrument, quote: Quote) -> int:
    """Value an open position at its closing side: longs at the bid, shorts at the ask."""
    price_ticks = closing_ticks(position.size_steps, quote.bid_ticks, quote.ask_ticks)
    return open_gain(
        position.size_steps,
        position.cost,
        price_ticks,
        instrument.unit_num,
        instrument.unit_den,
    )


def book_entry(account_balance: int, carry: int, kind: str, amount_micro: int) -> LedgerEntry:
    """Book millionths of a minor unit onto a balance; the carry takes up the rest."""
    booked_minor, carry_micro = book(amount_micro, carry)
    return LedgerEntry(kind, booked_minor, carry_micro, account_balance + booked_minor)


def equity_minor(account: Account, open_micro: int) -> int:
    """Return the balance plus the open gain of all positions, half-even to minor units."""
    return equity_of_open(account.balance_minor, account.carry_micro, open_micro)
