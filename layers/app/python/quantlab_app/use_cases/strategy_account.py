"""What a live strategy is told of its account: money, positions, orders, fills of its own."""

from collections.abc import Mapping

from quantlab.ledger.state import Account
from quantlab.live.events import AccountSeen, FillSeen, Held, Resting
from quantlab.live.reserving import resting
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import Row
from quantlab_app.ports.container import Ports
from quantlab_app.ports.live_strategies import RunEnded, StrategyRun
from quantlab_app.use_cases.strategy_orders import OrderDesk

FILLS: int = 200

Numbers = Mapping[str, int]


def account_seen(account: Account, run: StrategyRun, numbers: Numbers, working: int) -> AccountSeen:
    """Return what a strategy sees of its account; numbers are the run's symbols by name.

    Raises RunEnded where the account holds what the run is not told of and asks for.
    """
    held = []
    for one in account.legs():
        if one.symbol in numbers:
            held.append(Held(numbers[one.symbol], one.size_steps, one.cost))
        elif run.limits.get("seesEquity"):
            raise _untold("holds", one.symbol, "equity")
    day = account.day
    return AccountSeen(
        account.balance_minor, account.carry_micro, account.high_water_minor,
        day.start_balance_minor, day.start_equity_minor, day.realised_minor,
        account.tally.day_costs_minor, account.tally.payouts, working, tuple(held),
    )  # fmt: skip


def orders_seen(account: Account, numbers: Numbers) -> list[Resting]:
    """Return the orders that reserve margin; raises RunEnded as `account_seen` does."""
    for order in account.working.values():
        if order.symbol not in numbers:
            raise _untold("has an order for", order.symbol, "margin")
    return resting(account, numbers)


def _untold(has: str, symbol: str, asked: str) -> RunEnded:
    detail = f"its account {has} {symbol}, of which it is told no quotes, and it asks for the"
    return RunEnded("unknown_symbol", f"{detail} {asked}")


async def new_fills(
    ports: Ports, scope: Scope, run: StrategyRun, desk: OrderDesk, numbers: Numbers, seen_seq: int
) -> list[FillSeen]:
    """Return the fills after an event of the account that are the strategy's, oldest first."""
    rows: list[Row] = []
    before: int | None = None
    while True:
        page = await ports.accounts.fills(scope, run.account_id, before, FILLS)
        new = [row for row in page if row["event_seq"] > seen_seq]
        rows += new
        if len(new) < FILLS:
            break
        before = new[-1]["event_seq"]
    if not rows:
        return []
    ids = list({str(row["order_id"]) for row in rows})
    orders = await ports.accounts.orders_named(scope, run.account_id, ids)
    known = {str(order["order_id"]): order for order in orders}
    found = []
    for row in reversed(rows):
        order = known.get(str(row["order_id"]))
        number = 0 if order is None else desk.number_of(order)
        if order is not None and number and row["symbol"] in numbers:
            left = order["size_steps"] - order["filled_steps"]
            profit = row["realised_minor"] - row["commission_minor"]
            found.append(FillSeen(number, row["side"], row["size_steps"], row["price_ticks"],
                                  profit, left, numbers[row["symbol"]]))  # fmt: skip
    return found
