"""Reading what was recorded of an account, whole, for a replay of it."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from quantlab.engine.bad_ticks import BadTicks, Undone, without
from quantlab.engine.commands import MOVE_CONFIG
from quantlab.engine.inputs import read_inputs
from quantlab.engine.other_rules import Compared, first_seq, under
from quantlab.engine.replay import (
    Decided,
    Recording,
    Report,
    carried_quotes,
    opening_of,
    verify,
)
from quantlab.engine.replay_file import write_document
from quantlab.engine.tape import Tape
from quantlab.engine.trace import (
    Row,
    event_row,
    fill_row,
    in_order,
    ledger_row,
    order_row,
    violation_row,
)
from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import replace
from quantlab.ledger.state import Account
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair
from quantlab.market.quote import Quote
from quantlab.tenancy.config import AccountType, TenantConfig
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.ports.recordings import AccountRecord, WantedTick

# A quote's own time may lie a little ahead of the feed's clock.
AHEAD_NS: Final = 86_400 * SECOND_NS
PAGE: Final = 5000
CREATED: Final = "account.created"

Types = Mapping[str, AccountType]
FillModels = Mapping[str, Mapping[str, Any]]
TypesOf = Callable[[Types, FillModels], tuple[Types, FillModels]]


async def read_recording(ports: Ports, scope: Scope, account_id: str) -> Recording:
    """Return an account's recording with the ticks its commands were decided on.

    NotFound where there is no such account; Conflict where it was not recorded in full, as in the
    time before inputs were recorded.
    """
    record = await ports.recordings.of(scope, account_id)
    if record is None:
        raise NotFound(f"account {account_id}")
    decided = _decided(record, ports.catalog)
    symbols = _symbols(record, decided, ports.catalog)
    ticks = await _ticks(ports, decided, symbols)
    opened = _opened_as(record)
    configs = await _configs(ports, scope, record, decided)
    types = {version: config.account_types for version, config in configs.items()}
    return Recording(
        opening=opening_of(opened, types[opened.config_version], record.events[0].occurred_ns),
        account=record.account,
        catalog=ports.catalog,
        types=types,
        fill_models={version: config.fill_models for version, config in configs.items()},
        decided=decided,
        ticks=ticks,
        rows=_rows(record),
        halts=await ports.halts.of_symbols(scope, sorted(symbols)),
    )


async def what_if_without(ports: Ports, scope: Scope, account_id: str, bad: BadTicks) -> Undone:
    """Return how an account would differ without bad ticks; nothing is changed.

    NotFound where there is no such account, or no such tick in the log; Conflict where the account
    was not recorded in full, or does not follow from its record.
    """
    return (await recompute_without(ports, scope, account_id, bad, ()))[0]


async def recompute_without(
    ports: Ports, scope: Scope, account_id: str, bad: BadTicks, known: Sequence[BadTicks]
) -> tuple[Undone, Account]:
    """Return what bad ticks did to an account, beyond those known before, and the account as it is.

    Raises as what_if_without does.
    """
    recording = await read_recording(ports, scope, account_id)
    _follows(verify(recording), account_id)
    symbols = {tick.symbol for tick in recording.ticks} | {one.symbol for one in (bad, *known)}
    from_seq = min(one.from_seq for one in (bad, *known))
    later = [tick for symbol in sorted(symbols) async for tick in _from(ports, symbol, from_seq)]
    if not any(bad.holds(tick) for tick in later):
        raise NotFound(f"a tick of {bad.symbol} from {bad.from_seq} to {bad.to_seq} in the log")
    until_ns = min(tick.ts_ns for tick in later) + AHEAD_NS
    last_good = {WantedTick(symbol, from_seq - 1, until_ns) for symbol in symbols}
    before = await _latest(ports, last_good)
    whole = replace(recording, ticks=[*recording.ticks, *before, *later])
    return without(whole, bad, known), recording.account


async def recompute_under(
    ports: Ports,
    scope: Scope,
    account_id: str,
    types_of: TypesOf,
    ticks_max: int | None = None,
) -> Compared:
    """Return how an account would differ under other rules from its opening on; nothing is changed.

    types_of says what to compare with, given the types and fill models it was opened under.
    NotFound where there is no such account; Conflict where the account was not recorded in full,
    does not follow from its record, or has more ticks to go through than ticks_max.
    """
    recording = await read_recording(ports, scope, account_id)
    _follows(verify(recording), account_id)
    from_seq = first_seq(recording)
    symbols = sorted({tick.symbol for tick in recording.ticks})
    later: list[Quote] = []
    for symbol in symbols if from_seq is not None else ():
        async for tick in _from(ports, symbol, from_seq or 0):
            later.append(tick)
            if ticks_max is not None and len(later) > ticks_max:
                raise Conflict(f"account {account_id} has more than {ticks_max} ticks to replay")
    standing = await ports.bad_tick_ranges.standing_before(scope, None)
    version = recording.opening.config_version
    types, models = types_of(recording.types[version], recording.fill_models[version])
    whole = replace(recording, ticks=[*recording.ticks, *later])
    return under(whole, types, models, [one.bad for one in standing])


def _follows(report: Report, account_id: str) -> None:
    if report.difference is not None:
        raise Conflict(f"account {account_id} does not follow from its record: {report.difference}")


async def count_ticks(ports: Ports, bad: BadTicks) -> int:
    """Return how many ticks of a range the log holds."""
    found = 0
    async for tick in _from(ports, bad.symbol, bad.from_seq):
        if tick.seq > bad.to_seq:
            break
        found += 1
    return found


async def _from(ports: Ports, symbol: str, from_seq: int) -> AsyncIterator[Quote]:
    """Yield a symbol's ticks from a seq on: sealed ones from the archive, the rest of the log."""
    from_ts_ns, after_seq = 0, from_seq - 1
    while key := await ports.recordings.sealed_from(symbol, after_seq + 1):
        for tick in await ports.tick_archive.load(key):
            if tick.seq > after_seq:
                from_ts_ns, after_seq = tick.ts_ns, tick.seq
                yield tick
    while page := await ports.tick_log.page(symbol, from_ts_ns, after_seq, PAGE):
        for tick in page:
            yield tick
        from_ts_ns, after_seq = page[-1].ts_ns, page[-1].seq


async def export_recording(
    ports: Ports, scope: Scope, account_id: str
) -> tuple[Report, dict[str, Any]]:
    """Return what a replay of the account finds, and the document that lets anybody repeat it."""
    recording = await read_recording(ports, scope, account_id)
    report = verify(recording)
    kinds = {}
    for version, types in recording.types.items():
        config = await ports.tenant_configs.pinned(scope, version)
        kind = types.get(recording.opening.account_type)
        following = None if kind is None or kind.phase is None else kind.phase.next_type
        used = (recording.opening.account_type, following)
        kinds[version] = [one for one in config.document["accountTypes"] if one["id"] in used]
    return report, write_document(recording, kinds, report.trace_hash)


def _decided(record: AccountRecord, catalog: Catalog) -> list[Decided]:
    if not record.events or record.events[0].event_type != CREATED:
        raise Conflict(f"account {record.account.account_id}: its first event is not {CREATED}")
    decided = []
    for one in record.decided:
        if one.inputs is None:
            raise Conflict(
                f"account {record.account.account_id}: command {one.command.signal_id} was carried"
                " out before its inputs were recorded, so it cannot be decided again"
            )
        inputs = read_inputs(one.inputs, one.done_ns, catalog)
        decided.append(Decided(one.command, inputs, one.outcome, one.reason, one.result))
    return decided


def _opened_as(record: AccountRecord) -> Account:
    """Return the account with the configuration it was opened under."""
    payload = record.events[0].payload
    account = record.account
    return replace(
        account,
        config_version=str(payload.get("configVersion", account.config_version)),
        account_type=str(payload.get("accountType", account.account_type)),
    )


async def _configs(
    ports: Ports, scope: Scope, record: AccountRecord, decided: Iterable[Decided]
) -> dict[str, TenantConfig]:
    """Return every configuration the account was under or was to be moved to, as far as known."""
    versions = {_opened_as(record).config_version, record.account.config_version}
    moves = (one.command.payload for one in decided if one.command.name == MOVE_CONFIG)
    configs = {}
    for version in versions | {str(payload["version"]) for payload in moves}:
        try:
            configs[version] = await ports.tenant_configs.pinned(scope, version)
        except NotFound:
            if version in versions:
                raise
    return configs


def _rows(record: AccountRecord) -> list[Row]:
    return in_order(
        [
            *map(event_row, record.events),
            *map(fill_row, record.fills),
            *(ledger_row(seq, entry) for seq, entry in record.ledger),
            *map(order_row, record.orders),
            *map(violation_row, record.violations),
        ]
    )


def _symbols(record: AccountRecord, decided: Iterable[Decided], catalog: Catalog) -> set[str]:
    """Return every symbol a decision may have looked at, those that convert money included."""
    tickers = {ticker for one in decided for ticker in _tickers(one.command.payload)}
    found = {found.symbol for ticker in tickers if (found := catalog.find(ticker)) is not None}
    for symbol in tuple(found):
        currency = catalog.instruments[symbol].quote_currency
        conversion = conversion_pair(catalog, currency, record.account.currency)
        if conversion is not None and conversion.symbol is not None:
            found.add(conversion.symbol)
    return found


def _tickers(value: Any) -> list[str]:
    """Return whatever a payload names as a symbol, at any depth."""
    if isinstance(value, list):
        return [ticker for item in value for ticker in _tickers(item)]
    if not isinstance(value, dict):
        return []
    own = [value["symbol"]] if isinstance(value.get("symbol"), str) else []
    return own + [ticker for item in value.values() for ticker in _tickers(item)]


async def _ticks(ports: Ports, decided: Sequence[Decided], symbols: set[str]) -> list[Quote]:
    wanted = {
        WantedTick(symbol, one.inputs.feed_seq, one.inputs.feed_now_ns + AHEAD_NS)
        for one in decided
        for symbol in symbols
    }
    for one in decided:
        until_ns = one.inputs.feed_now_ns + AHEAD_NS
        for quote in carried_quotes(one.command):
            wanted.add(WantedTick(quote["symbol"], quote["seq"], until_ns))
    return await _latest(ports, wanted)


async def _latest(ports: Ports, wanted: Iterable[WantedTick]) -> list[Quote]:
    """Read the ticks that are wanted from the log, and from the archive what it no longer holds."""
    in_turn = sorted(wanted, key=_place)
    ticks = list(await ports.recordings.ticks(in_turn))
    return ticks + await _archived(ports, in_turn, Tape(ticks))


async def _archived(ports: Ports, wanted: Sequence[WantedTick], logged: Tape) -> list[Quote]:
    """Read what the log no longer holds from the sealed segments."""
    found: list[Quote] = []
    tapes: dict[str, Tape] = {}
    for one in wanted:
        if one.symbol in logged.latest(one.feed_seq):
            continue
        key = await ports.recordings.sealed_in(one.symbol, one.feed_seq)
        if key is None:
            continue
        if key not in tapes:
            tapes[key] = Tape(await ports.tick_archive.load(key))
        found.append(tapes[key].latest(one.feed_seq)[one.symbol])
    return found


def _place(wanted: WantedTick) -> tuple[str, int, int]:
    return wanted.symbol, wanted.feed_seq, wanted.until_ts_ns
