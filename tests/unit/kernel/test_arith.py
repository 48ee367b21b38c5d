from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.kernel.arith import LIMIT, book, muldiv

DENOMINATORS = st.integers(1, 1 << 31)
NUMERATORS = st.integers(1, (1 << 31) - 1)


@given(st.integers(-(1 << 61), 1 << 61), NUMERATORS, DENOMINATORS)
def test_muldiv_is_the_exact_product_rounded_half_to_even(value: int, num: int, den: int) -> None:
    exact = Fraction(value * num, den)
    if num * den < LIMIT and abs(exact) < LIMIT:
        assert muldiv(value, num, den) == round(exact)


@pytest.mark.parametrize(
    ("value", "num", "den", "expected"),
    [(1, 1, 2, 0), (3, 1, 2, 2), (-1, 1, 2, 0), (-3, 1, 2, -2), (5, 1, 2, 2), (7, 1, 2, 4)],
)
def test_muldiv_ties_go_to_even(value: int, num: int, den: int, expected: int) -> None:
    assert muldiv(value, num, den) == expected


def test_a_hundred_thousand_fills_of_half_a_cent_neither_gain_nor_lose() -> None:
    balance, carry = 0, 0
    for _ in range(100_000):
        booked, carry = book(510_000, carry)
        balance += booked
    assert (balance, carry) == (51_000, 0)


@given(st.lists(st.integers(-(10**12), 10**12), max_size=50))
def test_booking_with_carry_conserves_every_micro_unit(amounts: list[int]) -> None:
    balance, carry = 0, 0
    for amount in amounts:
        booked, carry = book(amount, carry)
        balance += booked
        assert abs(carry) <= 500_000
    assert balance * 1_000_000 + carry == sum(amounts)
