"""One patient's readings in view, as arrays, with what is needed to place them in the patient's own days.

Built by the store, judged by `engine`. Order of arrival is not in here: rows are ordered by (measured_at, reading_id), so
any order, repeats and batches make the same window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
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
    """All that a judging reads of one patient. Nothing else may change its answer but the rules and `now`."""

    patient_id: int
    enrolled_on: date
    zones: tuple[ZoneSpan, ...]
    window: Window
    thresholds: Mapping[str, PersonalThreshold] = field(default_factory=dict)
