"""Floors decide as exact fractions do, and move only the way their rule says."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.rule_cases import account, instant, profile, rule

from quantlab.rules.floors import equity_breached, floors, next_high_water, open_result_breached
from quantlab.rules.verdicts import judge_equity

NOW = instant("2026-03-10T12:00:00")
amounts = st.integers(1, 10**12)
shares = st.integers(1, 1_000_000)
comparators = st.sampled_from(["lt", "le"])
bases = st.sampled_from(["equity", "balance", "end_of_day_balance"])


def ppm_percent(ppm: int) -> str:
    return f"{ppm // 10_000}.{ppm % 10_000:04d}"


def loss(ppm: int, of: str) -> dict[str, str]:
    return {"percent": ppm_percent(ppm), "of": of}


def broken(comparator: str, equity: int, floor: Fraction) -> bool:
    return equity <= floor if comparator == "le" else equity < floor


@given(
    start=amounts, equity_at_reset=amounts, ppm=shares, comparator=comparators,
    anchor=st.sampled_from(["balance", "equity", "higher_of_balance_and_equity", "initial"]),
    of=st.sampled_from(["initial", "anchor"]), off=st.integers(-3, 3),
)  # fmt: skip
def test_daily_floor_decides_as_fractions_do(
    start: int, equity_at_reset: int, ppm: int, comparator: str, anchor: str, of: str, off: int
) -> None:
    rules = profile(rule("daily_loss", anchor=anchor, loss=loss(ppm, of), comparator=comparator))
    subject = account(rules, NOW)
    day = replace(subject.day, start_balance_minor=start, start_equity_minor=equity_at_reset)
    subject = replace(subject, day=day, balance_minor=start)
    initial = rules.initial_balance_minor
    anchored = {
        "balance": start, "equity": equity_at_reset, "initial": initial,
        "higher_of_balance_and_equity": max(start, equity_at_reset),
    }[anchor]  # fmt: skip
    exact = anchored - Fraction((initial if of == "initial" else anchored) * ppm, 10**6)
    equity = round(exact) + off

    (floor,) = floors(rules, subject, equity)

    assert abs(floor.floor_minor - exact) < 1
    assert equity_breached(floor, equity) == broken(comparator, equity, exact)
    assert bool(judge_equity(rules, subject, equity, NOW)) == broken(comparator, equity, exact)
    assert (equity < floor.breach_below_minor) == broken(comparator, equity, exact)


@given(
    mark=amounts, ppm=shares, comparator=comparators, basis=bases,
    of=st.sampled_from(["initial", "high_water"]),
    lock=st.none() | st.integers(0, 10**9), off=st.integers(-3, 3),
)  # fmt: skip
def test_trailing_floor_decides_as_fractions_do(
    mark: int, ppm: int, comparator: str, basis: str, of: str, lock: int | None, off: int
) -> None:
    extra: dict[str, Any] = (
        {} if lock is None else {"lock": {"aboveInitial": f"{lock // 100}.{lock % 100:02d}"}}
    )
    rules = profile(
        rule(
            "max_drawdown",
            mode="trailing",
            basis=basis,
            loss=loss(ppm, of),
            comparator=comparator,
            **extra,
        )
    )
    initial = rules.initial_balance_minor
    mark += initial
    subject = replace(account(rules, NOW), high_water_minor=mark)
    exact = mark - Fraction((initial if of == "initial" else mark) * ppm, 10**6)
    if lock is not None:
        exact = min(exact, Fraction(initial + lock))
    equity = round(exact) + off
    assume(equity <= mark)

    (floor,) = floors(rules, subject, equity)

    assert equity_breached(floor, equity) == broken(comparator, equity, exact)


@given(
    steps=st.lists(st.tuples(amounts, amounts, st.booleans()), min_size=1, max_size=30), basis=bases
)
def test_high_water_is_the_peak_of_its_basis(
    steps: list[tuple[int, int, bool]], basis: str
) -> None:
    rules = profile(
        rule("max_drawdown", mode="trailing", basis=basis, loss={"amount": "1"}, comparator="lt")
    )
    subject = account(rules, NOW)
    peak = subject.high_water_minor
    for balance, equity, at_day_end in steps:
        subject = replace(subject, balance_minor=balance)
        mark = next_high_water(rules, subject, equity, at_day_end=at_day_end)
        counted = {"equity": [equity], "balance": [balance]}.get(basis, [balance] * at_day_end)
        peak = max([peak, *counted])
        assert mark == peak
        subject = replace(subject, high_water_minor=mark)


@given(
    floor_minor=st.integers(-(10**10), 10**10), balance=st.integers(-(10**10), 10**10),
    tick_steps=st.integers(-(10**12), 10**12), num=st.integers(1, 10**9), den=st.integers(1, 10**9),
    comparator=comparators,
)  # fmt: skip
def test_open_result_is_compared_without_division(
    floor_minor: int, balance: int, tick_steps: int, num: int, den: int, comparator: str
) -> None:
    rules = profile(
        rule("daily_loss", anchor="balance", loss={"amount": "1"}, comparator=comparator)
    )
    (floor,) = floors(rules, account(rules, NOW), 0)
    floor = replace(floor, floor_minor=floor_minor)

    exact = balance + Fraction(tick_steps * num, den)

    found = open_result_breached(floor, balance, tick_steps, num, den)
    assert found == (exact <= floor_minor if comparator == "le" else exact < floor_minor)


def test_open_result_at_the_floor_breaks_at_or_below_only() -> None:
    for comparator, expected in (("lt", False), ("le", True)):
        rules = profile(
            rule("daily_loss", anchor="balance", loss={"amount": "1"}, comparator=comparator)
        )
        (floor,) = floors(rules, account(rules, NOW), 0)
        assert open_result_breached(floor, floor.floor_minor + 10, -30, 1, 3) is expected
        assert open_result_breached(floor, floor.floor_minor + 10, -31, 1, 3)
