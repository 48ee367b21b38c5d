"""A challenge over all start days of the data and over drawn days: its phases one after another."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantlab.backtest.account import NotRun
from quantlab_server.backtests.accounts import Configured
from quantlab_server.backtests.challenge_document import document
from quantlab_server.backtests.drawn import drawn_of
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.phases import Courses, Phase, phase_of
from quantlab_server.refusal import Refusal


def challenge_of(
    bench: Bench,
    configured: Sequence[Configured],
    inputs: Mapping[str, Any],
    *,
    paths: int,
    block_days: int,
    max_days: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Attempt account types one after another; return the document docs/challenge.md describes.

    progress hears how many attempts of how many are done. Raises Refusal for a first type that asks
    for nothing; of those behind it the first such ends the row.
    """
    phases, left_out = _passable(configured)
    tried = Courses(bench, phases, inputs).all(progress)
    drawn = None
    if paths > 0:
        drawn = drawn_of(
            bench, phases, inputs, paths=paths, block_days=block_days, max_days=max_days, seed=seed
        )
    return document(bench, phases, tried, drawn, left_out)


def _passable(configured: Sequence[Configured]) -> tuple[list[Phase], list[str]]:
    """Return the phases up to the first that nothing passes, and what that leaves out."""
    found: list[Phase] = []
    for phase in map(phase_of, configured):
        if not phase.is_passable:
            if not found:
                raise Refusal(
                    f"--profile: expected goals or payouts, was {phase.account.profile.name}"
                    " without any: nothing could be passed"
                )
            return found, [f"{phase.type_id}: neither goals nor payouts: nothing passes it"]
        try:
            phase.account.check()
        except NotRun as refused:
            raise Refusal(f"{phase.type_id}: {refused} (--only attempts one type)") from refused
        found.append(phase)
    return found, []
