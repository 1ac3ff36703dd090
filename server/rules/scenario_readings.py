"""What one line of a scenario file says was measured: `[time, kind, value …, marks …]`. Times and tests are for `scenarios`.

A line becomes the measurement that a meter would have sent, so that its quality is graded as intake grades it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from server.rules.conditions import Part
from vitals import quality, units
from vitals.errors import MalformedError
from vitals.reading import (
    BloodPressure,
    Glucose,
    HeartRate,
    Meal,
    Measurement,
    OxygenSaturation,
    SensorGlucose,
    Temperature,
    Weight,
)

Moment = datetime | date | str
"""As YAML gives it: an ISO time, a date, or text such as `d3 07:30`."""

Values = dict[str, float | str | None]

_QUALITIES: Final = ("accepted", "suspect", "rejected", "invalid")
_TIMES: Final = {"time_suspect": "suspect", "orphan": "orphan"}
_RHYTHMS: Final = {"regular": 0, "irregular": quality.IRREGULAR_PULSE}
"""What a cuff that looks for an irregular pulse says of it; a cuff that does not is written without either."""


class Marks(Part):
    """What a reading may carry at its end, as words or as this mapping."""

    quality: Literal["accepted", "suspect", "rejected", "invalid"] | None = None
    time_quality: Literal["synced", "corrected", "trusted", "received", "suspect", "orphan"] = "trusted"
    pulse: float | None = None
    meal: Meal | None = None
    status: Annotated[int, Field(ge=0, le=0xFFFF)] | None = None  # the cuff's Measurement Status (GATT 0x2A35)
    arrives: Moment | None = None  # comes to the judge then, and counts as received then
    received: Moment | None = None  # received then, whenever it comes
    every_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None  # the same again, up to `until`: a worn sensor
    until: Moment | None = None

    @model_validator(mode="after")
    def _repeats(self) -> "Marks":
        if (self.every_minutes is None) != (self.until is None):
            raise ValueError("every_minutes and until belong together")
        if self.every_minutes is not None and (self.arrives is not None or self.received is not None):
            raise ValueError("what is repeated arrives as it is measured: leave out arrives and received")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How a kind is written. `lacks`: the values that a failed one is without; `read`: the values of a line, and how many
    items of it they took; `marks`: the marks that belong to this kind alone, and the field of each."""

    build: Callable[..., Measurement]
    fixed: Mapping[str, object]
    lacks: tuple[str, ...]
    read: Callable[[list[Any]], tuple[Values, int]]
    marks: Mapping[str, str]


def read_measurement(kind: object, items: list[Any]) -> tuple[Measurement, Marks]:
    """The measurement of a line, and its marks; `items` is what follows the kind, at least one.

    Raises `MalformedError` (`reading`) with what is wrong and what may be written.
    """
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise _wrong(f"{kind!r} is not a kind; there are bp, glucose, cgm, weight, spo2, temperature and heart_rate")
    values: Values
    if items[0] == "failed":
        values, taken = dict.fromkeys(known.lacks), 1
    else:
        values, taken = known.read(items)
    marks = _marks(items[taken:])
    own = {field: getattr(marks, mark) for mark, field in known.marks.items()}
    for mark in ("pulse", "meal", "status"):
        if getattr(marks, mark) is not None and mark not in known.marks:
            raise _wrong(f"{kind} has no {mark}")
    return known.build(**known.fixed, **values, **own), marks


def _pressure(items: list[Any]) -> tuple[Values, int]:
    if len(items) < 2 or not all(_is_number(item) for item in items[:2]):
        raise _wrong("blood pressure is two numbers in mmHg, or the word failed")
    return {"systolic_mmhg": float(items[0]), "diastolic_mmhg": float(items[1])}, 2


def _glucose(items: list[Any]) -> tuple[Values, int]:
    if items[0] in ("HI", "LO"):
        return {"glucose_mmol_l": None, "glucose_mg_dl": None, "censored": items[0]}, 1
    if len(items) < 2 or not _is_number(items[0]) or items[1] not in ("mg/dL", "mmol/L"):
        raise _wrong("glucose is a number and its unit, mg/dL or mmol/L; or one of the words HI, LO and failed")
    mmol_l, mg_dl = units.glucose(Decimal(str(items[0])), items[1])
    return {"glucose_mmol_l": float(mmol_l), "glucose_mg_dl": float(mg_dl)}, 2


def _one_number(field: str, what: str) -> Callable[[list[Any]], tuple[Values, int]]:
    def read(items: list[Any]) -> tuple[Values, int]:
        if not _is_number(items[0]):
            raise _wrong(f"{what}, or the word failed")
        return {field: float(items[0])}, 1

    return read


def _marks(items: list[Any]) -> Marks:
    given: dict[str, Any] = {}
    for mark in items:
        if isinstance(mark, Mapping):
            given |= mark
        elif mark in _QUALITIES:
            given["quality"] = mark
        elif isinstance(mark, str) and mark in _TIMES:
            given["time_quality"] = _TIMES[mark]
        elif isinstance(mark, str) and mark in _RHYTHMS:
            given["status"] = _RHYTHMS[mark]
        elif _is_number(mark):
            given["pulse"] = float(mark)
        else:
            words = ", ".join((*_QUALITIES, *_TIMES, *_RHYTHMS))
            raise _wrong(f"{mark!r} is not a mark; there are {words}, a pulse, or a mapping")
    try:
        return Marks.model_validate(given)
    except ValidationError as e:
        raise _wrong("; ".join(f"{d['loc'][0] if d['loc'] else ''}: {d['msg']}" for d in e.errors())) from e


def _is_number(value: Any) -> bool:
    """YAML also writes .nan, .inf and numbers that no float holds: no meter sends any of them as a value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9


def _wrong(message: str) -> MalformedError:
    return MalformedError("reading", message)


_BLOOD_PRESSURE: Final = _Kind(
    build=BloodPressure,
    fixed={"unit_sent": "mmHg"},
    lacks=("systolic_mmhg", "diastolic_mmhg"),
    read=_pressure,
    marks={"pulse": "pulse_bpm", "status": "status"},
)
_GLUCOSE_VALUES: Final = ("glucose_mmol_l", "glucose_mg_dl")
_KINDS: Final = {
    "bp": _BLOOD_PRESSURE,
    "blood_pressure": _BLOOD_PRESSURE,
    "glucose": _Kind(
        build=Glucose, fixed={"sequence": 0}, lacks=_GLUCOSE_VALUES, read=_glucose, marks={"meal": "meal"}
    ),
    "cgm": _Kind(build=SensorGlucose, fixed={"sequence": 0}, lacks=_GLUCOSE_VALUES, read=_glucose, marks={}),
    "weight": _Kind(
        build=Weight,
        fixed={"unit_sent": "kg"},
        lacks=("weight_kg",),
        read=_one_number("weight_kg", "weight is a number in kg"),
        marks={},
    ),
    "spo2": _Kind(
        build=OxygenSaturation,
        fixed={},
        lacks=("spo2_percent",),
        read=_one_number("spo2_percent", "spo2 is a number in percent"),
        marks={"pulse": "pulse_bpm"},
    ),
    "temperature": _Kind(
        build=Temperature,
        fixed={"unit_sent": "°C"},
        lacks=("temperature_celsius",),
        read=_one_number("temperature_celsius", "temperature is a number in °C"),
        marks={},
    ),
    "heart_rate": _Kind(
        build=HeartRate,
        fixed={},
        lacks=("pulse_bpm",),
        read=_one_number("pulse_bpm", "heart_rate is a number of beats a minute"),
        marks={},
    ),
}
