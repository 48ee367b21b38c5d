"""The page itself: every text on it is escaped, and nothing on it is loaded or run."""

from collections.abc import Mapping
from html import escape
from typing import Final

from quantlab.backtest.outputs import Outputs
from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import Metric, Unit, Value
from quantlab.backtest.results.metrics.table import METRICS, metrics_of
from quantlab.backtest.results.monthly import Month, Year, yearly
from quantlab.backtest.results.report import outputs, pictures
from quantlab.backtest.results.report.style import STYLE
from quantlab.backtest.results.summary import Heading, RuleOutcome
from quantlab.backtest.results.writing import trade_rows
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.rules.phase_goals import Goal

TRADES_MOST: Final = 500
LOG_MOST: Final = 1000
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TILES: Final = (
    "netProfit", "totalReturn", "maxDrawdown", "maxDrawdownPercent", "trades", "winRate",
    "profitFactor", "sharpe",
)  # fmt: skip
TRADE_COLUMNS: Final = {
    "number": "#", "symbol": "Symbol", "side": "Side", "size": "Size", "entryTime": "Entry",
    "entryPrice": "Price", "exitTime": "Exit", "exitPrice": "Price", "profit": "Profit",
    "commission": "Commission", "mae": "MAE", "mfe": "MFE",
}  # fmt: skip
NONE: Final = "\N{EN DASH}"
ENDS: Final = {
    "end_of_data": "ran to the end of the data",
    "rule_broken": "ended by a broken rule",
    "trap": "stopped by a fault of the strategy",
    "endless_events": "stopped: events without end",
}


def html_page(figures: Figures, heading: Heading) -> str:
    """Return the report as one HTML document.

    The first 500 trades and the last 1,000 lines of the log are shown, and the page says how many
    are not.
    """
    run = figures.run
    values = metrics_of(figures)
    sections = (
        ("Equity", pictures.equity_picture(run)),
        ("Drawdown", pictures.drawdown_picture(run)),
        ("Prices and fills", pictures.price_pictures(run)),
        ("Plots of the strategy", outputs.plot_pictures(run)),
        ("Profit by day", pictures.daily_picture(figures)),
        ("Returns by month", _months(figures)),
        ("Rules", _rules(figures, heading)),
        ("Metrics", _metrics(figures, values)),
        ("Trades", _trades(figures)),
        ("Log of the strategy", _log(run.outputs)),
    )
    cards = "".join(
        f'<section class="card"><h2>{title}</h2>{body}</section>' for title, body in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Backtest: {escape(heading.strategy)}</title><style>{STYLE}</style></head>"
        f"<body><main>{_header(figures, heading)}{_tiles(figures, values)}{cards}</main></body>"
        "</html>\n"
    )


def _header(figures: Figures, heading: Heading) -> str:
    run = figures.run
    symbols = ", ".join(scale.symbol for scale in run.scales)
    end = ENDS.get(heading.end, heading.end)
    lines = [
        f"{symbols}: {_time(run.first_ns)} to {_time(run.last_ns)} UTC, {end}"
        + (f": {heading.trap}" if heading.trap else ""),
        f"Initial balance {_money(figures, run.initial_minor)} {run.currency}"
        + (f", profile {heading.profile}" if heading.profile else ""),
    ]
    if heading.inputs:
        lines.append("Inputs: " + ", ".join(f"{name} = {value}" for name, value in heading.inputs))
    if heading.trace_hash:
        lines.append(f"Trace {heading.trace_hash}")
    return f"<h1>{escape(heading.strategy)}</h1>" + "".join(
        f'<p class="sub">{escape(line)}</p>' for line in lines
    )


def _tiles(figures: Figures, values: dict[str, Value]) -> str:
    metrics = {metric.key: metric for metric in METRICS}
    tiles = "".join(
        f'<div class="tile" title="{_meaning(metrics[key])}">'
        f"<b{_sign(metrics[key], values[key])}>{_value(figures, metrics[key], values[key])}</b>"
        f"<span>{escape(metrics[key].name)}</span></div>"
        for key in TILES
    )
    return f'<div class="tiles">{tiles}</div>'


def _metrics(figures: Figures, values: dict[str, Value]) -> str:
    groups = dict.fromkeys(metric.group for metric in METRICS)
    parts = []
    for group in groups:
        rows = "".join(
            f'<dt title="{_meaning(metric)}"><span>{escape(metric.name)}</span></dt>'
            f"<dd>{_value(figures, metric, values[metric.key])}</dd>"
            for metric in METRICS
            if metric.group == group
        )
        parts.append(f"<div><h3>{escape(group)}</h3><dl>{rows}</dl></div>")
    return (
        f'<div class="groups">{"".join(parts)}</div>'
        f'<p class="note">Point at a name for its definition. {NONE} stands for what is not'
        f" defined. A year has {figures.run.days_per_year} trading days.</p>"
    )


def _meaning(metric: Metric) -> str:
    undefined = "" if metric.undefined == "never" else f" Not defined: {metric.undefined}."
    return escape(f"{metric.definition}{undefined} Source: {metric.source}.")


def _sign(metric: Metric, value: Value) -> str:
    if value is None or metric.key not in {"netProfit", "totalReturn"}:
        return ""
    return f' class="{_direction(float(value))}"'


def _direction(value: float) -> str:
    return "up" if value > 0 else "down" if value < 0 else ""


def _value(figures: Figures, metric: Metric, value: Value) -> str:
    if value is None:
        return NONE
    if metric.unit is Unit.MONEY:
        return f"{_money(figures, round(value))} {escape(figures.run.currency)}"
    if metric.unit is Unit.COUNT:
        return f"{int(value):,}"
    if metric.unit is Unit.SECONDS:
        return span_text(float(value))
    number = f"{float(value):,.2f}" if abs(float(value)) < 1e9 else f"{float(value):.3g}"
    return f"{number} %" if metric.unit is Unit.PERCENT else number


def span_text(seconds: float) -> str:
    """Write a span of time with its two largest units: 93784 is "1 d 2 h"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    rest = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count:,} {name}" for count, name in parts[:2] if count)


def _rules(figures: Figures, heading: Heading) -> str:
    if not heading.rules:
        return '<p class="note">No rule held in this run.</p>'
    rules = "".join(
        f'<p class="{_kept(one)}">{_outcome(figures, one)}</p>' for one in heading.rules
    )
    return rules + "".join(_goal(goal) for goal in heading.passing.goals)


def _goal(goal: Goal) -> str:
    words = escape(f"{goal.rule} ({goal.rule_id}): {goal.words}")
    return f'<p class="{"up" if goal.met else "down"}">{words}</p>'


def _kept(one: RuleOutcome) -> str:
    return "down" if one.broken else "up"


def _outcome(figures: Figures, one: RuleOutcome) -> str:
    name = escape(f"{one.slug} ({one.rule_id})")
    if one.broken == 0:
        return f"{name}: kept"
    times = "once" if one.broken == 1 else f"{one.broken:,} times, first"
    broken = f"{name}: broken {times} at {_time(one.first_ns)} UTC"
    if one.equity_minor is None or one.floor_minor is None:
        return broken
    equity, floor = _money(figures, one.equity_minor), _money(figures, one.floor_minor)
    return f"{broken}, equity {equity} against a floor of {floor}"


def _months(figures: Figures) -> str:
    years = yearly(figures.run)
    if not years:
        return '<p class="note">No trading day.</p>'
    head = "".join(f"<th>{name}</th>" for name in MONTHS)
    rows = "".join(
        f"<tr><th>{year.year}</th>"
        + "".join(_month(figures, year.months.get(number)) for number in range(1, 13))
        + f"{_month(figures, year)}</tr>"
        for year in years
    )
    return (
        '<div class="wide"><table><thead><tr><th>Year</th>'
        f"{head}<th>Year</th></tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="note">Return in percent of the equity before.</p>'
    )


def _month(figures: Figures, one: Month | Year | None) -> str:
    if one is None:
        return "<td></td>"
    profit = f"{_money(figures, one.profit_minor)} {figures.run.currency}"
    text = NONE if one.return_ is None else f"{float(100 * one.return_):,.2f}"
    return f'<td class="{_direction(one.profit_minor)}" title="{escape(profit)}">{text}</td>'


def _trades(figures: Figures) -> str:
    rows = trade_rows(figures.run, figures.trades, TRADES_MOST)
    if not rows:
        return '<p class="note">No trade.</p>'
    head = "".join(f"<th>{name}</th>" for name in TRADE_COLUMNS.values())
    body = "".join(_trade(row) for row in rows)
    left_out = len(figures.trades) - len(rows)
    note = f"The first {len(rows):,} of {len(figures.trades):,} trades." if left_out > 0 else ""
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<p class="note">Profit after commission; MAE and MFE before. {note}</p>'
    )


def _trade(row: Mapping[str, object]) -> str:
    cells = []
    for name in TRADE_COLUMNS:
        value = row[name]
        text = NONE if value is None else escape(str(value))
        if name.endswith("Time") and value is not None:
            text = text[:19].replace("T", " ")
        shade = ""
        if name == "profit":
            shade = ' class="down"' if text.startswith("-") else ' class="up"'
        cells.append(f"<td{shade}>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _log(shown_by: Outputs) -> str:
    log = shown_by.lines
    if not log:
        return '<p class="note">It wrote nothing.</p>'
    shown = log[-LOG_MOST:]
    lines = "\n".join(
        f"{_time(one.ns)}  {'ALERT ' * (one.kind == 'alert')}{escape(one.text)}" for one in shown
    )
    left_out = len(log) - len(shown)
    left_out += sum(shown_by.left_out.get(kind, 0) for kind in ("log", "alert"))
    note = f'<p class="note">{left_out:,} earlier lines are left out.</p>' if left_out else ""
    return f'{note}<pre class="log">{lines}</pre>'


def _time(ts_ns: int) -> str:
    return format_rfc3339(ts_ns)[:19].replace("T", " ")


def _money(figures: Figures, amount_minor: int) -> str:
    """Write money with its thousands apart."""
    text = format_minor(amount_minor, figures.run.currency_digits)
    whole, dot, cents = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{dot}{cents}"
