"""What every rule sees of a patient: each reading's quality, the sittings and measured days of blood pressure. Computed once.

Joins the kernels to the patient's calendar. It knows no rule.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.clinical_days import Calendar
from server.rules.kernels import Int8s, Int64s
from server.rules.pressure_marks import mark
from server.rules.weight_marks import strange
from server.rules.windows import (
    ACCEPTED,
    BLOOD_PRESSURE,
    SUSPECT,
    TIME_CERTAIN,
    TIME_UNUSABLE,
    WEIGHT,
    PatientHistory,
    Window,
    from_us,
)

GRADES: Final = ("weak", "adequate", "full")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressures:
    """The blood-pressure readings that rules may use, in order of time: no orphans.

    `row` is the place in the window; pressures are integers of µmmHg, `quality` is final, `day` an ordinal, `sitting` -1
    where the time is in doubt.
    """

    row: NDArray[np.intp]
    at_us: Int64s
    received_us: Int64s
    systolic: Int64s
    diastolic: Int64s
    quality: Int8s
    sitting: Int64s
    day: Int64s

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayValue:
    """One measured day: means over its sittings in mmHg."""

    day: int
    systolic_mmhg: float
    diastolic_mmhg: float
    readings: int
    sittings: int
    grade: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A patient at `now`. `open_from` is the first day that is not closed yet; days up to `unjudged` are not judged.

    `is_explained`: findings come with their verdicts. Whoever only counts them saves a third of the work without.
    """

    history: PatientHistory
    calendar: Calendar
    now: datetime
    open_from: int
    unjudged: int
    day: Int64s  # of each row of the window
    quality: Int8s  # of each row of the window, final
    pressures: Pressures
    sittings: Int64s  # see kernels.sittings
    days: Int64s  # see kernels.measured_days
    is_explained: bool = True
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, question: Hashable, answer: Callable[[], T]) -> T:
        """What `answer` says of this patient, worked out for the first rule that asks. It may not depend on a rule's numbers."""
        if question not in self._known:
            self._known[question] = answer()
        known: T = self._known[question]
        return known

    def value_of(self, index: int) -> DayValue:
        """The measured day in row `index` of `days`."""
        _, day, readings, sittings, systolic, diastolic, grade = (int(cell) for cell in self.days[index])
        scale = kernels.SHARES * kernels.MICRO * sittings
        return DayValue(
            day=day,
            systolic_mmhg=systolic / scale,
            diastolic_mmhg=diastolic / scale,
            readings=readings,
            sittings=sittings,
            grade=GRADES[grade],
        )

    def accepted_in(self, index: int) -> list[int]:
        """The accepted readings (places in `pressures`) of the measured day in row `index`, in order of time."""
        first, places = self.once("by_day", lambda: grouped(*self.accepted_days, self.days[:, 1]))
        return [int(place) for place in places[first[index] : first[index + 1]]]

    @property
    def accepted_days(self) -> tuple[NDArray[np.intp], Int64s]:
        """The accepted readings that belong to a sitting (places in `pressures`, by time), and the measured day of each."""
        return self.once("accepted_days", self._accepted_days)

    def _accepted_days(self) -> tuple[NDArray[np.intp], Int64s]:
        pressures = self.pressures
        places = np.flatnonzero((pressures.quality == ACCEPTED) & (pressures.sitting >= 0))
        day_of = np.zeros(int(pressures.sitting.max(initial=-1)) + 1, np.int64)
        day_of[self.sittings[:, 5]] = self.sittings[:, 1]
        return places, day_of[pressures.sitting[places]]

    def at(self, place: int) -> datetime:
        """When the reading at `place` of `pressures` was measured."""
        return from_us(int(self.pressures.at_us[place]))

    def reading_id(self, place: int) -> str:
        return str(self.history.window.reading_ids[self.pressures.row[place]])


def features_of(history: PatientHistory, *, now: datetime, is_explained: bool = True) -> Features:
    """Everything rules share, computed from `history` as it stands at `now`."""
    calendar = Calendar(history.zones, now)
    day = calendar.days_of(history.window.measured_at_us)
    pressures = _pressures_of(history, day)
    quality = history.window.quality.copy()
    quality[pressures.row] = pressures.quality
    quality[_others_weights(history.window, day)] = SUSPECT
    first = np.array([0, len(pressures)], np.int64)
    table = kernels.sittings(
        first, pressures.systolic, pressures.diastolic, pressures.quality, pressures.sitting, pressures.day
    )
    return Features(
        history=history,
        calendar=calendar,
        now=now,
        open_from=calendar.open_from(now),
        unjudged=0 if history.judged_from is None else calendar.day_of(history.judged_from),
        day=day,
        quality=quality,
        pressures=pressures,
        sittings=table,
        days=kernels.measured_days(table),
        is_explained=is_explained,
    )


def grouped(members: NDArray[np.intp], key_of: Int64s, keys: Int64s) -> tuple[Int64s, NDArray[np.intp]]:
    """`first` and the members put together by key: those of `keys[i]` are `members[first[i]:first[i + 1]]`, in their order.

    `keys` ascend. A member whose key is not among them is left out.
    """
    order = np.argsort(key_of, kind="stable")
    order = order[np.isin(key_of[order], keys)]
    return np.append(np.searchsorted(key_of[order], keys), len(order)), members[order]


def _pressures_of(history: PatientHistory, day: Int64s) -> Pressures:
    window = history.window
    row = np.flatnonzero((window.kind == BLOOD_PRESSURE) & (window.time_quality != TIME_UNUSABLE))
    at_us = window.measured_at_us[row]
    systolic, diastolic = kernels.micro(window.systolic_mmhg[row]), kernels.micro(window.diastolic_mmhg[row])
    certain = (window.time_quality[row] == TIME_CERTAIN).astype(np.int8)
    first = np.array([0, len(row)], np.int64)
    return Pressures(
        row=row,
        at_us=at_us,
        received_us=window.received_at_us[row],
        systolic=systolic,
        diastolic=diastolic,
        quality=mark(first, at_us, systolic, diastolic, window.quality[row], certain),
        sitting=kernels.sit(first, at_us, certain),
        day=day[row],
    )


def _others_weights(window: Window, day: Int64s) -> NDArray[np.intp]:
    """The rows of weights that are likely somebody else's."""
    is_weight = (window.kind == WEIGHT) & (window.quality == ACCEPTED)
    if not is_weight.any():  # most patients have no scale
        return np.zeros(0, np.intp)
    row = np.flatnonzero(is_weight & (window.time_quality != TIME_UNUSABLE))
    return row[strange(window.measured_at_us[row], kernels.micro(window.weight_kg[row]), day[row])]
