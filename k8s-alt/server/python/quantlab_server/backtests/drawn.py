"""Paths of drawn days through the phases of an account type, one after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.backtest.results import challenge
from quantlab.backtest.results.challenge import Challenge
from quantlab.backtest.results.run import Words
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.paths import Paths, paths_of, without_rules
from quantlab_server.backtests.phases import Phase


@dataclass(frozen=True, slots=True)
class Drawn:
    """Paths through each phase, those that reached it, and through all of them.

    payout_minor is the mean over all paths; None where no phase says what its paths are paid.
    """

    phases: tuple[Paths, ...]
    whole: Challenge
    payout_minor: float | None


def drawn_of(
    bench: Bench,
    phases: Sequence[Phase],
    inputs: Mapping[str, Any],
    *,
    paths: int,
    block_days: int,
    max_days: int,
    seed: int,
) -> Drawn | None:
    """Draw paths through the phases; a path that passes one goes on in the next with other days.

    None where the paths know none of the goals of a phase that some of them reach.
    """
    blocks = -(-max_days // block_days)
    outcome, taken = np.zeros(paths, np.int64), np.zeros(paths, np.int64)
    rows: Words = np.arange(paths)
    found: list[Paths] = []
    used = 0
    for phase in phases:
        if len(rows) == 0:
            break
        run = bench.runner(without_rules(phase.account))(bench.records.words, inputs)
        drawn = paths_of(
            run, phase.account, phase.payouts, paths=len(rows), block_days=block_days,
            max_days=max_days, seed=seed, drawn_before=used,
        )  # fmt: skip
        if drawn is None:
            return None
        found.append(drawn)
        outcome[rows] = drawn.outcome
        taken[rows] += drawn.taken
        used += len(rows) * blocks
        rows = rows[drawn.outcome == challenge.PASSED]
    known = [one for one in found if one.payout_minor is not None]
    paid = sum(sum(one.paid.values()) for one in known) / paths if known else None
    return Drawn(tuple(found), challenge.summary_of(outcome, taken), paid)
