"""What rules look at outside the accounts of a turn: linked accounts.

Most profiles look at nothing outside: for them nothing is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from quantlab.engine.commands import LOOK_AROUND, MOVE_CONFIG, Command, Outcome
from quantlab.rules.limits import WITHIN_MS_MAX
from quantlab.rules.surroundings import (
    NO_REACH,
    NOTHING_KNOWN,
    LinkedAccount,
    LinkedFill,
    LinkedOrder,
    Surroundings,
    opening_orders,
    reach_of,
)
from quantlab.rules.terms import Profile
from quantlab_app.ports.accounts import Rulebook
from quantlab_app.ports.execution import Batch, ReadLinked

MILLISECOND_NS = 1_000_000


@dataclass(slots=True)
class Outside:
    """What is known outside the accounts of a batch, kept current while the batch is decided.

    linked is what was committed before, by account.
    """

    linked: Mapping[str, Sequence[LinkedAccount]] = field(default_factory=dict)
    _positions: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    _orders: dict[str, tuple[LinkedOrder, ...]] = field(default_factory=dict)

    def of(self, account_id: str, command: Command, profile: Profile, now_ns: int) -> Surroundings:
        """Return what a command's account may look at, at this point of the batch."""
        reach = reach_of(profile)
        if reach is NO_REACH or command.name not in LOOK_AROUND:
            return NOTHING_KNOWN
        linked = self.linked.get(account_id)
        known = None if linked is None else tuple(self._now(one) for one in linked)
        return reach.within(Surroundings(linked=known), now_ns)

    def note(self, outcome: Outcome) -> None:
        """Take up what a command of the batch has changed."""
        if not self.linked or not outcome.fills:
            return
        account_id = outcome.account.account_id
        held = {one.symbol: one.size_steps for one in outcome.account.positions.values()}
        fills = [
            LinkedFill(fill.symbol, fill.side, fill.size_steps, outcome.decided_ns)
            for fill in reversed(outcome.fills)
        ]
        self._positions[account_id] = tuple(sorted(held.items()))
        self._orders[account_id] = self._orders.get(account_id, ()) + opening_orders(held, fills)

    def _now(self, one: LinkedAccount) -> LinkedAccount:
        positions = self._positions.get(one.account_id)
        if positions is None:
            return one
        orders = one.orders + self._orders[one.account_id]
        return replace(one, positions=positions, orders=orders)


async def read_outside(
    batch: Batch, rulebooks: Mapping[str, Rulebook], read_linked: ReadLinked, now_ns: int
) -> Outside:
    """Read what the commands of a batch may look at; of accounts that change rules in it, all."""
    orders_ago_ns: dict[str, int] = {}
    for command in batch.commands:
        reach = reach_of(rulebooks[account_of(command)].profile)
        if command.name == MOVE_CONFIG:
            orders_ago_ns[account_of(command)] = WITHIN_MS_MAX * MILLISECOND_NS
        elif reach.linked and command.name in LOOK_AROUND:
            orders_ago_ns.setdefault(account_of(command), reach.orders_ago_ns)
    if not orders_ago_ns:
        return Outside()
    since_ns = now_ns - max(orders_ago_ns.values())
    found = await read_linked(batch.tenant_id, list(orders_ago_ns), since_ns)
    return Outside({account_id: found.get(account_id, ()) for account_id in orders_ago_ns})


def account_of(command: Command) -> str:
    """Return the account a command is for."""
    return command.account_id or ""
