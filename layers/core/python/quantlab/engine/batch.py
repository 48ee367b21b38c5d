"""A whole run of one account on ticks alone: what the live path does, without its machines.

Given are the commands of people and bots, each placed behind the tick it was decided on. What the
live path adds by itself is made here by the same code: Watch judges every tick, days roll, the
rules are checked every five minutes, and execute decides. Time is that of the ticks.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from quantlab.engine import commands
from quantlab.engine.commands import Command, Outcome
from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.opening import Rules
from quantlab.engine.replay import Decided, Recording, context_of
from quantlab.engine.tape import Tape
from quantlab.engine.trace import TraceHash
from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand
from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.market.catalog import Catalog
from quantlab.market.halts import Halt, halted_at
from quantlab.market.quote import Quote
from quantlab.rules.day import is_day_over, last_reset_ns
from quantlab.rules.surroundings import NOTHING_KNOWN, Surroundings

CHECKPOINT_NS: Final = 300 * SECOND_NS
OWN_SOURCES: Final = frozenset(("watch", "schedule"))


def given_commands(decided: Iterable[Decided]) -> list[Decided]:
    """Return the commands that a run on ticks would not make by itself.

    Requests that nobody decided in time are noted by a schedule that the ticks do not drive.
    """
    return [
        one
        for one in decided
        if one.command.source_kind not in OWN_SOURCES or one.command.name == commands.NOTE
    ]


def surroundings_seen(decided: Iterable[Decided]) -> list[tuple[int, Surroundings]]:
    """Return what was recorded of the world outside the account, and when it was looked at."""
    looked = (one.inputs for one in decided if one.command.name in commands.LOOK_AROUND)
    return [(inputs.now_ns, inputs.around) for inputs in looked]


@dataclass(slots=True)
class BatchRun:
    """One account from its opening over all ticks; outcomes come in the order they are decided.

    A run may begin later: opening is then the account after the tick after_seq, and the ticks up to
    there are only what the market was. With keeps_hours markets are shut outside their sessions.
    seen is what was known outside the account, in order of time: what the platform commands by
    itself is judged by the last of it, what is given by its own. halts are those of its tenant.
    """

    opening: Account
    catalog: Catalog
    rules: Rules
    ticks: Sequence[Quote]
    after_seq: int = 0
    keeps_hours: bool = False
    seen: Sequence[tuple[int, Surroundings]] = ()
    halts: Sequence[Halt] = ()
    _account: Account = field(init=False)
    _watch: Watch = field(init=False)
    _tape: Tape = field(init=False)
    _feed_seq: int = 0
    _now_ns: int = 0
    _checkpoint_ns: int = 0
    _asked: set[tuple[Any, ...]] = field(default_factory=set)
    _halted: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._account = self.opening
        self._watch = Watch(self.catalog)
        self._watch.keeps_hours = self.keeps_hours
        self._tape = Tape(self.ticks)

    @property
    def account(self) -> Account:
        """Return the account as the run has left it so far."""
        return self._account

    def run(self, given: Iterable[Decided]) -> Iterator[Outcome]:
        """Decide everything that follows from the commands and the ticks."""
        waiting = deque(sorted(given, key=_feed_seq))
        yield from self._take_up()
        for tick in self._tape.ticks():
            if tick.seq <= self.after_seq:
                continue
            while waiting and waiting[0].inputs.feed_seq < tick.seq:
                yield from self._give(waiting.popleft())
            self._feed_seq, self._now_ns = tick.seq, tick.ts_ns
            self._halt(halted_at(self.halts, self._now_ns))
            yield from self._settle(
                self._demanded(self._watch.on_quote(tick, tick.ts_ns, tick.ts_ns))
            )
            yield from self._on_schedule()
        while waiting:
            yield from self._give(waiting.popleft())

    def trace_hash(self, given: Iterable[Decided]) -> str:
        """Run to the end and return the hash of all that was decided."""
        trace = TraceHash()
        for outcome in self.run(given):
            trace.add(outcome, self.rules.profile)
        return trace.hexdigest()

    def _take_up(self) -> Iterator[Outcome]:
        """Put an account that is in the market already under watch."""
        known = self._tape.latest(self.after_seq)
        if not known:
            return
        self._feed_seq = self.after_seq
        self._now_ns = max(quote.ts_ns for quote in known.values())
        self._checkpoint_ns = self._now_ns // CHECKPOINT_NS * CHECKPOINT_NS
        self._watch.set_quotes(known.values())
        self._halt(halted_at(self.halts, self._now_ns))
        yield from self._settle(self._demanded(self._watched()))

    def _give(self, decided: Decided) -> Iterator[Outcome]:
        inputs = decided.inputs
        self._now_ns = max(self._now_ns, inputs.now_ns)
        self._halt(inputs.halted)
        market = inputs.market(self.catalog, self._tape)
        context = self._context(market, inputs.now_ns, inputs.around)
        yield from self._carry_out([decided.command], context)

    def _on_schedule(self) -> Iterator[Outcome]:
        """Check the rules once in five minutes, and roll a day that no tick has rolled."""
        checkpoint_ns = self._now_ns // CHECKPOINT_NS * CHECKPOINT_NS
        if checkpoint_ns != self._checkpoint_ns:
            self._checkpoint_ns = checkpoint_ns
            if self._account.positions:
                payload = {"checkpoint": format_rfc3339(checkpoint_ns)}
                identity = (commands.CHECK_RULES, checkpoint_ns)
                yield from self._settle(self._own("schedule", identity, payload))
        if is_day_over(self._account, self._now_ns) and self._account.status != "closed":
            reset_ns = self._account.day.next_reset_ns
            payload = {"resetAt": format_rfc3339(reset_ns)}
            yield from self._settle(self._own("schedule", (commands.ROLL_DAY, reset_ns), payload))

    def _halt(self, halted: Mapping[str, str]) -> None:
        self._halted = halted
        self._watch.set_halts(self.opening.tenant_id, halted)

    def _settle(self, pending: list[Command]) -> Iterator[Outcome]:
        """Carry out commands of this moment, and what they call for in turn."""
        if pending:
            quotes = self._tape.latest(self._feed_seq)
            market = Market(self.catalog, quotes, self._now_ns, self.keeps_hours, self._halted)
            context = self._context(market, self._now_ns, self._around())
            yield from self._carry_out(pending, context)

    def _carry_out(self, pending: list[Command], context: Context) -> Iterator[Outcome]:
        while pending:
            for command in pending:
                outcome = execute(self._account, command, context)
                self._account = outcome.account
                yield outcome
            pending = self._demanded(self._watched())
            context = self._context(context.market, context.now_ns, self._around())

    def _watched(self) -> list[Demand]:
        rules, now_ns = self.rules, self._now_ns
        return self._watch.put(
            self._account, rules.profile, now_ns, now_ns, rules.trading, rules.fill_models
        )

    def _around(self) -> Surroundings:
        place = bisect_right(self.seen, self._now_ns, key=_moment)
        return self.seen[place - 1][1] if place else NOTHING_KNOWN

    def _context(self, market: Market, now_ns: int, around: Surroundings) -> Context:
        account, profile = self._account, self.rules.profile
        reset_market = None
        if now_ns >= account.day.next_reset_ns and account.positions:
            reset_ns = last_reset_ns(account, profile, now_ns)
            reset_market = Market(self.catalog, self._tape.before(reset_ns), reset_ns)
        return context_of(self.rules, market, now_ns, reset_market, around)

    def _demanded(self, demands: Iterable[Any]) -> list[Command]:
        return [
            command
            for demand in demands
            for command in self._own("watch", demand.identity, demand.payload)
        ]

    def _own(
        self, source_kind: str, identity: tuple[Any, ...], payload: dict[str, Any]
    ) -> list[Command]:
        """Return the platform's own command; the same identity is asked for once."""
        if (source_kind, *identity) in self._asked:
            return []
        self._asked.add((source_kind, *identity))
        account_id, name = self.opening.account_id, str(identity[0])
        signal_id = derive_id(account_id, source_kind, *identity)
        return [
            Command(
                *(0, signal_id, account_id, source_kind, account_id, name, payload, self._now_ns)
            )
        ]


def run_again(
    recording: Recording, opening: Account, rules: Rules, ticks: Sequence[Quote], after_seq: int
) -> tuple[Account, list[Outcome]]:
    """Run a recorded account on ticks alone: from an opening, under rules, with its commands.

    Returns what it is in the end, and what was decided.
    """
    decided, halts = recording.decided, recording.halts
    keeps_hours = any(one.inputs.keeps_hours for one in decided)
    seen = surroundings_seen(decided)
    run = BatchRun(opening, recording.catalog, rules, ticks, after_seq, keeps_hours, seen, halts)
    led_to = list(run.run(given_commands(decided)))
    return run.account, led_to


def _moment(seen: tuple[int, Surroundings]) -> int:
    return seen[0]


def _feed_seq(decided: Decided) -> int:
    return decided.inputs.feed_seq
