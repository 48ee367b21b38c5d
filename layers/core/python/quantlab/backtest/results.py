"""A finished run as a document: what the CLI writes and a report shows."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.block import equity_rules
from quantlab.backtest.metrics import metrics_of
from quantlab.backtest.running import Finished
from quantlab.backtest.trades import Trade, trades_of
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.qls.ir import ORDER_TYPES, TIMES

Document = dict[str, Any]


def document_of(finished: Finished) -> Document:
    """Return a run's results: counts, trades, fills, orders, days, rules, metrics and its hash."""
    trades = trades_of(finished.fills)
    block = finished.block
    rejected = finished.orders[:, at.E_STATE] == at.REFUSED
    return {
        "strategy": finished.program.name,
        "sourceHash": finished.program.source_hash,
        "traceHash": finished.trace_hash(),
        "end": finished.end,
        "trap": finished.trap or None,
        "ticks": finished.taken,
        "orders": int(block[at.PLACED]),
        "rejectedOrders": int(rejected.sum()),
        "fills": len(finished.fills),
        "trades": len(trades),
        "metrics": metrics_of(finished, trades),
        "rules": _rules(finished),
        "account": _account(finished),
    }


def details_of(finished: Finished) -> Document:
    """Return the long lists of a run: every trade, fill, order and day."""
    return {
        "tradeList": trade_list(finished),
        "fillList": [_fill(finished, row) for row in finished.fills.tolist()],
        "orderList": [_order(finished, row) for row in finished.orders.tolist()],
        "dayList": [_day(finished, row) for row in finished.days.tolist()],
    }


def trade_list(finished: Finished, most: int | None = None) -> list[Document]:
    """Return a run's trades, or the first of them."""
    return [_trade(finished, one) for one in trades_of(finished.fills)[:most]]


def _money(finished: Finished, minor: int) -> str:
    return format_minor(int(minor), finished.account.currency_digits)


def _account(finished: Finished) -> Document:
    block = finished.block
    return {
        "currency": finished.account.currency,
        "initialBalance": _money(finished, finished.account.initial_minor),
        "balance": _money(finished, block[at.BALANCE]),
        "equity": _money(finished, block[at.EQUITY]),
        "highWater": _money(finished, block[at.MARK]),
        "status": ("active", "locked", "disabled")[block[at.STATUS]],
    }


def _rules(finished: Finished) -> list[Document]:
    found = []
    for j, rule in enumerate(equity_rules(finished.account.profile)):
        r = finished.block[at.RULES_AT] + j * at.RULE_WORDS
        word = [int(one) for one in finished.block[r : r + at.RULE_WORDS]]
        broken = word[at.RULE_BROKEN] > 0
        found.append(
            {
                "rule": rule.slug,
                "ruleId": rule.rule_id,
                "broken": word[at.RULE_BROKEN],
                "firstAt": format_rfc3339(word[at.RULE_BROKEN_AT]) if broken else None,
                "equity": _money(finished, word[at.RULE_BROKEN_EQUITY]) if broken else None,
                "floor": _money(finished, word[at.RULE_BROKEN_FLOOR]) if broken else None,
            }
        )
    return found


def _trade(finished: Finished, one: Trade) -> Document:
    instrument = finished.account.instruments[one.symbol]
    tick = float(instrument.tick)
    return {
        "symbol": instrument.symbol,
        "side": "long" if one.side > 0 else "short",
        "openedAt": format_rfc3339(one.opened_ns),
        "closedAt": format_rfc3339(one.closed_ns) if one.closed_ns else None,
        "quantity": format_units(one.size_steps, instrument.size_step),
        "entryPrice": one.entry_ticks * tick,
        "exitPrice": one.exit_ticks * tick if one.closed_ns else None,
        "profit": _money(finished, one.profit_minor),
        "fees": _money(finished, one.fee_minor),
    }


def _fill(finished: Finished, row: list[int]) -> Document:
    instrument = finished.account.instruments[row[at.F_SYMBOL]]
    return {
        "time": format_rfc3339(row[at.F_NS]),
        "order": row[at.F_OWNER],
        "symbol": instrument.symbol,
        "side": "buy" if row[at.F_SIDE] > 0 else "sell",
        "quantity": format_units(row[at.F_STEPS], instrument.size_step),
        "price": format_units(row[at.F_TICKS], instrument.tick),
        "slippageTicks": row[at.F_SLIPPAGE],
        "realised": _money(finished, row[at.F_PROFIT]),
        "commission": _money(finished, row[at.F_FEE]),
        "balance": _money(finished, row[at.F_BALANCE]),
        "cause": at.CAUSES[row[at.F_CAUSE]],
    }


def _order(finished: Finished, row: list[int]) -> Document:
    instrument = finished.account.instruments[row[at.E_SYMBOL]]
    return {
        "order": row[at.E_OWNER],
        "symbol": instrument.symbol,
        "side": "buy" if row[at.E_SIDE] > 0 else "sell",
        "type": ORDER_TYPES[row[at.E_TYPE]],
        "timeInForce": TIMES[row[at.E_TIME]],
        "quantity": format_units(row[at.E_STEPS], instrument.size_step),
        "filledQuantity": format_units(row[at.E_FILLED], instrument.size_step),
        "placedAt": format_rfc3339(row[at.E_CREATED]) if row[at.E_CREATED] else None,
        "endedAt": format_rfc3339(row[at.E_ENDED]),
        "status": at.STATE_NAMES[row[at.E_STATE]],
        "reason": at.REASONS[row[at.E_REASON]] or None,
    }


def _day(finished: Finished, row: list[int]) -> Document:
    return {
        "start": format_rfc3339(row[at.D_START]),
        "end": format_rfc3339(row[at.D_RESET]),
        "balance": _money(finished, row[at.D_BALANCE]),
        "equity": _money(finished, row[at.D_EQUITY]),
        "realised": _money(finished, row[at.D_REALISED]),
        "traded": bool(row[at.D_TRADED]),
    }
