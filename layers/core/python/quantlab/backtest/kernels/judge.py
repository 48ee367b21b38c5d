"""The account's equity held against its rules, and what follows when one of them breaks."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import cancel_openers, cancel_symbol, no_limit
from quantlab.backtest.kernels.fills import PLANNED, begin_command, fill_order, plan
from quantlab.backtest.kernels.legs import NO_PLACE, call_legs, holds, next_called
from quantlab.backtest.kernels.quotes import is_fresh, may_convert, symbol_at
from quantlab.backtest.kernels.terms import asks_now, count_order, standing, term_at
from quantlab.backtest.kernels.worth import equity_now, is_known, is_news, note_equity, rule_floor
from quantlab.rules.scalars import is_under, next_mark


def enforce(m: Any) -> None:
    """Judge the account at the latest quotes, unless one it rests on is too old.

    A mark of balances rises all the same. What closing positions has cost is judged in turn.
    """
    closed_some = True
    while closed_some:
        if not is_known(m, m[at.NOW]):
            m[at.FORCE] |= at.UNSURE
            m[at.MARK] = next_mark(m[at.BASIS], m[at.MARK], m[at.BALANCE], m[at.MARK], False)
            if m[at.TERMS] != 0 and m[at.STATUS] != at.DISABLED:
                act_on(m, standing(m))
            return
        m[at.FORCE] &= ~at.UNSURE
        equity = equity_now(m)
        note_equity(m, equity)
        closed_some = enforce_at(m, equity, at.NO_ACTION)


def enforce_at(m: Any, equity: int, overdue: int) -> bool:
    """Judge the account at an equity, and act on the gravest rule it breaks, or what is overdue.

    Says whether that has closed anything.
    """
    fills = m[at.FILLS]
    mark = next_mark(m[at.BASIS], m[at.MARK], m[at.BALANCE], equity, False)
    m[at.MARK] = mark
    if m[at.STATUS] == at.DISABLED:
        return False
    gravest = max(overdue, broken_floors(m, equity, mark))
    if m[at.TERMS] != 0:
        gravest = max(gravest, standing(m))
    if gravest == at.NO_ACTION:
        return False
    act_on(m, gravest)
    closed_some: bool = m[at.FILLS] != fills
    return closed_some


def broken_floors(m: Any, equity: int, mark: int) -> int:
    """Note the floors that an equity newly breaks; return the gravest action they ask for."""
    gravest = at.NO_ACTION
    for j in range(m[at.RULES]):
        r = m[at.RULES_AT] + j * at.RULE_WORDS
        floor = rule_floor(m, j, mark)
        action = m[r + at.RULE_ACTION]
        if is_under(m[r + at.RULE_COMPARATOR], floor, equity) and is_news(m, j, action):
            note_breach(m, j, equity, floor)
            gravest = max(gravest, action)
    return gravest


def act_on(m: Any, action: int) -> None:
    """Do what breaking a rule leads to."""
    if action == at.DISABLE:
        end_account(m, at.DISABLED, at.ACCOUNT_DISABLED)
    elif action == at.LOCK_UNTIL_RESET:
        end_account(m, at.LOCKED, at.ACCOUNT_LOCKED)
    elif action == at.FLATTEN_ALL:
        cancel_openers(m, at.FLATTENED)
        liquidate(m, at.BY_RULE)


def overstay(m: Any) -> None:
    """Judge what is held, or for how long nothing was done, before the quote reaches an order."""
    if m[at.HELD] == 0 and m[at.WORKING] == 0:
        return
    if m[at.STATUS] != at.DISABLED and asks_now(m):
        begin_command(m)
        act_on(m, standing(m))
        enforce(m)


def note_breach(m: Any, j: int, equity: int, floor: int) -> None:
    """Keep the first time a rule broke, and what it broke by."""
    r = m[at.RULES_AT] + j * at.RULE_WORDS
    m[at.RAISED] |= 1 << j
    if m[r + at.RULE_BROKEN] == 0:
        m[r + at.RULE_BROKEN_AT] = m[at.NOW]
        m[r + at.RULE_BROKEN_EQUITY] = equity
        m[r + at.RULE_BROKEN_FLOOR] = floor
    m[r + at.RULE_BROKEN] += 1
    if m[at.BREACH] < 0 and m[r + at.RULE_ACTION] == at.DISABLE:
        m[at.BREACH] = j


def end_account(m: Any, status: int, reason: int) -> None:
    """Lock or disable the account: its orders go, its positions are closed."""
    m[at.STATUS] = status
    cancel_everything(m, reason)
    liquidate(m, at.BY_RULE)


def cancel_everything(m: Any, reason: int) -> None:
    """Cancel every working order."""
    for s in range(m[at.SYMBOLS]):
        cancel_symbol(m, s, reason)


def liquidate(m: Any, cause: int) -> None:
    """Close every position that has a good quote, as far as that goes."""
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if is_fresh(m, w, m[at.NOW]):
            close_held(m, s, cause)


def close_held(m: Any, s: int, cause: int) -> None:
    """Close a symbol's position, or its legs, the oldest first, as far as the quote goes."""
    w = symbol_at(m, s)
    if m[at.LEGS_AT] == 0:
        if m[w + at.SIZE] != 0:
            close_now(m, s, w, abs(m[w + at.SIZE]), 0, cause)
        return
    call_legs(m, w)
    p = next_called(m)
    while p != NO_PLACE:
        close_now(m, s, p, abs(m[p + at.SIZE]), 0, cause)
        p = next_called(m)


def close_now(m: Any, s: int, p: int, steps: int, owner: int, cause: int) -> int:
    """Fill a market order against the position at a place.

    Return why not, NO_REASON where it was tried.
    """
    o = blank(m, 0)
    m[o + at.OWNER] = owner
    m[o + at.SIDE] = -1 if m[p + at.SIZE] > 0 else 1
    if m[at.LEGS_AT] != 0:
        m[o + at.TICKET] = m[p + at.LEG_TICKET]
    m[o + at.STEPS] = steps
    m[o + at.LIMIT] = no_limit(m[o + at.SIDE])
    planned = plan(m, s, o)
    if planned[0] > PLANNED:
        return planned[0]
    name(m, o)
    if cause == at.BY_SIGNAL:
        count_order(m)
    fill_order(m, s, o, False, planned, cause)
    return at.NO_REASON


def blank(m: Any, k: int) -> int:
    """Return a cleared order outside the books: a market order that fills now or not at all."""
    o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
    for j in range(at.ORDER_WORDS):
        m[o + j] = 0
    m[o + at.TIME] = at.IOC
    m[o + at.STATE] = at.WORKS
    m[o + at.CREATED] = m[at.NOW]
    m[o + at.TAG] = -1
    return o


def name(m: Any, o: int) -> None:
    """Give an accepted order its number."""
    m[at.NEXT_ORDER] += 1
    m[at.PLACED] += 1
    m[o + at.ID] = m[at.NEXT_ORDER]


def mop_up(m: Any) -> None:
    """Close what is left of an ended account's positions, and judge a locked one by what that cost.

    It may break a graver rule then, which closes once more.
    """
    if m[at.STATUS] == at.ACTIVE_STATUS:
        return
    close_rest(m)
    if m[at.STATUS] == at.LOCKED and m[at.HELD] != 0:
        check_rules(m)
        close_rest(m)
    lift_lock(m)


def lift_lock(m: Any) -> None:
    """Let an account trade again whose lock has outlasted its day: see `engine.enforcement`."""
    if not is_lock_over(m):
        return
    enforce(m)
    if is_lock_over(m):
        m[at.STATUS] = at.ACTIVE_STATUS


def is_lock_over(m: Any) -> bool:
    """Say whether a lock has nothing left to wait for: see `rules.day.is_lock_over`."""
    if m[at.STATUS] != at.LOCKED or m[at.HELD] != 0:
        return False
    for j in range(m[at.RULES]):
        locks = m[m[at.RULES_AT] + j * at.RULE_WORDS + at.RULE_ACTION] == at.LOCK_UNTIL_RESET
        if locks and (m[at.RAISED] >> j) & 1 != 0:
            return False
    for k in range(m[at.TERMS]):
        locks = m[term_at(m, k) + at.TERM_ACTION] == at.LOCK_UNTIL_RESET
        if locks and (m[at.RAISED] >> (m[at.RULES] + k)) & 1 != 0:
            return False
    return True


def check_rules(m: Any) -> None:
    """Judge the account as a command of its own."""
    begin_command(m)
    enforce(m)


def close_rest(m: Any) -> None:
    """Close what is left of the positions: once at each new quote of a symbol."""
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        new = m[w + at.QUOTE_SEQ] != m[w + at.LIQUIDATED] and is_fresh(m, w, m[at.NOW])
        if holds(m, w) and new and may_convert(m, w, m[at.NOW]):
            m[w + at.LIQUIDATED] = m[w + at.QUOTE_SEQ]
            begin_command(m)
            close_held(m, s, at.BY_RULE)
    if m[at.HELD] != 0:
        m[at.FORCE] |= at.LIQUIDATING
        return
    m[at.FORCE] &= ~at.LIQUIDATING
    if m[at.STATUS] == at.DISABLED:
        m[at.END] = at.BREACHED
        m[at.PENDING] = 1
