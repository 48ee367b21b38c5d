"""A recording as one JSON document that needs nothing else to be checked.

Integers of more than 2^53 would not survive every reader of JSON, so all integers of ours are
text; payloads are as they were recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from quantlab.engine import ENGINE_VERSION
from quantlab.engine.commands import Command
from quantlab.engine.inputs import read_inputs
from quantlab.engine.replay import Decided, Recording
from quantlab.engine.trace import Row
from quantlab.ledger.orders import Order, Terms
from quantlab.ledger.state import Account, ClosedDay, Day, Position, Tally, read_tally
from quantlab.market.catalog import parse_catalog
from quantlab.market.document import CatalogError
from quantlab.market.quote import Quote
from quantlab.market.sessions import Calendar
from quantlab.tenancy.config import account_type_of

FORMAT: Final = 1
Document = dict[str, Any]


class ReplayFileError(ValueError):
    """The document is no recording: says where, and what was expected."""


def write_document(
    recording: Recording, kinds: Mapping[str, Sequence[Mapping[str, Any]]], trace_hash: str
) -> Document:
    """Write a recording; kinds are the documents of its account types by version."""
    return {
        "format": FORMAT,
        "engineVersion": ENGINE_VERSION,
        "traceHash": trace_hash,
        "instruments": dict(recording.catalog.document),
        "calendars": [_texts(asdict(one)) for one in _calendars(recording)],
        "fillModels": {version: dict(models) for version, models in recording.fill_models.items()},
        "accountTypes": {version: list(items) for version, items in sorted(kinds.items())},
        "opening": _texts(asdict(recording.opening)),
        "account": _texts(asdict(recording.account)),
        "ticks": [
            [
                *(q.symbol, str(q.seq), str(q.ts_ns), str(q.bid_ticks), str(q.ask_ticks)),
                *(str(q.bid_size_steps), str(q.ask_size_steps)),
            ]
            for q in recording.ticks
        ],
        "commands": [_command(decided) for decided in recording.decided],
        "records": [
            {"seq": str(row.seq), "table": row.table, "key": row.key, "fields": row.fields}
            for row in recording.rows
        ],
    }


def _calendars(recording: Recording) -> list[Calendar]:
    """Return the calendars of the symbols that were looked at."""
    catalog = recording.catalog
    names = {catalog.instruments[tick.symbol].calendar for tick in recording.ticks}
    return [calendar for name, calendar in sorted(catalog.calendars.items()) if name in names]


def _calendar(written: Mapping[str, Any]) -> Calendar:
    opens, closes = (tuple(map(int, written[name])) for name in ("opens_ns", "closes_ns"))
    return Calendar(written["name"], written["source"], opens, closes, written["always"])


def _command(decided: Decided) -> Document:
    command = decided.command
    return {
        "signalId": command.signal_id,
        "sourceKind": command.source_kind,
        "sourceId": command.source_id,
        "name": command.name,
        "payload": command.payload,
        "receivedNs": str(command.received_ns),
        "decidedNs": str(decided.inputs.now_ns),
        "inputs": decided.inputs.recorded(),
        "outcome": decided.outcome,
        "reason": decided.reason,
        "result": decided.result,
    }


def read_document(document: Any) -> tuple[Recording, str]:
    """Read a recording and the hash it was written with; ReplayFileError says what is wrong."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ReplayFileError(f"expected a recording of format {FORMAT}")
    if document.get("engineVersion") != ENGINE_VERSION:
        raise ReplayFileError(
            f"expected a recording of engine {ENGINE_VERSION},"
            f" got one of {document.get('engineVersion')!r}"
        )
    try:
        return _recording(document), str(document["traceHash"])
    except KeyError as error:
        raise ReplayFileError(f"expected a field {error}") from error
    except (CatalogError, TypeError, ValueError, AttributeError) as error:
        raise ReplayFileError(f"a field has another form: {error}") from error


def _recording(document: Document) -> Recording:
    catalog = parse_catalog(
        document["instruments"],
        {one["name"]: _calendar(one) for one in document["calendars"]},
    )
    opening = _account(document["opening"])
    types = {
        version: {item["id"]: account_type_of(item) for item in items}
        for version, items in document["accountTypes"].items()
    }
    decided = []
    for number, item in enumerate(document["commands"], 1):
        command = Command(
            inbox_id=number,
            signal_id=item["signalId"],
            account_id=opening.account_id,
            source_kind=item["sourceKind"],
            source_id=item["sourceId"],
            name=item["name"],
            payload=item["payload"],
            received_ns=int(item["receivedNs"]),
        )
        inputs = read_inputs(item["inputs"], int(item["decidedNs"]), catalog)
        decided.append(Decided(command, inputs, item["outcome"], item["reason"], item["result"]))
    return Recording(
        opening=opening,
        account=_account(document["account"]),
        catalog=catalog,
        types=types,
        fill_models=document["fillModels"],
        decided=decided,
        ticks=_quotes(document["ticks"]),
        rows=[
            Row(int(item["seq"]), item["table"], item["key"], item["fields"])
            for item in document["records"]
        ],
    )


def _quotes(written: Iterable[Sequence[str]]) -> list[Quote]:
    return [
        Quote(
            *(symbol, int(bid), int(ask), int(ts_ns), int(seq)),
            bid_size_steps=int(bid_size),
            ask_size_steps=int(ask_size),
        )
        for symbol, seq, ts_ns, bid, ask, bid_size, ask_size in written
    ]


def _texts(value: Any) -> Any:
    """Write integers as text, at any depth."""
    if isinstance(value, Mapping):
        return {name: _texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _account(written: Mapping[str, Any]) -> Account:
    own = {
        **_integers(Account, written),
        "day": Day(**_integers(Day, written["day"])),
        "closed_days": tuple(
            ClosedDay(**_integers(ClosedDay, day)) for day in written["closed_days"]
        ),
        "raised": tuple(written["raised"]),
        "tally": _tally(written["tally"]),
        "positions": {
            key: Position(**_integers(Position, held)) for key, held in written["positions"].items()
        },
        "working": {order_id: _order(order) for order_id, order in written["working"].items()},
    }
    return Account(**own)


def _tally(written: Mapping[str, Any]) -> Tally:
    running = [(key, int(minor)) for key, minor in written["running"]]
    return read_tally({**_integers(Tally, written), "running": running})


def _order(written: Mapping[str, Any]) -> Order:
    terms = Terms(**_integers(Terms, written["terms"]))
    return Order(**{**_integers(Order, written), "terms": terms})


def _integers(kind: Any, written: Mapping[str, Any]) -> Document:
    """Read back the integers among a record's fields; a field nobody knows is an error."""
    types = {field.name: field.type for field in fields(kind)}
    return {
        name: int(value) if value is not None and _holds_integer(types[name]) else value
        for name, value in written.items()
    }


def _holds_integer(declared: Any) -> bool:
    return declared in (int, int | None)
