"""The rules that need no equity as words of a block: rows, gates and tables of numbers."""

from typing import Any, Final

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.gates import Gate, holding_gate, hours_gate, news_gate
from quantlab.backtest.span import Span
from quantlab.kernel.arith import MICRO
from quantlab.rules import terms

ACTIONS: Final = {
    terms.WARN_ONLY: at.WARN,
    terms.REJECT_ORDERS: at.REJECT_ORDERS,
    terms.FLATTEN: at.FLATTEN_ALL,
    terms.LOCK_UNTIL_RESET: at.LOCK_UNTIL_RESET,
    terms.DISABLE_ACCOUNT: at.DISABLE,
}
LOTS: Final = {
    terms.PER_ORDER: at.ORDER_LOTS,
    terms.PER_POSITION: at.POSITION_LOTS,
    terms.PER_ACCOUNT: at.ACCOUNT_LOTS,
}
_AT_ANY: Final = at.NEVER_HIGH

# Copying, and hedging where there are no legs, look at other accounts: a backtest has none.
MOMENT: Final = (
    terms.TradingHours,
    terms.InstrumentAllowlist,
    terms.FlatBy,
    terms.WeekendHolding,
    terms.Inactivity,
)
SIZED: Final = (
    terms.NewsWindow,
    terms.PositionSize,
    terms.ScalingPlan,
    terms.OrderLimits,
    terms.StopLossRequired,
    terms.Hedging,
)
JUDGED: Final = (*MOMENT, *SIZED)


def judged_rules(account: BacktestAccount) -> tuple[terms.Rule, ...]:
    """Return the rules of an account that a block has rows for, in the order of its rows."""
    return tuple(
        rule for rule in account.profile.rules
        if isinstance(rule, JUDGED) and not _judges_others(rule, account)
    )  # fmt: skip


def _judges_others(rule: terms.Rule, account: BacktestAccount) -> bool:
    """Say whether a rule on hedging has no legs of the account itself to look at."""
    if not isinstance(rule, terms.Hedging):
        return False
    return not account.trading.hedging or rule.owners == terms.OTHER_OWNERS


class Conditions:
    """Rows, gates and tables; places of gates and tables count from the start of their section."""

    def __init__(self, account: BacktestAccount, span: Span) -> None:
        self.account, self.span = account, span
        self.gates: list[Gate] = []
        self.table: list[int] = []
        self.rows = [self._row(rule) for rule in judged_rules(account)]

    @property
    def turns(self) -> int:
        """Return how many instants the gates have together."""
        return sum(len(gate.turns) for gate in self.gates)

    def put(self, m: Any) -> None:
        """Write everything into a block that has room for it."""
        m[at.TERMS], m[at.GATES] = len(self.rows), len(self.gates)
        tables = m[at.TABLES_AT]
        m[tables : tables + len(self.table)] = self.table
        for k, row in enumerate(self.rows):
            t = m[at.TERMS_AT] + k * at.TERM_WORDS
            for word, value in row.items():
                m[t + word] = value + tables * (word in (at.TERM_TABLE, at.TERM_STEPS))
        free = m[at.GATES_AT] + len(self.gates) * at.GATE_WORDS
        for number, gate in enumerate(self.gates):
            g = m[at.GATES_AT] + number * at.GATE_WORDS
            m[g + at.GATE_OPEN], m[g + at.GATE_COUNT] = gate.is_open, len(gate.turns)
            m[g + at.GATE_AT] = free
            m[free : free + len(gate.turns)] = gate.turns
            free += len(gate.turns)
        for row in self.rows:
            m[at.ASKS] |= at.PROTECTING * (row[at.TERM_KIND] == at.PROTECTED)
            m[at.ASKS] |= at.STOPS_COUNT * row.get(at.TERM_STOPS, 0)
        m[at.LAST_ORDER] = self.span.first_ns
        m[at.GATE_NEXT] = self.span.first_ns if self.rows else at.NEVER_HIGH

    def _row(self, rule: terms.Rule) -> dict[int, int]:
        row = {
            at.TERM_ACTION: ACTIONS[rule.action],
            at.TERM_REASON: at.REASONS.index(rule.slug),
            at.TERM_MOST: at.NEVER_HIGH,
        }
        if isinstance(rule, MOMENT):
            return row | self._moment(rule)
        return row | self._sized(rule)

    def _moment(self, rule: terms.Rule) -> dict[int, int]:
        if isinstance(rule, terms.TradingHours):
            gate = self._gate(hours_gate(rule, self.span))
            return {
                at.TERM_KIND: at.HOURS,
                at.TERM_GATE: gate,
                at.TERM_REDUCING: rule.reducing_allowed,
            }
        if isinstance(rule, terms.InstrumentAllowlist):
            table = self._table(int(one.symbol in rule.symbols) for one in self.account.instruments)
            return {
                at.TERM_KIND: at.ALLOWED,
                at.TERM_TABLE: table,
                at.TERM_REDUCING: rule.reducing_allowed,
            }
        if isinstance(rule, terms.Inactivity):
            return {at.TERM_KIND: at.IDLE, at.TERM_MOST: rule.days}
        assert isinstance(rule, (terms.FlatBy, terms.WeekendHolding))  # noqa: S101 - of MOMENT
        return {at.TERM_KIND: at.HOLDING, at.TERM_GATE: self._gate(holding_gate(rule, self.span))}

    def _sized(self, rule: terms.Rule) -> dict[int, int]:
        if isinstance(rule, terms.NewsWindow):
            return self._news(rule)
        if isinstance(rule, terms.PositionSize):
            return {
                at.TERM_KIND: LOTS[rule.per],
                at.TERM_MOST: rule.max_nano,
                at.TERM_TABLE: self._weights(rule.weights),
            }
        if isinstance(rule, terms.ScalingPlan):
            steps = [
                number
                for step in rule.steps
                for number in (
                    _AT_ANY if step.below_minor is None else step.below_minor,
                    step.max_nano,
                )
            ]
            return {
                at.TERM_KIND: at.SCALED,
                at.TERM_TABLE: self._weights(rule.weights),
                at.TERM_STEPS: self._table(steps),
                at.TERM_COUNT: len(rule.steps) - 1,
            }
        if isinstance(rule, terms.Hedging):
            return {at.TERM_KIND: at.OPPOSED}
        if isinstance(rule, terms.StopLossRequired):
            return {
                at.TERM_KIND: at.PROTECTED,
                at.TERM_MOST: at.NEVER_HIGH if rule.risk_ppm is None else rule.risk_ppm,
                at.TERM_OF_BALANCE: not rule.of_initial,
            }
        assert isinstance(rule, terms.OrderLimits)  # noqa: S101 - the last of SIZED
        limits = (rule.max_orders, rule.max_trades, rule.max_nano)
        words = (at.TERM_MOST, at.TERM_TRADES, at.TERM_NANO)
        named = zip(words, limits, strict=True)
        return {at.TERM_KIND: at.COUNTS} | {
            word: -1 if limit is None else limit for word, limit in named
        }

    def _news(self, rule: terms.NewsWindow) -> dict[int, int]:
        first = len(self.gates)
        assert self.account.news is not None  # noqa: S101 - checked with the account
        for one in self.account.instruments:
            self._gate(news_gate(rule, one, self.account.news, self.span))
        return {
            at.TERM_KIND: at.NEWS,
            at.TERM_GATE: first,
            at.TERM_REDUCING: rule.reducing_allowed,
            at.TERM_STOPS: rule.stops_count,
        }

    def _gate(self, gate: Gate) -> int:
        self.gates.append(gate)
        return len(self.gates) - 1

    def _weights(self, weights: tuple[tuple[str, int], ...]) -> int:
        known = dict(weights)
        return self._table([known.get(one.symbol, MICRO) for one in self.account.instruments])

    def _table(self, numbers: Any) -> int:
        place = len(self.table)
        self.table.extend(numbers)
        return place
