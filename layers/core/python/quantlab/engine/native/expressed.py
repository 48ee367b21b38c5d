"""Which rules the arrays hold, so that an account with another is left to the interpreter.

A new kind of rule belongs nowhere until somebody puts it here.
"""

from typing import Final

from quantlab.rules import terms

FLOORS: Final = (terms.DailyLoss, terms.MaxDrawdown)
# Only a command can break these, or reach them: its own judging is enough.
BY_COMMANDS: Final = (
    terms.Consistency,
    terms.TradingHours,
    terms.InstrumentAllowlist,
    terms.NewsWindow,
    terms.PositionSize,
    terms.ScalingPlan,
    terms.OrderLimits,
    terms.StopLossRequired,
    terms.Hedging,
    terms.CopyTrading,
    terms.ProfitTarget,
    terms.MinTradingDays,
    terms.ProfitableDays,
)
# The clock breaks these: the watch looks again when its agenda says so.
BY_CLOCK: Final = (terms.FlatBy, terms.WeekendHolding, terms.Inactivity)
