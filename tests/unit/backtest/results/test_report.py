"""The page: well-formed, self-contained, harmless, and its charts are of what happened."""

from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.finished_runs import CENT, DAY, SECOND, START, path_of, run_of

from quantlab.backtest.outputs import Line
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.table import METRICS
from quantlab.backtest.results.report import chart
from quantlab.backtest.results.report.page import html_page, span_text
from quantlab.backtest.results.run import NO_FLOOR, Scale, words
from quantlab.backtest.results.summary import Heading, RuleOutcome

VOID = {"meta", "br"}
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&"


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data

    def count(self, tag, **attrs) -> int:
        return sum(
            name == tag and all(found.get(key.rstrip("_")) == value for key, value in attrs.items())
            for name, found in self.tags
        )


ORDERS = [(1, 0, 10, 100, 1), (400, 0, -15, 103, 1), (700, 0, 5, 101, 1), (800, 0, 2, 99)]


def full_run(**more):
    facts = {
        "curve": [1_000_000, 1_000_020, 999_990, 1_000_010],
        "closes": [1_000_030, 999_980],
        "paths": {0: path_of([(1, 99, 100), (2, 103, 104), (3, 100, 101), (4, 98, 99)])},
    }
    return run_of(ORDERS, **(facts | more))


def page(run, heading=None, log=()) -> Page:
    lines = tuple(Line(ns, "log", text) for ns, text in log)
    shown = replace(run, outputs=replace(run.outputs, lines=lines))
    return Page(html_page(figures(shown), heading or Heading("fade", "end_of_data")))


def test_every_metric_is_there_with_its_definition() -> None:
    found = page(full_run())
    titles = [attrs["title"] for tag, attrs in found.tags if tag == "dt"]
    assert len(titles) == len(METRICS)
    assert all(metric.definition in title for metric, title in zip(METRICS, titles, strict=True))
    for metric in METRICS:
        assert metric.name in found.text


def test_fills_trades_and_days_are_drawn() -> None:
    found = page(full_run())
    assert (found.count("path", class_="buy"), found.count("path", class_="sell")) == (3, 1)
    assert found.count("rect", class_="gain") == found.count("rect", class_="loss") == 1
    assert found.count("tr") == 2 + 1 + 3
    assert "0.30" in found.text


@pytest.mark.parametrize("run", [run_of(), run_of(seconds=0), run_of(ORDERS), full_run(initial=1)])
def test_a_page_of_little_is_still_a_page(run) -> None:
    assert "Backtest" in page(run).text


def test_whatever_names_and_logs_say_is_text() -> None:
    rule = RuleOutcome(EVIL, EVIL, 2, START, 5, 7)
    heading = Heading(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, ((EVIL, EVIL),), (rule,))
    scale = Scale(EVIL, CENT.tick, CENT.size_step, CENT.unit_num, CENT.unit_den)
    found = page(full_run(scales=(scale,), currency=EVIL), heading, [(START, EVIL)])
    assert {tag for tag, _ in found.tags} & {"script", "img", "link", "iframe", "object"} == set()
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert found.text.count("alert(1)") > 10


def test_nothing_is_loaded() -> None:
    text = html_page(figures(full_run()), Heading("fade", "end_of_data"))
    found = Page(text)
    assert not [attrs for _, attrs in found.tags if {"src", "href", "xlink:href"} & set(attrs)]
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_long_lists_are_cut_and_the_page_says_so() -> None:
    orders = [(n, 0, 1 if n % 2 == 0 else -1, 100) for n in range(1202)]
    found = page(run_of(orders, seconds=2000), log=[(START, f"line {n}.") for n in range(1003)])
    assert "The first 500 of 601 trades." in found.text
    assert "3 earlier lines are left out." in found.text
    assert "line 3." in found.text
    assert "line 2." not in found.text
    assert found.count("path", class_="buy") <= 2 * chart.BUCKETS


def with_floor(floor):
    run = full_run()
    return replace(run, curve=replace(run.curve, floor=words([floor] * len(run.curve))))


def test_a_near_floor_is_drawn_in_both_charts_and_a_far_one_is_told() -> None:
    assert page(with_floor(NO_FLOOR)).count("path", class_="floor") == 0
    assert page(with_floor(999_980)).count("path", class_="floor") == 2
    far = page(with_floor(900_000))
    assert far.count("path", class_="floor") == 1
    assert "Nearest floor of the rules: 999.80 below the equity" in far.text


def test_rules_say_whether_they_held() -> None:
    rules = (
        RuleOutcome("daily_loss", "a", 0, 0, 0, 0),
        RuleOutcome("max_drawdown", "b", 1, START, 99_000, 99_500),
    )
    text = page(full_run(), Heading("fade", "rule_broken", rules=rules)).text
    assert "daily_loss (a): kept" in text
    assert "max_drawdown (b): broken once at 2026-01-01 00:00:00 UTC, equity 990.00" in text
    assert "floor of 995.00" in text


def test_many_days_are_drawn_by_month() -> None:
    found = page(run_of(closes=[1_000_000 + n for n in range(600)], seconds=600 * 86_400))
    assert found.count("rect", class_="gain") == 20


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40), st.integers(1, 400))
def test_an_outline_keeps_first_last_least_and_highest(values, repeats) -> None:
    column = words(values * repeats)
    ts_ns = words(range(START, START + len(column) * SECOND, SECOND))
    rows = chart.outline(ts_ns, column)
    kept = column[rows]
    assert (kept.min(), kept.max()) == (column.min(), column.max())
    assert (rows[0], rows[-1]) == (0, len(column) - 1)
    assert len(rows) <= max(4 * chart.BUCKETS, 0) + 4
    assert (np.diff(rows) > 0).all()


@given(st.floats(-1e9, 1e9), st.floats(1, 1e9))
def test_axes_have_round_steps_within_their_range(low, span) -> None:
    steps = chart.nice_steps(low, low + span)
    assert 1 <= len(steps) <= 6
    widths = {round((b - a) / (steps[1] - steps[0]), 3) for a, b in pairwise(steps)}
    assert widths <= {1.0}
    slack = span * 1e-6 + abs(low) * 1e-9
    assert low - slack <= steps[0] <= steps[-1] <= low + span + slack


def test_labels_of_time_and_spans() -> None:
    assert chart.time_label(START, 20 * DAY) == "2026-01-01"
    assert chart.time_label(START + 61 * SECOND, DAY) == "01-01 00:01"
    assert chart.time_label(START + 61 * SECOND, 600 * SECOND) == "00:01:01"
    assert [span_text(n) for n in (0.5, 61, 3600, 93_784)] == [
        "0.5 s",
        "1 min 1 s",
        "1 h",
        "1 d 2 h",
    ]
