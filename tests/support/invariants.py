"""What must hold of any database of the platform, recomputed from what is recorded in it.

Read with a login that sees every tenant. Nothing is trusted that can be computed again: positions
and money come from the fills, fills from their quotes, quotes from the tick log, chains from their
entries.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import psycopg

from quantlab.audit.chain import GENESIS, TENANT_STREAM, Entry, first_break
from quantlab.engine.context import read_market
from quantlab.engine.fill_models import draw_of, fill_seed, slippage_ticks
from quantlab.engine.lifecycle import OPEN_STATES
from quantlab.engine.rejections import Reason
from quantlab.kernel.arith import MICRO, book, muldiv
from quantlab.ledger.fees import Fees
from quantlab.ledger.fills import Netted, gain_micro, net
from quantlab.ledger.state import Position
from quantlab.ledger.trading_terms import TradingTerms, read_trading_terms
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair, conversion_rate
from quantlab.market.document import Node
from quantlab.market.fill_model import ANY_SIZE, DISPLAYED, FillModel, parse_fill_model
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.tenancy.config import TRADING_KEYS

Row = dict[str, Any]
Connection = psycopg.Connection[Row]
Key = tuple[str, str]
SHOWN_MAX = 20
_QUOTE = ("ts_ns", "bid_ticks", "ask_ticks", "bid_size_steps", "ask_size_steps")
OF_ORDERS = ("cancel", "cancel_all", "modify")
ENTRY_FIELDS = (
    "tenant_id",
    "stream_id",
    "seq",
    "event_type",
    "occurred_ns",
    "salt",
    "payload",
    "payload_digest",
    "prev_hash",
    "hash",
)


@dataclass(frozen=True, slots=True)
class Ends:
    """The four ends of every attempt, as the database knows them."""

    accepted: Mapping[str, int]
    duplicates: int
    refused: Mapping[str, int]
    counted: Mapping[str, int]

    @property
    def total(self) -> int:
        return (
            sum(self.accepted.values())
            + self.duplicates
            + sum(self.refused.values())
            + sum(self.counted.values())
        )

    def since(self, before: "Ends") -> "Ends":
        """Return what was added after an earlier reading."""
        return Ends(
            _less(self.accepted, before.accepted),
            self.duplicates - before.duplicates,
            _less(self.refused, before.refused),
            _less(self.counted, before.counted),
        )


def _less(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    left = {key: count - before.get(key, 0) for key, count in now.items()}
    return {key: count for key, count in left.items() if count}


def read_ends(connection: Connection) -> Ends:
    """Count the ends; accepted signals by executed, rejected, dead or pending."""
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    duplicates = 0
    for row in connection.execute(
        "select outcome, state, reason, count(*) as n, sum(duplicates)::bigint as again"
        " from inbox where source_kind = 'bot' group by 1, 2, 3"
    ):
        duplicates += row["again"]
        if row["outcome"] == "refused":
            refused[row["reason"]] += row["n"]
        else:
            accepted[row["outcome"] or "pending"] += row["n"]
    counted = {
        row["reason"]: int(row["n"])
        for row in connection.execute(
            "select reason, sum(attempts) as n from unauthenticated_attempt group by 1"
        )
    }
    return Ends(dict(accepted), duplicates, dict(refused), counted)


@dataclass
class Findings:
    """What does not hold, in words; a few of each kind, and how many there were."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def expect(self, holds: object, kind: str, what: object) -> None:
        self.checked[kind] += 1
        if not holds:
            self.counts[kind] += 1
            if self.counts[kind] <= SHOWN_MAX:
                self.shown.append(f"{kind}: {what}")

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return f"{dict(self.counts)}\n" + "\n".join(self.shown)


def unsettled(connection: Connection) -> Row:
    """Say what still waits: commands to be carried out, events to be chained or published."""
    row = connection.execute(
        "select (select count(*) from inbox where state = 0) as commands,"
        " (select count(*) from outbox where topic = 1) as audit,"
        " (select count(*) from event) - (select count(*) from audit_log) as unchained"
    ).fetchone()
    assert row is not None
    return row


def check(connection: Connection, catalog: Catalog) -> Findings:
    """Check every invariant of a settled database; the caller opens the transaction to read in."""
    findings = Findings()
    events = _check_events(connection, findings)
    _check_audit(connection, findings, events)
    _check_signals(connection, findings, events)
    fills = _fills(connection)
    orders = _orders(connection)
    _check_orders(findings, orders, fills)
    _check_links(connection, findings, orders)
    _check_books(connection, findings, catalog, fills, _booked_events(events))
    _check_quotes(connection, findings, fills)
    _check_prices(findings, catalog, fills, orders, events)
    return findings


def disabled_positions(connection: Connection) -> list[Row]:
    """Return positions of accounts that may not hold any once there is a good quote."""
    return connection.execute(
        "select a.tenant_id, a.account_id::text, a.status, p.symbol"
        " from account a join position p using (tenant_id, account_id)"
        " where a.status in ('disabled', 'locked', 'closed')"
    ).fetchall()


def _check_events(connection: Connection, findings: Findings) -> dict[Key, list[Row]]:
    """Every stream is gapless from 1 to the seq its owner has drawn."""
    drawn: dict[Key, int] = {
        (row["tenant_id"], row["stream_id"]): row["event_seq"]
        for row in connection.execute(
            "select tenant_id, account_id::text as stream_id, event_seq from account union all"
            " select tenant_id, %s, event_seq from tenant",
            (TENANT_STREAM,),
        )
    }
    streams: dict[Key, list[Row]] = {key: [] for key in drawn}
    for row in connection.execute(
        "select tenant_id, stream_id::text, seq, event_type, occurred_ns, payload from event"
        " order by tenant_id, stream_id, seq"
    ):
        streams.setdefault((row["tenant_id"], row["stream_id"]), []).append(row)
    for key, rows in streams.items():
        findings.expect(key in drawn, "event of nobody", key)
        seqs = [row["seq"] for row in rows]
        last = drawn.get(key, 0)
        findings.expect(
            seqs == list(range(1, last + 1)), "gap in event_seq", (key, last, seqs[-3:])
        )
    return streams


def _check_audit(
    connection: Connection, findings: Findings, events: Mapping[Key, list[Row]]
) -> None:
    """Every event is chained exactly once, unchanged, and every chain holds up to its head."""
    chains: defaultdict[Key, list[Entry]] = defaultdict(list)
    for row in connection.execute(
        "select tenant_id, stream_id::text, seq, event_type, occurred_ns, salt, payload,"
        " payload_digest, prev_hash, hash from audit_log order by tenant_id, stream_id, seq"
    ):
        for name in ("salt", "payload_digest", "prev_hash", "hash"):
            row[name] = None if row[name] is None else bytes(row[name])
        entry = Entry(*(row[name] for name in ENTRY_FIELDS))
        chains[entry.tenant_id, entry.stream_id].append(entry)
    heads = {
        (row["tenant_id"], row["stream_id"]): (row["seq"], bytes(row["hash"]))
        for row in connection.execute(
            "select tenant_id, stream_id::text, seq, hash from audit_head"
        )
    }
    for key in events.keys() | chains.keys():
        entries = chains.get(key, [])
        broken = first_break(entries)
        findings.expect(broken is None, "broken chain", broken)
        head = (entries[-1].seq, entries[-1].hash) if entries else (0, GENESIS)
        findings.expect(heads.get(key, (0, GENESIS)) == head, "head is not the last link", key)
        said = [(e.seq, e.event_type, e.occurred_ns, e.payload) for e in entries]
        happened = [
            (row["seq"], row["event_type"], row["occurred_ns"], row["payload"])
            for row in events.get(key, [])
        ]
        findings.expect(said == happened, "events and audit log differ", (key, len(said)))


def _check_signals(
    connection: Connection, findings: Findings, events: Mapping[Key, list[Row]]
) -> None:
    """Each accepted signal has its one order or a named rejection, and its timeline."""
    causes, timelines = _by_signal(events)
    rejected_orders = Counter(
        (row["tenant_id"], row["signal_id"], row["reason"])
        for row in connection.execute(
            "select tenant_id, signal_id::text, reason from orders where status = 'rejected'"
        )
    )
    named = {str(reason) for reason in Reason}
    for row in connection.execute(
        "select tenant_id, signal_id::text, command, payload, state, outcome, reason"
        " from inbox where source_kind = 'bot'"
    ):
        key = (row["tenant_id"], row["signal_id"])
        orders, timeline = causes[key]["signal"], timelines[key]
        findings.expect(row["state"] == 1, "signal not carried out", row)
        findings.expect(
            timeline == _expected_timeline(row), "timeline of a signal", (key, timeline, row)
        )
        action = row["payload"].get("action")
        partly = action == "flat" and row["payload"].get("symbol") is None
        if row["outcome"] == "executed":
            least, most = _orders_placed(row["payload"])
            enough = least <= orders <= most
            findings.expect(enough, "orders of an executed signal", (key, orders, action))
        elif row["outcome"] == "rejected":
            findings.expect(row["reason"] in named, "rejection without a name", row)
            kept = rejected_orders[(*key, row["reason"])]
            wanted = (0, 0) if action in OF_ORDERS else (0, 1)
            findings.expect(partly or (orders, kept) == wanted, "orders of a rejected signal", row)
        else:
            findings.expect(orders == 0, "orders of a refused signal", (key, orders))


def _orders_placed(payload: Row) -> tuple[float, float]:
    """Return the least and the most orders that an executed signal has placed in its own name."""
    if payload["action"] in OF_ORDERS:
        return 0, 0
    if payload["action"] == "flat":
        return 0, 1 if payload.get("symbol") else float("inf")
    exits = payload.get("bracket", {})
    stops = any(key != "takeProfit" for key in exits)
    linked = len(payload.get("links", {}).get("orders", ()))
    placed = 1 + linked + stops + ("takeProfit" in exits)
    return placed, placed


def _by_signal(
    events: Mapping[Key, list[Row]],
) -> tuple[defaultdict[Key, Counter[str]], defaultdict[Key, list[str]]]:
    """Count the accepted orders of each signal by cause, and list its webhook events."""
    causes: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    timelines: defaultdict[Key, list[str]] = defaultdict(list)
    for (tenant_id, _), rows in events.items():
        for row in rows:
            signal_id = row["payload"].get("signalId")
            if row["event_type"] == "order.accepted":
                causes[tenant_id, signal_id][row["payload"]["cause"]] += 1
            elif row["event_type"].startswith("webhook."):
                timelines[tenant_id, signal_id].append(row["event_type"].removeprefix("webhook."))
    return causes, timelines


def _expected_timeline(row: Row) -> list[str]:
    if row["outcome"] == "refused":
        return ["received", "rejected"]
    last = "trade_executed" if row["outcome"] == "executed" else "rejected"
    return ["received", "validated", last]


def _fills(connection: Connection) -> dict[Key, list[Row]]:
    fills: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in connection.execute(
        "select *, account_id::text as account, order_id::text as order_ref from fill"
        " order by tenant_id, account_id, event_seq"
    ):
        fills[row["tenant_id"], row["account"]].append(row)
    return fills


def _orders(connection: Connection) -> dict[Key, Row]:
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


def _check_orders(
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


def _check_links(connection: Connection, findings: Findings, orders: Mapping[Key, Row]) -> None:
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


def _check_books(
    connection: Connection,
    findings: Findings,
    catalog: Catalog,
    fills: Mapping[Key, list[Row]],
    others: Mapping[Key, list[Row]],
) -> None:
    """Replay each account's fills, nights and approved amounts: positions, ledger, balance."""
    entries: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in connection.execute(
        "select *, account_id::text as account from ledger_entry"
        " order by tenant_id, account_id, event_seq, kind desc"
    ):
        entries[row["tenant_id"], row["account"]].append(row)
    held: defaultdict[Key, dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in connection.execute(
        "select tenant_id, account_id::text as account, symbol, size_steps, cost from position"
    ):
        held[row["tenant_id"], row["account"]][row["symbol"]] = (row["size_steps"], row["cost"])
    books = _trading_terms(connection)
    for row in connection.execute("select *, account_id::text as account from account"):
        key = (row["tenant_id"], row["account"])
        found = entries[key]
        booked = sum(entry["amount_minor"] for entry in found)
        findings.expect(booked == row["balance_minor"], "ledger and balance", (key, booked))
        once = Counter(one["once"] for one in others.get(key, []))
        findings.expect(max(once.values(), default=1) == 1, "booked twice", once)
        moves = sorted([*fills.get(key, []), *others.get(key, [])], key=lambda m: m["event_seq"])
        expected, positions = _replayed(row, moves, catalog, books, findings)
        said = [
            (e["event_seq"], e["kind"], e["amount_minor"], e["carry_micro"], e["balance_minor"])
            for e in found
            if e["kind"] != "deposit"
        ]
        findings.expect(said == expected, "ledger is not that of the fills", (key, said, expected))
        carry = expected[-1][3] if expected else 0
        findings.expect(carry == row["carry_micro"], "carry", (key, carry, row["carry_micro"]))
        findings.expect(positions == held[key], "positions are not the sum of the fills", key)
    orphans = (fills.keys() | held.keys() | entries.keys()) - _accounts(connection)
    findings.expect(not orphans, "books of nobody", orphans)


def _accounts(connection: Connection) -> set[Key]:
    rows = connection.execute("select tenant_id, account_id::text as account from account")
    return {(row["tenant_id"], row["account"]) for row in rows}


def _trading_terms(connection: Connection) -> dict[tuple[str, str, str], TradingTerms]:
    """Return the terms of every account type of every version, by tenant, version and type."""
    return {
        (row["tenant_id"], row["version"], kind["id"]): read_trading_terms(
            {key: kind[key] for key in TRADING_KEYS if key in kind}
        )
        for row in connection.execute("select tenant_id, version, document from tenant_config")
        for kind in row["document"]["accountTypes"]
    }


def _replayed(
    account: Row,
    moves: Iterable[Row],
    catalog: Catalog,
    books: Mapping[tuple[str, str, str], TradingTerms],
    findings: Findings,
) -> tuple[list[tuple[Any, ...]], dict[str, tuple[int, int]]]:
    """Compute ledger entries and positions from the recorded fills and rollovers alone."""
    positions: dict[str, Position] = {}
    entries: list[tuple[Any, ...]] = []
    balance, carry = account["initial_balance_minor"], 0
    ordered: dict[str, int] = {}
    for fill in moves:
        if "amount_of" in fill:
            amount = _minor(fill["amount"], account["currency_digits"]) * fill["sign"]
            balance += amount
            entries.append((fill["event_seq"], fill["amount_of"], amount, carry, balance))
            told = _minor(fill["balance"], account["currency_digits"])
            findings.expect(told == balance, "balance that an event tells", (fill, balance))
            continue
        instrument = catalog.instruments[fill["symbol"]]
        terms = books[account["tenant_id"], fill["config_version"], account["account_type"]]
        if "rollover" in fill:
            micro = _swap_micro(account, fill, positions, catalog, terms, findings)
            amount, carry = book(micro, carry)
            balance += amount
            entries.append((fill["event_seq"], "swap", amount, carry, balance))
            continue
        netted = net(
            positions.pop(fill["symbol"], None),
            fill["side"],
            fill["size_steps"],
            fill["price_ticks"],
        )
        if netted.size_steps:
            positions[fill["symbol"]] = Position(
                fill["symbol"], netted.size_steps, netted.cost, None, None, 0, 0
            )
        rate = _rate(account["currency"], fill, netted.gain, catalog)
        recorded_rate = (fill["rate_num"], fill["rate_den"])
        findings.expect(rate in (None, recorded_rate), "rate of a fill", (fill, rate))
        amounts = {"realised": 0, "commission": 0}
        fee_micro = _fee_micro(fill, instrument, terms.fees(instrument), ordered)
        for kind, micro in _bookings(fill, netted, instrument, fee_micro):
            amounts[kind], carry = book(micro, carry)
            balance += amounts[kind]
            entries.append((fill["event_seq"], kind, amounts[kind], carry, balance))
        recomputed = (amounts["realised"], -amounts["commission"])
        recorded = (fill["realised_minor"], fill["commission_minor"])
        findings.expect(recomputed == recorded, "money of a fill", (fill, recomputed))
    return entries, {symbol: (p.size_steps, p.cost) for symbol, p in positions.items()}


def _booked_events(events: Mapping[Key, list[Row]]) -> dict[Key, list[Row]]:
    """Return what events say was booked besides fills: nights, payouts, approved corrections.

    `once` names what may be booked only once.
    """
    return {
        key: [move for row in rows if (move := _booked_event(row)) is not None]
        for key, rows in events.items()
    }


def _booked_event(row: Row) -> Row | None:
    payload, kind = row["payload"], row["event_type"]
    move = {**payload, "event_seq": row["seq"], "sign": 1}
    if kind == "position.swap_charged":
        nights = {"config_version": payload["configVersion"], "rollover": payload["rolloverAt"]}
        return {**move, **nights, "once": (payload["symbol"], payload["rolloverAt"])}
    if kind == "payout.paid":
        return {**move, "amount_of": "payout", "sign": -1, "once": payload["payoutId"]}
    if kind == "account.updated" and Decimal(payload.get("adjustment") or 0):
        adjusted = {"amount_of": "adjustment", "amount": payload["adjustment"]}
        return {**move, **adjusted, "once": payload["approvalId"]}
    if kind == "account.corrected" and Decimal(payload["amount"]):
        return {**move, "amount_of": "correction", "once": payload["rangeId"]}
    return None


def _minor(text: str, digits: int) -> int:
    return int(Decimal(text).scaleb(digits))


def _swap_micro(
    account: Row,
    night: Row,
    positions: Mapping[str, Position],
    catalog: Catalog,
    trading: TradingTerms,
    findings: Findings,
) -> int:
    """Compute what a night is worth from the position held, the terms and the recorded quote."""
    instrument, held = catalog.instruments[night["symbol"]], positions.get(night["symbol"])
    steps = 0 if held is None else held.size_steps
    findings.expect(steps == night["sizeSteps"], "swap of another position", (night, steps))
    terms = trading.swap(instrument)
    assert terms is not None, night
    per_lot = terms.long if steps > 0 else terms.short
    told = (terms.unit, Decimal(night["perLot"]))
    findings.expect(told == (night["unit"], per_lot), "terms of a swap", night)
    ended = date.fromisoformat(night["night"])
    nights = 3 if ended.weekday() == terms.triple_day else 1
    findings.expect(night["nights"] == nights, "nights of a swap", night)
    conversion = conversion_pair(catalog, instrument.quote_currency, account["currency"])
    quotes = read_market(catalog, night["quotes"]).quotes
    assert conversion is not None, night
    rate = Fraction(*conversion_rate(conversion, quotes.get(conversion.symbol or ""), per_lot))
    findings.expect(rate == Fraction(night["rate"]), "rate of a swap", (night, rate))
    value = Fraction(per_lot) * 10**instrument.quote_digits * MICRO
    if terms.unit == "points":
        value *= Fraction(instrument.tick) * Fraction(instrument.contract_size)
    value *= Fraction(instrument.size_step) * abs(steps) * nights
    micro = _half_even(_half_even(value) * rate)
    findings.expect(micro == int(night["amountMicro"]), "amount of a swap", (night, micro))
    return micro


def _rate(currency: str, fill: Row, gain: int, catalog: Catalog) -> tuple[int, int] | None:
    """Compute a fill's rate from its own quote; None where another symbol's quote converts."""
    instrument = catalog.instruments[fill["symbol"]]
    conversion = conversion_pair(catalog, instrument.quote_currency, currency)
    if conversion is None or conversion.symbol not in (None, fill["symbol"]):
        return None
    quote = Quote(
        *(fill[name] for name in ("symbol", "bid_ticks", "ask_ticks", "quote_ts_ns", "quote_seq"))
    )
    return conversion_rate(conversion, quote, gain)


def _fee_micro(fill: Row, instrument: Instrument, fees: Fees, ordered: dict[str, int]) -> int:
    """Compute what a fill is charged; ordered keeps the fees of each order before its minimum."""
    rate = Fraction(fill["rate_num"], fill["rate_den"])
    value = Fraction(instrument.unit_num, instrument.unit_den) * abs(fill["price_ticks"])
    share = _half_even(_half_even(value * fill["size_steps"]) * Fraction(fees.notional_ppm, MICRO))
    own = _half_even(Fraction(fees.step_num * fill["size_steps"], fees.step_den))
    before = ordered.get(fill["order_ref"])
    after = (before or 0) + own + _half_even(share * rate)
    ordered[fill["order_ref"]] = after
    charged = 0 if before is None else max(fees.minimum_micro, before)
    return max(fees.minimum_micro, after) - charged


def _half_even(value: Fraction) -> int:
    return round(value)


def _bookings(
    fill: Row, netted: Netted, instrument: Instrument, fee_micro: int
) -> Iterator[tuple[str, int]]:
    if netted.closed_steps:
        value = gain_micro(netted.gain, instrument)
        yield "realised", muldiv(value, fill["rate_num"], fill["rate_den"])
    if fee_micro:
        yield "commission", -fee_micro


def _check_quotes(
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


def _check_prices(
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
