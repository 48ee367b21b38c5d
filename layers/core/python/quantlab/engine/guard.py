"""Who may trade what now: the account's status, what it is offered, and its rules."""

from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce
from quantlab.engine.pretrade import rejected
from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.check import check
from quantlab.ledger.orders import Order
from quantlab.market.instrument import Instrument
from quantlab.rules.terms import Inactivity
from quantlab.rules.verdicts import judge_order, judge_standing, order_warnings

_STATUS_REASONS = {
    "closed": Reason.ACCOUNT_CLOSED,
    "disabled": Reason.ACCOUNT_DISABLED,
    "locked": Reason.ACCOUNT_LOCKED,
}


def guard(
    draft: Draft, ticker: str, *, reducing: bool, closing: bool = False
) -> Instrument | Rejection:
    """Refuse what may not be traded now.

    reducing says that the order can only make a position smaller; closing that it does so at once,
    which a locked account may still do.
    """
    _end_patience(draft)
    account, context = draft.account, draft.context
    reason = _STATUS_REASONS.get(account.status)
    if account.status != "active" and not (closing and account.status == "locked"):
        check(reason is not None, f"no such status: {account.status}")
        detail = f"the account is {account.status}: {account.status_reason}"
        return Rejection(reason or Reason.ACCOUNT_DISABLED, detail)
    instrument = context.market.catalog.find(ticker)
    if instrument is None:
        return Rejection(Reason.UNKNOWN_INSTRUMENT, f"expected an instrument, was {ticker}")
    if instrument.symbol not in context.instruments and not reducing:
        return Rejection(
            Reason.INSTRUMENT_ALLOWLIST, f"{instrument.symbol} is not offered on this account"
        )
    halt = context.market.halt_of(instrument)
    if halt is not None:
        return halt
    verdict = judge_order(
        context.profile, account, instrument.symbol, context.now_ns, reducing=reducing
    )
    if verdict is not None:
        enforce(draft, (verdict,))
        return rejected(verdict)
    warnings = order_warnings(
        context.profile, account, instrument.symbol, context.now_ns, reducing=reducing
    )
    if warnings:
        enforce(draft, warnings)
    return instrument


def _end_patience(draft: Draft) -> None:
    """Judge first for how long nothing was ordered: an order that comes too late saves nobody."""
    context = draft.context
    standing = judge_standing(context.profile, draft.account, context.now_ns)
    if late := tuple(one for one in standing if one.rule == Inactivity.slug):
        enforce(draft, late)


def only_reduces(draft: Draft, order: Order) -> bool:
    """Say whether an order can only make its position smaller as things stand."""
    reducible_steps = draft.account.reducible_steps(order)
    return order.terms.reduce_only or order.remaining_steps <= reducible_steps
