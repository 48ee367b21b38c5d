"""account_watch is never silent about what the full recomputation calls violated."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import rule_cases
from tests.support.watch_cases import CATALOG, NOW, SECOND, position

from quantlab.engine.context import Market, equity_of
from quantlab.engine.watch import Watch
from quantlab.engine.watch_protection import touched
from quantlab.engine.watched import RETRY_NS
from quantlab.ledger.state import Account, Position
from quantlab.market.quote import Quote
from quantlab.rules.floors import next_high_water
from quantlab.rules.terms import Profile
from quantlab.rules.verdicts import judge_equity

BASES = {"EURUSD": 110_000, "GBPUSD": 130_000, "USDJPY": 150_000, "XAUUSD": 2_000_000}

losses = st.integers(1, 12).map(lambda share: rule_cases.percent(str(share)))
comparators = st.sampled_from(["lt", "le"])
profiles = st.builds(
    lambda daily, total, basis, less: rule_cases.profile(
        rule_cases.rule("daily_loss", anchor="balance", loss=daily, comparator=less),
        rule_cases.rule(
            "max_drawdown",
            loss=total,
            comparator=less,
            **({"mode": "static"} if basis is None else {"mode": "trailing", "basis": basis}),
        ),
    ),
    losses,
    losses,
    st.sampled_from([None, "equity", "balance"]),
    comparators,
)
positions = st.lists(
    st.builds(
        lambda symbol, size, stop, target: position(
            size,
            symbol=symbol,
            entry=BASES[symbol],
            stop=None if stop is None else BASES[symbol] - stop * (1 if size > 0 else -1),
            target=None if target is None else BASES[symbol] + target * (1 if size > 0 else -1),
        ),
        st.sampled_from(sorted(BASES)),
        st.integers(-300, 300).filter(bool),
        st.none() | st.integers(1, 4000),
        st.none() | st.integers(1, 4000),
    ),
    min_size=1,
    max_size=3,
)
accounts = st.lists(
    st.tuples(profiles, positions, st.sampled_from(["USD", "EUR", "GBP"])), min_size=1, max_size=4
)
ticks = st.lists(
    st.tuples(
        st.sampled_from(sorted(BASES)),
        st.integers(-6000, 6000),
        st.integers(0, 5 * SECOND),
        st.booleans(),
    ),
    max_size=25,
)


def accounts_of(
    drawn: list[tuple[Profile, list[Position], str]],
) -> dict[str, tuple[Account, Profile]]:
    built = {}
    for number, (profile, held, currency) in enumerate(drawn):
        account = replace(
            rule_cases.account(profile, NOW),
            account_id=f"account-{number}",
            currency=currency,
            positions={one.symbol: one for one in held},
        )
        built[account.account_id] = (account, profile)
    return built


@settings(max_examples=150)
@given(accounts, ticks)
def test_whatever_is_violated_or_touched_is_demanded(
    drawn: list[tuple[Profile, list[Position], str]], moves: list[tuple[str, int, int, bool]]
) -> None:
    known = accounts_of(drawn)
    marks = {account_id: account.high_water_minor for account_id, (account, _) in known.items()}
    watch = Watch(CATALOG)
    for account, profile in known.values():
        watch.put(account, profile, NOW, NOW)
    quotes: dict[str, Quote] = {}
    last: dict[tuple[str, ...], int] = {}
    now_ns = NOW
    for seq, (symbol, move, wait_ns, suspended) in enumerate(moves, 1):
        now_ns += wait_ns
        if suspended and symbol in quotes:
            quotes[symbol] = replace(quotes[symbol], suspended=True)
            assert watch.on_quote(quotes[symbol], now_ns, now_ns) == []
            continue
        quote = Quote(symbol, BASES[symbol] + move, BASES[symbol] + move + 8, now_ns, seq)
        quotes[symbol] = quote
        for demand in watch.on_quote(quote, now_ns, now_ns):
            rules = demand.payload.get("rules", [])
            assert isinstance(rules, list)
            last[demand.account_id, demand.name, *rules] = now_ns
        market = Market(CATALOG, quotes, now_ns)
        for account_id, (account, profile) in known.items():
            expected = expected_of(account, profile, market, quote, marks, now_ns)
            for about in expected:
                asked_ns = last.get((account_id, *about))
                assert asked_ns is not None, f"silent about {about} of {account_id}"
                assert now_ns - asked_ns < RETRY_NS


def expected_of(
    account: Account,
    profile: Profile,
    market: Market,
    quote: Quote,
    marks: dict[str, int],
    now_ns: int,
) -> set[tuple[str, ...]]:
    """Recompute in full what this quote calls for, whether or not it concerns the account."""
    expected: set[tuple[str, ...]] = set()
    held = account.positions.get(quote.symbol)
    if held is not None and touched(held, quote) is not None:
        expected.add(("protect",))
    equity_minor = equity_of(account, market)
    if isinstance(equity_minor, int) and quote.symbol in market_symbols(account):
        seen = replace(account, high_water_minor=marks[account.account_id])
        mark_minor = next_high_water(profile, seen, equity_minor, at_day_end=False)
        marks[account.account_id] = mark_minor
        marked = replace(seen, high_water_minor=mark_minor)
        verdicts = judge_equity(profile, marked, equity_minor, now_ns)
        if verdicts:
            expected.add(("check_rules", *(verdict.rule_id for verdict in verdicts)))
    return expected


def market_symbols(account: Account) -> set[str]:
    """Return, by the plainest reading, every symbol whose quote moves the account's equity."""
    symbols = set(account.positions)
    for symbol in account.positions:
        needed = {CATALOG.instruments[symbol].quote_currency, account.currency}
        symbols |= {
            pair
            for pair in CATALOG.conversions
            if {CATALOG.instruments[pair].base_currency, CATALOG.instruments[pair].quote_currency}
            == needed
        }
    return symbols
