"""The compiled watch demands what the plain one demands, quote by quote."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.test_watch import (
    BASES,
    accounts_of,
    comparators,
    losses,
    positions,
    ticks,
)
from tests.support import rule_cases
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    LOT,
    NOW,
    SECOND,
    daily_loss,
    holding,
    position,
    trailing,
)
from tests.support.watch_cases import quote as quote_of

from quantlab.engine import commands
from quantlab.engine.native.chosen import INTERPRETED, Kernels
from quantlab.engine.native.compile import compiled
from quantlab.engine.native.expressed import BY_CLOCK, BY_COMMANDS, FLOORS
from quantlab.engine.native.holders import UNEXPRESSED
from quantlab.engine.native.watch import PEAKS_AT_ONCE, ArrayWatch
from quantlab.engine.watch import Watch
from quantlab.engine.watched import RETRY_NS, Demand
from quantlab.ledger.orders import Order, Terms
from quantlab.ledger.state import Position, Tally
from quantlab.market.quote import Quote
from quantlab.market.sessions import Calendar
from quantlab.rules.terms import Profile, Rule
from quantlab_edge.native import kernels_folder

# As the platforms of other tests keep them; each is compiled at its first call.
COMPILED = compiled(str(kernels_folder(Path(os.environ["QUANTLAB_NATIVE_FOLDER"]))))
DAY_NS = 86_400 * SECOND
KERNELS = pytest.mark.parametrize("kernels", [COMPILED, INTERPRETED], ids=["compiled", "plain"])


flat_windows = st.integers(0, 90).map(
    lambda second: {
        "days": ["tue"],
        "at": f"12:{second // 60:02d}",
        "until": f"12:{second // 60 + 1:02d}",
    }
)
profiles = st.builds(
    lambda daily, costs, total, basis, above, less, windows: rule_cases.profile(
        rule_cases.rule("daily_loss", anchor="balance", loss=daily, comparator=less, costs=costs),
        rule_cases.rule(
            "max_drawdown",
            loss=total,
            comparator=less,
            **({} if above is None else {"afterPayout": {"aboveInitial": f"{above}.00"}}),
            **({"mode": "static"} if basis is None else {"mode": "trailing", "basis": basis}),
        ),
        *(
            rule_cases.rule("flat_by", "soft", timeZone="Europe/Prague", windows=[window])
            for window in windows
        ),
    ),
    losses,
    st.sampled_from(["included", "excluded"]),
    losses,
    st.sampled_from([None, "equity", "balance"]),
    st.none() | st.just(0),
    comparators,
    st.lists(flat_windows, max_size=1),
)
accounts = st.lists(
    st.tuples(profiles, positions, st.sampled_from(["USD", "EUR", "GBP"])), min_size=1, max_size=4
)
# What is halted from a tick on, by its number.
halts = st.dictionaries(
    st.integers(2, 12),
    st.dictionaries(st.sampled_from(sorted(BASES)), st.just("news"), max_size=2),
    max_size=3,
)
tallies = st.builds(Tally, day_costs_minor=st.integers(0, 300_000), payouts=st.integers(0, 1))


def seen(demands: list[Demand]) -> list[tuple[Any, ...]]:
    """Peaks are handed on with the pulse: what is compared is everything else, in any order."""
    found = [
        (one.account_id, one.name, sorted(one.payload.items(), key=str), one.tick_ts_ns)
        for one in demands
        if one.name != commands.OBSERVE_EQUITY
    ]
    return sorted(found, key=str)


def peaks(watch: Watch, now_ns: int) -> set[tuple[Any, ...]]:
    demands = watch.unstored_peaks(now_ns, leaving=True)
    return {(one.account_id, one.payload["peakMinor"]) for one in demands}


@settings(max_examples=300)
@given(accounts, tallies, ticks, st.booleans(), st.integers(0, 3), halts)
def test_the_same_demands_as_in_python(
    drawn: list[tuple[Profile, list[Position], str]],
    tally: Tally,
    moves: list[tuple[str, int, int, bool]],
    near_reset: bool,
    changed_at: int,
    halted: dict[int, dict[str, str]],
) -> None:
    known = {
        account_id: (replace(account, tally=tally, balance_minor=10_200_000), profile)
        for account_id, (account, profile) in accounts_of(drawn).items()
    }
    plain = Watch(CATALOG)
    fast: Watch = Watch(CATALOG) if changed_at == 3 else ArrayWatch(CATALOG, COMPILED)
    reset_ns = min(account.day.next_reset_ns for account, _ in known.values())
    now_ns = reset_ns - 20 * SECOND if near_reset else NOW
    for account, profile in known.values():
        for watch in (plain, fast):
            assert watch.put(account, profile, now_ns, now_ns) == []
    quotes: dict[str, Quote] = {}
    account_tenant = next(iter(known.values()))[0].tenant_id
    for seq, (symbol, move, wait_ns, suspended) in enumerate(moves, 1):
        now_ns += wait_ns
        if suspended and symbol in quotes:
            quotes[symbol] = replace(quotes[symbol], suspended=True)
        else:
            price = BASES[symbol] + move
            quotes[symbol] = Quote(symbol, price, price + 8, now_ns, seq)
        quote = quotes[symbol]
        if seq == 3 and not isinstance(fast, ArrayWatch):
            fast = ArrayWatch.of(fast, COMPILED)
        for watch in (plain, fast) if seq in halted else ():
            watch.set_halts(account_tenant, halted[seq])
        expected = plain.on_quote(quote, now_ns, now_ns)
        assert seen(fast.on_quote(quote, now_ns, now_ns)) == seen(expected)
        if seq % 4 == changed_at:
            account_id = min(known)
            account, profile = known[account_id]
            account = replace(
                account,
                event_seq=account.event_seq + 1,
                balance_minor=account.balance_minor + move * 100,
            )
            known[account_id] = (account, profile)
            before = [watch.put(account, profile, now_ns, now_ns) for watch in (plain, fast)]
            assert seen(before[0]) == seen(before[1])
    assert peaks(fast, now_ns + 10 * SECOND) == peaks(plain, now_ns + 10 * SECOND)


EXTREMES = {
    "a size at the edge of 64 bits": position(1 << 61, entry=1),
    "a cost beyond them": replace(position(10**13), cost=1 << 63),
    "a gain beyond them": position(10**15, entry=100_000),
    "a short one": position(-(10**15), entry=100_000),
}


@KERNELS
@pytest.mark.parametrize("held", EXTREMES.values(), ids=EXTREMES.keys())
def test_what_64_bits_cannot_hold_is_left_to_the_interpreter(
    held: Position, kernels: Kernels
) -> None:
    profile = daily_loss()
    account = holding(profile, held, balance_minor=1 << 60)
    plain, fast = Watch(CATALOG), ArrayWatch(CATALOG, kernels)
    for watch in (plain, fast):
        watch.put(account, profile, NOW, NOW)
    for seq, bid in enumerate((110_000, 90_000, 1, 1 << 61, 50), 1):
        quote = quote_of(bid, seq=seq)
        expected = plain.on_quote(quote, NOW + seq, NOW + seq)
        assert seen(fast.on_quote(quote, NOW + seq, NOW + seq)) == seen(expected)


@KERNELS
def test_a_trailing_floor_follows_a_peak_that_only_the_arrays_saw(kernels: Kernels) -> None:
    profile = trailing()
    watch = ArrayWatch(CATALOG, kernels)
    watch.put(holding(profile, position(LOT)), profile, NOW, NOW)
    assert watch.on_quote(quote_of(ENTRY, seq=1), NOW + 1, NOW + 1) == []
    assert watch.on_quote(quote_of(ENTRY + 5000, seq=2), NOW + 2, NOW + 2) == []
    assert watch.on_quote(quote_of(ENTRY + 1000, seq=3), NOW + 3, NOW + 3) == []
    demands = watch.on_quote(quote_of(ENTRY + 999, seq=4), NOW + 4, NOW + 4)
    (demand,) = (one for one in demands if one.name == commands.CHECK_RULES)
    assert demand.payload["peakMinor"] == str(10_000_000 + 500_000)


def test_peaks_of_a_large_shard_are_handed_on_in_turns() -> None:
    profile, watch = trailing(), ArrayWatch(CATALOG, COMPILED)
    names = [f"account-{number:04d}" for number in range(PEAKS_AT_ONCE * 2 + 50)]
    watch.on_quote(quote_of(ENTRY, seq=1), NOW + 1, NOW + 1)
    for name in names:
        watch.put(replace(holding(profile, position(LOT)), account_id=name), profile, NOW, NOW)
    watch.on_quote(quote_of(ENTRY + 50, seq=2), NOW + 2, NOW + 2)
    rounds = []
    for second in (2, 4, 6):
        now_ns = NOW + second * SECOND
        watch.on_quote(quote_of(ENTRY + 50 + second, seq=2 + second), now_ns, now_ns)
        rounds.append([one.account_id for one in watch.unstored_peaks(now_ns)])
    assert [len(one) for one in rounds] == [PEAKS_AT_ONCE] * 3
    assert set(names) == {name for one in rounds for name in one}
    everyone = watch.unstored_peaks(NOW + 8 * SECOND, leaving=True)
    assert {one.account_id for one in everyone} == set(names)


@KERNELS
def test_a_peak_while_one_market_is_closed_is_no_peak(kernels: Kernels) -> None:
    close_ns = NOW + 2 * SECOND
    hours = {
        "fx": Calendar("fx", "a test", (NOW - 3600 * SECOND,), (close_ns,)),
        "always": Calendar("always", "a test", always=True),
    }
    catalog, profile = replace(CATALOG, calendars=hours), trailing()
    account = holding(profile, position(LOT), position(LOT, symbol="BTCUSD"))
    for watch in (Watch(catalog), ArrayWatch(catalog, kernels)):
        watch.keeps_hours = True
        watch.put(account, profile, NOW, NOW)
        found = []
        moves = [(NOW, ENTRY), (close_ns - 1, ENTRY + 50), (close_ns, ENTRY + 90)]
        watch.on_quote(replace(quote_of(ENTRY), ts_ns=NOW), NOW, NOW)
        for seq, (at_ns, bid) in enumerate(moves, 2):
            quote = replace(quote_of(bid, symbol="BTCUSD", seq=seq), ts_ns=at_ns)
            watch.on_quote(quote, at_ns, at_ns)
            found.append(peaks(watch, at_ns + 10 * RETRY_NS))
        assert found[1] != set()
        assert found[2] == set(), "nothing new to hand on"


@KERNELS
def test_what_moved_while_it_was_halted_is_judged_on_the_next_quote_of_ones_own(
    kernels: Kernels,
) -> None:
    """A rate moves all that is quoted in a currency, and looks at nobody whom it does not convert.

    The pound converts one account's euro; the other's, halted at its best price, is in dollars.
    """
    profile = trailing()
    accounts = [
        replace(holding(profile, position(LOT)), account_id="dollars"),
        replace(holding(profile, position(LOT)), account_id="pounds", currency="GBP"),
    ]
    found = []
    for watch in (Watch(CATALOG), ArrayWatch(CATALOG, kernels)):
        for account in accounts:
            watch.put(account, profile, NOW, NOW)
        tenant_id = accounts[0].tenant_id
        watch.on_quote(quote_of(ENTRY, seq=1), NOW + 1, NOW + 1)
        watch.set_halts(tenant_id, {"EURUSD": "news"})
        watch.on_quote(quote_of(ENTRY + 900, seq=2), NOW + 2, NOW + 2)
        watch.set_halts(tenant_id, {})
        watch.on_quote(quote_of(130_000, symbol="GBPUSD", seq=3), NOW + 3, NOW + 3)
        watch.on_quote(quote_of(ENTRY + 100, seq=4), NOW + 4, NOW + 4)
        found.append(peaks(watch, NOW + 10 * SECOND))
    assert found[0] == found[1]
    assert ("dollars", str(10_000_000 + 10_000)) in found[0]


@KERNELS
def test_many_holders_come_and_go(kernels: Kernels) -> None:
    profile = daily_loss()
    plain, fast = Watch(CATALOG), ArrayWatch(CATALOG, kernels)
    for number in range(3000):
        account = replace(
            holding(profile, position(LOT + number % 60)), account_id=f"account-{number:05d}"
        )
        for watch in (plain, fast):
            watch.put(account, profile, NOW, NOW)
        if number % 3 == 0:
            closed = replace(account, positions={}, event_seq=account.event_seq + 1)
            for watch in (plain, fast):
                watch.put(closed, profile, NOW, NOW)
    assert fast.account_ids == plain.account_ids
    quote = quote_of(ENTRY - 4_000, seq=1)
    expected = plain.on_quote(quote, NOW + 1, NOW + 1)
    assert 0 < len(expected) < 2000
    assert seen(fast.on_quote(quote, NOW + 1, NOW + 1)) == seen(expected)


@KERNELS
@pytest.mark.parametrize("basis", [None, "equity", "balance"])
def test_costs_and_payouts_move_the_floors_of_the_arrays(
    basis: str | None, kernels: Kernels
) -> None:
    mode = {"mode": "static"} if basis is None else {"mode": "trailing", "basis": basis}
    profile = rule_cases.profile(
        rule_cases.rule(
            "daily_loss",
            anchor="balance",
            loss=rule_cases.percent("5"),
            comparator="lt",
            costs="excluded",
        ),
        rule_cases.rule(
            "max_drawdown",
            loss=rule_cases.percent("8"),
            comparator="lt",
            afterPayout={"aboveInitial": "0.00"},
            **mode,
        ),
    )
    held = holding(profile, position(LOT), balance_minor=10_050_000)
    for tally, lowest, rule_id in (
        (Tally(), -5500, "daily_loss"),
        (Tally(day_costs_minor=70_000), -6200, "daily_loss"),
        (Tally(day_costs_minor=70_000, payouts=1), -500, "max_drawdown"),
    ):
        watch = ArrayWatch(CATALOG, kernels)
        watch.put(replace(held, tally=tally), profile, NOW, NOW)
        assert watch.on_quote(quote_of(ENTRY + lowest, seq=1), NOW + 1, NOW + 1) == []
        demands = watch.on_quote(quote_of(ENTRY + lowest - 1, seq=2), NOW + 2, NOW + 2)
        assert [demand.payload["rules"] for demand in demands] == [[rule_id]]


@KERNELS
def test_working_orders_call_alike_with_and_without_sizes(kernels: Kernels) -> None:
    instruments = {
        symbol: replace(item, size_required=True) for symbol, item in CATALOG.instruments.items()
    }
    catalog, profile = replace(CATALOG, instruments=instruments), daily_loss()
    terms = Terms(limit_ticks=ENTRY, time_in_force="gtc")
    order = Order("o1", "s1", None, "bot", "EURUSD", 1, "limit", LOT, 0, None, None, "working",
                  None, 7, NOW, terms)  # fmt: skip
    account = replace(holding(profile, position(LOT)), working={"o1": order})
    plain, fast = Watch(catalog), ArrayWatch(catalog, kernels)
    for watch in (plain, fast):
        watch.put(account, profile, NOW, NOW)
    found = []
    for seq, size in enumerate((0, 0, 5, 0), 1):
        now_ns = NOW + seq * RETRY_NS
        quote = replace(quote_of(ENTRY - 100, seq=seq), ask_size_steps=size)
        expected = plain.on_quote(quote, now_ns, now_ns)
        assert seen(fast.on_quote(quote, now_ns, now_ns)) == seen(expected)
        found += [one.payload["feedSeq"] for one in expected if one.name == commands.WORK_ORDER]
    assert found == [3], "nothing can fill without a size"


def test_the_arrays_know_every_field_of_an_account_and_a_position() -> None:
    """Working orders and hedged legs are left to the interpreter.

    Whoever adds a field expresses it, or says so.
    """
    assert UNEXPRESSED == (("working",), ("ticket",))
    assert {*FLOORS, *BY_COMMANDS, *BY_CLOCK} == set(get_args(Rule))
