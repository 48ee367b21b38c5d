"""What must hold of any database of the platform, recomputed from what is recorded in it.

Read with a login that sees every tenant. Nothing is trusted that can be computed again: positions
and money come from the fills, fills from their quotes, quotes from the tick log, chains from their
entries.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from quantlab.market.catalog import Catalog
from tests.support.invariant_books import booked_events, check_books
from tests.support.invariant_events import Judged, check_audit, check_events, check_signals
from tests.support.invariant_findings import Connection, Findings, Row
from tests.support.invariant_orders import (
    check_links,
    check_orders,
    check_prices,
    check_quotes,
    read_fills,
    read_orders,
)

__all__ = [
    "Connection",
    "Ends",
    "Findings",
    "Judged",
    "Row",
    "check",
    "disabled_positions",
    "read_ends",
    "unsettled",
]


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


def unsettled(connection: Connection) -> Row:
    """Say what still waits: commands to be carried out, events to be chained or published."""
    row = connection.execute(
        "select (select count(*) from inbox where state = 0) as commands,"
        " (select count(*) from outbox where topic = 1) as audit,"
        " (select count(*) from event) - (select count(*) from audit_log) as unchained"
    ).fetchone()
    assert row is not None
    return row


def check(connection: Connection, catalog: Catalog, judged: Judged | None = None) -> Findings:
    """Check every invariant of a settled database; the caller opens the transaction to read in.

    Who checks again and again hands in one `judged`: a chain that is the same is not followed anew.
    """
    findings = Findings()
    events = check_events(connection, findings)
    check_audit(connection, findings, events, {} if judged is None else judged)
    check_signals(connection, findings, events)
    fills = read_fills(connection)
    orders = read_orders(connection)
    check_orders(findings, orders, fills)
    check_links(connection, findings, orders)
    check_books(connection, findings, catalog, fills, booked_events(events))
    check_quotes(connection, findings, fills)
    check_prices(findings, catalog, fills, orders, events)
    return findings


def disabled_positions(connection: Connection) -> list[Row]:
    """Return positions of accounts that may not hold any once there is a good quote."""
    return connection.execute(
        "select a.tenant_id, a.account_id::text, a.status, p.symbol"
        " from account a join position p using (tenant_id, account_id)"
        " where a.status in ('disabled', 'locked', 'closed')"
    ).fetchall()
