"""One page of a run's results: figures, charts and trades, whole in itself."""

from html import escape
from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.results import Document, trade_list
from quantlab.backtest.running import Finished
from quantlab.kernel.instants import format_rfc3339

WIDTH: Final = 960
HEIGHT: Final = 260
_LEFT: Final = 80
_POINTS: Final = 960
TRADES_SHOWN: Final = 500
_STYLE: Final = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1000px;padding:0 1rem;"
    "color:#1a202c;background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "td,th{padding:.25rem .5rem;border-bottom:1px solid #e2e8f0;text-align:left;"
    "font-variant-numeric:tabular-nums}.n{text-align:right}svg{width:100%;height:auto}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}.loss{color:#b91c1c}"
    "@media(prefers-color-scheme:dark){body{color:#e2e8f0;background:#0f172a}"
    "td,th{border-color:#334155}}"
)


def page(finished: Finished, document: Document) -> str:
    """Return the page as HTML that asks for nothing else."""
    name = escape(str(document["strategy"] or "strategy"))
    parts = (
        f"<h1>{name}</h1>{_summary(document)}",
        "<h2>Equity</h2>" + _equity(finished),
        "<h2>Drawdown</h2>" + _drawdown(finished),
        "<h2>By month</h2>" + _months(finished),
        "<h2>Metrics</h2>" + _metrics(document),
        "<h2>Rules</h2>"
        + _table(("rule", "broken", "firstAt", "equity", "floor"), document["rules"]),
        "<h2>Trades</h2>" + _trades(finished, document),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{name}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _summary(document: Document) -> str:
    counts = ", ".join(f"{document[one]:,} {one}" for one in ("ticks", "orders", "fills", "trades"))
    account = document["account"]
    return (
        f"<p>{counts}. Ended by {escape(document['end'])}. Equity {account['equity']}"
        f" {account['currency']} from {account['initialBalance']}.</p>"
        f"<p><code>{document['traceHash']}</code></p>"
    )


def _thinned(values: Any) -> Any:
    step = max(1, len(values) // _POINTS)
    return values[::step]


def _series(finished: Finished, word: int) -> Any:
    scale = 10**finished.account.currency_digits
    return _thinned(finished.samples[:, word] / scale)


def _equity(finished: Finished) -> str:
    floors = _series(finished, at.S_BELOW)
    lines = [("#2563eb", _series(finished, at.S_EQUITY), "equity")]
    lines.append(("#94a3b8", _series(finished, at.S_BALANCE), "balance"))
    if len(floors) and floors.min() > at.NEVER_LOW / 1e6:
        lines.append(("#dc2626", floors, "nearest floor"))
    return chart(finished, lines)


def _drawdown(finished: Finished) -> str:
    equity = _series(finished, at.S_EQUITY)
    if not len(equity):
        return chart(finished, [])
    return chart(finished, [("#dc2626", equity - np.maximum.accumulate(equity), "drawdown")])


def chart(finished: Finished, lines: list[tuple[str, Any, str]]) -> str:
    """Draw lines of (colour, values, name) over the samples of a run."""
    drawn = [line for line in lines if len(line[1])]
    if not drawn:
        return "<p>The run is too short for a chart.</p>"
    low = min(float(values.min()) for _, values, _ in drawn)
    high = max(float(values.max()) for _, values, _ in drawn)
    span = high - low or 1.0
    parts = [
        _label(high, 12.0),
        _label(low, HEIGHT - 24.0),
        *_instants(finished),
        *(_line(colour, values, low, span) for colour, values, _ in drawn),
    ]
    names = ", ".join(f'<tspan fill="{colour}">{escape(name)}</tspan>' for colour, _, name in drawn)
    parts.append(f'<text x="{_LEFT + 8}" y="14" font-size="12" fill="currentColor">{names}</text>')
    title = escape(", ".join(name for _, _, name in drawn))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg>"
    )


def _label(value: float, y: float) -> str:
    return (
        f'<text x="{_LEFT - 6}" y="{y}" font-size="12" text-anchor="end" fill="currentColor">'
        f"{value:,.2f}</text>"
    )


def _instants(finished: Finished) -> list[str]:
    samples = finished.samples
    ends = ((_LEFT, "start", samples[0, at.S_NS]), (WIDTH, "end", samples[-1, at.S_NS]))
    return [
        f'<text x="{x}" y="{HEIGHT - 4}" font-size="12" text-anchor="{anchor}"'
        f' fill="currentColor">{format_rfc3339(int(instant))[:16]}</text>'
        for x, anchor, instant in ends
    ]


def _line(colour: str, values: Any, low: float, span: float) -> str:
    across = np.linspace(_LEFT, WIDTH, len(values))
    down = 20 + (HEIGHT - 50) * (1 - (values - low) / span)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'


def _months(finished: Finished) -> str:
    """Sum the days' changes of equity by month of their start."""
    scale = 10**finished.account.currency_digits
    before, sums = finished.account.initial_minor, dict[str, int]()
    for row in finished.days.tolist():
        month = format_rfc3339(row[at.D_START])[:7]
        sums[month] = sums.get(month, 0) + row[at.D_EQUITY] - before
        before = row[at.D_EQUITY]
    month = format_rfc3339(int(finished.block[at.DAY_START]))[:7]
    sums[month] = sums.get(month, 0) + int(finished.block[at.EQUITY]) - before
    rows = [{"month": name, "change": f"{value / scale:,.2f}"} for name, value in sums.items()]
    return _table(("month", "change"), rows)


def _metrics(document: Document) -> str:
    rows = [
        {
            "metric": one.name,
            "value": _shown(document["metrics"][one.name]),
            "unit": one.unit,
            "definition": one.definition,
        }
        for one in METRICS
    ]
    return _table(("metric", "value", "unit", "definition"), rows)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


def _trades(finished: Finished, document: Document) -> str:
    shown = trade_list(finished, TRADES_SHOWN)
    names = (
        "symbol",
        "side",
        "openedAt",
        "closedAt",
        "quantity",
        "entryPrice",
        "exitPrice",
        "profit",
    )
    left = document["trades"] - len(shown)
    return _table(names, shown) + (f"<p>and {left:,} more</p>" if left else "")


def _table(names: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape('' if row[name] is None else str(row[name]))}</td>" for name in names
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
