"""Orders, their links and fills: sizes, prices and quotes are what was recorded makes of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from quantlab.engine.fill_models import draw_of, fill_seed, slippage_ticks
from quantlab.engine.lifecycle import OPEN_STATES
from quantlab.market.catalog import Catalog
from quantlab.market.document import Node
from quantlab.market.fill_model import ANY_SIZE, DISPLAYED, FillModel, parse_fill_model
from tests.support.invariant_findings import Connection, Findings, Key, Row

_QUOTE = ("ts_ns", "bid_ticks", "ask_ticks", "bid_size_steps", "ask_size_steps")


def read_fills(connection: Connection) -> dict[Key, list[Row]]:
    fills: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in connection.execute(
        "select *, account_id::text as account, order_id::text as order_ref from fill"
        " order by tenant_id, account_id, event_seq"
    ):
        fills[row["tenant_id"], row["account"]].append(row)
    return fills


def read_orders(connection: Connection) -> dict[Key, Row]:
    """Return every order, working or ended; one in both tables counts as two ends."""
    found: dict[Key, Row] = {}
    for row in connection.execute(
        "select tenant_id, account_id::text, order_id::text, symbol, side, order_type, status,"
        " size_steps, filled_steps, terms, true as ended from orders union all"
        " select tenant_id, account_id::text, order_id::text, symbol, side, order_type, status,"
        " size_steps, filled_steps, terms, false from working_order"
    ):
        key = (row["tenant_id"], row["order_id"])
        found[key] = {**row, "terms": row["terms"] or {}, "twice": key in found}
    return found


def check_orders(
    findings: Findings, orders: Mapping[Key, Row], fills: Mapping[Key, list[Row]]
) -> None:
    """What an order has filled is the sum of its fills; no fill is without an order."""
    filled: Counter[Key] = Counter()
    for (tenant_id, _), rows in fills.items():
        for row in rows:
            filled[tenant_id, row["order_ref"]] += row["size_steps"]
    for key, row in orders.items():
        total, size = row["filled_steps"], row["size_steps"]
        findings.expect(not row["twice"], "order working and ended", row)
        findings.expect(filled[key] == total, "fills of an order", (filled[key], row))
        whole = total == size if row["status"] == "filled" else total < size or not size
        findings.expect(whole, "filled size of an order", row)
        open_state = row["status"] in OPEN_STATES
        findings.expect(open_state != row["ended"], "order in the wrong table", row)
        if row["status"] in ("rejected", "pending_parent"):
            findings.expect(total == 0, "fill of an order that never worked", row)
    lost = filled.keys() - orders.keys()
    findings.expect(not lost, "fill without an order", len(lost))


def check_links(connection: Connection, findings: Findings, orders: Mapping[Key, Row]) -> None:
    """One of an oco group fills, exits no more than their entry; none of a stopped account."""
    groups: defaultdict[Key, list[Row]] = defaultdict(list)
    for (tenant_id, _), row in orders.items():
        if row["terms"].get("group_id"):
            groups[tenant_id, row["terms"]["group_id"]].append(row)
    for (tenant_id, _), rows in groups.items():
        filled = [row["filled_steps"] for row in rows if row["filled_steps"]]
        if rows[0]["terms"]["group_kind"] == "oco":
            findings.expect(len(filled) <= 1, "two orders of an oco group filled", rows)
        parent = orders.get((tenant_id, rows[0]["terms"].get("parent_id") or ""))
        if parent is not None:
            findings.expect(sum(filled) <= parent["filled_steps"], "exits beyond the entry", rows)
    stopped = connection.execute(
        "select tenant_id, account_id::text, a.status, w.order_id::text"
        " from account a join working_order w using (tenant_id, account_id)"
        " where a.status <> 'active'"
    ).fetchall()
    findings.expect(not stopped, "working order of a stopped account", stopped)


def _changed_orders(events: Mapping[Key, list[Row]]) -> set[Key]:
    """Return the orders whose price somebody has changed."""
    return {
        (tenant_id, row["payload"]["orderId"])
        for (tenant_id, _), rows in events.items()
        for row in rows
        if row["event_type"] == "order.modified" and row["payload"]["reason"] == "requested"
    }


def check_quotes(
    connection: Connection, findings: Findings, fills: Mapping[Key, list[Row]]
) -> None:
    """Each fill's quote is in the tick log."""
    wanted = {row["quote_seq"] for rows in fills.values() for row in rows}
    ticks = {
        (row["symbol"], row["seq"]): tuple(row[name] for name in _QUOTE)
        for row in connection.execute("select * from tick where seq = any(%s)", (list(wanted),))
    }
    for rows in fills.values():
        for fill in rows:
            quote = (fill["quote_ts_ns"], *(fill[name] for name in _QUOTE[1:]))
            logged = ticks.get((fill["symbol"], fill["quote_seq"]))
            findings.expect(logged == quote, "quote of a fill in the tick log", (fill, logged))
    repeated = connection.execute(
        "select seq from tick group by symbol, seq having count(*) > 1 limit 5"
    ).fetchall()
    findings.expect(not repeated, "one seq for two ticks", repeated)


def check_prices(
    findings: Findings,
    catalog: Catalog,
    fills: Mapping[Key, list[Row]],
    orders: Mapping[Key, Row],
    events: Mapping[Key, list[Row]],
) -> None:
    """Each fill's price and size are what its recorded model makes of its quote and its limit."""
    changed = _changed_orders(events)
    for (tenant_id, account_id), rows in fills.items():
        payloads = {row["seq"]: row["payload"] for row in events[tenant_id, account_id]}
        taken: Counter[tuple[str, int, int]] = Counter()
        for fill in rows:
            model = _model(payloads.get(fill["event_seq"], {}))
            if model is None or model.version != fill["fill_model"]:
                findings.expect(False, "model of a fill", fill)
                continue
            seed = fill_seed(tenant_id, account_id, fill["event_seq"])
            findings.expect(seed == fill["fill_seed"], "seed of a fill", (fill, seed))
            key = (tenant_id, fill["order_ref"])
            side = fill["side"]
            at_quote = fill["ask_ticks"] if side > 0 else fill["bid_ticks"]
            slipped = max(at_quote + side * _slippage(model, fill), 1)
            limit = orders[key]["terms"].get("limit_ticks") if key in orders else None
            price, slippage = fill["price_ticks"], side * (fill["price_ticks"] - at_quote)
            findings.expect(slippage == fill["slippage_ticks"], "slippage of a fill", fill)
            if limit is None or key in changed:
                between = 0 <= slippage <= side * (slipped - at_quote)
                holds = price == slipped or (key in changed and between)
            else:
                holds = price == (slipped if side * (slipped - limit) <= 0 else limit)
                holds = holds and side * (at_quote - limit) <= 0
            findings.expect(holds, "price of a fill", (fill, limit))
            shown = fill["ask_size_steps"] if side > 0 else fill["bid_size_steps"]
            rule = model.size_rule(catalog.instruments[fill["symbol"]])
            bounded = rule == DISPLAYED or (rule != ANY_SIZE and shown > 0)
            taken[fill["symbol"], side, fill["quote_seq"]] += fill["size_steps"]
            together = taken[fill["symbol"], side, fill["quote_seq"]]
            findings.expect(
                not bounded or together <= shown, "size of fills beyond their quote", fill
            )


def _model(payload: Mapping[str, Any]) -> FillModel | None:
    """Return the model that a fill's event records."""
    told = payload.get("fillModel")
    if told is None:
        return None
    document = {key: value for key, value in told.items() if key not in ("version", "seed")}
    return parse_fill_model(Node("", document))


def _slippage(model: FillModel, fill: Row) -> int:
    shown = fill["ask_size_steps"] if fill["side"] > 0 else fill["bid_size_steps"]
    return slippage_ticks(
        model.slippage,
        model.amount,
        fill["ask_ticks"] - fill["bid_ticks"],
        fill["size_steps"],
        shown or model.reference_steps,
        draw_of(fill["fill_seed"]),
    )
