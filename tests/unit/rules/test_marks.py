"""The relative mark "far from the median of the last 14 days", against the median itself."""

from statistics import median

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.rules import kernels
from server.rules.pressure_marks import mark
from server.rules.windows import ACCEPTED, INVALID, REJECTED, SUSPECT

DAY_US = 86_400_000_000
USABLE = (SUSPECT, ACCEPTED)

reading = st.tuples(
    st.sampled_from([0.01, 0.25, 0.25, 0.25, 0.5, 0.5, 1.0, 7.0]),  # days since the reading before
    st.sampled_from([100, 119, 120, 121, 160, 161]),
    st.sampled_from([*[ACCEPTED] * 6, SUSPECT, REJECTED, INVALID]),
    st.sampled_from([1, 1, 1, 1, 1, 0]),
)


@settings(max_examples=300)
@given(st.lists(reading, max_size=40))
def test_a_reading_is_doubted_when_it_is_more_than_40_from_the_median_of_five_or_more(
    drawn: list[tuple[float, int, int, int]],
) -> None:
    at_us = [round(DAY_US * sum(gap for gap, *_ in drawn[: i + 1])) for i in range(len(drawn))]
    expected = []
    for i, (_, systolic, absolute, certain) in enumerate(drawn):
        earlier = [
            other
            for (_, other, mark, is_certain), at in zip(drawn[:i], at_us[:i], strict=True)
            if at >= at_us[i] - 14 * DAY_US and is_certain and mark in USABLE
        ]
        is_far = len(earlier) >= 5 and abs(systolic - median(earlier)) > 40
        doubted = absolute == SUSPECT or (absolute == ACCEPTED and is_far)
        expected.append(SUSPECT if doubted or (not certain and absolute == ACCEPTED) else absolute)
    first = np.array([0, len(drawn)], np.int64)
    systolic_umm = np.array([each[1] for each in drawn], np.int64) * kernels.MICRO
    # Neither the pulse pressure nor the diastolic value is odd in itself.
    diastolic_umm = systolic_umm - np.array([30 + 35 * (i % 2) for i in range(len(drawn))], np.int64) * kernels.MICRO
    got = mark(
        first,
        np.array(at_us, np.int64),
        systolic_umm,
        diastolic_umm,
        np.array([each[2] for each in drawn], np.int8),
        np.array([each[3] for each in drawn], np.int8),
    )
    believed = [promoted(i, drawn, at_us, expected, diastolic_umm) for i in range(len(drawn))]
    assert list(got) == [
        ACCEPTED if is_believed else mark for mark, is_believed in zip(expected, believed, strict=True)
    ]


def promoted(
    i: int, drawn: list[tuple[float, int, int, int]], at_us: list[int], marks: list[int], diastolic: np.ndarray
) -> bool:
    """Whether another doubted reading within a day agrees with it."""

    def is_doubted(j: int) -> bool:
        return marks[j] == SUSPECT and drawn[j][3] == 1

    return is_doubted(i) and any(
        j != i
        and is_doubted(j)
        and 45_000_000 <= abs(at_us[j] - at_us[i]) <= DAY_US
        and abs(drawn[j][1] - drawn[i][1]) <= 20
        and abs(int(diastolic[j] - diastolic[i])) <= 20 * kernels.MICRO
        for j in range(len(drawn))
    )
