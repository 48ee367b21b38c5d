"""Watch with its hot pass compiled: only holders that a quote may concern are judged in Python."""

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Final

from quantlab.engine.context import Market
from quantlab.engine.native.chosen import Kernels
from quantlab.engine.native.holders import Holders
from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand, Watched
from quantlab.kernel.records import replace
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.catalog import Catalog
from quantlab.market.fill_model import FillModel
from quantlab.market.quote import Quote
from quantlab.rules.terms import Profile

# What one executor carries out of them beside everything else in the second until the next pulse.
PEAKS_AT_ONCE: Final = 200


class ArrayWatch(Watch):
    """The same watch, the same demands: what the arrays find goes through the plain judge again.

    Peaks between two judgements live in the arrays and are handed on with the next pulse.
    """

    def __init__(self, catalog: Catalog, kernels: Kernels) -> None:
        super().__init__(catalog)
        self._holders = Holders(catalog, kernels)
        self._now_ns = 0

    @classmethod
    def of(cls, watch: Watch, kernels: Kernels) -> "ArrayWatch":
        """Return a watch that goes on from where a plain one is, which must not be used again."""
        quick = cls(watch.catalog, kernels)
        vars(quick).update(vars(watch))
        for quote in quick._quotes.values():
            quick._holders.note(quote)
        for watched in quick._watched.values():
            quick._holders.enter(watched, watched.account.day.started_ns)
            quick._look_for_margin(watched)
            if watched.demanded:
                quick._holders.look_always(watched.account.account_id)
        return quick

    def put(
        self,
        account: Account,
        profile: Profile,
        feed_now_ns: int,
        now_ns: int,
        trading: TradingTerms = STANDARD,
        fill_models: Mapping[str, FillModel] | None = None,
    ) -> list[Demand]:
        """Take over an account's state as Watch does."""
        self._now_ns = now_ns
        known = self._watched.get(account.account_id)
        if known is not None:
            self._pull(known)
        demands = super().put(account, profile, feed_now_ns, now_ns, trading, fill_models)
        watched = self._watched.get(account.account_id)
        if watched is not None and watched is not known:
            self._push(watched)
            self._look_for_margin(watched)
        return demands

    def set_quotes(self, quotes: Iterable[Quote]) -> None:
        """Take over the latest quotes without judging."""
        quotes = tuple(quotes)
        super().set_quotes(quotes)
        for quote in quotes:
            if self._quotes[quote.symbol] is quote:
                self._holders.note(quote)

    def _halt(self, watched: Watched) -> None:
        """Leave an account to the interpreter while anything of it is halted."""
        account_id = watched.account.account_id
        before = bool(watched.halted)
        super()._halt(watched)
        if bool(watched.halted) != before and self._holders.holds(account_id):
            self._pull(watched)
            self._holders.drop(account_id)
            self._holders.enter(watched, self._now_ns)
            self._look_for_margin(watched)

    def silence(self) -> None:
        """Suspend every quote."""
        super().silence()
        self._holders.silence()

    def judge_all(self, feed_now_ns: int, now_ns: int) -> list[Demand]:
        """Judge at the latest quotes every account that they may concern."""
        market = self._market(feed_now_ns)
        self._holders.keep_hours(market)
        demands: list[Demand] = []
        for account_id in self._holders.all_concerned(feed_now_ns, now_ns):
            demands += self._judge(self._watched[account_id], None, market, now_ns)
        return demands

    def unstored_peaks(self, now_ns: int, *, leaving: bool = False) -> list[Demand]:
        """Return peaks that the accounts' writer does not know yet; all of them when leaving.

        Each is a command: of a large shard those that wait longest, so that breaches need not.
        """
        waiting = [self._watched[account_id] for account_id in self._holders.unstored()]
        if len(waiting) > PEAKS_AT_ONCE and not leaving:
            waiting = nsmallest(PEAKS_AT_ONCE, waiting, key=lambda one: one.observed_ns)
        demands: list[Demand] = []
        for watched in waiting:
            self._pull(watched)
            demands += self._observe(watched, now_ns, leaving=leaving)
        return demands

    def _concerned(self, quote: Quote, market: Market, now_ns: int) -> Iterable[Watched]:
        self._holders.keep_hours(market)
        found = self._holders.on_quote(quote, market.feed_now_ns, now_ns)
        # A rate moves all that is quoted in a currency: not only its hearers are found.
        watched = (self._watched[account_id] for account_id in found)
        return [one for one in watched if quote.symbol in one.heard]

    def _judge(
        self, watched: Watched, quote: Quote | None, market: Market, now_ns: int
    ) -> list[Demand]:
        self._pull(watched)
        demands = super()._judge(watched, quote, market, now_ns)
        self._push(watched)
        return demands

    def _look(self, watched: Watched, now_ns: int) -> list[Demand]:
        self._pull(watched)
        demands = super()._look(watched, now_ns)
        if demands:
            self._holders.look_always(watched.account.account_id)
        return demands

    def _enter(self, account: Account, profile: Profile, old: Watched | None) -> Watched:
        watched = super()._enter(account, profile, old)
        self._holders.enter(watched, self._now_ns)
        return watched

    def _drop(self, account_id: str) -> None:
        if account_id in self._watched:
            self._holders.drop(account_id)
        super()._drop(account_id)

    def _look_for_margin(self, watched: Watched) -> None:
        """Have the interpreter look at every tick where a margin level may be reached."""
        if watched.trading.stop_out_ppm is not None:
            self._holders.look_always(watched.account.account_id)

    def _pull(self, watched: Watched) -> None:
        """Take over the peak that the arrays have seen."""
        mark_minor, seq = self._holders.mark(watched.account.account_id)
        if mark_minor > watched.account.high_water_minor:
            watched.account = replace(watched.account, high_water_minor=mark_minor)
            watched.mark_seq = seq

    def _push(self, watched: Watched) -> None:
        """Hand the interpreter's findings to the arrays."""
        self._holders.set_mark(watched)
        self._holders.touch(watched)
