"""What a single order may be: its size, its stop, its moment, and what others hold.

An order that only makes a position smaller passes every rule but the one on news.
"""

from collections.abc import Mapping
from typing import NamedTuple

from quantlab.kernel.arith import MICRO
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.ledger.tally import lots_nano
from quantlab.market.instrument import Instrument
from quantlab.rules import terms
from quantlab.rules.scalars import weighted_nano
from quantlab.rules.surroundings import LinkedAccount, Surroundings, release_near
from quantlab.rules.wording import lots, money, percent

_MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """An order as rules see it; sizes in steps, after_steps is the signed position after it.

    position_key is that of the position it adds to or reduces; on a hedging account that is a leg.

    risk_minor is what it loses at its stop-loss, None when that is unknown. now_ns is the instant
    it is judged at. new_orders is how many orders are asked for with it, itself included, 0 where
    those of the day count it already. bare_steps is how much of an open position would be left
    without a stop by a change of its stops.
    """

    instrument: Instrument
    side: int
    size_steps: int
    after_steps: int
    opened_steps: int
    has_stop: bool
    risk_minor: int | None
    now_ns: int
    position_key: str
    new_orders: int = 1
    bare_steps: int = 0

    @property
    def symbol(self) -> str:
        """The symbol asked for."""
        return self.instrument.symbol


class Answer(NamedTuple):
    """What a rule says of an order: allowed or not, why, and how much room it leaves.

    threshold, value and room are text in the unit; room is what would still be allowed before
    this order.
    """

    allowed: bool
    words: str
    threshold: str | None = None
    value: str | None = None
    room: str | None = None
    unit: str | None = None


def answer(
    rule: terms.AskedRule,
    account: Account,
    asked: Asked,
    around: Surroundings,
    instruments: Mapping[str, Instrument],
) -> Answer:
    """Judge an order by one rule."""
    if isinstance(rule, terms.NewsWindow):
        return _news(rule, asked, around)
    if not asked.opened_steps:
        return Answer(allowed=True, words="the order only makes a position smaller")
    if isinstance(rule, (terms.PositionSize, terms.ScalingPlan)):
        return _size(rule, account, asked, instruments)
    if isinstance(rule, terms.OrderLimits):
        return _order_limits(rule, account, asked)
    if isinstance(rule, terms.StopLossRequired):
        return _stop_loss(rule, account, asked)
    return _linked(rule, account, asked, around)


def _linked(
    rule: terms.Hedging | terms.CopyTrading,
    account: Account,
    asked: Asked,
    around: Surroundings,
) -> Answer:
    if around.linked is None:
        return Answer(allowed=False, words="what linked accounts hold and order is not known")
    linked = [one for one in around.linked if one.is_of(rule.owners)]
    if isinstance(rule, terms.Hedging):
        own = account if rule.owners != terms.OTHER_OWNERS else None
        return _hedging(asked, own, linked)
    return _copying(rule, asked, linked)


def scaling_limit(rule: terms.ScalingPlan, account: Account) -> tuple[int, str]:
    """Return the lots of the day's step, in 10^-9 lots, and how it was found.

    The profit is that of the balance at the day's start, so winning within a day raises nothing.
    """
    profit_minor = account.day.start_balance_minor - account.initial_balance_minor
    step = next(
        step for step in rule.steps if step.below_minor is None or profit_minor < step.below_minor
    )
    words = f"profit {money(profit_minor, account.currency_digits)} at the day's start allows"
    return step.max_nano, f"{words} {lots(step.max_nano)} lots"


def held_nano(
    account: Account,
    instruments: Mapping[str, Instrument],
    weights: tuple[tuple[str, int], ...],
    *,
    without: str | None = None,
) -> int:
    """Return all open lots together, weighted, in 10^-9 lots; long and short both count."""
    return sum(
        _weighted(lots_nano(instruments[one.symbol], abs(one.size_steps)), one.symbol, weights)
        for key, one in account.positions.items()
        if key != without
    )


def _weighted(nano: int, symbol: str, weights: tuple[tuple[str, int], ...]) -> int:
    return weighted_nano(nano, dict(weights).get(symbol, MICRO))


def _size(
    rule: terms.PositionSize | terms.ScalingPlan,
    account: Account,
    asked: Asked,
    instruments: Mapping[str, Instrument],
) -> Answer:
    if isinstance(rule, terms.ScalingPlan):
        limit_nano, words = scaling_limit(rule, account)
        return _held(rule, account, asked, instruments, limit_nano, words)
    words = f"at most {lots(rule.max_nano)} lots"
    if rule.per == terms.PER_ACCOUNT:
        return _held(rule, account, asked, instruments, rule.max_nano, f"{words} together allowed")
    steps = asked.size_steps if rule.per == terms.PER_ORDER else abs(asked.after_steps)
    value = _weighted(lots_nano(asked.instrument, steps), asked.symbol, rule.weights)
    before = 0
    if rule.per == terms.PER_POSITION:
        before = held_nano(account, instruments, rule.weights)
        before -= held_nano(account, instruments, rule.weights, without=asked.position_key)
    found = f"{words} an {rule.per} allowed" if rule.per == "order" else f"{words} a position"
    return _limited(found, rule.max_nano, value, before)


def _held(
    rule: terms.PositionSize | terms.ScalingPlan,
    account: Account,
    asked: Asked,
    instruments: Mapping[str, Instrument],
    limit_nano: int,
    words: str,
) -> Answer:
    others = held_nano(account, instruments, rule.weights, without=asked.position_key)
    after = lots_nano(asked.instrument, abs(asked.after_steps))
    value = others + _weighted(after, asked.symbol, rule.weights)
    return _limited(words, limit_nano, value, held_nano(account, instruments, rule.weights))


def _limited(words: str, limit_nano: int, value: int, before: int) -> Answer:
    room = max(0, limit_nano - before)
    words = f"{words}; the order makes it {lots(value)}, {lots(room)} are left"
    figures = (lots(limit_nano), lots(value), lots(room))
    return Answer(value <= limit_nano, words, *figures, "lots")


def _order_limits(rule: terms.OrderLimits, account: Account, asked: Asked) -> Answer:
    tally, nano = account.tally, lots_nano(asked.instrument, asked.opened_steps)
    begins = abs(asked.after_steps) == asked.opened_steps
    counted = (
        ("orders", rule.max_orders, tally.orders, asked.new_orders, str),
        ("trades", rule.max_trades, tally.trades, int(begins), str),
        ("lots", rule.max_nano, tally.opened_nano, nano, lots),
    )
    answers = []
    for unit, limit, taken, more, text in counted:
        if limit is not None:
            room, value = max(0, limit - taken), taken + more
            words = f"at most {text(limit)} {unit} a day; the order makes it {text(value)}"
            words = f"{words}, {text(room)} are left"
            allowed = value <= limit
            answers.append(Answer(allowed, words, text(limit), text(value), text(room), unit))
    return next((found for found in answers if not found.allowed), answers[0])


def _stop_loss(rule: terms.StopLossRequired, account: Account, asked: Asked) -> Answer:
    if not asked.has_stop:
        return Answer(allowed=False, words="expected a stop-loss, was none")
    if asked.bare_steps:
        whole, bare = (
            lots_nano(asked.instrument, steps) for steps in (asked.size_steps, asked.bare_steps)
        )
        words = f"expected a stop-loss for {lots(whole)} lots, {lots(bare)} would be without one"
        return Answer(False, words, lots(whole), lots(whole - bare), lots(bare), "lots")
    if rule.risk_ppm is None:
        return Answer(allowed=True, words="the order has a stop-loss")
    digits = account.currency_digits
    base = account.initial_balance_minor if rule.of_initial else account.balance_minor
    most_minor = base * rule.risk_ppm // MICRO
    words = f"at most {percent(rule.risk_ppm)} of {money(base, digits)} may be lost at the stop"
    if asked.risk_minor is None:
        return Answer(allowed=False, words=f"{words}; what this order loses there is not known")
    words = (
        f"{words}: {money(most_minor, digits)}; the order loses {money(asked.risk_minor, digits)}"
    )
    allowed = asked.risk_minor <= most_minor
    text = money(most_minor, digits)
    return Answer(allowed, words, text, money(asked.risk_minor, digits), text, "money")


def _news(rule: terms.NewsWindow, asked: Asked, around: Surroundings) -> Answer:
    if rule.reducing_allowed and not asked.opened_steps:
        return Answer(allowed=True, words="the order only makes a position smaller")
    return news_answer(rule, asked.instrument, around, asked.now_ns)


def news_answer(
    rule: terms.NewsWindow, instrument: Instrument, around: Surroundings, now_ns: int
) -> Answer:
    """Say whether an instant is outside the windows of every release; unknown releases refuse."""
    if around.news is None:
        return Answer(allowed=False, words="no calendar of releases is known")
    event = release_near(rule, around.news, instrument, now_ns)
    if event is None:
        words = f"no release concerns {instrument.symbol} from {rule.after_s} s before"
        return Answer(allowed=True, words=f"{words} to {rule.before_s} s after this instant")
    distance_s = (now_ns - event.at_ns) // SECOND_NS
    side = "after" if distance_s >= 0 else "before"
    words = (
        f"{abs(distance_s)} s {side} {event.name} ({event.impact})"
        f" at {format_rfc3339(event.at_ns)};"
        f" {instrument.symbol} waits from {rule.before_s} s before to {rule.after_s} s after it"
    )
    return Answer(allowed=False, words=words)


def _hedging(asked: Asked, own: Account | None, linked: list[LinkedAccount]) -> Answer:
    """Refuse what is against a leg of the account itself, or against a linked account."""
    for leg in () if own is None else own.legs(asked.symbol):
        if leg.key != asked.position_key and leg.size_steps * asked.side < 0:
            held = "long" if leg.size_steps > 0 else "short"
            words = f"leg {leg.ticket} is {held} in {leg.symbol}; opposite orders are refused"
            return Answer(allowed=False, words=words)
    for one in linked:
        for symbol, size_steps in one.positions:
            if symbol == asked.symbol and size_steps * asked.side < 0:
                held = "long" if size_steps > 0 else "short"
                words = (
                    f"account {one.account_id} is {held} in {symbol}; opposite orders are refused"
                )
                return Answer(allowed=False, words=words)
    return Answer(allowed=True, words=f"no linked account is on the other side of {asked.symbol}")


def _copying(rule: terms.CopyTrading, asked: Asked, linked: list[LinkedAccount]) -> Answer:
    within_ms = rule.within_ns // _MILLISECOND_NS
    for one in linked:
        for order in one.orders:
            apart_ns = abs(asked.now_ns - order.at_ns)
            alike = order.symbol == asked.symbol and order.side == asked.side
            if alike and apart_ns <= rule.within_ns:
                words = (
                    f"account {one.account_id} gave the same order in {order.symbol}"
                    f" {apart_ns // _MILLISECOND_NS} ms apart; expected more than {within_ms} ms"
                )
                return Answer(allowed=False, words=words)
    words = f"no linked account gave the same order within {within_ms} ms"
    return Answer(allowed=True, words=words)
