"""Ledger, balance and positions, replayed from fills, nights and approved amounts."""

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from quantlab.engine.context import read_market
from quantlab.kernel.arith import MICRO, book, muldiv
from quantlab.ledger.fees import Fees
from quantlab.ledger.fills import Netted, gain_micro, net
from quantlab.ledger.state import Position
from quantlab.ledger.trading_terms import TradingTerms, read_trading_terms
from quantlab.market.catalog import Catalog
from quantlab.market.conversion import conversion_pair, conversion_rate
from quantlab.market.instrument import Instrument, symbol_key
from quantlab.market.quote import Quote
from quantlab.tenancy.config import TRADING_KEYS
from tests.support.invariant_findings import Connection, Findings, Key, Row


def check_books(
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
    repeated: defaultdict[Key, list[bytes]] = defaultdict(list)
    for row in connection.execute(
        "select tenant_id, account_id::text as account, symbol, ticket, size_steps, cost"
        " from position"
    ):
        key = (row["tenant_id"], row["account"])
        held[key][row["ticket"] or row["symbol"]] = (row["size_steps"], row["cost"])
        repeated[key].append(
            struct.pack("!8sqq", symbol_key(row["symbol"]), row["size_steps"], row["cost"])
        )
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
        records = b"".join(sorted(repeated[key]))
        findings.expect(_sorted(row["held"]) == records, "the account repeats other positions", key)
    orphans = (fills.keys() | held.keys() | entries.keys()) - _accounts(connection)
    findings.expect(not orphans, "books of nobody", orphans)


def _sorted(records: bytes) -> bytes:
    return b"".join(sorted(records[at : at + 24] for at in range(0, len(records), 24)))


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
        position_key = fill["ticket"] or fill["symbol"]
        netted = net(
            positions.pop(position_key, None),
            fill["side"],
            fill["size_steps"],
            fill["price_ticks"],
        )
        if netted.size_steps:
            positions[position_key] = Position(
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
    return entries, {key: (p.size_steps, p.cost) for key, p in positions.items()}


def booked_events(events: Mapping[Key, list[Row]]) -> dict[Key, list[Row]]:
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
        return {**move, **nights, "once": (_night_key(payload), payload["rolloverAt"])}
    if kind == "payout.paid":
        return {**move, "amount_of": "payout", "sign": -1, "once": payload["payoutId"]}
    if kind == "account.updated" and Decimal(payload.get("adjustment") or 0):
        adjusted = {"amount_of": "adjustment", "amount": payload["adjustment"]}
        return {**move, **adjusted, "once": payload["approvalId"]}
    if kind == "account.corrected" and Decimal(payload["amount"]):
        return {**move, "amount_of": "correction", "once": payload["rangeId"]}
    return None


def _night_key(night: Row) -> str:
    return str(night.get("ticket") or night["symbol"])


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
    instrument, held = catalog.instruments[night["symbol"]], positions.get(_night_key(night))
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
