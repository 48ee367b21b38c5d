"""Whole numbers divided by a constant through its reciprocal: the double that dividing gives."""

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from quantlab.backtest.native.glue import DEN_MAX, reciprocal

DENS = st.one_of(
    st.integers(0, 12).map(lambda power: 10**power),
    st.integers(0, 40).map(lambda power: 1 << power),
    st.integers(1, int(DEN_MAX)),
)


@given(st.integers(-(1 << 63), (1 << 63) - 1), DENS)
@example((1 << 63) - 1, 3)
@example((1 << 53) - 1, int(DEN_MAX) - 87)
@example(0, 7)
def test_a_product_with_the_reciprocal_is_the_quotient(number: int, den: int) -> None:
    parts = reciprocal(float(den))
    assert parts is not None
    high, low = parts
    value = float(number)
    rest = Fraction(value * low)
    assert float(Fraction(value) * Fraction(high) + rest) == value / float(den)


def test_what_is_no_whole_number_or_too_large_has_none() -> None:
    assert reciprocal(2.5) is None
    assert reciprocal(0.0) is None
    assert reciprocal(DEN_MAX * 2) is None
