"""The relative mark of a weight, against the median and the definition itself."""

from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.rules.weight_marks import strange

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

weighed = st.tuples(
    st.sampled_from([0, 1, 23 * HOUR_US, DAY_US, 2 * DAY_US, 3 * DAY_US, 3 * DAY_US + 1, 14 * DAY_US, 14 * DAY_US + 1]),
    st.sampled_from(["70", "70.5", "72", "75", "75.000001", "77", "77.000001", "79.1", "64", "65"]),
)

OWN = [(0, "70"), (DAY_US, "70"), (DAY_US, "70")]


def strange_of(weights: list[tuple[int, str]], days: list[int] | None = None) -> list[int]:
    """The places of the strange among weights (microseconds since the one before, kg)."""
    at_us = np.cumsum([gap for gap, _ in weights], dtype=np.int64)
    micro_kg = np.array([int(Fraction(kg) * 1_000_000) for _, kg in weights], np.int64)
    day = at_us // DAY_US if days is None else np.array(days, np.int64)
    return [int(place) for place in strange(at_us, micro_kg, day)]


def defined(weights: list[tuple[int, str]]) -> list[int]:
    """The same, word by word."""
    at, total = [], 0
    for gap, _ in weights:
        total += gap
        at.append(total)
    kg = [Fraction(each) for _, each in weights]
    far = []
    for i in range(len(kg)):
        own = [kg[j] for j in range(i) if at[j] >= at[i] - 14 * DAY_US]
        far.append(bool(own) and abs(kg[i] - median(own)) > 5)

    def agree(i: int, j: int) -> bool:
        return (
            0 <= j < len(kg)
            and far[j]
            and at[i] // DAY_US != at[j] // DAY_US
            and abs(at[i] - at[j]) <= 72 * HOUR_US
            and abs(kg[i] - kg[j]) <= 2
        )

    return [i for i in range(len(kg)) if far[i] and not agree(i, i - 1) and not agree(i, i + 1)]


@settings(max_examples=400)
@given(st.lists(weighed, max_size=30))
def test_a_weight_is_strange_as_the_definition_says(weights: list[tuple[int, str]]) -> None:
    assert strange_of(weights) == defined(weights)


@pytest.mark.parametrize(("kg", "found"), [("75", []), ("75.000001", [1]), ("65", []), ("64.999999", [1])])
def test_exactly_5_kg_is_no_guest(kg: str, found: list[int]) -> None:
    assert strange_of([(0, "70"), (DAY_US, kg)]) == found


@pytest.mark.parametrize(("kg", "found"), [("76.5", []), ("76.500001", [2])])
def test_of_an_even_number_the_median_lies_between_the_two_in_the_middle(kg: str, found: list[int]) -> None:
    assert strange_of([(0, "70"), (DAY_US, "73"), (DAY_US, kg)]) == found


@pytest.mark.parametrize(
    ("gap_us", "kg", "found"),
    [
        (DAY_US, "82", []),
        (DAY_US, "78", []),
        (DAY_US, "82.000001", [1, 2]),
        (72 * HOUR_US, "80", []),
        (72 * HOUR_US + 1, "80", [1, 2]),
        (HOUR_US, "80", [1, 2]),  # on the same day
    ],
)
def test_two_alike_of_different_days_are_believed(gap_us: int, kg: str, found: list[int]) -> None:
    assert strange_of([*OWN, (DAY_US, "80"), (gap_us, kg)]) == [len(OWN) - 1 + place for place in found]


def test_what_stands_between_two_that_agree_parts_them() -> None:
    assert strange_of([*OWN, (DAY_US, "80"), (HOUR_US, "70"), (DAY_US, "80")]) == [3, 5]


def test_the_first_weight_and_the_first_after_a_fortnight_are_nobodys_guest() -> None:
    assert strange_of([(0, "70"), (14 * DAY_US, "90")]) == [1]
    assert strange_of([(0, "70"), (14 * DAY_US + 1, "90")]) == []


def test_a_day_is_the_patients_own() -> None:
    weights = [*OWN, (DAY_US, "80"), (HOUR_US, "80")]
    assert strange_of(weights, days=[1, 2, 3, 4, 5]) == []
    assert strange_of(weights, days=[1, 2, 3, 4, 4]) == [3, 4]


def test_without_weights_nothing_is_strange() -> None:
    assert strange_of([]) == []
