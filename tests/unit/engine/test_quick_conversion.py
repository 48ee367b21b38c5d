"""The conversion by a double, interpreted and compiled, against the exact one."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantlab.engine.native import kernels
from quantlab.kernel.arith import LIMIT, muldiv
from quantlab.ledger.scalars import VALUE_MICRO_LIMIT, in_currency, product_limit

Converted = Callable[[int, Any], int]
Rate = tuple[int, int]

terms = st.integers(1, 1_000) | st.integers(1, 2**31 - 1)
rates = st.tuples(terms, terms) | st.builds(
    lambda large, small, turned: (large, small) if turned else (small, large),
    st.integers(1, LIMIT // 1_000 - 1),
    st.integers(1, 1_000),
    st.booleans(),
)
parts = st.integers(-VALUE_MICRO_LIMIT, VALUE_MICRO_LIMIT) | st.integers(-(10**6), 10**6)


def convert(gain: int, table: Any) -> int:
    return kernels.converted(gain, 1, table, kernels.ratios_of(table))


def row(gain: Rate, loss: Rate) -> tuple[int, ...]:
    most = min(product_limit(VALUE_MICRO_LIMIT, *gain), product_limit(VALUE_MICRO_LIMIT, *loss))
    return (*gain, *loss, most)


def table_of(gain: Rate, loss: Rate) -> Any:
    return np.array([(1, 1, 1, 1, VALUE_MICRO_LIMIT), row(gain, loss)], np.int64)


@pytest.fixture(scope="module", params=["interpreted", "compiled"])
def converted(request: pytest.FixtureRequest) -> Converted:
    if request.param == "interpreted":
        return convert
    ratios_of, convert_by = kernels.ratios_of, kernels.converted

    @numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def compiled(gain: int, table: Any) -> int:
        return convert_by(gain, 1, table, ratios_of(table))

    return lambda gain, table: int(compiled(gain, table))


@given(parts, rates, rates)
@example(2**52 - 1, (1, 3), (1, 2))
@example(-1, (1_000, 1), (1, 1))
@example(-7, (1, 3), (1, 2))
@example(-(10**12), (100_000, 110_123), (100_000, 110_115))
@example(0, (2**31 - 1, 2**31 - 1), (1, 1))
def test_it_is_in_currency(converted: Converted, gain: int, gains: Rate, losses: Rate) -> None:
    table = table_of(gains, losses)
    if abs(gain) <= table[1, 4]:
        assert converted(gain, table) == in_currency(gain, *gains, *losses)


@given(
    st.integers(-(2**50), 2**50) | st.integers(-1_000, 1_000),
    st.integers(1, 2**20) | st.integers(1, 2**31),
    st.integers(1, 2**31) | st.just(1),
    st.integers(-2, 2),
)
@example(65_065_504_915_560, 2 * 16_277, 1, 0)
@example(-104_623_362_305, 2 * 836_379, 1, 0)
def test_around_halves_the_exact_amount_decides(
    converted: Converted, whole: int, denominator: int, numerator: int, off: int
) -> None:
    """In both examples the double is nearer to the odd number, above the half and below it."""
    gain = (2 * whole + 1) * denominator // (2 * numerator) + off
    table = table_of((numerator, denominator), (numerator, denominator))
    if abs(gain) <= table[1, 4]:
        assert converted(gain, table) == muldiv(gain, numerator, denominator)


@given(rates, st.integers(45, 57), st.integers(-3, 3), st.sampled_from([-1, 1]))
def test_beyond_what_a_double_tells_it_is_as_exact(
    converted: Converted, rate: Rate, power: int, off: int, sign: int
) -> None:
    table = table_of(rate, rate)
    gain = sign * (2**power * rate[1] // rate[0] + off)
    if abs(gain) <= table[1, 4]:
        assert converted(gain, table) == muldiv(gain, *rate)


@pytest.mark.parametrize("denominator", [1, 2, 3, 7, 10, 110_123, 2**26 + 1, LIMIT - 1])
def test_values_around_multiples_are_not_one_off(converted: Converted, denominator: int) -> None:
    table = table_of((1, denominator), (1, denominator))
    for multiple in (0, 1, 2, 5, 1_000, 2**25, 2**49 - 1, 2**49, (2**52 - 4) // denominator):
        for sign in (-1, 1):
            for off in (-2, -1, 0, 1, 2):
                gain = sign * multiple * denominator + off
                if abs(gain) <= table[1, 4]:
                    assert converted(gain, table) == muldiv(gain, 1, denominator)
