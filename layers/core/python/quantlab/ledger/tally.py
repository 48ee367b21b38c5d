"""What a fill, a new day and a payout do to what is counted between commands."""

from quantlab.kernel.check import check
from quantlab.kernel.records import replace
from quantlab.ledger.fills import Netted
from quantlab.ledger.scalars import nano_of
from quantlab.ledger.state import Account, Tally
from quantlab.market.instrument import Instrument

NANO = 1_000_000_000


# Of how many quotes of a symbol and side it is known what was taken. An older one than those counts
# as used up: commands carry quotes of moments before, and none may be taken twice.
QUOTES_KEPT = 4


def lots_nano(instrument: Instrument, size_steps: int) -> int:
    """Return a size in 10^-9 lots, rounded towards zero where the step is finer than that."""
    num, den = instrument.size_step.as_integer_ratio()
    return nano_of(size_steps, num * NANO, den)


def count_order(tally: Tally, now_ns: int) -> Tally:
    """Count an order that was taken."""
    return replace(tally, orders=tally.orders + 1, last_order_ns=now_ns)


def count_fill(
    tally: Tally,
    instrument: Instrument,
    position_key: str,
    netted: Netted,
    realised_minor: int,
    cost_minor: int,
) -> Tally:
    """Count a fill: what it opened, what it cost, and how the trade that it ended came out.

    A trade lasts from the first fill of a position to the one that closes or turns it; its result
    holds every cost in between. A fill that turns a position puts its cost on the trade it ends.
    """
    opened_nano = lots_nano(instrument, netted.opened_steps)
    running = dict(tally.running)
    result_minor = running.pop(position_key, 0) + realised_minor - cost_minor
    ended = netted.closed_steps > 0 and (netted.size_steps == 0 or netted.opened_steps > 0)
    started = netted.opened_steps > 0 and abs(netted.size_steps) == netted.opened_steps
    best_minor = tally.best_trade_minor
    if ended:
        best_minor = result_minor if best_minor is None else max(best_minor, result_minor)
        result_minor = 0
    if netted.size_steps:
        running[position_key] = result_minor
    return replace(
        tally,
        trades=tally.trades + started,
        opened_nano=tally.opened_nano + opened_nano,
        day_costs_minor=tally.day_costs_minor + cost_minor,
        costs_minor=tally.costs_minor + cost_minor,
        first_nano=tally.first_nano or opened_nano,
        least_nano=min(tally.least_nano or opened_nano, opened_nano or tally.least_nano),
        most_nano=max(tally.most_nano, opened_nano),
        best_trade_minor=best_minor,
        running=tuple(sorted(running.items())),
    )


def taken_steps(tally: Tally, symbol: str, side: int, quote_seq: int, shown_steps: int) -> int:
    """Return how much of a quote's displayed size on a side an account has used up."""
    known = {seq: steps for one, of, seq, steps in tally.taken if (one, of) == (symbol, side)}
    if len(known) >= QUOTES_KEPT and quote_seq < min(known):
        return shown_steps
    return known.get(quote_seq, 0)


def take_steps(tally: Tally, symbol: str, side: int, quote_seq: int, size_steps: int) -> Tally:
    """Note that a fill used up so much of a quote's displayed size."""
    others = [one for one in tally.taken if one[:2] != (symbol, side)]
    known = {seq: steps for one, of, seq, steps in tally.taken if (one, of) == (symbol, side)}
    known[quote_seq] = known.get(quote_seq, 0) + size_steps
    kept = [(symbol, side, seq, known[seq]) for seq in sorted(known)[-QUOTES_KEPT:]]
    return replace(tally, taken=tuple(sorted([*others, *kept])))


def begin_day(tally: Tally, ended_date: str) -> Tally:
    """Start the counts of a new trading day; of that of a payout keep whether it opened more."""
    traded = tally.payout_day_traded
    if tally.payouts and ended_date == tally.payout_date:
        traded = traded_since_payout(tally)
    return replace(
        tally, orders=0, trades=0, opened_nano=0, day_costs_minor=0, payout_day_traded=traded
    )


def traded_since_payout(tally: Tally) -> bool:
    """Say, while the day of the last payout is open, whether it has opened a position after it."""
    return tally.opened_nano > tally.payout_day_nano


def pay_out(account: Account, amount_minor: int, now_ns: int) -> Account:
    """Return the account after a payout of its profit.

    It is no loss: the day's start moves down with the balance, and counted profit keeps it. What
    rules count since the last payout starts again. Nothing is open then: equity is the balance.
    """
    check(amount_minor > 0, f"payout of {amount_minor}")
    day, tally = account.day, account.tally
    return replace(
        account,
        balance_minor=account.balance_minor - amount_minor,
        day=replace(
            day,
            start_balance_minor=day.start_balance_minor - amount_minor,
            start_equity_minor=day.start_equity_minor - amount_minor,
        ),
        tally=replace(
            tally,
            best_trade_minor=None,
            payouts=tally.payouts + 1,
            paid_minor=tally.paid_minor + amount_minor,
            payout_ns=now_ns,
            payout_date=day.date,
            payout_day_minor=day.realised_minor,
            payout_day_gain_minor=account.balance_minor - day.start_equity_minor,
            payout_day_nano=tally.opened_nano,
            payout_day_traded=False,
        ),
    )
