"""Feed lines, replayed files and the pace of a feed."""

import asyncio
import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.market_data import DATA, REQUIRED, ticks_file
from tests.support.set_clock import SetClock

from quantlab.market.catalog import parse_catalog
from quantlab.market.gate import GateState, Verdict, judge
from quantlab.market.quote import Quote
from quantlab.market.sessions import Calendar
from quantlab_adapters.feeds.archive import FolderTickArchive
from quantlab_adapters.feeds.paced import BATCH_MAX, PacedSource, gathering_s
from quantlab_adapters.feeds.replay import LOOP_PAUSE_NS, ReplayStream
from quantlab_adapters.feeds.spec import build_source, parse_sources
from quantlab_app.ports.errors import Misconfigured, NotFound

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[3] / "agent/configs/instruments.json").read_text())
)
START = 1_700_000_000_000_000_000
EURUSD_FILE = "eurusd_oanda_20140501_20140509_quotes.csv.gz"


def csv_file(folder: Path, rows: str, name: str = "eurusd_test.csv") -> Path:
    path = folder / name
    path.write_text("ts_ms,bid,ask\n" + rows)
    return path


def replayed(path: Path, **options: object) -> list[Quote]:
    return list(ReplayStream(path, CATALOG.find, **options).quotes(START, {}))  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        (EURUSD_FILE, "EURUSD"),
        ("xauusd_oanda_20140501_20140502_quotes.csv.gz", "XAUUSD"),
        ("btcusdt_binance_quotes.parquet", "BTCUSD"),
    ],
)
def test_recorded_ticks_replay_with_next_to_no_refusal(name: str, symbol: str) -> None:
    stream = ReplayStream(ticks_file(name), CATALOG.find)
    assert stream.symbols == {symbol}
    gate, seen = GateState(), dict.fromkeys(Verdict, 0)
    first = newest = None
    for quote in stream.quotes(START, {}):
        first = first or quote
        newest = quote
        gate, verdict = judge(gate, quote, CATALOG.instruments[symbol].gate)
        seen[verdict] += 1
    assert first is not None
    assert newest is not None
    assert first.ts_ns == START
    assert newest.ts_ns > START
    assert seen.pop(Verdict.UNCONFIRMED) == 2
    assert seen.pop(Verdict.OFF_MARKET) <= 3
    assert seen.pop(Verdict.DUPLICATE) <= 1
    assert seen.pop(Verdict.ACCEPTED) > 400
    assert not any(seen.values())
    assert stream.rounded == 0


def test_a_replay_is_shifted_in_time_and_keeps_its_distances(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1000,1.10000,1.10010\n1250,1.10001,1.10011\n")
    assert replayed(path) == [
        Quote("EURUSD", 110000, 110010, START, 0),
        Quote("EURUSD", 110001, 110011, START + 250_000_000, 0),
    ]


def test_prices_between_ticks_round_half_to_even_and_are_counted(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1,1.100005,1.100015\n2,1.1000051,1.10002\n")
    stream = ReplayStream(path, CATALOG.find)
    quotes = list(stream.quotes(START, {}))
    assert [(q.bid_ticks, q.ask_ticks) for q in quotes] == [(110000, 110002), (110001, 110002)]
    assert stream.rounded == 3


def test_a_loop_goes_on_forwards(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1000,1.1,1.2\n2000,1.1,1.2\n")
    source = ReplayStream(path, CATALOG.find, loop=True).quotes(START, {})
    times = [next(source).ts_ns - START for _ in range(5)]
    second = 1_000_000_000
    round_ns = second + LOOP_PAUSE_NS
    assert times == [0, second, round_ns, round_ns + second, 2 * round_ns]


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("1000,1.1", 2),
        ("1000,1.1,1.2\n1000,x,1.2", 3),
        ("1000,nan,1.2", 2),
        ("1000,1e5,1.2", 2),
        ("1.5,1.1,1.2", 2),
        ("\n", 2),
        ("1000,1.1,1.2,7", 2),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, row: str, line: int) -> None:
    path = csv_file(tmp_path, row)
    with pytest.raises(Misconfigured, match=f"eurusd_test.csv: line {line}: expected"):
        replayed(path)


def test_a_wrong_header_and_a_broken_archive_are_named(tmp_path: Path) -> None:
    bare = tmp_path / "eurusd_bare.csv"
    bare.write_text("1000,1.1,1.2\n")
    with pytest.raises(Misconfigured, match=r"line 1: expected ts_ms,bid,ask.*, got .1000,1\.1"):
        replayed(bare)
    cut = tmp_path / "eurusd_cut.csv.gz"
    cut.write_bytes(gzip.compress(b"ts_ms,bid,ask\n" + b"1000,1.1,1.2\n" * 500)[:-20])
    with pytest.raises(Misconfigured, match="expected an intact file"):
        replayed(cut)
    text = tmp_path / "eurusd.txt"
    text.write_text("")
    with pytest.raises(Misconfigured, match=r"expected one of \.csv, \.csv\.gz, \.parquet"):
        replayed(text)
    not_parquet = tmp_path / "eurusd.parquet"
    not_parquet.write_text("PAR")
    with pytest.raises(Misconfigured, match="expected a Parquet file"):
        replayed(not_parquet)


def test_parquet_rows_may_name_their_symbols(tmp_path: Path) -> None:
    path = tmp_path / "two.parquet"
    table = pa.table(
        {
            "timestamp": pa.array([1, 2], pa.timestamp("us", "UTC")),
            "symbol": ["EUR/USD", "XAU/USD"],
            "bid": [1.1, 1900.5],
            "ask": pa.array([Decimal("1.20000"), Decimal("1900.75000")]),
        }
    )
    pq.write_table(table, path)
    assert ReplayStream(path, CATALOG.find).symbols == {"EURUSD", "XAUUSD"}
    assert replayed(path) == [
        Quote("EURUSD", 110000, 120000, START, 0),
        Quote("XAUUSD", 1900500, 1900750, START + 1000, 0),
    ]


def test_parquet_without_prices_is_named(tmp_path: Path) -> None:
    path = tmp_path / "eurusd_bars.parquet"
    pq.write_table(pa.table({"timestamp": [1], "close": [1.1]}), path)
    with pytest.raises(Misconfigured, match="expected columns timestamp or ts_ms, bid and ask"):
        replayed(path)
    words = tmp_path / "eurusd_words.parquet"
    pq.write_table(pa.table({"ts_ms": [1, 2], "bid": ["1.1", "x"], "ask": [1.2, 1.2]}), words)
    with pytest.raises(Misconfigured, match=r"row 1: expected a number, got '1\.1'"):
        replayed(words)


def test_a_side_without_a_quote_is_no_price(tmp_path: Path) -> None:
    holes = tmp_path / "eurusd_holes.parquet"
    nan = float("nan")
    pq.write_table(pa.table({"ts_ms": [1, 2], "bid": [nan, None], "ask": [1.2, 1.2]}), holes)
    assert [(q.bid_ticks, q.ask_ticks) for q in replayed(holes)] == [(0, 120000)] * 2
    text = csv_file(tmp_path, "1000,,1.2\n2000,1.1,\n")
    assert [(q.bid_ticks, q.ask_ticks) for q in replayed(text)] == [(0, 120000), (110000, 0)]


def sizes(quotes: list[Quote]) -> list[tuple[int, int]]:
    return [(quote.bid_size_steps, quote.ask_size_steps) for quote in quotes]


def test_displayed_sizes_are_read_in_whole_steps(tmp_path: Path) -> None:
    path = tmp_path / "eurusd_sizes.csv"
    rows = ("1,1.1,1.2,3,0.019", "2,1.1,1.2,0,", "3,1.1,1.2,0.001,-1", "4,1.1,1.2,9e0,1")
    path.write_text("ts_ms,bid,ask,bid_size,ask_size\n" + "\n".join(rows[:3]))
    # Less than a step is shown as one: none would say that the source gives no size.
    assert sizes(replayed(path)) == [(300, 1), (0, 0), (1, -100)]
    path.write_text("ts_ms,bid,ask,bid_size,ask_size\n" + "\n".join(rows))
    with pytest.raises(Misconfigured, match="line 5: expected ts_ms,bid,ask,bid_size,ask_size"):
        replayed(path)


def test_a_minute_bar_is_the_quote_at_its_end_with_its_sizes(tmp_path: Path) -> None:
    path = tmp_path / "es_minute.csv.gz"
    path.write_bytes(
        gzip.compress(
            b"time_utc,contract,bid_open,bid_close,bid_size,ask_open,ask_close,ask_size\n"
            b"2013-10-07 14:04:00.000,201312,1671.0,1671.75,471,1671.25,1672.0,531\n"
            b"2013-10-07 14:04:00.000,201403,1665.0,1665.75,1,1665.25,1666.0,2\n"
            b"2013-10-07 14:05:00.000,201312,,,0,1672.0,1672.25,549\n"
        )
    )
    quotes = replayed(path, symbol="ES", contract="201312")
    assert [(q.ts_ns - START, q.bid_ticks, q.ask_ticks) for q in quotes] == [
        (0, 6687, 6688),
        (60_000_000_000, 0, 6689),
    ]
    assert sizes(quotes) == [(471, 531), (0, 549)]
    for contract in (None, "201406"):
        with pytest.raises(Misconfigured, match="contract= one of 201312, 201403"):
            replayed(path, symbol="ES", contract=contract)
    with pytest.raises(Misconfigured, match="expected no contract="):
        replayed(csv_file(tmp_path, "1,1.1,1.2\n"), contract="201312")


@pytest.mark.data
def test_recorded_sizes_reach_the_quotes() -> None:
    bitcoin = replayed(ticks_file("btcusdt_binance_quotes.parquet"))
    assert all(q.bid_size_steps > 0 and q.ask_size_steps > 0 for q in bitcoin)
    futures = DATA / "futures" / "es_minute_20131006_20131011_quotes.csv.gz"
    if not futures.is_file():
        assert not REQUIRED
        pytest.skip("no recorded minute bars of quotes here, and none are required")
    state, verdicts = GateState(), Counter[Verdict]()
    for quote in replayed(futures, symbol="ES", contract="201312"):
        state, verdict = judge(state, quote, CATALOG.instruments["ES"].gate)
        verdicts[verdict] += 1
        if verdict is Verdict.ACCEPTED:
            assert quote.bid_size_steps > 0
            assert quote.ask_size_steps > 0
    assert verdicts[Verdict.ACCEPTED] > 6_000


def test_a_feed_line_is_split_into_its_sources() -> None:
    replay, synthetic = parse_sources("replay:/a:b/c.csv.gz:speed=10:loop=1, synthetic:seed=7")
    assert (replay.kind, replay.path) == ("replay", "/a:b/c.csv.gz")
    assert replay.options == {"speed": "10", "loop": "1"}
    assert (synthetic.kind, synthetic.options) == ("synthetic", {"seed": "7"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "expected one of synthetic, replay"),
        ("binance", "expected one of synthetic, replay"),
        ("replay", "replay:FILE"),
        ("replay:", "replay:FILE"),
        ("synthetic:fast", "got 'synthetic:fast'"),
        ("synthetic:seed=x", "expected seed= as a whole number"),
        ("synthetic,synthetic", "synthetic once"),
        ("synthetic:speed=-1", "expected speed= from 0"),
        ("synthetic:speed=nan", "expected speed= from 0"),
        ("replay:{file}:speed=2,synthetic:speed=3", "one speed"),
        ("replay:{file}:loop=yes", "loop=0 or loop=1"),
        ("replay:{file},replay:{file}", "EURUSD in one file"),
        ("replay:{file}:symbol=NOPE", "got 'NOPE'"),
        ("replay:/nowhere/eurusd.csv", "expected a file of ticks"),
    ],
)
def test_a_wrong_feed_line_is_explained(tmp_path: Path, line: str, said: str) -> None:
    path = csv_file(tmp_path, "1000,1.1,1.2\n")
    with pytest.raises(Misconfigured) as caught:
        build_source(line.format(file=path), CATALOG, SetClock(START), seed=1)
    assert said in str(caught.value)


async def test_synthetic_plays_what_no_file_replays(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1000,1.1,1.2\n9000,1.1,1.2\n")
    source = build_source(f"replay:{path}:speed=0,synthetic", CATALOG, SetClock(START), seed=1)
    await source.open(START, {})
    quotes: list[Quote] = []
    while len(quotes) < 500:
        quotes += await source.next_batch(1) or ()
    assert {q.symbol for q in quotes} == set(CATALOG.instruments)
    assert [q.ts_ns for q in quotes] == sorted(q.ts_ns for q in quotes)
    assert [q.ts_ns - START for q in quotes if q.symbol == "EURUSD"] == [0, 8_000_000_000]


async def test_a_feed_that_keeps_hours_quotes_only_while_its_markets_are_open() -> None:
    calendars = {"always": Calendar("always", "", always=True)}
    catalog = parse_catalog(
        json.loads((Path(__file__).parents[3] / "agent/configs/instruments.json").read_text()),
        calendars,
    )
    source = build_source("synthetic:hours=1:speed=0", catalog, SetClock(START), seed=1)
    assert source.keeps_hours
    await source.open(START, {})
    assert {q.symbol for q in await source.next_batch(1) or ()} == {"BTCUSD", "ETHUSD"}
    assert not build_source("synthetic", catalog, SetClock(START), seed=1).keeps_hours
    with pytest.raises(Misconfigured, match="expected hours=0 or hours=1, got hours=2"):
        build_source("synthetic:hours=2", catalog, SetClock(START), seed=1)


async def test_synthetic_goes_on_from_the_last_logged_price() -> None:
    source = build_source("synthetic", CATALOG, SetClock(START), seed=1)
    await source.open(START, {"EURUSD": Quote("EURUSD", 150_000, 150_010, START - 1, 9)})
    first = {q.symbol: q for q in await source.next_batch(1) or ()}
    assert abs(first["EURUSD"].bid_ticks - 150_000) < 20


async def test_only_due_ticks_are_handed_out(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1000,1.1,1.2\n2000,1.1,1.2\n12000,1.1,1.2\n")
    clock = SetClock(START)
    source = build_source(f"replay:{path}:speed=10", CATALOG, clock, seed=1)
    assert source.speed_ppm == 10_000_000
    await source.open(START, {})
    assert len(await source.next_batch(0) or ()) == 1
    assert await source.next_batch(0) == []
    clock.at_ns += 100_000_000
    assert source.now_ns() == START + 1_000_000_000
    assert len(await source.next_batch(0) or ()) == 1
    clock.at_ns += 10**12
    assert len(await source.next_batch(0) or ()) == 1
    assert await source.next_batch(0) is None
    assert source.now_ns() == START + 1_000_000_000 + 10**13


async def test_a_waiting_feed_wakes_when_the_next_tick_is_due(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1000,1.1,1.2\n1100,1.1,1.2\n")
    loop = asyncio.get_running_loop()
    origin_s = loop.time()

    class LoopClock:
        def now_ns(self) -> int:
            return START + int((loop.time() - origin_s) * 1e9)

    source = build_source(f"replay:{path}", CATALOG, LoopClock(), seed=1)
    await source.open(START, {})
    assert len(await source.next_batch(5) or ()) == 1
    assert len(await source.next_batch(5) or ()) == 1
    assert 0.09 < loop.time() - origin_s < 2


async def test_a_backlog_comes_in_bounded_batches() -> None:
    clock = SetClock(START)
    source = build_source("synthetic", CATALOG, clock, seed=1)
    await source.open(START, {})
    clock.at_ns += 60_000_000_000
    sizes = [len(await source.next_batch(0) or ()) for _ in range(3)]
    assert sizes[0] == BATCH_MAX
    assert 0 < sizes[1] <= BATCH_MAX


async def test_a_feed_without_ticks_is_refused(tmp_path: Path) -> None:
    stream = ReplayStream(csv_file(tmp_path, ""), CATALOG.find, loop=True)
    with pytest.raises(Misconfigured, match="at least one tick"):
        await PacedSource([stream], 1_000_000, SetClock(START)).open(START, {})


async def test_archived_ticks_come_back_and_their_file_is_read_only(tmp_path: Path) -> None:
    archive = FolderTickArchive(tmp_path)
    sized = Quote("EURUSD", 3, 5, START + 1, 4, bid_size_steps=7, ask_size_steps=9)
    quotes = [Quote("EURUSD", 1, 2, START, 1), sized]
    digest = await archive.store("ticks/EURUSD/1.parquet", quotes)
    assert await archive.load("ticks/EURUSD/1.parquet") == quotes
    path = tmp_path / "ticks/EURUSD/1.parquet"
    assert path.stat().st_mode & 0o777 == 0o444
    assert await archive.store("ticks/EURUSD/1.parquet", quotes) == digest
    assert [item.name for item in path.parent.iterdir()] == ["1.parquet"]
    with pytest.raises(Misconfigured):
        await archive.load("../outside.parquet")
    with pytest.raises(NotFound):
        await archive.load("ticks/none.parquet")


@pytest.mark.parametrize(
    ("handling_ms", "gathering_ms"), [(0, 25), (2.5, 25), (4, 40), (10, 100), (3_000, 100)]
)
def test_ticks_are_gathered_longer_where_a_batch_takes_longer(
    handling_ms: float, gathering_ms: float
) -> None:
    assert gathering_s(handling_ms / 1_000) == pytest.approx(gathering_ms / 1_000)
