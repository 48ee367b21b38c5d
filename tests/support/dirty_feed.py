"""An account trading on a stream of quotes, and dirt to mix into the stream."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from quantlab.engine.commands import TRADE, Command, Event, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.rejections import Rejection
from quantlab.engine.watch import Watch
from quantlab.market.instrument import GateLimits
from quantlab.market.quote import Quote
from quantlab_app.use_cases.market_feed import FeedState, judge_batch
from tests.support.rule_cases import account as rule_account
from tests.support.rule_cases import percent, profile, rule
from tests.support.watch_cases import CATALOG

TRADE_EVERY = 40
SETTLING = 3
DAILY_LOSS = rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt")
DRAWDOWN = rule("max_drawdown", mode="trailing", basis="equity", loss=percent("4"), comparator="lt")


@dataclass
class Trading:
    """Trades every few accepted quotes, with stops; a broken account is replaced by a new one."""

    symbol: str
    quantity: str
    events: list[list[Event]] = field(default_factory=list)
    fills: int = 0
    violations: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    feed: FeedState = field(default_factory=lambda: FeedState(1, {}, {}))

    def __post_init__(self) -> None:
        self._profile = profile(DAILY_LOSS, DRAWDOWN)
        self._watch = Watch(CATALOG)
        self._opened = False

    def run(self, quotes: Sequence[Quote]) -> "Trading":
        for quote in quotes:
            judged = judge_batch(self.feed, CATALOG, [quote])
            self.refusals.update({reason: n for (_, reason), n in judged.refusals.items()})
            for accepted in judged.accepted:
                self._on_quote(accepted)
            if not judged.accepted and self.symbol in self.feed.suspended and self._opened:
                self._nothing_trades(quote.ts_ns)
        return self

    def _on_quote(self, quote: Quote) -> None:
        self.accepted += 1
        if not self._opened:
            self._opened = True
            self._open(quote.ts_ns)
        for demand in self._watch.on_quote(quote, quote.ts_ns, quote.ts_ns):
            if demand.account_id == self._account.account_id:
                self._execute(demand.name, demand.payload, "watch", quote.ts_ns)
        if self.accepted % TRADE_EVERY == 0:
            self._trade(quote)
        if self._account.status != "active":
            self._open(quote.ts_ns)

    def _open(self, now_ns: int) -> None:
        name = f"account-{len(self.events)}"
        self._account = replace(rule_account(self._profile, now_ns), account_id=name)
        self.events.append([])

    def _trade(self, quote: Quote) -> None:
        if self.symbol in self._account.positions and self.accepted % (3 * TRADE_EVERY):
            return
        side = 1 if self.accepted % (2 * TRADE_EVERY) else -1
        tick = CATALOG.instruments[self.symbol].tick
        away = 4 * (quote.ask_ticks - quote.bid_ticks) + 20
        self._execute(
            TRADE,
            {
                "action": "buy" if side > 0 else "sell",
                "symbol": self.symbol,
                "quantity": self.quantity,
                "stopLoss": str((quote.price_for(side) - side * away) * tick),
                "takeProfit": str((quote.price_for(side) + side * 3 * away) * tick),
            },
            "user",
            quote.ts_ns,
        )

    def _execute(self, name: str, payload: dict[str, object], kind: str, now_ns: int) -> Outcome:
        command = Command(1, "s", self._account.account_id, kind, "w", name, payload, now_ns)
        outcome = execute(self._account, command, self._context(now_ns))
        self._account = outcome.account
        self.events[-1].extend(outcome.events)
        self.fills += len(outcome.fills)
        self.violations += len(outcome.violations)
        self._watch.put(self._account, self._profile, now_ns, now_ns)
        return outcome

    def _context(self, now_ns: int) -> Context:
        quotes = {
            symbol: replace(quote, suspended=symbol in self.feed.suspended)
            for symbol, quote in self.feed.last.items()
        }
        market = Market(CATALOG, quotes, now_ns)
        return Context(market, self._profile, frozenset(CATALOG.instruments), now_ns)

    def _nothing_trades(self, now_ns: int) -> None:
        context = self._context(now_ns)
        seen = context.market.usable(CATALOG.instruments[self.symbol])
        assert isinstance(seen, Rejection), "a refused quote left its symbol tradable"


def dirtied(clean: Sequence[Quote], seed: int, rate: float) -> Iterator[Quote]:
    """Mix refusable quotes into clean ones; spikes only where the clean market does not jump."""
    rng = random.Random(seed)
    limits = CATALOG.instruments[clean[0].symbol].gate
    for at, quote in enumerate(clean):
        if at >= SETTLING and rng.random() < rate:
            calm = _is_calm(clean[max(0, at - 4) : at + 4], limits)
            for _ in range(rng.randint(1, limits.confirmations)):
                yield _dirt(rng, clean[at - 1], limits, calm=calm)
        yield quote


def _is_calm(quotes: Sequence[Quote], limits: GateLimits) -> bool:
    levels = [quote.bid_ticks + quote.ask_ticks for quote in quotes]
    return max(levels) - min(levels) < limits.max_jump_ticks


def _dirt(rng: random.Random, quote: Quote, limits: GateLimits, *, calm: bool) -> Quote:
    bid, ask, ts_ns = quote.bid_ticks, quote.ask_ticks, quote.ts_ns
    wide, far = limits.max_spread_ticks + rng.randint(1, 99), rng.choice((-1, 1))
    jump = far * (2 * limits.max_jump_ticks + rng.randint(1, bid // 4))
    kinds = {
        "crossed": replace(quote, bid_ticks=ask + rng.randint(1, 50)),
        "wide": replace(quote, ask_ticks=bid + wide),
        "no bid": replace(quote, bid_ticks=0),
        "no ask": replace(quote, ask_ticks=0),
        "empty": replace(quote, bid_ticks=0, ask_ticks=0),
        "negative": replace(quote, bid_ticks=-bid),
        "negative size": replace(quote, ask_size_steps=-1),
        "late": replace(quote, ts_ns=ts_ns - rng.randint(1, 10**9), bid_ticks=bid + 1),
        "repeated": quote,
    }
    if limits.max_locked_ns == 0:
        kinds["locked"] = replace(quote, ask_ticks=bid)
    if calm:
        kinds["spike"] = replace(quote, bid_ticks=bid + jump, ask_ticks=ask + jump)
    return kinds[rng.choice(sorted(kinds))]
