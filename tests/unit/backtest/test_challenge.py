"""The challenge simulator: paths against a plain loop over the rules room, and the command."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import backtest_runs as runs
from tests.support.engine_cases import BALANCE, profile
from tests.support.rule_cases import instant, percent
from tests.support.rule_cases import rule as made_rule
from typer.testing import CliRunner

from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.results.draws import below
from quantlab.backtest.running import Run
from quantlab.ledger.state import ClosedDay
from quantlab.rules.day import open_day
from quantlab.rules.phase_goals import goals
from quantlab.tenancy.programs import PayoutTerms
from quantlab_edge.backtest import EngineFiles
from quantlab_server.backtests.paths import paths_of, without_rules
from quantlab_server.cli.main import app

START = instant("2026-03-02T00:00:00", "Europe/Prague")
DAY = 24 * 3_600 * 10**9
TARGET = made_rule("profit_target", "gate", target={"percent": "3"}, flatRequired=True)
DAYS = made_rule(
    "profitable_days", "gate", days=2, least={"amount": "600.00"}, measure="closed",
    openDayCounts=False,
)  # fmt: skip
LOSS = made_rule("max_drawdown", mode="static", loss=percent("2"), comparator="lt")
EACH_DAY = """strategy "Each day"

input lots = float(1.0, min=0.01, max=10.0)
var n = 0

on tick
    if n % 2 == 0
        buy(lots)
    else
        close_position()
    n += 1
"""


def days_of(*gains: int) -> Any:
    """Return two quotes a day, the second so many ticks over the first."""
    words = np.zeros((2 * len(gains), 6), np.int64)
    words[::2, 0] = START + np.arange(len(gains)) * DAY + DAY // 4
    words[1::2, 0] = words[::2, 0] + DAY // 4
    words[::2, 1] = 110_000
    words[1::2, 1] = 110_000 + np.array(gains)
    words[:, 2] = words[:, 1]
    return words


def drawn(engine: EngineFiles, owner: BacktestAccount, gains: list[int], **asked: Any) -> Any:
    run = Run(runs.source_program(EACH_DAY), without_rules(owner), days_of(*gains), engine)
    wanted = {"paths": 200, "block_days": 2, "max_days": 30, "seed": 7, "payouts": None} | asked
    return paths_of(run, owner, wanted.pop("payouts"), **wanted)


def test_paths_pass_where_a_plain_loop_over_the_rules_room_does(engine: EngineFiles) -> None:
    gains = [900, -900, 700, 550, -1300, 400]
    rules = profile(LOSS, TARGET, DAYS)
    found = drawn(engine, runs.account(rules), gains)
    passed = failed = 0
    starts = below(7, 0, 200 * 15, len(gains)).reshape(200, 15)
    opened = replace(
        runs.account(rules).opening(open_day(rules, BALANCE, BALANCE, START)),
        balance_minor=BALANCE,
    )
    for row in starts.tolist():
        account = opened
        for day in [(start + step) % len(gains) for start in row for step in (0, 1)]:
            change = gains[day] * 100
            account = replace(
                account,
                balance_minor=account.balance_minor + change,
                closed_days=(*account.closed_days, ClosedDay("", change, True, change)),
            )
            if account.balance_minor < BALANCE * 98 // 100:
                failed += 1
                break
            if all(goal.met for goal in goals(rules, account)):
                passed += 1
                break
    counts = {"passed": passed, "daily_loss": 0, "max_drawdown": failed}
    assert found.found.outcomes == {**counts, "out_of_time": 200 - passed - failed}
    assert min(passed, failed) > 20
    assert found.left_out == ()
    assert found == drawn(engine, runs.account(rules), gains)
    assert found.found != drawn(engine, runs.account(rules), gains, seed=8).found


def test_what_paths_do_not_know_is_said(engine: EngineFiles) -> None:
    lock = made_rule(
        "daily_loss", "soft", action="lock_until_reset", anchor="balance", loss=percent("0.3"),
        comparator="lt",
    )  # fmt: skip
    best = made_rule(
        "consistency", "gate", measure="best_trade", maxSharePercent="1", comparator="gt",
        openDayCounts=True,
    )  # fmt: skip
    found = drawn(engine, runs.account(profile(lock, TARGET, best)), [1000, -400])
    assert found.left_out == (
        "daily_loss: a path follows no lock_until_reset",
        "consistency: single trades of a path are not known",
    )
    assert found.found.outcomes["passed"] == 200
    assert drawn(engine, runs.account(profile(lock, best)), [1000]) is None


def test_a_payout_is_expected_of_paths_that_reach_one(engine: EngineFiles) -> None:
    payouts = PayoutTerms(500_000, 100_000, 2, None, 0)
    found = drawn(engine, runs.account(profile(LOSS)), [600], payouts=payouts)
    # Two days of 600 make 1,200 over the least of 1,000; half of it is the trader's.
    assert (found.found.pass_rate, found.payout_minor) == (1, 60_000)
    assert found.found.days_to_pass.most == 2


def ticks_file(folder: Path, words: Any) -> Path:
    file = folder / "quotes.csv"
    rows = [f"{t // 10**6},{b / 1e5:.5f},{a / 1e5:.5f}" for _, (t, b, a) in enumerate(words)]
    file.write_text("\n".join(["ts_ms,bid,ask", *rows]) + "\n")
    return file


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments])
    return done.exit_code, done.output + str(done.exception or "")


@pytest.fixture
def given(engine: EngineFiles, tmp_path: Path) -> list[str]:
    """A strategy and a file of quotes, on the engine that is compiled already."""
    words = days_of(900, -500, 700, 550, -900, 400, 800, 900)
    words[:, 2] += 1
    (tmp_path / "each.qls").write_text(EACH_DAY)
    return [str(tmp_path / "each.qls"), "--ticks", f"EURUSD={ticks_file(tmp_path, words[:, :3])}"]


def test_the_command_says_all_of_it(given: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    asked = ["challenge", "run", *given, "--profile", "blue-harbor/challenge-50k"]
    asked += ["--set", "lots=3.0", "--paths", "300", "--seed", "5", "--json", str(out)]
    code, shown = command(*asked)
    assert code == 0, shown
    first = json.loads(out.read_text())
    assert (first["attempts"]["count"], first["paths"]["count"]) == (8, 300)
    assert sum(first["attempts"]["outcomes"].values()) == 8
    assert sum(first["paths"]["outcomes"].values()) == 300
    assert first["inputs"] == {"lots": 3.0}
    low, high = first["paths"]["interval"]
    assert 0 <= low <= first["paths"]["passRate"] <= high <= 1
    types = [phase["type"] for phase in first["phases"]]
    assert types == [f"challenge-50k{end}" for end in ("", "/verification", "/funded")]
    assert first["phases"][0]["attempts"]["count"] == 8
    for before, phase in pairwise(first["phases"]):
        reached = before["attempts"] and before["attempts"]["outcomes"]["passed"]
        assert (phase["attempts"] or {"count": 0})["count"] == (reached or 0)
        assert (phase["paths"] or {"count": 0})["count"] == before["paths"]["outcomes"]["passed"]
    assert (
        first["paths"]["outcomes"]["passed"] == first["phases"][-1]["paths"]["outcomes"]["passed"]
    )
    assert command(*asked)[0] == 0
    assert json.loads(out.read_text()) == first
    assert command(*asked, "--only")[0] == 0
    alone = json.loads(out.read_text())
    assert [
        alone["phases"][0][key] == first["phases"][0][key] for key in ("attempts", "paths")
    ] == [
        True,
        True,
    ]
    assert len(alone["phases"]) == 1


def test_what_cannot_be_attempted_is_refused(given: list[str], tmp_path: Path) -> None:
    for profile_name, said in (
        ("blue-harbor/nothing", "expected an account type of"),
        ("northwind-capital/evaluation-50k", "expected goals or payouts"),
        ("nobody/type", "expected TENANT/TYPE"),
    ):
        code, shown = command("challenge", "run", *given, "--profile", profile_name)
        assert (code, said in shown) == (1, True), shown
