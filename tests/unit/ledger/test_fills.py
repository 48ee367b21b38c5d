from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.kernel.check import InvariantBroken
from quantlab.ledger.fills import net
from quantlab.ledger.state import Position

FILLS = st.lists(
    st.tuples(st.sampled_from((1, -1)), st.integers(1, 10**6), st.integers(1, 10**6)), max_size=40
)


def held(size_steps: int, cost: int) -> Position:
    return Position("EURUSD", size_steps, cost, None, None, 0, 1)


@pytest.mark.parametrize(
    ("position", "side", "size", "price", "expected"),
    [
        (None, 1, 10, 100, (10, 1000, 0, 0, 10)),
        (None, -1, 10, 100, (-10, -1000, 0, 0, 10)),
        (held(10, 1000), 1, 5, 200, (15, 2000, 0, 0, 5)),
        (held(10, 1000), -1, 10, 120, (0, 0, 200, 10, 0)),
        (held(-10, -1000), 1, 10, 90, (0, 0, 100, 10, 0)),
        (held(10, 1000), -1, 4, 90, (6, 600, -40, 4, 0)),
        (held(10, 1000), -1, 15, 110, (-5, -550, 100, 10, 5)),
        (held(3, 100), -1, 1, 40, (2, 67, 7, 1, 0)),
        (held(-3, -100), 1, 1, 30, (-2, -66, 4, 1, 0)),
    ],
    ids=["open long", "open short", "add", "close long", "close short", "part", "reverse",
         "floor of a long's cost", "floor of a short's cost"],
)  # fmt: skip
def test_net(
    position: Position | None, side: int, size: int, price: int, expected: tuple[int, ...]
) -> None:
    netted = net(position, side, size, price)
    assert (
        netted.size_steps, netted.cost, netted.gain, netted.closed_steps, netted.opened_steps,
    ) == expected  # fmt: skip


@given(FILLS, st.integers(1, 10**6))
def test_gains_and_cost_conserve_value_whatever_the_order_of_fills(
    fills: list[tuple[int, int, int]], last_price: int
) -> None:
    """Realised gains plus the open gain are what cash flow alone says, to the last tick."""
    position, gains, cash = None, 0, 0
    for side, size, price in fills:
        netted = net(position, side, size, price)
        gains += netted.gain
        cash -= side * size * price
        position = held(netted.size_steps, netted.cost) if netted.size_steps else None
    size_steps, cost = (position.size_steps, position.cost) if position else (0, 0)
    assert gains + size_steps * last_price - cost == cash + size_steps * last_price
    assert size_steps == sum(side * size for side, size, _ in fills)


@given(FILLS)
def test_the_cost_of_a_position_lies_among_its_prices(fills: list[tuple[int, int, int]]) -> None:
    position = None
    for side, size, price in fills:
        netted = net(position, side, size, price)
        position = held(netted.size_steps, netted.cost) if netted.size_steps else None
        if position is not None:
            average = Fraction(position.cost, position.size_steps)
            assert 0 <= average <= 10**6 + 1


def test_an_empty_fill_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        net(None, 1, 0, 100)
