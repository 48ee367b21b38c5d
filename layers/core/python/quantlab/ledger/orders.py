"""Orders as the one writer keeps them: what was asked, how far it has come, what it hangs on.

It must not know how an order gets from one state to the next; that is the engine's.
"""

from quantlab.kernel.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order asks beyond its size; prices in ticks, times in wall-clock nanoseconds.

    limit_ticks is the worst price it may trade at. trigger_ticks is the stop or touch price; a
    trailing stop has trail_ticks or trail_ppm instead, and peak_ticks, the best price seen, that
    its trigger follows from (None until the first quote). since_seq is the feed's seq of the last
    quote the order was held against: an older one may neither trigger nor fill it. active_ns is
    when it arrives, on the feed's clock: no quote of before counts (0: at once). Orders with one
    group_id cancel (oco) or reduce (ouo) each other; a child waits for parent_id to fill, and
    parent_steps is what that has filled less what others of the group have: it may never be larger.
    fee_micro is what its fills so far cost before the minimum, in millionths of the account's minor
    unit. ticket is the leg of a hedging account that it opens or reduces.
    """

    limit_ticks: int | None = None
    trigger_ticks: int | None = None
    trail_ticks: int | None = None
    trail_ppm: int | None = None
    peak_ticks: int | None = None
    time_in_force: str = "ioc"
    expire_at_ns: int | None = None
    reduce_only: bool = False
    post_only: bool = False
    since_seq: int = 0
    active_ns: int = 0
    group_id: str | None = None
    group_kind: str | None = None
    parent_id: str | None = None
    parent_steps: int = 0
    fee_micro: int = 0
    ticket: str | None = None


PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class Order:
    """An order, working or ended; sizes in steps, protective prices in ticks.

    side is BUY or SELL. event_seq is the account's event that brought it to its status.
    """

    order_id: str
    signal_id: str
    client_id: str | None
    source_kind: str
    symbol: str
    side: int
    order_type: str
    size_steps: int
    filled_steps: int
    stop_loss_ticks: int | None
    take_profit_ticks: int | None
    status: str
    reason: str | None
    event_seq: int
    created_ns: int
    terms: Terms = PLAIN

    @property
    def remaining_steps(self) -> int:
        """Return the steps that may still fill."""
        return self.size_steps - self.filled_steps

    @property
    def position_key(self) -> str:
        """Return the key of the position that it adds to or reduces."""
        return self.terms.ticket or self.symbol

    @property
    def is_plain(self) -> bool:
        """Say whether it is a market order that was filled at once: its terms are not kept."""
        return self.order_type == "market" and replace(self.terms, since_seq=0) == PLAIN
