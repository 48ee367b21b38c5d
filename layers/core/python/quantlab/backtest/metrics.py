"""The figures of a run, each with its definition; docs/backtest.md has the table of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.running import Finished
from quantlab.backtest.trades import Trade

TRADING_DAYS: Final = 252
DAY_NS: Final = 86_400 * 10**9
_LEAST: Final = 2


@dataclass
class Figures:
    """What metrics are computed from. Amounts in whole units of the account's currency."""

    finished: Finished
    trades: Sequence[Trade]

    @cached_property
    def scale(self) -> float:
        return float(10**self.finished.account.currency_digits)

    @cached_property
    def initial(self) -> float:
        return self.finished.account.initial_minor / self.scale

    @cached_property
    def final(self) -> float:
        return int(self.finished.block[at.EQUITY]) / self.scale

    @cached_property
    def closed(self) -> list[Trade]:
        return [trade for trade in self.trades if trade.closed_ns]

    @cached_property
    def profits(self) -> Any:
        return np.array([trade.profit_minor for trade in self.closed], float) / self.scale

    @cached_property
    def wins(self) -> Any:
        return self.profits[self.profits > 0]

    @cached_property
    def losses(self) -> Any:
        return self.profits[self.profits < 0]

    @cached_property
    def equity_by_day(self) -> Any:
        """Return the equity at the start, at each reset of a day, and at the end."""
        resets = self.finished.days[:, at.D_EQUITY] / self.scale
        return np.concatenate(([self.initial], resets, [self.final]))

    @cached_property
    def returns(self) -> Any:
        before = self.equity_by_day[:-1]
        change = np.diff(self.equity_by_day)
        return np.divide(change, before, out=np.zeros_like(change), where=before > 0)

    @cached_property
    def curve(self) -> Any:
        sampled = self.finished.samples[:, at.S_EQUITY] / self.scale
        return np.concatenate(([self.initial], sampled, [self.final]))

    @cached_property
    def falls(self) -> Any:
        """Return how far the sampled equity lies under its peak, as a share of the peak."""
        peaks = np.maximum.accumulate(self.curve)
        return np.divide(peaks - self.curve, peaks, out=np.zeros_like(peaks), where=peaks > 0)

    @cached_property
    def years(self) -> float:
        block = self.finished.block
        first = int(self.finished.samples[0, at.S_NS]) if len(self.finished.samples) else 0
        return max(int(block[at.NOW]) - first, 0) / (365.25 * DAY_NS)

    @cached_property
    def durations(self) -> Any:
        return np.array([one.closed_ns - one.opened_ns for one in self.closed], float) / 1e9

    def side(self, side: int) -> Any:
        chosen = [one.profit_minor for one in self.closed if one.side == side]
        return np.array(chosen, float) / self.scale


class Metric(NamedTuple):
    """A figure: its name, unit, definition, and how it is computed; None where it has no value."""

    name: str
    unit: str
    definition: str
    of: Callable[[Figures], float | int | None]


def _ratio(upper: float, lower: float) -> float | None:
    return None if lower == 0 else float(upper / lower)


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def _deviation(values: Any) -> float | None:
    return float(values.std(ddof=1)) if len(values) >= _LEAST else None


def _per_deviation(values: Any, factor: float) -> float | None:
    deviation = _deviation(values)
    return None if not deviation else float(values.mean() / deviation * factor)


def _sortino(f: Figures) -> float | None:
    if len(f.returns) < _LEAST:
        return None
    below = math.sqrt(float((np.minimum(f.returns, 0) ** 2).mean()))
    return _ratio(float(f.returns.mean()) * math.sqrt(TRADING_DAYS), below)


def _annual(f: Figures) -> float | None:
    if f.years <= 0 or f.final <= 0:
        return None
    exponent = math.log(f.final / f.initial) / f.years
    return math.expm1(exponent) if exponent < 50 else None


def _drawdown(f: Figures) -> float:
    return int(f.finished.block[at.DRAWDOWN]) / f.scale


def _drawdown_share(f: Figures) -> float:
    return max(float(f.falls.max()), 0.0)


def _streak(f: Figures, sign: int) -> int:
    signs = np.sign(f.profits)
    return max((len(list(run)) for value, run in groupby(signs) if value == sign), default=0)


def _moment(values: Any, power: int) -> float:
    spread = values.std()
    return float((((values - values.mean()) / spread) ** power).mean()) if spread else 0.0


def _psr(f: Figures) -> float | None:
    """Return the chance that the true Sharpe ratio is above zero (Bailey, Lopez de Prado 2012)."""
    sharpe = _per_deviation(f.returns, 1.0)
    if sharpe is None or len(f.returns) <= _LEAST:
        return None
    skew, kurtosis = _moment(f.returns, 3), _moment(f.returns, 4)
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if spread <= 0:
        return None
    z = sharpe * math.sqrt(len(f.returns) - 1) / math.sqrt(spread)
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def _tail(f: Figures, *, mean: bool) -> float | None:
    if len(f.returns) < _LEAST:
        return None
    worst = np.sort(f.returns)[: max(1, math.ceil(0.05 * len(f.returns)))]
    return float(worst.mean() if mean else worst[-1])


def _kelly(f: Figures) -> float | None:
    if not len(f.wins) or not len(f.losses):
        return None
    chance = len(f.wins) / len(f.profits)
    return chance - (1 - chance) / float(f.wins.mean() / -f.losses.mean())


def _exposure(f: Figures) -> float | None:
    held = f.finished.samples[:, at.S_HELD]
    return float((held > 0).mean()) if len(held) else None


def _longest_fall_days(f: Figures) -> float:
    samples = f.finished.samples
    if not len(samples):
        return 0.0
    instants, equity = samples[:, at.S_NS], samples[:, at.S_EQUITY]
    since = np.maximum.accumulate(np.where(equity >= np.maximum.accumulate(equity), instants, 0))
    return float((instants - since).max() / DAY_NS)


_NET: Final = "realised profit less fees of a closed trade"
METRICS: Final = (
    Metric(
        "netProfit", "money", "final equity less initial balance", lambda f: f.final - f.initial
    ),
    Metric(
        "netProfitShare", "share", "net profit / initial balance", lambda f: f.final / f.initial - 1
    ),
    Metric("finalEquity", "money", "equity after the last quote", lambda f: f.final),
    Metric(
        "annualReturn", "share", "(final / initial)^(1 / years) - 1, years of 365.25 days", _annual
    ),
    Metric(
        "maxDrawdown",
        "money",
        "deepest fall of equity under its peak, looked at on every quote",
        _drawdown,
    ),
    Metric(
        "maxDrawdownShare",
        "share",
        "deepest fall of the sampled equity as a share of its peak",
        _drawdown_share,
    ),
    Metric(
        "longestDrawdownDays",
        "days",
        "longest time from a peak of the sampled equity to the next",
        _longest_fall_days,
    ),
    Metric(
        "ulcerIndex",
        "share",
        "root of the mean squared fall of the sampled equity",
        lambda f: math.sqrt(float((f.falls**2).mean())),
    ),
    Metric(
        "recoveryFactor",
        "ratio",
        "net profit / max drawdown",
        lambda f: _ratio(f.final - f.initial, _drawdown(f)),
    ),
    Metric(
        "calmar",
        "ratio",
        "annual return / max drawdown share",
        lambda f: _ratio(_annual(f) or 0.0, _drawdown_share(f)),
    ),
    Metric(
        "sharpe",
        "ratio",
        "mean / sample deviation of daily returns * sqrt(252); no risk-free rate",
        lambda f: _per_deviation(f.returns, math.sqrt(TRADING_DAYS)),
    ),
    Metric(
        "sortino",
        "ratio",
        "mean of daily returns / root of the mean squared negative ones * sqrt(252)",
        _sortino,
    ),
    Metric(
        "volatility",
        "share",
        "sample deviation of daily returns * sqrt(252)",
        lambda f: (_deviation(f.returns) or 0.0) * math.sqrt(TRADING_DAYS),
    ),
    Metric(
        "probabilisticSharpe",
        "chance",
        "that the true Sharpe ratio is above 0 (Bailey, Lopez de Prado 2012)",
        _psr,
    ),
    Metric(
        "skewness",
        "number",
        "third standardised moment of daily returns",
        lambda f: _moment(f.returns, 3),
    ),
    Metric(
        "kurtosis",
        "number",
        "fourth standardised moment of daily returns; 3 of a normal one",
        lambda f: _moment(f.returns, 4),
    ),
    Metric(
        "valueAtRisk95",
        "share",
        "the return that 5 % of days were at or below",
        lambda f: _tail(f, mean=False),
    ),
    Metric(
        "conditionalValueAtRisk95",
        "share",
        "mean return of the worst 5 % of days",
        lambda f: _tail(f, mean=True),
    ),
    Metric("bestDay", "share", "highest daily return", lambda f: float(f.returns.max())),
    Metric("worstDay", "share", "lowest daily return", lambda f: float(f.returns.min())),
    Metric("trades", "count", "closed trades", lambda f: len(f.closed)),
    Metric(
        "winRate",
        "share",
        f"share of trades with {_NET} above 0",
        lambda f: _ratio(len(f.wins), len(f.profits)),
    ),
    Metric("grossProfit", "money", f"sum of every {_NET} above 0", lambda f: float(f.wins.sum())),
    Metric("grossLoss", "money", f"sum of every {_NET} below 0", lambda f: float(f.losses.sum())),
    Metric(
        "profitFactor",
        "ratio",
        "gross profit / -gross loss",
        lambda f: _ratio(float(f.wins.sum()), -float(f.losses.sum())),
    ),
    Metric("expectancy", "money", f"mean {_NET}", lambda f: _mean(f.profits)),
    Metric("averageWin", "money", "mean of the trades above 0", lambda f: _mean(f.wins)),
    Metric("averageLoss", "money", "mean of the trades below 0", lambda f: _mean(f.losses)),
    Metric(
        "payoffRatio",
        "ratio",
        "average win / -average loss",
        lambda f: _ratio(_mean(f.wins) or 0.0, -(_mean(f.losses) or 0.0)),
    ),
    Metric(
        "largestWin",
        "money",
        "best trade",
        lambda f: float(f.profits.max()) if len(f.profits) else None,
    ),
    Metric(
        "largestLoss",
        "money",
        "worst trade",
        lambda f: float(f.profits.min()) if len(f.profits) else None,
    ),
    Metric("longestWinStreak", "count", "most trades above 0 in a row", lambda f: _streak(f, 1)),
    Metric("longestLossStreak", "count", "most trades below 0 in a row", lambda f: _streak(f, -1)),
    Metric(
        "systemQuality",
        "number",
        "SQN: mean / sample deviation of trades * sqrt(number of them)",
        lambda f: _per_deviation(f.profits, math.sqrt(len(f.profits))),
    ),
    Metric("kelly", "share", "win rate - (1 - win rate) / payoff ratio", _kelly),
    Metric(
        "averageTradeSeconds",
        "seconds",
        "mean time from a trade's first fill to its last",
        lambda f: _mean(f.durations),
    ),
    Metric("longTrades", "count", "closed trades that bought first", lambda f: len(f.side(1))),
    Metric(
        "longProfit", "money", "net profit of the long trades", lambda f: float(f.side(1).sum())
    ),
    Metric("shortTrades", "count", "closed trades that sold first", lambda f: len(f.side(-1))),
    Metric(
        "shortProfit", "money", "net profit of the short trades", lambda f: float(f.side(-1).sum())
    ),
    Metric(
        "fees", "money", "what fills have cost", lambda f: int(f.finished.block[at.COSTS]) / f.scale
    ),
    Metric("exposure", "share", "share of samples with a position open", _exposure),
)


def metrics_of(finished: Finished, trades: Sequence[Trade]) -> dict[str, float | int | None]:
    """Compute every metric of a run."""
    figures = Figures(finished, trades)
    return {one.name: one.of(figures) for one in METRICS}


def table_text() -> str:
    """Write the metrics and their definitions as a Markdown table."""
    rows = [f"| `{one.name}` | {one.unit} | {one.definition} |" for one in METRICS]
    return "\n".join(("| metric | unit | definition |", "|---|---|---|", *rows)) + "\n"
