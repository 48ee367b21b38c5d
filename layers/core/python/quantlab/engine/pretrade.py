"""An order before it is taken: whether it, or its size, breaks a rule of the account."""

from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce
from quantlab.engine.rejections import Reason, Rejection
from quantlab.kernel.arith import MICRO, muldiv
from quantlab.ledger.fees import raw_fee_micro
from quantlab.ledger.fills import gain_micro, net
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Position
from quantlab.market.instrument import Instrument
from quantlab.rules.asked import Asked
from quantlab.rules.evidence import Verdict
from quantlab.rules.requests import asked_warnings, judge_asked, judge_stop


def refused_by_rules(
    draft: Draft,
    order: Order,
    entry_ticks: int | None,
    stop_ticks: int | None = None,
    together: int = 1,
) -> Rejection | None:
    """Judge an order of the trader by its size, stop, moment and surroundings; act on a refusal.

    It is judged as if what is left of it were filled now at entry_ticks, None where that is not
    known. stop_ticks is the stop that comes with it where the order itself has none; together is
    how many new orders are placed at once.
    """
    context = draft.context
    if not context.profile.asked_rules:
        return None
    asked = asked_of(draft, order, entry_ticks, stop_ticks, together)
    instruments = context.market.catalog.instruments
    judged = (context.profile, draft.account, asked, context.around, instruments)
    verdict = judge_asked(*judged)
    if verdict is not None:
        enforce(draft, (verdict,))
        return rejected(verdict)
    if warnings := asked_warnings(*judged):
        enforce(draft, warnings)
    return None


def rejected(verdict: Verdict) -> Rejection:
    """Return the rejection of an order that a verdict refuses."""
    return Rejection(Reason(verdict.rule), verdict.arithmetic)


def asked_of(
    draft: Draft,
    order: Order,
    entry_ticks: int | None,
    stop_ticks: int | None = None,
    together: int = 1,
) -> Asked:
    """Return the order as rules see it; one that may only reduce opens nothing."""
    instrument = draft.context.market.catalog.instruments[order.symbol]
    held = draft.account.held_for(order)
    size_steps = order.remaining_steps
    if order.terms.reduce_only:
        size_steps = min(size_steps, draft.account.reducible_steps(order))
    after_steps = 0 if held is None else held.size_steps
    opened_steps = 0
    if size_steps:
        netted = net(held, order.side, size_steps, 0)
        after_steps, opened_steps = netted.size_steps, netted.opened_steps
    stop_ticks = order.stop_loss_ticks if order.stop_loss_ticks is not None else stop_ticks
    if stop_ticks is None and held is not None and held.size_steps * after_steps > 0:
        stop_ticks = held.stop_loss_ticks
    lost = None
    if stop_ticks is not None and entry_ticks is not None:
        lost = max(0, (entry_ticks - stop_ticks) * order.side) * opened_steps
        lost += _moved_with(held, after_steps, stop_ticks) if opened_steps else 0
    return Asked(
        instrument=instrument,
        side=order.side,
        size_steps=size_steps if order.terms.reduce_only else order.size_steps,
        after_steps=after_steps,
        opened_steps=opened_steps,
        has_stop=stop_ticks is not None,
        risk_minor=risk_at_stop(draft, instrument, entry_ticks, lost, opened_steps),
        now_ns=draft.context.now_ns,
        new_orders=0 if order.order_id else together,
        position_key=order.position_key,
    )


def _moved_with(held: Position | None, after_steps: int, stop_ticks: int) -> int:
    """Return what an added order's stop lets the rest of the position lose, where it is farther.

    A position has one stop-loss, that of the last order that added to it. In ticks times steps.
    """
    if held is None or held.stop_loss_ticks is None or held.size_steps * after_steps <= 0:
        return 0
    farther = (held.stop_loss_ticks - stop_ticks) * held.size_steps > 0
    return max(0, held.cost - stop_ticks * held.size_steps) if farther else 0


def risk_at_stop(
    draft: Draft, instrument: Instrument, price_ticks: int | None, lost: int | None, steps: int
) -> int | None:
    """Return what is lost at a stop, in minor units rounded up; None where that is not known.

    lost is in ticks times steps; the costs of a fill of steps at the price come on top.
    """
    if lost is None or price_ticks is None:
        return None
    rate = draft.context.market.rate(instrument, draft.account.currency, -1)
    if isinstance(rate, Rejection):
        return None
    loss_micro = muldiv(gain_micro(lost, instrument), *rate)
    fees = draft.context.trading.fees(instrument)
    fee_micro = raw_fee_micro(
        steps,
        price_ticks,
        instrument.unit_num,
        instrument.unit_den,
        fees.step_num,
        fees.step_den,
        fees.notional_ppm,
        *rate,
    )
    if steps:
        loss_micro += max(fees.minimum_micro, fee_micro)
    return -(-loss_micro // MICRO)


def report_stop(draft: Draft, instrument: Instrument) -> None:
    """Report the rules that a stop-loss or take-profit has broken by firing now."""
    context = draft.context
    if verdicts := judge_stop(context.profile, instrument, context.around, context.now_ns):
        enforce(draft, verdicts)
