"""Axes of a sweep: the values an input takes, checked against what the strategy says of it.

`fast=5..20:5` takes 5, 10, 15 and 20; `slow=30,50,70` those; `fast` alone all from its least to its
most by its step. A float's range without a step is continuous: values of it can only be drawn.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from quantlab.backtest.results.draws import raw
from quantlab.kernel.decimals import parse_decimal
from quantlab.qls.ir import Input, Program
from quantlab_server.backtests.given import check_value, input_named, value_of
from quantlab_server.refusal import Refusal

OPTION: Final = "--axis"
VALUES_MAX: Final = 100_000
GRID_MAX: Final = 1_000_000
_TRIES: Final = 20
_MANTISSA: Final = 53


class Axis(NamedTuple):
    """An input and its values in their order; a continuous one has none, and its two ends."""

    known: Input
    values: tuple[Any, ...]
    low: float = 0.0
    high: float = 0.0

    @property
    def is_continuous(self) -> bool:
        """Say whether values can only be drawn."""
        return not self.values


def axes_of(
    program: Program, given: Sequence[str] | None, fixed: Mapping[str, Any]
) -> tuple[Axis, ...]:
    """Read axes, or raise Refusal: each of another input, none of which is fixed by --set."""
    found: dict[str, Axis] = {}
    for text in given or ():
        name, equals, values = text.partition("=")
        known = input_named(program, name, OPTION)
        if name in found or name in fixed:
            where = OPTION if name in found else "--set"
            raise Refusal(f"{OPTION} {name}: expected an input once, was in {where} already")
        found[name] = _axis(known, values if equals else _whole(known))
    if not found:
        raise Refusal(f"expected {OPTION} input=values at least once")
    return tuple(found.values())


def _whole(known: Input) -> str:
    """Return the text of all values of an input."""
    if known.kind == "bool":
        return "false,true"
    if known.kind == "choice":
        return ",".join(known.options)
    if known.low is None or known.high is None:
        raise Refusal(
            f"{OPTION} {known.name}: expected values, as in {known.name}=1..9:2,"
            " because the strategy does not say its least and its most"
        )
    step = "" if known.step is None else f":{_text(known, known.step)}"
    return f"{_text(known, known.low)}..{_text(known, known.high)}{step}"


def _text(known: Input, value: float) -> str:
    return str(int(value)) if known.kind == "int" else format(Decimal(str(value)), "f")


def _axis(known: Input, text: str) -> Axis:
    if known.kind == "string":
        raise Refusal(f"{OPTION} {known.name}: a string is fixed when a strategy is compiled")
    if ".." in text and known.kind in ("int", "float"):
        return _range(known, text)
    values = tuple(value_of(known, one.strip(), OPTION) for one in text.split(","))
    for value in values:
        check_value(known, value, OPTION)
    if len(set(values)) < len(values):
        raise Refusal(f"{OPTION} {known.name}: expected distinct values, was {text!r}")
    return Axis(known, values)


def _range(known: Input, text: str) -> Axis:
    ends, colon, step_text = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    low, high = _number(known, low_text, text), _number(known, high_text, text)
    if low > high:
        raise Refusal(f"{OPTION} {known.name}: expected the least first, was {text!r}")
    for end in (low, high):
        check_value(known, _value(known, end), OPTION)
    if not colon and known.kind == "float":
        return Axis(known, (), float(low), float(high))
    step = _number(known, step_text, text) if colon else Decimal(1)
    if step <= 0:
        raise Refusal(f"{OPTION} {known.name}: expected a step above 0, was {text!r}")
    count = int((high - low) / step) + 1
    if count > VALUES_MAX:
        raise Refusal(
            f"{OPTION} {known.name}: expected at most {VALUES_MAX:,} values, was {text!r}"
        )
    return Axis(known, tuple(_value(known, low + k * step) for k in range(count)))


def _number(known: Input, text: str, whole: str) -> Decimal:
    number = parse_decimal(text.strip())
    if number is None or (known.kind == "int" and number != int(number)):
        wanted = "whole numbers" if known.kind == "int" else "numbers"
        raise Refusal(
            f"{OPTION} {known.name}: expected {wanted} as in 5..20:5, was {text!r} in {whole!r}"
        )
    return number


def _value(known: Input, number: Decimal) -> Any:
    return int(number) if known.kind == "int" else float(number)


def grid(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Yield every combination, the last axis fastest; raises Refusal where that cannot be."""
    for axis in axes:
        if axis.is_continuous:
            raise Refusal(
                f"{OPTION} {axis.known.name}: expected a step, as in 0..1:0.1, or --random or"
                " --optuna, which draw from a range without one"
            )
    count = size(axes)
    if count > GRID_MAX:
        raise Refusal(f"expected at most {GRID_MAX:,} combinations, was {count:,}: see --random")
    names = [axis.known.name for axis in axes]
    for values in itertools.product(*(axis.values for axis in axes)):
        yield dict(zip(names, values, strict=True))


def size(axes: Sequence[Axis]) -> int:
    """Return how many combinations there are of axes that are not continuous."""
    return math.prod(len(axis.values) for axis in axes)


def drawn(axes: Sequence[Axis], count: int, seed: int) -> list[dict[str, Any]]:
    """Draw distinct combinations, in the order of their draws; fewer where there are too few."""
    found: dict[tuple[Any, ...], None] = {}
    words = count * len(axes)
    for turn in range(_TRIES):
        for row in raw(seed, turn * words, words).reshape(-1, len(axes)).tolist():
            values = tuple(_drawn(axis, bits) for axis, bits in zip(axes, row, strict=True))
            if len(found) < count:
                found[values] = None
    names = [axis.known.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in found]


def _drawn(axis: Axis, bits: int) -> Any:
    """Return the value of an axis for 64 bits."""
    if not axis.is_continuous:
        return axis.values[(bits >> 32) * len(axis.values) >> 32]
    share = (bits >> (64 - _MANTISSA)) / (1 << _MANTISSA)
    return axis.low + (axis.high - axis.low) * share
