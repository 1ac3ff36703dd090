"""One patient's readings in view, as arrays, with what is needed to place them in the patient's own days.

Built by the store, judged by `engine`. Order of arrival is not in here: rows are ordered by (measured_at, reading_id), so
any order, repeats and batches make the same window. It does not judge.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, NamedTuple, overload
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from vitals.quality import IRREGULAR_PULSE
from vitals.reading import Measurement, kind_of

BLOOD_PRESSURE, GLUCOSE, SENSOR_GLUCOSE, WEIGHT, OXYGEN_SATURATION, TEMPERATURE, HEART_RATE = 1, 2, 3, 4, 5, 6, 7
KIND_CODES = {
    "blood_pressure": BLOOD_PRESSURE,
    "glucose": GLUCOSE,
    "sensor_glucose": SENSOR_GLUCOSE,
    "weight": WEIGHT,
    "oxygen_saturation": OXYGEN_SATURATION,
    "temperature": TEMPERATURE,
    "heart_rate": HEART_RATE,
}

INVALID, REJECTED, SUSPECT, ACCEPTED = 0, 1, 2, 3
QUALITY_CODES = {"invalid": INVALID, "rejected": REJECTED, "suspect": SUSPECT, "accepted": ACCEPTED}

TIME_CERTAIN, TIME_SUSPECT, TIME_UNUSABLE = 0, 1, 2
TIME_CODES = {"synced": 0, "corrected": 0, "trusted": 0, "received": 0, "suspect": 1, "orphan": 2}
"""An orphan (a record from before a clock change) is kept and shown, and no rule uses it."""

LO, HI = -1, 1
CENSORED_CODES = {None: 0, "LO": LO, "HI": HI}
"""A glucose below or above all that its meter can say: not a number, and more than a failure."""

MEAL_UNKNOWN, PREPRANDIAL, POSTPRANDIAL, FASTING, CASUAL, BEDTIME = 0, 1, 2, 3, 4, 5
MEAL_CODES = {
    None: MEAL_UNKNOWN,
    "preprandial": PREPRANDIAL,
    "postprandial": POSTPRANDIAL,
    "fasting": FASTING,
    "casual": CASUAL,
    "bedtime": BEDTIME,
}
"""The numbers of GATT 0x2A34."""


class ReadingIds(Sequence[UUID]):
    """Ids as the bytes that they are, sixteen each, made when somebody asks: of a back-test's hardly any is asked for."""

    __slots__ = ("_each",)

    def __init__(self, each: NDArray[np.void]) -> None:
        self._each = each

    def __len__(self) -> int:
        return len(self._each)

    @overload
    def __getitem__(self, place: int) -> UUID: ...
    @overload
    def __getitem__(self, place: slice) -> "ReadingIds": ...
    def __getitem__(self, place: int | slice) -> "UUID | ReadingIds":
        if isinstance(place, slice):
            return ReadingIds(self._each[place])
        return UUID(bytes=bytes(self._each[place]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Columns of equal length n. Times are microseconds since 1970 UTC; an absent value is NaN. `zone`s live beside it."""

    reading_ids: Sequence[UUID]
    kind: NDArray[np.int8]
    measured_at_us: NDArray[np.int64]
    received_at_us: NDArray[np.int64]
    systolic_mmhg: NDArray[np.float64]
    diastolic_mmhg: NDArray[np.float64]
    pulse_bpm: NDArray[np.float64]
    glucose_mmol_l: NDArray[np.float64]
    glucose_mg_dl: NDArray[np.float64]
    weight_kg: NDArray[np.float64]
    spo2_percent: NDArray[np.float64]
    temperature_celsius: NDArray[np.float64]
    censored: NDArray[np.int8]
    meal: NDArray[np.int8]
    irregular_pulse: NDArray[np.float64]  # 1 or 0 as a cuff said; NaN where nobody did
    quality: NDArray[np.int8]  # absolute marks; the relative ones are computed at every judging
    time_quality: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.reading_ids)

    def part(self, begin: int, end: int) -> "Window":
        """The rows from `begin` to before `end`: views, nothing is copied. Of a table of many patients it is one of them."""
        return Window(**{column.name: getattr(self, column.name)[begin:end] for column in fields(self)})

    @property
    def pulse_pressure_mmhg(self) -> NDArray[np.float64]:
        """Systolic less diastolic; NaN where either is absent."""
        return self.systolic_mmhg - self.diastolic_mmhg


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSpan:
    """`zone` (IANA) is in force from `valid_from` until the next span."""

    valid_from: datetime
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalThreshold:
    """A patient's own parameters for one rule, for example `{"systolic": 150, "diastolic": 95}`.

    `is_watched`: whether the rule speaks of this patient at all; `None` where that is left to the rule.
    """

    version: int
    parameters: Mapping[str, Any]
    is_watched: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """What the patient answered at `at`, asked for the symptoms that make a very high or low value an emergency."""

    at: datetime
    has_symptoms: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnheardSpan:
    """From `began` to before `ended` nothing of the patient could be heard; `None` while that lasts."""

    began: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientHistory:
    """All that a judging reads of one patient. Nothing else may change its answer but the rules and `now`.

    `judged_from`: readings before it are in view for the relative marks of later ones only, because their own marks may miss
    what lies further back. Days that begin before it are not judged. `None`: the view is whole.
    `last_counted_before`: the newest accepted reading measured before the first instant of the window; `None`: there is none.
    `unheard`: in any order, and they may overlap; those from that reading on, or from enrolment, are there. Both are for rules
    about what was not measured.
    """

    patient_id: int
    enrolled_on: date
    zones: tuple[ZoneSpan, ...]
    window: Window
    thresholds: Mapping[str, PersonalThreshold] = field(default_factory=dict)
    judged_from: datetime | None = None
    symptoms: tuple[Symptom, ...] = ()
    last_counted_before: datetime | None = None
    unheard: tuple[UnheardSpan, ...] = ()


class Row(NamedTuple):
    """A reading as it is stored: instants aware, absent values `None`, words as stored.

    The statement that loads a window (`judging.sql`, readings) gives its columns in this order and by these names.
    """

    reading_id: UUID
    kind: str
    measured_at: datetime
    received_at: datetime
    systolic_mmhg: float | None
    diastolic_mmhg: float | None
    pulse_bpm: float | None
    glucose_mmol_l: float | None
    glucose_mg_dl: float | None
    weight_kg: float | None
    spo2_percent: float | None
    temperature_celsius: float | None
    glucose_censored: str | None
    meal: str | None
    meter_status: int | None
    quality: str
    time_quality: str


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VALUES: Final = Row._fields[Row._fields.index("systolic_mmhg") : Row._fields.index("glucose_censored")]


def row_of(
    measured: Measurement,
    *,
    reading_id: UUID,
    measured_at: datetime,
    received_at: datetime,
    quality: str,
    time_quality: str,
) -> Row:
    """The row that the store would hold of `measured`: its values under their own names, what its kind lacks `None`."""
    return Row(
        reading_id=reading_id,
        kind=kind_of(measured),
        measured_at=measured_at,
        received_at=received_at,
        **{name: getattr(measured, name, None) for name in _VALUES},
        glucose_censored=getattr(measured, "censored", None),
        meal=getattr(measured, "meal", None),
        meter_status=getattr(measured, "status", None),
        quality=quality,
        time_quality=time_quality,
    )


def window_of(rows: Iterable[Row]) -> Window:
    """The window of `rows`, in any order. A repeated reading_id is kept once."""
    by_id = {row.reading_id.int: row for row in rows}
    ordered = sorted((by_id[each] for each in sorted(by_id)), key=attrgetter("measured_at"))  # stable
    columns = dict(zip(Row._fields, zip(*ordered, strict=True) if ordered else repeat(()), strict=False))
    return Window(
        reading_ids=columns["reading_id"],
        kind=_coded(columns["kind"], KIND_CODES),
        measured_at_us=_us(columns["measured_at"]),
        received_at_us=_us(columns["received_at"]),
        systolic_mmhg=_numbers(columns["systolic_mmhg"]),
        diastolic_mmhg=_numbers(columns["diastolic_mmhg"]),
        pulse_bpm=_numbers(columns["pulse_bpm"]),
        glucose_mmol_l=_numbers(columns["glucose_mmol_l"]),
        glucose_mg_dl=_numbers(columns["glucose_mg_dl"]),
        weight_kg=_numbers(columns["weight_kg"]),
        spo2_percent=_numbers(columns["spo2_percent"]),
        temperature_celsius=_numbers(columns["temperature_celsius"]),
        censored=_coded(columns["glucose_censored"], CENSORED_CODES),
        meal=_coded(columns["meal"], MEAL_CODES),
        irregular_pulse=_numbers(list(map(_irregular, columns["kind"], columns["meter_status"]))),
        quality=_coded(columns["quality"], QUALITY_CODES),
        time_quality=_coded(columns["time_quality"], TIME_CODES),
    )


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(us: int) -> datetime:
    """The aware UTC instant of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=int(us))


def _irregular(kind: str, status: int | None) -> float | None:
    """What a cuff that has the bit says of the pulse (GATT 0x2A35)."""
    return None if kind != "blood_pressure" or status is None else float(bool(status & IRREGULAR_PULSE))


def _us(instants: Sequence[datetime]) -> NDArray[np.int64]:
    return np.array([to_us(instant) for instant in instants], np.int64)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """None as NaN. Most columns of a window are all None, and numpy is slow to find that out."""
    return np.full(len(values), np.nan) if values.count(None) == len(values) else np.array(values, np.float64)


def _coded(words: Sequence[Any], codes: Mapping[Any, int]) -> NDArray[np.int8]:
    return np.array([codes[word] for word in words], np.int8)
