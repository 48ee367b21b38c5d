"""Returns by month and year, from the closes of trading days."""

from fractions import Fraction

from quantlab.backtest.results.run import Run, day_date
from quantlab.kernel.records import dataclass


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the account's trading days; return_ is a fraction, None without equity before."""

    year: int
    month: int
    profit_minor: int
    return_: Fraction | None


@dataclass(frozen=True, slots=True)
class Year:
    """A year: its months by number, and its whole."""

    year: int
    months: dict[int, Month]
    profit_minor: int
    return_: Fraction | None


def monthly(run: Run) -> tuple[Month, ...]:
    """Return the months that have a trading day; a day belongs to the month of its date."""
    closes: dict[tuple[int, int], int] = {}
    for start, equity in zip(run.days.start_ns.tolist(), run.days.equity.tolist(), strict=True):
        date = day_date(start).astype("datetime64[M]").item()
        closes[date.year, date.month] = equity
    found, before = [], run.initial_minor
    for (year, month), equity in closes.items():
        found.append(Month(year, month, equity - before, _change(before, equity)))
        before = equity
    return tuple(found)


def yearly(run: Run) -> tuple[Year, ...]:
    """Return the years with their months."""
    by_year: dict[int, dict[int, Month]] = {}
    for month in monthly(run):
        by_year.setdefault(month.year, {})[month.month] = month
    found, before = [], run.initial_minor
    for year, months in by_year.items():
        profit = sum(month.profit_minor for month in months.values())
        found.append(Year(year, months, profit, _change(before, before + profit)))
        before += profit
    return tuple(found)


def _change(before: int, after: int) -> Fraction | None:
    return Fraction(after - before, before) if before > 0 else None
