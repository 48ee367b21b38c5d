"""The account a backtest is run for: its money, its rules, its instruments and their costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from quantlab.ledger.state import Account, Day
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.conversion import Conversion
from quantlab.market.fill_model import FillModel
from quantlab.market.instrument import Instrument
from quantlab.rules import terms

FLOORS: Final = (terms.DailyLoss, terms.MaxDrawdown)
GOALS: Final = (terms.ProfitTarget, terms.MinTradingDays, terms.ProfitableDays)


class NotRun(ValueError):
    """A backtest cannot be run as asked: what, and what was expected."""


@dataclass(frozen=True, slots=True)
class BacktestAccount:
    """What a run begins with. instruments are in the order of their symbols.

    models has a fill model for each symbol; profile is resolved for the initial balance.
    conversions says how a quote currency becomes the account's, where one is known. Slippage
    drawn by chance is drawn from seed.
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

    def check(self) -> None:
        """Raise NotRun for what a backtest does not carry out as live trading would."""
        symbols = [one.symbol for one in self.instruments]
        if symbols != sorted(set(symbols)):
            raise NotRun(f"expected distinct instruments by symbol, was {', '.join(symbols)}")
        for instrument in self.instruments:
            self._check_instrument(instrument)
        for rule in self.profile.rules:
            gate = isinstance(rule, terms.Consistency) and rule.severity == terms.GATE
            if not isinstance(rule, (*FLOORS, *GOALS)) and not gate:
                raise NotRun(
                    f"expected rules on equity and goals, was {rule.rule_id} ({rule.slug}):"
                    " a backtest does not judge it yet"
                )

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

    def opening(self, day: Day) -> Account:
        """Return the account as it is opened in a trading day."""
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
