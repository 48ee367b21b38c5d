"""What bots were told, held against what the database knows, where answers may be lost."""

from collections.abc import Mapping

from tests.support.invariants import Ends
from tests.support.running_platform import Platform
from tests.support.signals_load import ACCEPTED, DUPLICATE, Log


def assert_answered_are_counted(ends: Ends, log: Log) -> None:
    """Every attempt that got an answer has its one end; one without may have one, or none.

    An accepted signal whose answer was lost is there once: its repetition was told that it is a
    duplicate, and is one. So no end counts less than was told, and all of them together at most as
    many more as there were attempts without an answer.
    """
    told = log.ends()
    told_accepted = len(log.acknowledged())
    assert sum(ends.accepted.values()) == told_accepted
    assert told[ACCEPTED] <= told_accepted <= told[ACCEPTED] + log.unknown
    assert told[DUPLICATE] - log.unknown <= ends.duplicates
    assert set(ends.accepted) <= {"executed", "rejected"}
    for kept, heard in ((ends.refused, log.refused()), (ends.counted, log.counted())):
        assert _covers(kept, heard), (kept, heard)
    assert len(log.answers) <= ends.total <= len(log.answers) + log.unknown


def _covers(kept: Mapping[str, int], heard: Mapping[str, int]) -> bool:
    return all(kept.get(slug, 0) >= count for slug, count in heard.items())


def assert_acknowledged_once(made: Platform, log: Log) -> None:
    """Each acknowledged signal was carried out, and no signal has two orders of its own."""
    with made.database() as connection:
        carried = connection.execute(
            "select signal_id::text as id from inbox"
            " where state = 1 and outcome in ('executed', 'rejected') and source_kind = 'bot'"
        ).fetchall()
        doubled = connection.execute(
            "select payload->>'signalId' as id, count(*) as n from event"
            " where event_type = 'webhook.trade_executed' group by 1 having count(*) > 1"
        ).fetchall()
    assert log.acknowledged() <= {row["id"] for row in carried}
    assert doubled == []
