"""Accounts as they are read: equity, floors, rules and positions against the present quotes.

Nothing here decides: what a quote that may not be used would say is left unknown.
"""

from collections.abc import Sequence
from typing import Final, Literal

from quantlab.engine.context import Market, equity_of
from quantlab.engine.margin import Margin, margin_of
from quantlab.engine.rejections import Rejection
from quantlab.kernel.arith import MICRO, muldiv
from quantlab.kernel.records import dataclass, replace
from quantlab.ledger.fills import open_gain_micro
from quantlab.ledger.state import Position
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.rules.day import is_day_over
from quantlab.rules.evidence import RuleStatus
from quantlab.rules.floors import Floor, floors, next_high_water
from quantlab.rules.status import rule_status
from quantlab.rules.terms import Profile
from quantlab.tenancy.programs import Phase
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import OwnedAccount, Row
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.use_cases.surroundings import present_surroundings
from quantlab_app.use_cases.visibility import visible_account

UNKNOWN: Final = "unknown"
History = Literal["fills", "violations"]


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account now. equity_minor is None with the reason beside it when it cannot be known.

    The floors and the high-water mark are those at that equity, else at the last known one. margin
    is None while it cannot be known; stop_out_ppm None where positions are never closed for it.
    positioning is netting or hedging.
    """

    owned: OwnedAccount
    profile: Profile
    equity_minor: int | None
    equity_unknown: Rejection | None
    high_water_minor: int
    floors: tuple[Floor, ...]
    day_over: bool
    phase: Phase | None
    margin: Margin | None
    stop_out_ppm: int | None
    positioning: str


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position at its closing side now; both figures None, and why, without a usable quote."""

    position: Position
    instrument: Instrument
    price_ticks: int | None
    open_profit_minor: int | None
    unknown: Rejection | None


@dataclass(frozen=True, slots=True)
class RulesView:
    """Where an account stands with each rule of its profile."""

    account: AccountView
    statuses: tuple[RuleStatus, ...]


async def read_account(ports: Ports, scope: Scope, account_id: str) -> AccountView:
    """Return an account the actor may see; NotFound otherwise."""
    owned = await visible_account(ports, scope, account_id)
    return (await _views(ports, (owned,)))[0]


async def list_accounts(
    ports: Ports, scope: Scope, after: str | None, limit: int
) -> Sequence[AccountView]:
    """Return accounts by identifier, to those who own accounts their own alone."""
    if scope.owns_only and scope.actor.kind != "user":
        return ()
    user_id = scope.actor.id if scope.owns_only else None
    page = await ports.accounts.page(scope, user_id=user_id, after=after, limit=limit)
    return await _views(ports, page)


async def read_positions(
    ports: Ports, scope: Scope, account_id: str
) -> tuple[OwnedAccount, Sequence[PositionView]]:
    """Return an account and its open positions by symbol, the oldest leg first."""
    owned = await visible_account(ports, scope, account_id)
    market = await present_market(ports)
    views = [_position(owned, position, market) for position in owned.account.legs()]
    return owned, views


async def read_rules(ports: Ports, scope: Scope, account_id: str) -> RulesView:
    """Return the state of each rule; of an equity rule unknown while the equity is."""
    view = await read_account(ports, scope, account_id)
    account, now_ns = view.owned.account, ports.clock.now_ns()
    instruments = ports.catalog.instruments
    around = await present_surroundings(ports, scope, account_id, view.profile)
    if view.equity_minor is not None:
        known = rule_status(view.profile, account, view.equity_minor, now_ns, instruments, around)
        return RulesView(view, known)
    # The high-water mark stands for the equity: it moves no floor; what it says is not shown.
    stand_in_minor = account.high_water_minor
    marked = rule_status(view.profile, account, stand_in_minor, now_ns, instruments, around)
    return RulesView(view, tuple(_without_equity(status, account.raised) for status in marked))


def _without_equity(status: RuleStatus, raised: Sequence[str]) -> RuleStatus:
    if status.floor_minor is None:
        return status
    state = status.state if status.rule_id in raised else UNKNOWN
    return replace(status, state=state, distance_minor=None)


async def read_history(
    ports: Ports, scope: Scope, account_id: str, kind: History, before: int | None, limit: int
) -> tuple[OwnedAccount, Sequence[Row]]:
    """Return an account and its fills or violations, newest first."""
    owned = await visible_account(ports, scope, account_id)
    read = {"fills": ports.accounts.fills, "violations": ports.accounts.violations}[kind]
    return owned, await read(scope, account_id, before, limit)


async def read_orders(
    ports: Ports,
    scope: Scope,
    account_id: str,
    before: int | None,
    limit: int,
    statuses: Sequence[str] | None,
) -> Sequence[Row]:
    """Return an account's orders, those that moved last first, of some statuses where given."""
    await visible_account(ports, scope, account_id)
    return await ports.accounts.orders(scope, account_id, before, limit, statuses)


async def read_ledger(
    ports: Ports, scope: Scope, account_id: str, before: tuple[int, str] | None, limit: int
) -> tuple[OwnedAccount, Sequence[Row]]:
    """Return an account and its ledger entries, newest first."""
    owned = await visible_account(ports, scope, account_id)
    return owned, await ports.accounts.ledger(scope, account_id, before, limit)


async def read_order(ports: Ports, scope: Scope, account_id: str, order_id: str) -> Row:
    """Return one order; NotFound when it or its account is not visible."""
    await visible_account(ports, scope, account_id)
    order = await ports.accounts.order(scope, account_id, order_id)
    if order is None:
        raise NotFound("order")
    return order


async def _views(ports: Ports, page: Sequence[OwnedAccount]) -> list[AccountView]:
    market = await present_market(ports)
    now_ns = ports.clock.now_ns()
    return [await _view(ports, owned, market, now_ns) for owned in page]


async def _view(ports: Ports, owned: OwnedAccount, market: Market, now_ns: int) -> AccountView:
    account = owned.account
    rulebook = await ports.rulebooks.of(account)
    profile = rulebook.profile
    equity = equity_of(account, market)
    margin = margin_of(account, market, rulebook.trading)
    unknown = equity if isinstance(equity, Rejection) else None
    known_minor = equity if isinstance(equity, int) else None
    marked_minor = account.high_water_minor if known_minor is None else known_minor
    return AccountView(
        owned=owned,
        profile=profile,
        equity_minor=known_minor,
        equity_unknown=unknown,
        high_water_minor=next_high_water(profile, account, marked_minor, at_day_end=False),
        floors=floors(profile, account, marked_minor),
        day_over=is_day_over(account, now_ns),
        phase=rulebook.course.start.kind.phase,
        margin=margin if isinstance(margin, Margin) else None,
        stop_out_ppm=rulebook.trading.stop_out_ppm,
        positioning=rulebook.trading.positioning,
    )


async def present_market(ports: Ports) -> Market:
    """Return the latest quotes on the feed's clock of this moment."""
    quotes, clock = await ports.quotes.latest_with_clock(tuple(ports.catalog.instruments))
    now_ns = ports.clock.now_ns()
    if clock is None:
        return Market(ports.catalog, quotes, now_ns)
    return Market(ports.catalog, quotes, clock.at(now_ns), clock.keeps_hours)


def _position(owned: OwnedAccount, position: Position, market: Market) -> PositionView:
    instrument = market.catalog.instruments[position.symbol]
    quote = market.usable(instrument)
    if not isinstance(quote, Quote):
        return PositionView(position, instrument, None, None, quote)
    price_ticks = quote.bid_ticks if position.size_steps > 0 else quote.ask_ticks
    gain_micro = open_gain_micro(position, instrument, quote)
    rate = market.rate(instrument, owned.account.currency, gain_micro)
    if isinstance(rate, Rejection):
        return PositionView(position, instrument, price_ticks, None, rate)
    profit_minor = muldiv(muldiv(gain_micro, *rate), 1, MICRO)
    return PositionView(position, instrument, price_ticks, profit_minor, None)
