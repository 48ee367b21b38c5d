"""Records behave like the frozen dataclasses that the type checker takes them for."""

import dataclasses
from dataclasses import field

import pytest

from quantlab.kernel.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pair:
    left: int
    right: str = "r"
    more: dict[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.left < 0:
            raise ValueError("negative")


@dataclass(frozen=True, slots=True)
class One:
    only: int


@dataclass(slots=True)
class Mutable:
    count: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Foreign:
    left: int
    right: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    left: int
    right: str


def test_a_changed_record_keeps_all_other_fields() -> None:
    more = {"a": 1}
    pair = Pair(1, "x", more)
    changed = replace(pair, right="y")
    assert (changed.left, changed.right, changed.more) == (1, "y", more)
    assert changed.more is more
    assert pair == Pair(1, "x")
    assert replace(pair) == pair
    assert replace(pair) is not pair
    assert replace(One(3), only=4) == One(4)
    assert replace(One(3)) == One(3)
    assert replace(Foreign(1, "f"), left=2) == Foreign(2, "f")
    assert replace(Named(left=1, right="n"), left=2) == Named(left=2, right="n")


def test_what_a_record_checks_of_itself_is_checked_again() -> None:
    with pytest.raises(ValueError, match="negative"):
        replace(Pair(1), left=-1)


def test_a_field_that_is_not_there_is_named() -> None:
    with pytest.raises(TypeError, match="middle"):
        replace(Pair(1), middle=2)  # type: ignore[call-arg]


def test_records_are_equal_and_hashed_by_their_values() -> None:
    assert hash(Pair(1, "x", {"a": 1})) == hash(Pair(1, "x"))
    assert len({Pair(1), Pair(1), Pair(2)}) == 2
    assert Pair(1) != Pair(2)
    assert dataclasses.asdict(Pair(1)) == {"left": 1, "right": "r", "more": {}}
    with pytest.raises(TypeError, match="unhashable"):
        hash(Mutable())


def test_a_record_takes_no_other_attribute() -> None:
    with pytest.raises(AttributeError):
        Pair(1).other = 1  # type: ignore[attr-defined]
