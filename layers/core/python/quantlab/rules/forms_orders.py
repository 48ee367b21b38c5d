"""The forms of rules on orders and on what may be held: when, what, how much, against whom."""

from quantlab.rules import terms
from quantlab.rules.forms import (
    SYMBOL,
    Graded,
    Money,
    read_amount,
    read_lots,
    read_percent,
    read_reducing,
    read_weights,
    read_windows,
    read_zone,
)
from quantlab.rules.limits import (
    BREAK_HOURS_MAX,
    COUNT_MAX,
    INACTIVE_DAYS_MAX,
    MINUTES_MAX,
    SCALING_STEPS_MAX,
    SYMBOLS_MAX,
    WITHIN_MS_MAX,
)
from quantlab.rules.reader import Reader

_IMPACTS = ("high", "medium", "low")
_MILLISECOND_NS = 1_000_000


def trading_hours(reader: Reader, graded: Graded, _money: Money) -> terms.TradingHours:
    """Read the parameters of trading hours."""
    windows = read_windows(reader, "windows", "open", "close")
    return terms.TradingHours(*graded, read_zone(reader), windows, read_reducing(reader))


def instrument_allowlist(
    reader: Reader, graded: Graded, _money: Money
) -> terms.InstrumentAllowlist:
    """Read the parameters of an allowlist."""
    symbols = reader.names("symbols", SYMBOLS_MAX, SYMBOL, "an upper-case symbol")
    return terms.InstrumentAllowlist(*graded, frozenset(symbols), read_reducing(reader))


def flat_by(reader: Reader, graded: Graded, _money: Money) -> terms.FlatBy:
    """Read the parameters of a time by which positions are closed."""
    return terms.FlatBy(*graded, read_zone(reader), read_windows(reader, "windows", "at", "until"))


def weekend_holding(reader: Reader, graded: Graded, _money: Money) -> terms.WeekendHolding:
    """Read the parameters of breaks over which nothing is held."""
    return terms.WeekendHolding(
        *graded,
        read_zone(reader),
        read_windows(reader, "sessions", "open", "close"),
        60 * reader.whole("longerThanHours", 0, BREAK_HOURS_MAX),
        reader.whole("minutesBefore", 0, MINUTES_MAX),
    )


def news_window(reader: Reader, graded: Graded, _money: Money) -> terms.NewsWindow:
    """Read the parameters of windows around releases."""
    impacts: tuple[str, ...] = _IMPACTS
    if reader.has("impacts"):
        impacts = tuple(
            reader.choice_of(pointer, item, _IMPACTS)
            for pointer, item in reader.items("impacts", len(_IMPACTS))
        )
    return terms.NewsWindow(
        *graded,
        reader.whole("secondsBefore", 0, 60 * MINUTES_MAX),
        reader.whole("secondsAfter", 0, 60 * MINUTES_MAX),
        frozenset(impacts),
        reader.choice("instruments", ("targeted", "all")) == "all",
        read_reducing(reader),
        reader.flag("stopsCount"),
    )


def position_size(reader: Reader, graded: Graded, _money: Money) -> terms.PositionSize:
    """Read the parameters of a largest size."""
    per = reader.choice("per", (terms.PER_ORDER, terms.PER_POSITION, terms.PER_ACCOUNT))
    return terms.PositionSize(*graded, per, read_lots(reader, "maxLots"), read_weights(reader))


def scaling_plan(reader: Reader, graded: Graded, money: Money) -> terms.ScalingPlan:
    """Read the parameters of a scaling plan: steps of rising profit, the last without an end."""
    steps: list[terms.ScalingStep] = []
    items = reader.objects("steps", SCALING_STEPS_MAX)
    for item in items:
        below = None
        if item.has("profitBelow") or item is not items[-1]:
            below = read_amount(item, "profitBelow", 1, money)
        steps.append(terms.ScalingStep(below, read_lots(item, "maxLots")))
        item.finish()
    belows = [step.below_minor or 0 for step in steps[:-1]]
    rising = belows == sorted(set(belows))
    if steps and (not rising or steps[-1].below_minor is not None):
        reader.refuse("steps", "rising profitBelow in all but the last step, and none in the last")
    return terms.ScalingPlan(*graded, tuple(steps), read_weights(reader))


def order_limits(reader: Reader, graded: Graded, _money: Money) -> terms.OrderLimits:
    """Read the parameters of daily counts; at least one is there."""
    keys = ("maxOrders", "maxTrades", "maxLots")
    if not any(reader.has(key) for key in keys):
        reader.refuse("maxOrders", "at least one of " + ", ".join(keys))
    orders, trades = (
        reader.whole(key, 1, COUNT_MAX) if reader.has(key) else None for key in keys[:2]
    )
    lots = read_lots(reader, "maxLots") if reader.has("maxLots") else None
    return terms.OrderLimits(*graded, orders, trades, lots)


def stop_loss_required(reader: Reader, graded: Graded, _money: Money) -> terms.StopLossRequired:
    """Read the parameters of a stop-loss duty."""
    if not reader.has("maxRisk"):
        return terms.StopLossRequired(*graded, None, of_initial=True)
    risk = reader.child("maxRisk")
    risk_ppm = read_percent(risk, "percent")
    of_initial = risk.choice("of", ("initial", "balance")) == "initial"
    risk.finish()
    return terms.StopLossRequired(*graded, risk_ppm, of_initial)


def hedging(reader: Reader, graded: Graded, _money: Money) -> terms.Hedging:
    """Read the parameters of a ban on opposite positions."""
    return terms.Hedging(*graded, _owners(reader))


def copy_trading(reader: Reader, graded: Graded, _money: Money) -> terms.CopyTrading:
    """Read the parameters of a ban on like orders."""
    within_ms = reader.whole("withinMs", 1, WITHIN_MS_MAX)
    return terms.CopyTrading(*graded, within_ms * _MILLISECOND_NS, _owners(reader))


def inactivity(reader: Reader, graded: Graded, _money: Money) -> terms.Inactivity:
    """Read the parameters of a duty to trade."""
    return terms.Inactivity(*graded, reader.whole("days", 1, INACTIVE_DAYS_MAX))


def _owners(reader: Reader) -> str:
    return reader.choice("accountsOf", (terms.SAME_OWNER, terms.OTHER_OWNERS, terms.ANY_OWNER))
