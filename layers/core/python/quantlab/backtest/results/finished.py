"""A run of `quantlab.backtest.running` as the results read it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.conditions import judged_rules
from quantlab.backtest.results.goals import passing
from quantlab.backtest.results.run import (
    NO_FLOOR,
    TRADING_DAYS,
    Curve,
    Days,
    Fills,
    PricePath,
    Run,
    Scale,
    words,
)
from quantlab.backtest.results.summary import Heading, RuleOutcome

STATUSES: Final = ("active", "locked", "disabled")
FILL_COLUMNS: Final = {
    "ts_ns": at.F_NS, "seq": at.F_SEQ, "order": at.F_OWNER, "symbol": at.F_SYMBOL,
    "side": at.F_SIDE, "steps": at.F_STEPS, "ticks": at.F_TICKS, "slippage": at.F_SLIPPAGE,
    "profit": at.F_PROFIT, "fee": at.F_FEE, "balance": at.F_BALANCE, "position": at.F_POSITION,
    "opened": at.F_OPENED, "closed": at.F_CLOSED, "cost": at.F_COST, "cause": at.F_CAUSE,
    "ticket": at.F_TICKET,
}  # fmt: skip
ORDER_COLUMNS: Final = {
    "id": at.E_ID, "owner": at.E_OWNER, "parent": at.E_PARENT, "symbol": at.E_SYMBOL,
    "side": at.E_SIDE, "type": at.E_TYPE, "time": at.E_TIME, "steps": at.E_STEPS,
    "filled": at.E_FILLED, "limit": at.E_LIMIT, "trigger": at.E_TRIGGER, "created": at.E_CREATED,
    "ended": at.E_ENDED, "state": at.E_STATE, "reason": at.E_REASON, "tag": at.E_TAG,
}  # fmt: skip


def of_finished(
    finished: Any, quotes: Any, days_per_year: int = TRADING_DAYS, *, with_paths: bool = True
) -> Run:
    """Return a `running.Finished` as a run.

    quotes are the rows of `layout.Q_*` the run was given: excursions are read from those it took,
    unless it is without paths.
    The trading day that was going on at the end is added to those that have finished.
    """
    block, account = finished.block, finished.account
    equity_minor = int(block[at.EQUITY])
    taken = quotes[: max(int(finished.taken), 1)]
    first_ns, last_ns = int(quotes[0, at.Q_NS]), int(taken[-1, at.Q_NS])
    return Run(
        currency=account.currency,
        currency_digits=account.currency_digits,
        initial_minor=account.initial_minor,
        balance_minor=int(block[at.BALANCE]),
        equity_minor=equity_minor,
        first_ns=first_ns,
        last_ns=last_ns,
        scales=tuple(_scale(one) for one in account.instruments),
        fills=Fills(**_columns(finished.fills, FILL_COLUMNS)),
        curve=_curve(finished.samples),
        days=_days(finished.days, block, last_ns, equity_minor),
        max_drawdown_minor=int(block[at.DRAWDOWN]),
        days_per_year=days_per_year,
        paths=paths_of(taken, len(account.instruments)) if with_paths else {},
        orders=_columns(finished.orders, ORDER_COLUMNS),
        rates=_rates(finished),
        swap_minor=int(block[at.SWAPS]),
        outputs=finished.outputs,
    )


def heading_of(
    finished: Any, profile: str = "", inputs: Sequence[tuple[str, str]] = (), strategy: str = ""
) -> Heading:
    """Return the heading of a `running.Finished`; strategy stands where the program has no name."""
    block = finished.block
    return Heading(
        strategy=finished.program.name or strategy or "strategy",
        end=finished.end,
        profile=profile,
        trap=finished.trap,
        trace_hash=finished.trace_hash(),
        source_hash=finished.program.source_hash,
        inputs=tuple(inputs),
        rules=(*_rules(finished), *_conditions(finished)),
        passing=passing(finished),
        status=STATUSES[block[at.STATUS]],
        ticks=int(finished.taken),
        orders=int(block[at.PLACED]),
        rejected_orders=int((finished.orders[:, at.E_STATE] == at.REFUSED).sum()),
    )


def _rules(finished: Any) -> tuple[RuleOutcome, ...]:
    """Read the rules on equity; a block has the daily losses first."""
    block, profile = finished.block, finished.account.profile
    found = []
    for number, rule in enumerate((*profile.daily_losses, *profile.drawdowns)):
        begin = block[at.RULES_AT] + number * at.RULE_WORDS
        row = block[begin : begin + at.RULE_WORDS].tolist()
        found.append(
            RuleOutcome(
                rule.slug, rule.rule_id, row[at.RULE_BROKEN], row[at.RULE_BROKEN_AT],
                row[at.RULE_BROKEN_EQUITY], row[at.RULE_BROKEN_FLOOR],
            )
        )  # fmt: skip
    return tuple(found)


def _conditions(finished: Any) -> tuple[RuleOutcome, ...]:
    """Read the rules that need no equity."""
    block, found = finished.block, []
    for number, rule in enumerate(judged_rules(finished.account)):
        begin = block[at.TERMS_AT] + number * at.TERM_WORDS
        row = block[begin : begin + at.TERM_WORDS].tolist()
        broken, first_ns = row[at.TERM_BROKEN], row[at.TERM_BROKEN_AT]
        found.append(RuleOutcome(rule.slug, rule.rule_id, broken, first_ns))
    return tuple(found)


def paths_of(quotes: Any, symbols: int) -> dict[int, PricePath]:
    """Return the quotes of each symbol: their place in the data counts from 1."""
    paths = {}
    for index in range(symbols):
        every = np.arange(len(quotes))
        rows = every if symbols == 1 else np.flatnonzero(quotes[:, at.Q_SYMBOL] == index)
        if len(rows) == 0:
            continue
        own = quotes if len(rows) == len(quotes) else quotes[rows]
        bid, ask = own[:, at.Q_BID], own[:, at.Q_ASK]
        paths[index] = PricePath(words(rows + 1), own[:, at.Q_NS], bid, bid, ask, ask)
    return paths


def _rates(finished: Any) -> tuple[Any, Any] | None:
    if not finished.block[at.CONVERSIONS]:
        return None
    found = _columns(finished.fills, {"num": at.F_RATE_NUM, "den": at.F_RATE_DEN})
    return found["num"], found["den"]


def _scale(instrument: Any) -> Scale:
    return Scale(
        symbol=instrument.symbol,
        tick=instrument.tick,
        size_step=instrument.size_step,
        unit_num=instrument.unit_num,
        unit_den=instrument.unit_den,
    )


def _columns(rows: Any, names: Mapping[str, int]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(rows[:, column]) for name, column in names.items()}


def _curve(samples: Any) -> Curve:
    floors = samples[:, at.S_BELOW]
    return Curve(
        ts_ns=samples[:, at.S_NS],
        equity=samples[:, at.S_EQUITY],
        floor=np.where(floors <= NO_FLOOR, NO_FLOOR, floors),
    )


def _days(rows: Any, block: Any, last_ns: int, equity_minor: int) -> Days:
    ended = {
        "start_ns": at.D_START,
        "end_ns": at.D_RESET,
        "balance": at.D_BALANCE,
        "equity": at.D_EQUITY,
        "traded": at.D_TRADED,
    }
    going_on: Sequence[int] = (
        int(block[at.DAY_START]), last_ns, int(block[at.BALANCE]), equity_minor,
        int(block[at.TRADED]),
    )  # fmt: skip
    columns = _columns(rows, ended)
    joined = zip(columns.items(), going_on, strict=True)
    return Days(**{name: np.append(column, value) for (name, column), value in joined})
