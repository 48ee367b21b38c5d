"""The division by a reciprocal, interpreted and compiled, against the exact one."""

from collections.abc import Callable

import numba
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantlab.engine.native import kernels
from quantlab.kernel.arith import LIMIT, muldiv

Muldiv = Callable[[int, int, int], int]
AMOUNTS = st.integers(-LIMIT + 1, LIMIT - 1) | st.integers(-(2**52) - 2, 2**52 + 2)
TERMS = st.integers(1, 2**31 - 1) | st.integers(1, 1_000)


@pytest.fixture(scope="module", params=["interpreted", "compiled"])
def quick(request: pytest.FixtureRequest) -> Muldiv:
    if request.param == "interpreted":
        return kernels.muldiv_quick

    @numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def compiled(value: int, numerator: int, denominator: int) -> int:
        return kernels.muldiv_quick(value, numerator, denominator)

    return compiled


@given(AMOUNTS, TERMS, TERMS)
@example(2**52 - 1, 1, 3)
@example(-(2**52) + 1, 1, 2)
@example(-7, 1, 2)
@example(-(10**12), 100_000, 110_123)
@example(0, 2**31 - 1, 2**31 - 1)
def test_it_is_muldiv(quick: Muldiv, value: int, numerator: int, denominator: int) -> None:
    exact = muldiv(value, numerator, denominator)
    if abs(exact) < LIMIT:
        assert quick(value, numerator, denominator) == exact


@pytest.mark.parametrize("denominator", [1, 2, 3, 7, 10, 110_123, 2**26 + 1])
def test_values_around_multiples_are_not_one_off(quick: Muldiv, denominator: int) -> None:
    for multiple in (0, 1, 2, 5, 1_000, 2**25, (2**52 - 4) // denominator):
        for sign in (-1, 1):
            for off in (-2, -1, 0, 1, 2):
                value = sign * multiple * denominator + off
                assert quick(value, 1, denominator) == muldiv(value, 1, denominator)
