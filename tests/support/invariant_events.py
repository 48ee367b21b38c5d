"""Streams of events, the audit chains over them, and what became of each signal."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from quantlab.audit.chain import GENESIS, TENANT_STREAM, Break, Entry, first_break
from quantlab.engine.rejections import Reason
from tests.support.invariant_findings import Connection, Findings, Key, Row

Judged = dict[Key, tuple[list[Entry], Break | None]]
"""Chains as they were when they were last followed link by link, and where each broke."""
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


def check_events(connection: Connection, findings: Findings) -> dict[Key, list[Row]]:
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


def check_audit(
    connection: Connection, findings: Findings, events: Mapping[Key, list[Row]], judged: Judged
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
        if key not in judged or judged[key][0] != entries:
            judged[key] = entries, first_break(entries)
        broken = judged[key][1]
        findings.expect(broken is None, "broken chain", broken)
        head = (entries[-1].seq, entries[-1].hash) if entries else (0, GENESIS)
        findings.expect(heads.get(key, (0, GENESIS)) == head, "head is not the last link", key)
        said = [(e.seq, e.event_type, e.occurred_ns, e.payload) for e in entries]
        happened = [
            (row["seq"], row["event_type"], row["occurred_ns"], row["payload"])
            for row in events.get(key, [])
        ]
        findings.expect(said == happened, "events and audit log differ", (key, len(said)))


def check_signals(
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
            hedged = causes[key]["leg"] > 0
            least, most = _orders_placed(row["payload"], hedged=hedged)
            enough = least <= orders <= most
            findings.expect(enough, "orders of an executed signal", (key, orders, action))
        elif row["outcome"] == "rejected":
            findings.expect(row["reason"] in named, "rejection without a name", row)
            kept = rejected_orders[(*key, row["reason"])]
            wanted = (0, 0) if action in OF_ORDERS else (0, 1)
            findings.expect(partly or (orders, kept) == wanted, "orders of a rejected signal", row)
        else:
            findings.expect(orders == 0, "orders of a refused signal", (key, orders))


def _orders_placed(payload: Row, *, hedged: bool) -> tuple[float, float]:
    """Return the least and the most orders that an executed signal has placed in its own name."""
    if payload["action"] in OF_ORDERS:
        return 0, 0
    if payload["action"] == "flat":
        return 0, 1 if payload.get("symbol") and not hedged else float("inf")
    if payload["action"] == "close" and hedged and not payload.get("ticket"):
        return 1, float("inf")
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
                causes[tenant_id, signal_id]["leg"] += "ticket" in row["payload"]
            elif row["event_type"].startswith("webhook."):
                timelines[tenant_id, signal_id].append(row["event_type"].removeprefix("webhook."))
    return causes, timelines


def _expected_timeline(row: Row) -> list[str]:
    if row["outcome"] == "refused":
        return ["received", "rejected"]
    last = "trade_executed" if row["outcome"] == "executed" else "rejected"
    return ["received", "validated", last]
