"""Open positions at their closing side now, and the ledger that sums to the balance."""

from typing import Annotated, Final, Literal

from fastapi import Depends
from starlette.requests import Request

from quantlab.kernel.arith import muldiv
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases.account_views import PositionView, read_ledger, read_positions
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.requests import ports_of

AVERAGE_DIGITS: Final = 4

router = new_router("positions", prefix="/tenants/{tenantId}/accounts/{accountId}")

Reader = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_READ))]


class PositionOut(ApiModel):
    """A position. cost (price times quantity) is exact, averagePrice is rounded.

    On a hedging account it is a leg with the ticket that closes it; ticket is null on one that
    nets. price is that of the closing side now; it and openProfit, in the account's currency, are
    null with the reason while they cannot be known.
    """

    symbol: str
    ticket: str | None
    side: Literal["long", "short"]
    quantity: str
    average_price: str
    cost: str
    stop_loss: str | None
    take_profit: str | None
    price: str | None
    open_profit: str | None
    unknown_reason: str | None
    unknown_detail: str | None
    opened_at: str
    opened_seq: int


class Positions(ApiModel):
    """Every open position, by symbol; of a symbol's legs the one opened first is first."""

    currency: str
    items: list[PositionOut]
    next_cursor: None = None


class LedgerEntryOut(ApiModel):
    """A booking and the balance after it; carryMicro is the rest below a minor unit."""

    event_seq: int
    kind: Literal["deposit", "realised", "commission", "payout", "adjustment", "swap", "correction"]
    amount: str
    balance: str
    carry_micro: int
    at: str


class LedgerPage(ApiModel):
    """A page of ledger entries, newest first."""

    currency: str
    items: list[LedgerEntryOut]
    next_cursor: str | None


@router.get("/positions")
async def get_positions(request: Request, scope: Reader, accountId: str) -> Positions:  # noqa: N803
    """List the account's open positions."""
    require_uuid(accountId)
    owned, views = await read_positions(ports_of(request), scope, accountId)
    digits = owned.account.currency_digits
    return Positions(
        currency=owned.account.currency, items=[_position(view, digits) for view in views]
    )


@router.get("/ledger")
async def get_ledger(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> LedgerPage:
    """List the account's bookings, newest first."""
    require_uuid(accountId)
    after = decode_cursor(cursor, int, str)
    before = None if after is None else (after[0], after[1])
    owned, rows = await read_ledger(ports_of(request), scope, accountId, before, limit + 1)
    kept, following = page(rows, limit, lambda row: (row["event_seq"], row["kind"]))
    digits = owned.account.currency_digits
    items = [
        LedgerEntryOut(
            event_seq=row["event_seq"],
            kind=row["kind"],
            amount=format_minor(row["amount_minor"], digits),
            balance=format_minor(row["balance_minor"], digits),
            carry_micro=row["carry_micro"],
            at=format_rfc3339(row["at_ns"]),
        )
        for row in kept
    ]
    return LedgerPage(currency=owned.account.currency, items=items, next_cursor=following)


def _position(view: PositionView, digits: int) -> PositionOut:
    position, instrument = view.position, view.instrument
    tick, size = instrument.tick, abs(position.size_steps)
    finer = tick.scaleb(-AVERAGE_DIGITS)
    average = muldiv(abs(position.cost), 10**AVERAGE_DIGITS, size)

    def price(ticks: int | None) -> str | None:
        return None if ticks is None else format_units(ticks, tick)

    return PositionOut(
        symbol=position.symbol,
        ticket=position.ticket,
        side="long" if position.size_steps > 0 else "short",
        quantity=format_units(size, instrument.size_step),
        average_price=format_units(average, finer),
        cost=format_units(position.cost, tick * instrument.size_step),
        stop_loss=price(position.stop_loss_ticks),
        take_profit=price(position.take_profit_ticks),
        price=price(view.price_ticks),
        open_profit=None
        if view.open_profit_minor is None
        else format_minor(view.open_profit_minor, digits),
        unknown_reason=None if view.unknown is None else str(view.unknown.reason),
        unknown_detail=None if view.unknown is None else view.unknown.detail,
        opened_at=format_rfc3339(position.opened_at_ns),
        opened_seq=position.opened_seq,
    )
