"""One patient's readings in view, as arrays, with what is needed to place them in the patient's own days.

Built by the store, judged by `engine`. Order of arrival is not in here: rows are ordered by (measured_at, reading_id), so
any order, repeats and batches make the same window. It does not judge.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

BLOOD_PRESSURE, GLUCOSE = 1, 2
KIND_CODES = {"blood_pressure": BLOOD_PRESSURE, "glucose": GLUCOSE}

INVALID, REJECTED, SUSPECT, ACCEPTED = 0, 1, 2, 3
QUALITY_CODES = {"invalid": INVALID, "rejected": REJECTED, "suspect": SUSPECT, "accepted": ACCEPTED}

TIME_CERTAIN, TIME_SUSPECT, TIME_UNUSABLE = 0, 1, 2
TIME_CODES = {"synced": 0, "corrected": 0, "trusted": 0, "received": 0, "suspect": 1, "orphan": 2}
"""An orphan (a record from before a clock change) is kept and shown, and no rule uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Columns of equal length n. Times are microseconds since 1970 UTC; an absent value is NaN. `zone`s live beside it."""

    reading_ids: tuple[UUID, ...]
    kind: NDArray[np.int8]
    measured_at_us: NDArray[np.int64]
    received_at_us: NDArray[np.int64]
    systolic_mmhg: NDArray[np.float64]
    diastolic_mmhg: NDArray[np.float64]
    pulse_bpm: NDArray[np.float64]
    glucose_mmol_l: NDArray[np.float64]
    glucose_mg_dl: NDArray[np.float64]
    quality: NDArray[np.int8]  # absolute marks; the relative ones are computed at every judging
    time_quality: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.reading_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSpan:
    """`zone` (IANA) is in force from `valid_from` until the next span."""

    valid_from: datetime
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalThreshold:
    """A patient's own parameters for one rule, for example `{"systolic": 150, "diastolic": 95}`."""

    version: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientHistory:
    """All that a judging reads of one patient. Nothing else may change its answer but the rules and `now`.

    `judged_from`: readings before it are in view for the relative marks of later ones only, because their own marks may miss
    what lies further back. Days that begin before it are not judged. `None`: the view is whole.
    """

    patient_id: int
    enrolled_on: date
    zones: tuple[ZoneSpan, ...]
    window: Window
    thresholds: Mapping[str, PersonalThreshold] = field(default_factory=dict)
    judged_from: datetime | None = None


Row = tuple[
    UUID, str, datetime, datetime, float | None, float | None, float | None, float | None, float | None, str, str
]
"""(reading_id, kind, measured_at, received_at, systolic_mmhg, diastolic_mmhg, pulse_bpm, glucose_mmol_l, glucose_mg_dl,
quality, time_quality): instants aware, absent values `None`, words as stored."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def window_of(rows: Iterable[Row]) -> Window:
    """The window of `rows`, in any order. A repeated reading_id is kept once."""
    ordered = sorted({row[0]: row for row in rows}.values(), key=lambda row: (row[2], row[0]))
    return Window(
        reading_ids=tuple(row[0] for row in ordered),
        kind=np.array([KIND_CODES[row[1]] for row in ordered], np.int8),
        measured_at_us=np.array([to_us(row[2]) for row in ordered], np.int64),
        received_at_us=np.array([to_us(row[3]) for row in ordered], np.int64),
        systolic_mmhg=_column(ordered, 4),
        diastolic_mmhg=_column(ordered, 5),
        pulse_bpm=_column(ordered, 6),
        glucose_mmol_l=_column(ordered, 7),
        glucose_mg_dl=_column(ordered, 8),
        quality=np.array([QUALITY_CODES[row[9]] for row in ordered], np.int8),
        time_quality=np.array([TIME_CODES[row[10]] for row in ordered], np.int8),
    )


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC instant of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=int(us))


def _column(rows: list[Row], index: int) -> NDArray[np.float64]:
    return np.array([np.nan if row[index] is None else row[index] for row in rows], np.float64)
