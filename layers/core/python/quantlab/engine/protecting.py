"""The stops that protect an open position, where a rule asks for them: whether one may go or move.

A stop-loss of the position itself covers all of it; otherwise working stops of the other side cover
as much as they are large.
"""

from collections.abc import Iterable

from quantlab.engine import lifecycle
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import enforce
from quantlab.engine.order_terms import STOP, TRAILING_STOP, trigger_of
from quantlab.engine.pretrade import rejected, risk_at_stop
from quantlab.engine.rejections import Rejection
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account, Position
from quantlab.rules.asked import Asked
from quantlab.rules.evidence import Verdict
from quantlab.rules.requests import judge_protection


def refused_without_stop(draft: Draft, order: Order, changed: Order | None) -> Rejection | None:
    """Say why a stop may not be cancelled (changed None), made smaller, or moved away.

    What the rule says is acted on as when an order is refused.
    """
    verdict = _verdict(draft, order, changed)
    if verdict is None:
        return None
    enforce(draft, (verdict,))
    return rejected(verdict)


def must_stay(draft: Draft, order: Order) -> bool:
    """Say whether a rule keeps a stop from being cancelled."""
    return _verdict(draft, order, None) is not None


def _verdict(draft: Draft, order: Order, changed: Order | None) -> Verdict | None:
    account, context = draft.account, draft.context
    held = account.held_for(order)
    if held is None or held.stop_loss_ticks is not None or not _protects(order, held):
        return None
    bare_steps = _bare_steps(account, held, order, changed)
    farther = changed is not None and _farther(order, changed)
    if not bare_steps and not farther:
        return None
    instrument = context.market.catalog.instruments[order.symbol]
    asked = Asked(
        instrument=instrument,
        side=-order.side,
        size_steps=abs(held.size_steps),
        after_steps=held.size_steps,
        opened_steps=abs(held.size_steps),
        has_stop=True,
        risk_minor=None if changed is None else _risk_minor(draft, held, changed),
        now_ns=context.now_ns,
        new_orders=0,
        bare_steps=bare_steps,
        position_key=held.key,
    )
    return judge_protection(context.profile, account, asked)


def _protects(order: Order, held: Position) -> bool:
    waits = order.status == lifecycle.PENDING_PARENT
    kinds = (STOP, TRAILING_STOP)
    return not waits and order.order_type in kinds and order.side * held.size_steps < 0


def _bare_steps(account: Account, held: Position, order: Order, changed: Order | None) -> int:
    """Return how much more of a position would be without a stop than is now."""
    stops = [one for one in account.working.values() if one.position_key == order.position_key]
    stops = [one for one in stops if _protects(one, held)]
    after = [one for one in stops if one.order_id != order.order_id]
    before_steps = _uncovered(held, stops)
    after_steps = _uncovered(held, [*after, changed] if changed is not None else after)
    return after_steps if after_steps > before_steps else 0


def _uncovered(held: Position, stops: Iterable[Order]) -> int:
    return max(0, abs(held.size_steps) - sum(one.remaining_steps for one in stops))


def _farther(order: Order, changed: Order) -> bool:
    """Say whether a change lets the position lose more before the stop triggers."""
    before, after = trigger_of(order), trigger_of(changed)
    if before is None or after is None:
        return before is not after
    return order.side * (after - before) > 0


def _risk_minor(draft: Draft, held: Position, changed: Order) -> int | None:
    """Return what the covered part loses from its average price to the moved stop, rounded up."""
    trigger_ticks, size = trigger_of(changed), abs(held.size_steps)
    if trigger_ticks is None:
        return None
    covered = min(size, changed.remaining_steps)
    lost = max(0, held.cost - trigger_ticks * held.size_steps)
    instrument = draft.context.market.catalog.instruments[changed.symbol]
    return risk_at_stop(draft, instrument, trigger_ticks, -(-lost * covered // size), covered)
