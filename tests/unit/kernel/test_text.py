from decimal import Decimal

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from quantlab.kernel.canonical import SAFE_INTEGER, canonical_json
from quantlab.kernel.decimals import format_minor, parse_decimal, parse_minor, to_units
from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import format_rfc3339, parse_rfc3339

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE_INTEGER, SAFE_INTEGER) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_canonical_json_agrees_with_an_independent_implementation(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


def test_canonical_json_escapes_what_the_standard_escapes() -> None:
    text = "".join(map(chr, (*range(0x300), 0x2028, 0x2029, 0xFEFF, 0xFFFF, 0x1F600)))
    assert canonical_json(text) == rfc8785.dumps(text)


@pytest.mark.parametrize(
    "value",
    [1.5, float("nan"), {"a": 2**53}, {1: 2}, {"é": 1}, b"x", {"a": {1, 2}}, ["\ud800"]],
)
def test_canonical_json_refuses_what_it_cannot_hold(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        canonical_json(value)


@given(st.integers(0, 4_102_444_800_000_000))
def test_instants_survive_their_text(ts_us: int) -> None:
    assert parse_rfc3339(format_rfc3339(ts_us * 1000)) == ts_us * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01", None),
        ("now", None),
        ("2026-01-01T00:00:00.\u0663Z", None),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("2262-04-11T23:47:16.854775808Z", None),
        ("1677-09-21T00:12:43.145224192Z", -(2**63)),
        ("1677-09-21T00:12:43.145224191Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_parse_rfc3339_wants_an_offset_and_64_bits(text: str, expected: int | None) -> None:
    assert parse_rfc3339(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1e5", ".5", "5.", "0x1", "1_0", "\u0665", "1.1.1", " 1", "1" * 19, "nan", "1\n"]
)
def test_parse_decimal_takes_plain_decimals_only(text: str) -> None:
    assert parse_decimal(text) is None


@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_money_survives_its_text(amount_minor: int, digits: int) -> None:
    assert parse_minor(format_minor(amount_minor, digits), digits) == amount_minor


def test_to_units_refuses_a_rest() -> None:
    assert to_units(Decimal("1.08123"), Decimal("0.00001")) == 108123
    assert to_units(Decimal("1.081235"), Decimal("0.00001")) is None


def test_derived_ids_name_the_same_thing_alike_and_others_apart() -> None:
    assert derive_id("a", 1) == derive_id("a", "1")
    assert derive_id("ab", "c") != derive_id("a", "bc")
    identifier = derive_id("x")
    assert (identifier[14], identifier[19] in "89ab", len(identifier)) == ("8", True, 36)
