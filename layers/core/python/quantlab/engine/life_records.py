"""What the life of an account leaves behind beside orders and fills; all of it is written once."""

from collections.abc import Mapping
from dataclasses import field

from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass
from quantlab.ledger.fills import LedgerEntry
from quantlab.ledger.state import Account


@dataclass(frozen=True, slots=True)
class Booking:
    """A ledger entry that no fill made, and the event it belongs to."""

    event_seq: int
    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An account at a turn of its life. digest is the SHA-256 of the document's canonical JSON."""

    snapshot_id: str
    cause: str
    event_seq: int
    document: dict[str, Json]
    digest: str


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout as paid: amount = trader + firm, in minor units; date is its trading day's."""

    approval_id: str
    event_seq: int
    date: str
    amount_minor: int
    trader_minor: int
    firm_minor: int
    split_ppm: int


@dataclass(frozen=True, slots=True)
class Opened:
    """An account that takes over from another one: the same user, name and links."""

    account: Account
    previous_account_id: str
    payload: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ApprovalEnd:
    """How an approved request ended: executed, or refused with the reason."""

    approval_id: str
    state: str
    reason: str | None
    event_seq: int


@dataclass(slots=True)
class LifeRecords:
    """Everything of one command."""

    bookings: list[Booking] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    payouts: list[Payout] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)
    approval_ends: list[ApprovalEnd] = field(default_factory=list)
