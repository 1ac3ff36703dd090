"""A cohort as columns, and the sweep over it: many patients at once. The benchmark uses it; the back-test does not.

A cohort holds readings of one kind that rules may use (blood pressures, say: accepted, of certain time). Each signal is in
millionths of its unit, so that every comparison is exact. What a sweep finds are stretches: from which reading to which a rule
holds, as `trend_kernels` has it. It makes no episodes, tells nobody and has no threads (`server.sweeps` has).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules import sweep_kernels
from server.rules.clinical_days import Calendar
from server.rules.sweep_columns import FOREVER, STRETCH_COLUMNS
from server.rules.sweep_plan import Plan
from server.rules.trend_kernels import Int64s

FIRST_ROOM: Final = 1 << 14
"""Rows for the stretches of a range of patients to begin with; twice as many where they do not suffice for one patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Patients one after another, each one's readings by time. Patient p has the rows `first[p]` to before `first[p + 1]`."""

    first: Int64s
    at_us: Int64s
    values: NDArray[np.int32]
    """[signals, n], in millionths of the signal's unit."""
    calendar: Int64s
    """By patient: the row of `spans_from` and `shifts`, whose rows are `Calendar.shifts`."""
    spans_from: Int64s
    shifts: Int64s
    until_us: int
    """The end of everybody's history: who has been silent until then has been silent."""

    def __post_init__(self) -> None:
        rows = int(self.first[-1])
        assert len(self.at_us) == rows
        assert self.values.shape[1:] == (rows,)
        assert len(self.calendar) == self.patients
        assert self.spans_from.shape == self.shifts.shape

    @property
    def patients(self) -> int:
        return len(self.first) - 1


def calendars(each: Sequence[Calendar], from_year: int, to_year: int) -> tuple[Int64s, Int64s]:
    """`spans_from` and `shifts` of a cohort with readings of these years: a row a calendar, filled up with the far future."""
    found = [calendar.shifts(from_year, to_year) for calendar in each]
    spans_from = np.full((len(found), max(map(len, found))), FOREVER, np.int64)
    shifts = np.zeros_like(spans_from)
    for row, spans in enumerate(found):
        spans_from[row, : len(spans)], shifts[row, : len(spans)] = zip(*spans, strict=True)
    return spans_from, shifts


def stretches(
    cohort: Cohort, plan: Plan, begin: int = 0, end: int | None = None, *, room: int = FIRST_ROOM
) -> Iterator[Int64s]:
    """What the rules of `plan` find in the patients from `begin` to before `end`, in tables int64[m, 5].

    Columns: RULE (its number in the plan), PATIENT, SINCE, UNTIL and OVER (see `sweep_columns`). Ordered by patient, rule and
    time. A table is good until the next is asked for, which is written in its place.
    """
    end = cohort.patients if end is None else end
    assert 0 <= begin <= end <= cohort.patients
    found = np.empty((room, STRETCH_COLUMNS), np.int64)
    while begin < end:
        rows, following = sweep_kernels.judge(
            cohort.first,
            cohort.at_us,
            cohort.values,
            cohort.calendar,
            cohort.spans_from,
            cohort.shifts,
            plan.scores,
            plan.table,
            cohort.until_us,
            begin,
            end,
            found,
        )
        if following == begin:
            found = np.empty((2 * len(found), STRETCH_COLUMNS), np.int64)
            continue
        yield found[:rows]
        begin = following
