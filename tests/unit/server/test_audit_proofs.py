"""One value has one spelling, and two values never share one; a path leads to its root and to no other."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audit.proofs import canonical, merkle_path, merkle_root, root_by_path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ({"b": 1, "a": None}, '{"a":null,"b":1}'),
        ('\u00e9\u2028\n\x01"', '"\u00e9\u2028\\n\\u0001\\""'),
        (1e-7, "0.0000001"),
        (140.0, "140.0"),
        (1e22, "10000000000000000000000"),
        (Decimal("1.10"), "1.10"),
        (float("nan"), '{"number":"NaN"}'),
        (datetime(2026, 11, 23, 13, 10, tzinfo=timezone(timedelta(hours=8))), '"2026-11-23T05:10:00.000000Z"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"\x00\xff", '"00ff"'),
        ((True, False), "[true,false]"),
    ],
)
def test_spellings(value: object, spelling: str) -> None:
    assert canonical(value) == spelling


@given(VALUES)
def test_what_is_read_back_is_spelt_alike(value: Any) -> None:
    """So that an export, which is read as JSON, comes to the digest that the database came to."""
    spelling = canonical(value)
    assert canonical(json.loads(spelling, parse_float=Decimal)) == spelling


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), ("1", 1), (Decimal("1.1"), Decimal("1.10")), ([], {}), (None, "null")]
)
def test_what_is_not_the_same_is_not_spelt_alike(one: object, other: object) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("value", [object(), {1, 2}, datetime(2026, 1, 1)])  # noqa: DTZ001 - it is refused
def test_what_has_no_spelling_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True), st.data())
def test_a_leafs_path_leads_to_the_root_and_no_other_leafs_does(values: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values) - 1))
    path = merkle_path(values, place)
    assert root_by_path(values[place], path) == merkle_root(values)
    assert root_by_path(bytes(31) + b"x", path) != merkle_root(values)


def test_the_root_is_that_of_rfc_9162() -> None:
    """The worked example of certificate transparency: the tree of the seven leaves of google/certificate-transparency."""
    leaves = [bytes.fromhex(each) for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    assert merkle_root(leaves).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"
    assert merkle_root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
