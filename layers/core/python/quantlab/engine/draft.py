"""The account while a command is carried out: events are numbered as they happen."""

from typing import Any

from quantlab.engine.commands import Command, Event, Outcome
from quantlab.engine.context import Context
from quantlab.engine.life_records import LifeRecords
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.ids import derive_id
from quantlab.kernel.records import replace
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.ledger.tally import take_steps, taken_steps
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote


class Draft:
    """Collects the outcome of one command; the account in it is replaced, never changed.

    due names the orders that may fill since something else did, and were not looked at yet.
    """

    __slots__ = ("account", "context", "due", "outcome", "tickets")

    def __init__(self, account: Account, command: Command, context: Context) -> None:
        self.account = account
        self.context = context
        self.outcome = Outcome(command, account, context.now_ns)
        self.due: list[str] = []
        self.tickets = 0

    @property
    def command(self) -> Command:
        return self.outcome.command

    @property
    def life(self) -> LifeRecords:
        """What the command leaves behind of the account's life; made when first asked for."""
        if self.outcome.life is None:
            self.outcome.life = LifeRecords()
        return self.outcome.life

    def change(self, **fields: Any) -> None:
        self.account = replace(self.account, **fields)

    @property
    def next_seq(self) -> int:
        return self.account.event_seq + 1

    def emit(
        self, event_type: str, payload: dict[str, Json], *, occurred_ns: int | None = None
    ) -> int:
        """Record an event and return its seq."""
        seq = self.next_seq
        self.account = replace(self.account, event_seq=seq)
        moment = self.context.now_ns if occurred_ns is None else occurred_ns
        self.outcome.events.append(Event(seq, event_type, moment, payload))
        return seq

    def derived_id(self, kind: str) -> str:
        """Name something by the event it comes with, so that a repeated decision names it alike."""
        account = self.account
        return derive_id(account.tenant_id, account.account_id, self.next_seq, kind)

    def new_ticket(self) -> str:
        """Name a leg by the request that asks for it: a run that came another way names it alike.

        So closing by ticket means the same where a history is replayed without some of its ticks.
        """
        self.tickets += 1
        account, signal_id = self.account, self.command.signal_id
        return derive_id(account.tenant_id, account.account_id, signal_id, "leg", self.tickets)

    def taken_steps(self, quote: Quote, side: int) -> int:
        """Return how much of a quote's displayed size on a side the account has used up."""
        shown_steps = quote.size_for(side)
        return taken_steps(self.account.tally, quote.symbol, side, quote.seq, shown_steps)

    def take_steps(self, quote: Quote, side: int, size_steps: int) -> None:
        """Note that a fill used up so much of a quote's displayed size, where it shows one."""
        if quote.size_for(side):
            tally = take_steps(self.account.tally, quote.symbol, side, quote.seq, size_steps)
            self.change(tally=tally)

    def active_ns(self, instrument: Instrument) -> int:
        """Return when an order given now arrives, on the feed's clock; 0 where it does at once."""
        latency_ns = self.context.fill_model(instrument).latency_ns
        return self.context.market.feed_now_ns + latency_ns if latency_ns else 0

    def money(self, amount_minor: int) -> str:
        return format_minor(amount_minor, self.account.currency_digits)

    def finish(self) -> Outcome:
        """Return the outcome; working orders are left in the order a store reads them back in."""
        if len(self.account.working) > 1:
            working = sorted(self.account.working.items(), key=_age)
            self.account = replace(self.account, working=dict(working))
        self.outcome.account = self.account
        return self.outcome


def _age(held: tuple[str, Order]) -> tuple[int, str]:
    order_id, order = held
    return order.created_ns, order_id
