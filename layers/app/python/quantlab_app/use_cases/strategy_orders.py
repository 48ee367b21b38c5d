"""What a live strategy asks for as commands of its account: within its limits, each once."""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quantlab.engine.commands import TRADE
from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.state import Account
from quantlab.live.intents import (
    SOURCE,
    Intent,
    NotSent,
    client_id,
    intents_of,
    signal_id_of,
)
from quantlab.live.terms import LiveTerms
from quantlab.live.tray import Given
from quantlab.market.instrument import Instrument
from quantlab.qls.interpreter import Output
from quantlab.qls.lines import line_of, value_text
from quantlab.webhooks.body import parse_signal
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.ports.live_strategies import Line, RunEnded, StrategyRun

MINUTE_NS: Final = 60 * SECOND_NS
ORDERS_KEPT: Final = 10_000
"""Of more orders that do not work the oldest are forgotten: they can no longer be changed."""

LATE_NS: Final = 10 * SECOND_NS
"""An order that comes of an event older than this is not sent: the market has gone on."""

TEXT_MAX: Final = 400
KEPT_KINDS: Final = frozenset(("log", "alert", "marker"))
"""Points of plots are drawn by whoever watches; they are not kept."""


class OrderDesk:
    """Turns what a strategy gave into commands; knows which orders are its own.

    What a replay gives again goes through `remember`: it was sent before, and counts.
    """

    def __init__(self, run: StrategyRun, terms: LiveTerms, symbols: Sequence[str]) -> None:
        self._run, self._terms, self._symbols = run, terms, symbols
        self._numbers: dict[str, int] = {}
        self._placed_on: dict[int, Instrument] = {}
        self._sent_ns: deque[int] = deque()
        self._working = 0
        self._mine: set[int] = set()

    def remember(self, given: Sequence[Given]) -> None:
        """Take note of orders that were sent before."""
        for one in given:
            for intent in self._intents(one):
                if isinstance(intent, Intent) and one.ns >= self._run.live_ns:
                    self._note(intent.numbers[0], one.ns)

    def kept(self) -> dict[str, Any]:
        """Return what it knows, as JSON; of orders that do not work only the newest."""
        numbers = sorted(self._numbers.values())
        old = set(numbers[:-ORDERS_KEPT]) - self._mine
        self._numbers = {one: n for one, n in self._numbers.items() if n not in old}
        oldest = min(self._numbers.values(), default=0)
        self._placed_on = {
            n: one for n, one in self._placed_on.items() if n >= oldest and n not in old
        }
        return {
            "numbers": sorted(self._numbers.values()),
            "placedOn": [[n, one.symbol] for n, one in self._placed_on.items()],
            "sentNs": list(self._sent_ns),
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Know what `kept` has returned."""
        known = {one.symbol: one for one in self._terms.instruments}
        self._numbers = {signal_id_of(self._run.run_id, n): n for n in kept["numbers"]}
        self._placed_on = {n: known[symbol] for n, symbol in kept["placedOn"]}
        self._sent_ns = deque(kept["sentNs"])

    def number_of(self, order: Mapping[str, object]) -> int:
        """Return the strategy's number of an order of the account, 0 for somebody else's."""
        known = str(order["client_id"] or "")
        prefix = client_id(self._run.run_id, 0)[:-1]
        if known.startswith(prefix) and known[len(prefix) :].isdecimal():
            return int(known[len(prefix) :])
        return self._numbers.get(str(order["signal_id"]), 0)

    def count_working(self, account: Account) -> int:
        """Count the strategy's orders that work."""
        signals = [
            one.signal_id for one in account.working.values() if one.signal_id in self._numbers
        ]
        self._mine = {self._numbers[one] for one in signals}
        self._working = len(signals)
        return self._working

    def commands(
        self, given: Sequence[Given], feed_now_ns: int, now_ns: int
    ) -> tuple[list[NewCommand], list[Line], RunEnded | None]:
        """Return commands and lines, and why the run must end where it has reached a limit."""
        commands: list[NewCommand] = []
        lines: list[Line] = []
        for one in given:
            lines += [
                Line(one.ns, output.kind, written(output))
                for output in one.effects.outputs if output.kind in KEPT_KINDS
            ]  # fmt: skip
            for intent in self._intents(one):
                if feed_now_ns - one.ns > LATE_NS and isinstance(intent, Intent):
                    intent = NotSent(intent.numbers, "late")  # noqa: PLW2901 - it is not sent
                if isinstance(intent, NotSent):
                    lines.append(_refusal(one.ns, intent.numbers, intent.reason))
                    continue
                reached = self._limit(intent, one.ns)
                if reached is not None:
                    lines.append(_refusal(one.ns, intent.numbers, reached.slug))
                    return commands, lines, reached
                self._send(intent, one.ns, now_ns, commands, lines)
        return commands, lines, None

    def _intents(self, one: Given) -> list[Intent | NotSent]:
        return intents_of(
            one.effects.orders, self._run.run_id, self._terms, self._symbols, self._placed_on
        )

    def _send(
        self, intent: Intent, ns: int, now_ns: int, commands: list[NewCommand], lines: list[Line]
    ) -> None:
        signal = parse_signal(dict(intent.fields))
        if isinstance(signal, tuple):
            wrong = ", ".join(f"{one.pointer}: expected {one.expected}" for one in signal)
            lines.append(_refusal(ns, intent.numbers, f"invalid_fields: {wrong}"))
            return
        number, run = intent.numbers[0], self._run
        payload = signal.as_payload()
        commands.append(
            NewCommand(
                signal_id=signal_id_of(run.run_id, number, intent.part),
                account_id=run.account_id,
                source_kind=SOURCE,
                source_id=run.run_id,
                idempotency_key=_key(run.run_id, number, intent.part),
                body_digest=hashlib.sha256(canonical_json(payload)).digest(),
                name=TRADE,
                payload=payload,
                received_ns=now_ns,
            )
        )
        self._note(number, ns)
        if intent.fields["action"] in ("buy", "sell"):
            self._working += len(intent.numbers)

    def _note(self, number: int, ns: int) -> None:
        self._numbers[signal_id_of(self._run.run_id, number)] = number
        self._sent_ns.append(ns)

    def _limit(self, intent: Intent, ns: int) -> RunEnded | None:
        """Say which limit an order would go beyond; cancelling and closing count as orders too."""
        most, open_most = (self._run.limits[name] for name in ("ordersPerMinute", "openOrders"))
        while self._sent_ns and self._sent_ns[0] <= ns - MINUTE_NS:
            self._sent_ns.popleft()
        if len(self._sent_ns) >= most:
            return RunEnded("orders_per_minute", f"it asked for more than {most} in a minute")
        new = len(intent.numbers) if intent.fields["action"] in ("buy", "sell") else 0
        if new and self._working + new > open_most:
            return RunEnded("open_orders", f"it asked for more than {open_most} at a time")
        return None


def live_only(given: Sequence[Given], run: StrategyRun) -> list[Given]:
    """Leave out what a strategy gave while it warmed up: it is neither sent nor told."""
    return [one for one in given if one.ns >= run.live_ns]


def _key(run_id: str, number: int, part: str) -> bytes:
    named = f"{run_id}\x00{number}" + (f"\x00{part}" if part else "")
    return hashlib.sha256(named.encode()).digest()


def written(output: Output) -> str:
    """Write an output with its values in their places."""
    if output.kind == "marker":
        return f"{output.text} {value_text(output.values[0])}"[:TEXT_MAX]
    return line_of(output.text, output.values)[:TEXT_MAX]


def _refusal(ns: int, numbers: Sequence[int], reason: str) -> Line:
    named = ", ".join(str(one) for one in numbers)
    return Line(ns, "refused", f"order {named} was not sent: {reason}"[:TEXT_MAX])
