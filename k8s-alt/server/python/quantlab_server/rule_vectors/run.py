"""Running a vector through the engine, command by command, and comparing what it expects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from quantlab.engine import commands
from quantlab.engine.commands import Command, Outcome
from quantlab.engine.context import Context, Market, equity_of
from quantlab.engine.execute import execute
from quantlab.engine.rejections import Rejection
from quantlab.engine.watch_protection import touched
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.ledger.state import Account, Tally
from quantlab.ledger.tally import pay_out
from quantlab.market.catalog import Catalog
from quantlab.market.gate import GateState, Verdict, judge
from quantlab.market.quote import Quote
from quantlab.rules.calendar import day_of
from quantlab.rules.day import is_day_over, open_day
from quantlab.rules.evidence import RuleStatus
from quantlab.rules.status import rule_status
from quantlab_server.rule_vectors.document import CURRENCY, Step, Vector, moment
from quantlab_server.rule_vectors.expected import differences

_ACCOUNT_ID = "vector"
_REFUSED = (Verdict.NOT_POSITIVE, Verdict.ONE_SIDED, Verdict.CROSSED)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a vector and the engine differ first."""

    vector: str
    step: int
    at: str
    what: str
    expected: Any
    got: Any

    def sentence(self) -> str:
        """Say it in one line."""
        return (
            f"{self.vector}, step {self.step} at {self.at}: {self.what}:"
            f" expected {self.expected!r}, got {self.got!r}"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What an account looked like after a step, in the words of the format."""

    at_ns: int
    account: Account
    equity_minor: int | None
    statuses: tuple[RuleStatus, ...]
    told: Mapping[str, Any]


class Run:
    """One account on its way through a vector."""

    def __init__(self, vector: Vector, catalog: Catalog) -> None:
        self._vector, self._catalog = vector, catalog
        self._quotes: list[Quote] = []
        self._suspended: set[str] = set()
        self._verdicts: list[dict[str, Any]] = []
        self._refused: str | None = None
        self._commands = 0
        self._account = _opened(vector)

    def steps(self) -> Iterator[tuple[Step, Seen]]:
        """Carry out the steps in order; what each led to."""
        for step in self._vector.steps:
            self._refused = None
            self._carry_out(step)
            yield step, self._seen(step.at_ns)
            if step.expected:
                self._verdicts.clear()

    def _carry_out(self, step: Step) -> None:
        if step.quote is not None and self._is_believed(step.quote):
            self._quotes.append(step.quote)
            self._stops(step.quote, step.at_ns)
            self._execute(commands.CHECK_RULES, {}, step.at_ns)
        elif step.quote is not None:
            self._suspended.add(step.quote.symbol)
            self._execute(commands.ROLL_DAY, {}, step.at_ns)
        elif step.act == "trade":
            outcome = self._execute(commands.TRADE, step.body, step.at_ns)
            self._refused = None if outcome.rejection is None else str(outcome.rejection.reason)
        elif step.act == "check":
            self._execute(commands.CHECK_RULES, {}, step.at_ns)
        elif step.act == "payout":
            self._execute(commands.ROLL_DAY, {}, step.at_ns)
            self._account = pay_out(self._account, step.body, step.at_ns)
        else:
            self._execute(commands.ROLL_DAY, {}, step.at_ns)

    def _is_believed(self, quote: Quote) -> bool:
        """Say whether the feed's gate lets a quote's prices pass; the next one that does counts."""
        limits = self._catalog.instruments[quote.symbol].gate
        _, verdict = judge(GateState(), quote, limits)
        self._suspended.discard(quote.symbol)
        return verdict not in _REFUSED

    def _stops(self, quote: Quote, now_ns: int) -> None:
        """Have a protective price that the quote touches executed, as account_watch demands it."""
        position = self._account.positions.get(quote.symbol)
        kind = None if position is None else touched(position, quote)
        if position is None or kind is None:
            return
        stop = position.stop_loss_ticks if kind == "stop_loss" else position.take_profit_ticks
        payload = {
            "symbol": quote.symbol,
            "openedSeq": position.opened_seq,
            "kind": kind,
            "priceTicks": stop,
        }
        self._execute(commands.PROTECT, payload, now_ns)

    def _execute(self, name: str, payload: dict[str, Any], now_ns: int) -> Outcome:
        self._commands += 1
        command = Command(
            self._commands, _ACCOUNT_ID, _ACCOUNT_ID, "vector", "", name, payload, now_ns
        )
        outcome = execute(self._account, command, self._context(now_ns))
        self._account = outcome.account
        self._verdicts += [e.payload for e in outcome.events if e.event_type.startswith("rule.")]
        return outcome

    def _context(self, now_ns: int) -> Context:
        profile = self._vector.profile
        reset_market = None
        if is_day_over(self._account, now_ns):
            reset_ns = day_of(now_ns, profile.day.reset, profile.day.time_zone).started_ns
            before = [quote for quote in self._quotes if quote.ts_ns < reset_ns]
            reset_market = self._market(before)
        symbols = frozenset(self._catalog.instruments)
        market = self._present()
        return Context(market, profile, symbols, now_ns, reset_market, around=self._vector.around)

    def _present(self) -> Market:
        """Return the market now: a symbol waits after a refused quote for one that is believed."""
        market = self._market(self._quotes)
        quotes = {
            symbol: replace(quote, suspended=symbol in self._suspended)
            for symbol, quote in market.quotes.items()
        }
        return replace(market, quotes=quotes)

    def _market(self, quotes: list[Quote]) -> Market:
        latest = {quote.symbol: quote for quote in quotes}
        return Market(self._catalog, latest, max((quote.ts_ns for quote in quotes), default=0))

    def _seen(self, now_ns: int) -> Seen:
        account, profile = self._account, self._vector.profile
        equity = equity_of(account, self._present())
        equity_minor = None if isinstance(equity, Rejection) else equity
        known = account.balance_minor if equity_minor is None else equity_minor
        statuses = rule_status(
            profile, account, known, now_ns, self._catalog.instruments, self._vector.around
        )
        told = self._told(account, equity_minor, statuses)
        return Seen(now_ns, account, equity_minor, statuses, told)

    def _told(
        self, account: Account, equity_minor: int | None, statuses: tuple[RuleStatus, ...]
    ) -> dict[str, Any]:
        digits = account.currency_digits
        positions = {
            symbol: format_units(held.size_steps, self._catalog.instruments[symbol].size_step)
            for symbol, held in account.positions.items()
        }
        payloads = {status.rule_id: status.as_payload() for status in statuses}
        return {
            "balance": format_minor(account.balance_minor, digits),
            "equity": None if equity_minor is None else format_minor(equity_minor, digits),
            "highWater": format_minor(account.high_water_minor, digits),
            "status": account.status,
            "date": account.day.date,
            "positions": positions,
            "refused": self._refused,
            "floors": {name: shown["floor"] for name, shown in payloads.items()},
            "states": {name: shown["state"] for name, shown in payloads.items()},
            "remaining": {name: shown.get("remaining") for name, shown in payloads.items()},
            "details": {name: shown["detail"] for name, shown in payloads.items()},
            "verdicts": [dict(verdict) for verdict in self._verdicts],
        }


def check_vector(vector: Vector, catalog: Catalog) -> Mismatch | None:
    """Run a vector; return the first difference, None when there is none."""
    for index, (step, seen) in enumerate(Run(vector, catalog).steps(), 1):
        mismatch = compare(vector.name, index, step, seen.told)
        if mismatch is not None:
            return mismatch
    return None


def compare(name: str, index: int, step: Step, told: Mapping[str, Any]) -> Mismatch | None:
    """Return the first difference between what a step expects and what was seen after it."""
    for what, expected in step.expected.items():
        for place, wanted, got in differences(what, expected, told[what]):
            return Mismatch(name, index, moment(step), place, wanted, got)
    return None


def _opened(vector: Vector) -> Account:
    profile = vector.profile
    initial = profile.initial_balance_minor
    return Account(
        account_id=_ACCOUNT_ID,
        tenant_id=_ACCOUNT_ID,
        status="active",
        status_reason=None,
        currency=CURRENCY,
        currency_digits=profile.currency_digits,
        account_type=_ACCOUNT_ID,
        config_version=profile.version,
        initial_balance_minor=initial,
        balance_minor=initial,
        carry_micro=0,
        high_water_minor=initial,
        event_seq=0,
        day=open_day(profile, initial, initial, vector.opened_ns),
        closed_days=(),
        raised=(),
        positions={},
        tally=replace(Tally(), opened_ns=vector.opened_ns),
    )
