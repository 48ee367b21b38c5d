"""What a quote means for accounts with positions or working orders: the commands it calls for.

Watch keeps the newest known state of each account and demands commands; the account's one writer
decides. It must not change accounts. An account that has had what a demand is for is not asked
again until its state moves or RETRY_NS have passed.
"""

from collections.abc import Iterable, Mapping

from quantlab.engine import commands
from quantlab.engine.agenda import RELOOK_NS, Agenda
from quantlab.engine.context import Market, equity_of, order_symbols, symbols_of
from quantlab.engine.rejections import Rejection
from quantlab.engine.stop_out import stop_out_demands
from quantlab.engine.watch_checks import check_at_quotes, check_by_clock, roll_day
from quantlab.engine.watch_orders import (
    expire_orders,
    keep_peaks,
    observe_trails,
    peaks_of,
    work_orders,
)
from quantlab.engine.watch_protection import STOP_LOSS, protection, stop_name, touched
from quantlab.engine.watched import (
    OBSERVE_EVERY_NS,
    Demand,
    Watched,
    demand_once,
    is_lowered,
    seen_peak,
)
from quantlab.kernel.canonical import Json
from quantlab.kernel.records import replace
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.catalog import Catalog
from quantlab.market.fill_model import FillModel
from quantlab.market.quote import Quote
from quantlab.rules.day import is_day_over
from quantlab.rules.evidence import Verdict
from quantlab.rules.floors import next_high_water
from quantlab.rules.terms import BASIS_EQUITY, FLATTEN, Profile
from quantlab.rules.verdicts import judge_equity, judge_standing


class Watch:
    """The accounts by symbol, and the last quote of each symbol."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.keeps_hours = False
        self._halted: dict[str, Mapping[str, str]] = {}
        self._quotes: dict[str, Quote] = {}
        self._heard: dict[str, int] = {}
        self._watched: dict[str, Watched] = {}
        self._by_symbol: dict[str, dict[str, Watched]] = {}
        self._newest: dict[str, int] = {}
        self._round = 0
        self._put_in: dict[str, int] = {}
        self._agenda = Agenda()

    @property
    def catalog(self) -> Catalog:
        """Return the instruments it knows."""
        return self._catalog

    @property
    def account_ids(self) -> frozenset[str]:
        """Return the accounts under watch."""
        return frozenset(self._watched)

    @property
    def count(self) -> int:
        """Return how many accounts are under watch."""
        return len(self._watched)

    @property
    def positions(self) -> int:
        """Return how many positions are under watch."""
        return sum(len(watched.account.positions) for watched in self._watched.values())

    def begin_reload(self) -> int:
        """Begin a new round of reading every account; what is put from now on belongs to it."""
        self._round += 1
        return self._round

    def end_reload(self, round_number: int) -> None:
        """Drop the accounts that were not put since the round began: they hold nothing now."""
        stale = [id_ for id_ in self._watched if self._put_in[id_] < round_number]
        for account_id in stale:
            self._drop(account_id)

    def confirm(self, account_id: str, event_seq: int) -> bool:
        """Take an account as still standing at its last event; False where it must be put.

        Its protective prices and its orders may trigger again, as when the same state is put.
        """
        old = self._watched.get(account_id)
        if old is None or self._newest[account_id] < event_seq:
            return False
        self._put_in[account_id] = self._round
        if self._newest[account_id] == event_seq:
            old.ask_again()
        return True

    def put(
        self,
        account: Account,
        profile: Profile,
        feed_now_ns: int,
        now_ns: int,
        trading: TradingTerms = STANDARD,
        fill_models: Mapping[str, FillModel] | None = None,
    ) -> list[Demand]:
        """Take over an account's state unless a newer one is known; judge it at once.

        The same state again says that a command left the account as it was: its protective
        prices and its orders may trigger again, at the next quote.
        """
        account_id = account.account_id
        newest = self._newest.get(account_id, -1)
        if account.event_seq < newest:
            return []
        self._newest[account_id] = account.event_seq
        self._put_in[account_id] = self._round
        old = self._watched.get(account_id)
        if old is not None and account.event_seq == newest:
            old.answered = old.answers
            old.ask_again()
            return []
        leaving = [] if old is None else self._leave(old, account, now_ns)
        self._drop(account_id)
        if not account.positions and not account.working:
            return leaving
        watched = self._enter(account, profile, old)
        watched.trading, watched.fill_models = trading, fill_models or {}
        return self._judge(watched, None, self._market(feed_now_ns), now_ns)

    def set_quotes(self, quotes: Iterable[Quote]) -> None:
        """Take over the latest quotes, suspensions among them, without judging."""
        for quote in quotes:
            known = self._quotes.get(quote.symbol)
            if known is None or quote.seq >= known.seq:
                self._quotes[quote.symbol] = quote

    def set_halts(self, tenant_id: str, halted: Mapping[str, str]) -> None:
        """Take over which instruments a tenant has halted: of its accounts they wait.

        What has waited is judged on the next quote after a halt has ended.
        """
        before = self._halted.get(tenant_id, {})
        if halted == before:
            return
        self._halted[tenant_id] = dict(halted)
        moved = halted.keys() ^ before.keys()
        for watched in tuple(self._watched.values()):
            if watched.account.tenant_id == tenant_id and not moved.isdisjoint(watched.heard):
                self._halt(watched)

    def _halt(self, watched: Watched) -> None:
        """Note what of an account is halted."""
        halted = self._halted.get(watched.account.tenant_id, {})
        watched.halted = {one: halted[one] for one in halted.keys() & watched.heard}

    def silence(self) -> None:
        """Suspend every quote: the feed has stopped, and they may have been overtaken unseen."""
        self._quotes = {
            symbol: replace(quote, suspended=True) for symbol, quote in self._quotes.items()
        }

    def on_quote(self, quote: Quote, feed_now_ns: int, now_ns: int) -> list[Demand]:
        """Judge every account that the quote concerns; a suspended one is only noted.

        Each quote is judged once, also one that set_quotes has overtaken: what lies between two
        looks at the latest quotes must not be lost.
        """
        if quote.suspended:
            self.set_quotes((quote,))
            return []
        if quote.seq <= self._heard.get(quote.symbol, 0):
            return []
        self._heard[quote.symbol] = quote.seq
        self._quotes[quote.symbol] = quote
        market = self._market(max(feed_now_ns, quote.ts_ns))
        demands = self.overstayed(now_ns)
        for watched in self._concerned(quote, market, now_ns):
            demands += self._judge(watched, quote, market, now_ns)
        return demands

    def judge_all(self, feed_now_ns: int, now_ns: int) -> list[Demand]:
        """Judge every account at the latest quotes, as after a time without any."""
        market = self._market(feed_now_ns)
        return [
            demand
            for watched in self._watched.values()
            for demand in self._judge(watched, None, market, now_ns)
        ]

    def overdue(self, now_ns: int) -> list[Demand]:
        """Return a demand for each account with an order whose time has come."""
        return [
            demand
            for watched in self._watched.values()
            for demand in expire_orders(watched, now_ns)
        ]

    def overstayed(self, now_ns: int) -> list[Demand]:
        """Return a demand for each account of which a rule on time may ask something by now.

        It needs no quote: windows begin, and patience ends, while a market is closed.
        """
        return [
            demand
            for account_id in self._agenda.take_due(now_ns)
            for demand in self._look(self._watched[account_id], now_ns)
        ]

    def unstored_peaks(self, now_ns: int, *, leaving: bool = False) -> list[Demand]:
        """Return peaks that the accounts' writer does not know yet; all of them when leaving."""
        return [
            demand
            for watched in self._watched.values()
            for demand in self._observe(watched, now_ns, leaving=leaving)
        ]

    def _concerned(self, quote: Quote, _market: Market, _now_ns: int) -> Iterable[Watched]:
        """Return whom a quote concerns; a quicker watch leaves out whom it cannot change."""
        return self._by_symbol.get(quote.symbol, {}).values()

    def _market(self, feed_now_ns: int) -> Market:
        return Market(self._catalog, self._quotes, feed_now_ns, self.keeps_hours)

    def _enter(self, account: Account, profile: Profile, old: Watched | None) -> Watched:
        symbols = symbols_of(account, self._catalog)
        watched = Watched(
            account,
            profile,
            symbols,
            heard=symbols | order_symbols(account, self._catalog),
            stored_mark_minor=account.high_water_minor,
            stored_peaks=peaks_of(account),
        )
        if old is not None:
            held = {stop_name(position) for position in account.positions.values()}
            watched.touched = old.touched & held
            watched.observed_ns = old.observed_ns
            if not is_lowered(old, account):
                mark_minor = max(account.high_water_minor, old.account.high_water_minor)
                watched.account = replace(account, high_water_minor=mark_minor)
                watched.mark_seq = old.mark_seq
            watched.account = keep_peaks(watched.account, old.account)
            watched.peak_seq = old.peak_seq
            watched.answered = old.answers
        self._watched[account.account_id] = watched
        self._halt(watched)
        self._agenda.enter(account.account_id, profile)
        for symbol in watched.heard:
            self._by_symbol.setdefault(symbol, {})[account.account_id] = watched
        return watched

    def _drop(self, account_id: str) -> None:
        watched = self._watched.pop(account_id, None)
        if watched is not None:
            self._agenda.drop(account_id)
            for symbol in watched.heard:
                del self._by_symbol[symbol][account_id]

    def _leave(self, old: Watched, account: Account, now_ns: int) -> list[Demand]:
        """Return the peak an account leaves behind when it has closed its last position."""
        if account.positions or is_lowered(old, account):
            return []
        old.stored_mark_minor = max(old.stored_mark_minor, account.high_water_minor)
        return self._observe(old, now_ns, leaving=True)

    def _judge(
        self, watched: Watched, quote: Quote | None, market: Market, now_ns: int
    ) -> list[Demand]:
        """Judge one account on a quote, or on the latest of all its symbols."""
        if watched.halted:
            market = replace(market, halted=watched.halted)
        demands = work_orders(watched, quote, market, now_ns) if watched.account.working else []
        account = watched.account
        if account.status == "active":
            demands += self._protect(watched, quote, market, now_ns)
        elif account.status in ("locked", "disabled"):
            demands += self._liquidate(watched, quote, market, now_ns)
        if is_day_over(account, now_ns):
            left = self._observe(watched, now_ns, leaving=True)
            return [*demands, *left, *roll_day(watched, now_ns)]
        if not account.positions:
            return demands + self._observe(watched, now_ns)
        equity_minor = equity_of(account, market)
        if isinstance(equity_minor, Rejection):
            return demands
        self._mark_peak(watched, equity_minor)
        return [
            *demands,
            *self._check_rules(watched, quote, equity_minor, now_ns),
            *stop_out_demands(watched, quote, equity_minor, market, now_ns),
            *self._observe(watched, now_ns),
        ]

    def _protect(
        self, watched: Watched, quote: Quote | None, market: Market, now_ns: int
    ) -> list[Demand]:
        demands: list[Demand] = []
        for position in watched.account.legs(None if quote is None else quote.symbol):
            seen = market.usable(self._catalog.instruments[position.symbol])
            if isinstance(seen, Rejection):
                continue
            kind = touched(position, seen)
            if kind == STOP_LOSS:
                watched.touched.add(stop_name(position))
            elif stop_name(position) in watched.touched:
                kind = STOP_LOSS
            if kind is not None:
                about, payload = protection(position, kind, seen)
                identity = (*about, seen.seq)
                tick_ts_ns = None if quote is None else quote.ts_ns
                demands += demand_once(watched, about, identity, payload, now_ns, tick_ts_ns)
        return demands

    def _liquidate(
        self, watched: Watched, quote: Quote | None, market: Market, now_ns: int
    ) -> list[Demand]:
        """Ask for what is left of an ended account's positions, each as soon as it can close.

        All legs of a symbol are asked for at once, by the name of the first.
        """
        account, demands = watched.account, list[Demand]()
        first_legs = {one.symbol: one for one in reversed(account.legs())}
        for symbol, position in sorted(first_legs.items()):
            instrument = self._catalog.instruments[symbol]
            seen = market.usable(instrument)
            if isinstance(seen, Rejection) or isinstance(
                market.rate(instrument, account.currency, 1), Rejection
            ):
                continue
            rules = {rule.slug for rule in watched.profile.rules}
            by_rule = account.status_reason in rules
            cause = f"rule:{account.status_reason}" if by_rule else "operator"
            payload: dict[str, Json] = {"cause": cause, "symbol": symbol, "feedSeq": seen.seq}
            about = (commands.LIQUIDATE, symbol, position.opened_seq)
            tick_ts_ns = None if quote is None else quote.ts_ns
            demands += demand_once(watched, about, (*about, seen.seq), payload, now_ns, tick_ts_ns)
        return demands

    def _mark_peak(self, watched: Watched, equity_minor: int) -> None:
        account, profile = watched.account, watched.profile
        if profile.high_water_basis != BASIS_EQUITY:
            return
        mark_minor = next_high_water(profile, account, equity_minor, at_day_end=False)
        if mark_minor > account.high_water_minor:
            watched.account = replace(account, high_water_minor=mark_minor)
            watched.mark_seq = max(quote.seq for quote in self._used(watched))

    def _check_rules(
        self, watched: Watched, quote: Quote | None, equity_minor: int, now_ns: int
    ) -> list[Demand]:
        verdicts = judge_equity(watched.profile, watched.account, equity_minor, now_ns)
        if quote is None:
            verdicts = tuple(verdict for verdict in verdicts if not _waits(watched, verdict))
        used, tick_ts_ns = self._used(watched), None if quote is None else quote.ts_ns
        return check_at_quotes(watched, verdicts, equity_minor, used, now_ns, tick_ts_ns)

    def _look(self, watched: Watched, now_ns: int) -> list[Demand]:
        """Judge what needs no equity, and plan the next look."""
        verdicts = judge_standing(watched.profile, watched.account, now_ns)
        self._agenda.look_again(watched, now_ns, asked=bool(verdicts))
        return check_by_clock(watched, verdicts, now_ns // RELOOK_NS, now_ns)

    def _used(self, watched: Watched) -> list[Quote]:
        """Return the quotes an account's equity rests on; all are there when it is known."""
        return [self._quotes[symbol] for symbol in sorted(watched.symbols)]

    def _observe(self, watched: Watched, now_ns: int, *, leaving: bool = False) -> list[Demand]:
        """Return the marks and peaks that are not stored yet, at most once in OBSERVE_EVERY_NS."""
        marked = watched.account.high_water_minor > watched.stored_mark_minor
        trails = peaks_of(watched.account)
        trailing = trails != watched.stored_peaks
        if not (marked or trailing):
            return []
        if not leaving and now_ns - watched.observed_ns < OBSERVE_EVERY_NS:
            return []
        watched.observed_ns = now_ns
        demands = self._observe_mark(watched, now_ns) if marked else []
        return demands + (observe_trails(watched, trails, now_ns) if trailing else [])

    def _observe_mark(self, watched: Watched, now_ns: int) -> list[Demand]:
        mark_minor = watched.account.high_water_minor
        payload: dict[str, Json] = {**seen_peak(watched), "feedSeq": watched.mark_seq}
        identity = (commands.OBSERVE_EQUITY, mark_minor, watched.mark_seq)
        return demand_once(watched, identity, identity, payload, now_ns)


def _waits(watched: Watched, verdict: Verdict) -> bool:
    """Say whether a verdict asks for flat once more: what could not be closed waits for a quote."""
    return verdict.action == FLATTEN and verdict.rule_id in watched.account.raised
