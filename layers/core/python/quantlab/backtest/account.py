"""The account a backtest is run for: its money, its rules, its instruments and their costs."""

from collections.abc import Mapping
from dataclasses import field

from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account, Day, Tally
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.conversion import Conversion
from quantlab.market.fill_model import FillModel
from quantlab.market.instrument import Instrument
from quantlab.rules import terms
from quantlab.rules.surroundings import NewsCalendar


class NotRun(ValueError):
    """A backtest cannot be run as asked: what, and what was expected."""


@dataclass(frozen=True, slots=True)
class BacktestAccount:
    """What a run begins with. instruments are in the order of their symbols.

    models has a fill model for each symbol; profile is resolved for the initial balance.
    conversions says how a quote currency becomes the account's, where one is known. Slippage
    drawn by chance is drawn from seed. news are the releases that rules on news look at.
    """

    currency: str
    currency_digits: int
    initial_minor: int
    profile: terms.Profile
    instruments: tuple[Instrument, ...]
    models: Mapping[str, FillModel]
    trading: TradingTerms = STANDARD
    offered: frozenset[str] = field(default_factory=frozenset)
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    seed: int = 0
    news: NewsCalendar | None = None

    def check(self) -> None:
        """Raise NotRun for what a backtest does not carry out as live trading would."""
        symbols = [one.symbol for one in self.instruments]
        if symbols != sorted(set(symbols)):
            raise NotRun(f"expected distinct instruments by symbol, was {', '.join(symbols)}")
        for instrument in self.instruments:
            self._check_instrument(instrument)
        for rule in self.profile.rules:
            self._check_rule(rule)

    def _check_rule(self, rule: terms.Rule) -> None:
        """Refuse a rule that a backtest does not judge, or not without more."""
        known = f"{rule.rule_id} ({rule.slug})"
        if isinstance(rule, terms.NewsWindow) and self.news is None:
            raise NotRun(f"expected a calendar of releases for {known}, was none")
        if isinstance(rule, terms.Consistency) and rule.severity != terms.GATE:
            raise NotRun(f"expected {known} to be a gate: a backtest does not judge it meanwhile")

    def _check_instrument(self, instrument: Instrument) -> None:
        if instrument.quote_currency != self.currency:
            self._check_conversion(instrument)

    def _check_conversion(self, instrument: Instrument) -> None:
        """Refuse an instrument whose profits no symbol of the run converts."""
        known = self.conversions.get(instrument.quote_currency)
        pair = f"{instrument.quote_currency} to {self.currency}"
        if known is None:
            raise NotRun(f"expected a pair that converts {pair} for {instrument.symbol}, was none")
        if known.symbol not in {one.symbol for one in self.instruments}:
            raise NotRun(
                f"expected ticks of {known.symbol} too, which convert the profits of"
                f" {instrument.symbol} from {pair}, was none"
            )

    def opening(self, day: Day, opened_ns: int = 0) -> Account:
        """Return the account as it is opened in a trading day, at an instant of it."""
        return Account(
            account_id="00000000-0000-7000-8000-000000000000",
            tenant_id="backtest",
            status="active",
            status_reason=None,
            currency=self.currency,
            currency_digits=self.currency_digits,
            account_type="backtest",
            config_version="",
            initial_balance_minor=self.initial_minor,
            balance_minor=self.initial_minor,
            carry_micro=0,
            high_water_minor=self.initial_minor,
            event_seq=1,
            day=day,
            closed_days=(),
            raised=(),
            positions={},
            tally=Tally(opened_ns=opened_ns),
        )


def free_profile(currency_digits: int, initial_minor: int) -> terms.Profile:
    """Return a profile without rules whose days begin at midnight UTC."""
    return terms.Profile(
        name="no-rules",
        version="",
        currency_digits=currency_digits,
        initial_balance_minor=initial_minor,
        day=terms.DayTerms("00:00", "UTC"),
        rules=(),
        daily_losses=(),
        drawdowns=(),
        judged_consistencies=(),
        order_rules=(),
        order_blocking_ids=(),
        high_water_basis=None,
        asked_rules=(),
        standing_rules=(),
    )
