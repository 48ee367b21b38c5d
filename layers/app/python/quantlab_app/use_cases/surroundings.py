"""What rules look at outside the accounts of a turn: linked accounts, and releases of news.

Most profiles look at nothing outside: for them nothing is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Final

from quantlab.engine.commands import LOOK_AROUND, MOVE_CONFIG, Command, Outcome
from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import dataclass, replace
from quantlab.rules.limits import MINUTES_MAX, WITHIN_MS_MAX
from quantlab.rules.surroundings import (
    NO_REACH,
    NOTHING_KNOWN,
    LinkedAccount,
    LinkedFill,
    LinkedOrder,
    NewsCalendar,
    Reach,
    Surroundings,
    opening_orders,
    reach_of,
)
from quantlab.rules.terms import Profile
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.accounts import Rulebook
from quantlab_app.ports.container import Ports
from quantlab_app.ports.execution import Batch, ReadLinked

MILLISECOND_NS: Final = 1_000_000
DECIDED_WITHIN_NS: Final = 60 * SECOND_NS
FURTHEST: Final = Reach(
    60 * MINUTES_MAX * SECOND_NS,
    60 * MINUTES_MAX * SECOND_NS,
    linked=True,
    orders_ago_ns=WITHIN_MS_MAX * MILLISECOND_NS,
)


@dataclass(slots=True)
class Outside:
    """What is known outside the accounts of a batch, kept current while the batch is decided.

    linked is what was committed before, by account; news is None while there is no calendar.
    """

    news: NewsCalendar | None = None
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
        news = None if self.news is None else self.news.known(reach, now_ns)
        return reach.within(Surroundings(news, known), now_ns)

    def note(self, outcome: Outcome) -> None:
        """Take up what a command of the batch has changed."""
        if not self.linked or not outcome.fills:
            return
        account_id = outcome.account.account_id
        legs = outcome.account.legs()
        held = {one.key: one.size_steps for one in legs}
        fills = [
            LinkedFill(fill.symbol, fill.side, fill.size_steps, outcome.decided_ns, fill.ticket)
            for fill in reversed(outcome.fills)
        ]
        self._positions[account_id] = tuple((one.symbol, one.size_steps) for one in legs)
        self._orders[account_id] = self._orders.get(account_id, ()) + opening_orders(held, fills)

    def _now(self, one: LinkedAccount) -> LinkedAccount:
        positions = self._positions.get(one.account_id)
        if positions is None:
            return one
        orders = one.orders + self._orders[one.account_id]
        return replace(one, positions=positions, orders=orders)


async def read_outside(
    ports: Ports, batch: Batch, rulebooks: Mapping[str, Rulebook], read_linked: ReadLinked
) -> Outside:
    """Read what the commands of a batch may look at; of accounts that change rules in it, all."""
    reaches: dict[str, Reach] = {}
    for command in batch.commands:
        account_id = account_of(command)
        if command.name == MOVE_CONFIG:
            reaches[account_id] = FURTHEST
        elif command.name in LOOK_AROUND and account_id not in reaches:
            reaches[account_id] = reach_of(rulebooks[account_id].profile)
    linked = await _linked(ports, batch, reaches, read_linked)
    return Outside(await _news(ports, batch.tenant_id, reaches.values()), linked)


async def _linked(
    ports: Ports, batch: Batch, reaches: Mapping[str, Reach], read_linked: ReadLinked
) -> dict[str, Sequence[LinkedAccount]]:
    ago_ns = {one: reach.orders_ago_ns for one, reach in reaches.items() if reach.linked}
    if not ago_ns:
        return {}
    since_ns = ports.clock.now_ns() - max(ago_ns.values())
    found = await read_linked(batch.tenant_id, list(ago_ns), since_ns)
    return {account_id: found.get(account_id, ()) for account_id in ago_ns}


async def _news(ports: Ports, tenant_id: str, reaches: Iterable[Reach]) -> NewsCalendar | None:
    looking = [reach for reach in reaches if reach.news_ago_ns is not None]
    if not looking:
        return None
    now_ns = ports.clock.now_ns()
    ago_ns = max(reach.news_ago_ns or 0 for reach in looking)
    ahead_ns = max(reach.news_ahead_ns for reach in looking) + DECIDED_WITHIN_NS
    scope = system_scope(tenant_id, "surroundings", "")
    return await ports.news_calendars.near(scope, now_ns - ago_ns, now_ns + ahead_ns)


async def present_surroundings(
    ports: Ports, scope: Scope, account_id: str, profile: Profile
) -> Surroundings:
    """Return what the rules of one account look at now, to be shown."""
    reach, now_ns = reach_of(profile), ports.clock.now_ns()
    news, linked = None, None
    if calendar := await _news(ports, scope.tenant_id, (reach,)):
        news = calendar.known(reach, now_ns)
    if reach.linked:
        since_ns = now_ns - reach.orders_ago_ns
        linked = tuple(await ports.account_links.standing(scope, account_id, since_ns))
    return Surroundings(news, linked)


def account_of(command: Command) -> str:
    """Return the account a command is for."""
    return command.account_id or ""
