"""A search for inputs by Optuna's TPE sampler, in batches of one size for any processes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from quantlab_server.backtests.axes import Axis
from quantlab_server.backtests.evaluating import Evaluate, Row
from quantlab_server.backtests.sweeping import Kept, key_of, number_of, run_all
from quantlab_server.refusal import Refusal

BATCH: Final = 8


def search(
    axes: Sequence[Axis],
    trials: int,
    seed: int,
    *,
    lowest: bool,
    fixed: Mapping[str, Any],
    kept: Kept,
    evaluate: Evaluate,
    quotes: int,
    progress: Callable[[int, int], None],
) -> list[Row]:
    """Run so many trials; return the rows of distinct inputs in their order.

    Trials of a batch are asked for before the first of them is told, so a search that is started
    again asks for the same ones.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise Refusal(
            "--optuna: expected optuna, which is missing: install the group sweeps"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize" if lowest else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    space: dict[str, Any] = {axis.known.name: _distribution(axis) for axis in axes}
    found: dict[str, Row] = {}
    for begin in range(0, trials, BATCH):
        asked = [study.ask(space) for _ in range(min(BATCH, trials - begin))]
        combinations = [_inputs(axes, trial.params) for trial in asked]
        rows = run_all(combinations, fixed, kept, evaluate, quotes, lambda _done, _of: None)
        for trial, one, row in zip(asked, combinations, rows, strict=True):
            value = number_of(row)
            if value is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, float(value))
            found[key_of({**fixed, **one})] = row
        progress(begin + len(asked), trials)
    return list(found.values())


def _distribution(axis: Axis) -> Any:
    """Return an axis as Optuna takes it: the place of a value, or a number of a range."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if axis.is_continuous:
        return FloatDistribution(axis.low, axis.high)
    last = len(axis.values) - 1
    if axis.known.kind in ("int", "float") and list(axis.values) == sorted(axis.values):
        return IntDistribution(0, last)
    return CategoricalDistribution(list(range(last + 1)))


def _inputs(axes: Sequence[Axis], chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        axis.known.name: chosen[axis.known.name]
        if axis.is_continuous
        else axis.values[chosen[axis.known.name]]
        for axis in axes
    }
