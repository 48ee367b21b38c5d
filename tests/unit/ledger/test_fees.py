"""What fills cost: worked examples, exactness against fractions, and an order's minimum."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_cases import catalog

from quantlab.ledger.fees import charged_fee_micro, fees_of, raw_fee_micro
from quantlab.ledger.trading_terms import STANDARD, read_trading_terms
from quantlab.market.costs import Commission
from quantlab.market.document import CatalogError

MICRO = 1_000_000
EURUSD = catalog().instruments["EURUSD"]
USDJPY = catalog().instruments["USDJPY"]
ES = catalog().instruments["ES"]


def raw(steps: int, price: int, unit: tuple[int, int], *terms: int) -> int:
    return raw_fee_micro(steps, price, *unit, *terms)


def test_a_lot_costs_its_commission_whatever_the_price() -> None:
    fees = fees_of(ES)
    assert (fees.step_num, fees.step_den) == (225 * MICRO, 1)
    # Three contracts at 2.25 a side: 6.75 in the account's currency.
    assert raw(3, 20_000, (1, 1), fees.step_num, 1, fees.notional_ppm, 1, 1) == 675 * MICRO


def test_basis_points_are_of_the_notional_in_the_accounts_currency() -> None:
    # 0.50 lots of EURUSD at 1.10000 are 55,000 USD; 0.25 bp of that is 1.375 USD.
    unit = (EURUSD.unit_num, EURUSD.unit_den)
    assert raw(50, 110_000, unit, 0, 1, 25, 1, 1) == 137_500_000
    # One lot of USDJPY at 150.000 is 15,000,000 yen; 0.2 bp is 300 yen, at 150 yen 2.00 USD.
    unit = (USDJPY.unit_num, USDJPY.unit_den)
    assert raw(100, 150_000, unit, 0, 1, 20, 100, 150) == 200 * MICRO


@given(
    st.integers(1, 10_000),
    st.integers(-200_000, 200_000),
    st.integers(0, 10**9),
    st.integers(1, 1000),
    st.integers(0, 10_000),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
)
def test_a_fee_is_within_two_millionths_of_the_exact_one(
    steps: int, price: int, num: int, den: int, ppm: int, rate_num: int, rate_den: int
) -> None:
    unit = Fraction(EURUSD.unit_num, EURUSD.unit_den)
    rate = Fraction(rate_num, rate_den)
    share = unit * abs(price) * steps * ppm / MICRO
    exact = Fraction(num, den) * steps + share * rate
    got = raw(steps, price, (unit.numerator, unit.denominator), num, den, ppm, rate_num, rate_den)
    assert abs(got - exact) <= 1 + rate


@given(st.lists(st.integers(0, 3 * MICRO), min_size=1, max_size=8), st.integers(0, 5 * MICRO))
def test_an_order_costs_its_fees_or_the_minimum_in_however_many_fills(
    fees: list[int], minimum: int
) -> None:
    before, charged = 0, []
    for index, fee in enumerate(fees):
        charged.append(charged_fee_micro(fee, index > 0, before, minimum))
        before += fee
    assert all(one >= 0 for one in charged)
    assert sum(charged) == max(minimum, sum(fees))


def test_an_account_type_overrides_by_symbol_then_class_then_all() -> None:
    def terms(*names: str) -> dict[str, object]:
        lots = {name: {"commissionMinorPerLot": f"{len(name)}"} for name in names}
        return {"commissions": lots}

    both = read_trading_terms(terms("EURUSD", "fx", "*"))
    assert both.fees(EURUSD) == fees_of(EURUSD, Commission(Decimal(6)))
    assert both.fees(USDJPY).step_num * 100 == 2 * MICRO
    assert both.fees(ES).step_num == 1 * MICRO
    assert STANDARD.fees(ES) == fees_of(ES), "an instrument charges its own without any"


@pytest.mark.parametrize(
    ("fees", "pointer"),
    [
        ({"commissionMinorPerLot": "-1"}, "/commissions/*/commissionMinorPerLot"),
        (
            {"commissionMinorPerLot": "0", "commissionBasisPoints": "0.005"},
            "/commissions/*/commissionBasisPoints",
        ),
        (
            {"commissionMinorPerLot": "0", "minimumMinorPerOrder": "-3"},
            "/commissions/*/minimumMinorPerOrder",
        ),
        ({"commissionMinorPerLot": "0", "perSide": "1"}, "/commissions/*/perSide"),
    ],
)
def test_a_commission_that_cannot_be_is_named(fees: dict[str, str], pointer: str) -> None:
    with pytest.raises(CatalogError) as raised:
        read_trading_terms({"commissions": {"*": fees}})
    assert raised.value.pointer == pointer
