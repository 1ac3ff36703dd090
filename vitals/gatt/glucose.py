"""Glucose Service (0x1808): Measurement 0x2A18, Measurement Context 0x2A34, Feature 0x2A51.

Layouts: Bluetooth SIG, GLS 1.0.1. A frame whose concentration flag is clear has no concentration, and none is made up.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum, IntFlag
from typing import Final, Literal, Self, cast

from vitals import reading, units
from vitals.gatt.date_time import DateTime
from vitals.gatt.frame import Cursor, FlagWord, check_length, check_minimum, flag_words, member, s16, u16, word_of
from vitals.gatt.glucose_context import GlucoseContext
from vitals.gatt.sfloat import Sfloat

__all__ = ["Feature", "GlucoseContext", "GlucoseMeasurement", "SampleLocation", "SampleType", "SensorStatus"]

Unit = Literal["kg/L", "mol/L"]


class SampleType(IntEnum):
    """What was measured, low nibble."""

    CAPILLARY_WHOLE_BLOOD = 1
    CAPILLARY_PLASMA = 2
    VENOUS_WHOLE_BLOOD = 3
    VENOUS_PLASMA = 4
    ARTERIAL_WHOLE_BLOOD = 5
    ARTERIAL_PLASMA = 6
    UNDETERMINED_WHOLE_BLOOD = 7
    UNDETERMINED_PLASMA = 8
    ISF = 9
    CONTROL_SOLUTION = 10


class SampleLocation(IntEnum):
    """Where it was taken, high nibble."""

    FINGER = 1
    ALTERNATE_SITE_TEST = 2
    EARLOBE = 3
    CONTROL_SOLUTION = 4
    NOT_AVAILABLE = 15


class SensorStatus(IntFlag):
    """Sensor Status Annunciation."""

    BATTERY_LOW = 0x0001
    SENSOR_FAULT = 0x0002
    SAMPLE_INSUFFICIENT = 0x0004
    STRIP_INSERTION = 0x0008
    STRIP_TYPE = 0x0010
    RESULT_ABOVE_RANGE = 0x0020
    RESULT_BELOW_RANGE = 0x0040
    TEMPERATURE_HIGH = 0x0080
    TEMPERATURE_LOW = 0x0100
    READ_INTERRUPTED = 0x0200
    DEVICE_FAULT = 0x0400
    TIME_FAULT = 0x0800


class Feature(FlagWord):
    """Glucose Feature (0x2A51), what the meter can notice."""

    LOW_BATTERY = 0x0001
    SENSOR_MALFUNCTION = 0x0002
    SAMPLE_SIZE = 0x0004
    STRIP_INSERTION = 0x0008
    STRIP_TYPE = 0x0010
    RESULT_HIGH_LOW = 0x0020
    TEMPERATURE_HIGH_LOW = 0x0040
    READ_INTERRUPT = 0x0080
    DEVICE_FAULT = 0x0100
    TIME_FAULT = 0x0200
    MULTIPLE_BONDS = 0x0400


class _Flags(IntFlag):
    TIME_OFFSET = 0x01
    CONCENTRATION = 0x02
    MOL_PER_L = 0x04
    STATUS = 0x08
    CONTEXT_FOLLOWS = 0x10


_NO_OFFSET: Final = frozenset({0x7FFF, -0x8000})
"""Overrun and underrun: the clock has been moved by more than the field can say (the SIG's
org.bluetooth.characteristic.glucose_measurement.xml of 2012, in a comment; repository oesmith/gatt-xml)."""
_ALWAYS: Final = 3 + DateTime.LENGTH
"""Flags, sequence number, base time."""
_OPTIONAL: Final = {_Flags.TIME_OFFSET: 2, _Flags.CONCENTRATION: 3, _Flags.STATUS: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseMeasurement:
    """One finger-stick (0x2A18), in the unit in which the meter sent it. A field is None where its flag is clear.

    `sample_type` and `sample_location` are None for reserved members too.
    """

    Flags = _Flags

    sequence: int
    base_time: DateTime
    time_offset_min: int | None = None
    concentration: Sfloat | None = None
    unit: Unit = "kg/L"
    sample_type: SampleType | None = None
    sample_location: SampleLocation | None = None
    status: int | None = None
    context_follows: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.sequence <= 0xFFFF, self.sequence
        assert self.unit in ("kg/L", "mol/L"), self.unit
        assert self.time_offset_min is None or -0x8000 <= self.time_offset_min <= 0x7FFF, self.time_offset_min
        assert self.status is None or 0 <= self.status <= 0xFFFF, self.status

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown flags may explain the length."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _OPTIONAL.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & 0xE0))
        at = Cursor(data, 1)
        sequence, base_time = at.u16(), at.date_time()
        offset = at.s16() if flags & _Flags.TIME_OFFSET else None
        concentration, sample = (at.sfloat(), at.u8()) if flags & _Flags.CONCENTRATION else (None, 0)
        return cls(
            sequence=sequence,
            base_time=base_time,
            time_offset_min=offset,
            concentration=concentration,
            unit="mol/L" if flags & _Flags.MOL_PER_L else "kg/L",
            sample_type=member(SampleType, sample & 0xF),
            sample_location=member(SampleLocation, sample >> 4),
            status=at.u16() if flags & _Flags.STATUS else None,
            context_follows=bool(flags & _Flags.CONTEXT_FOLLOWS),
        )

    def __bytes__(self) -> bytes:
        flags = _Flags.MOL_PER_L if self.unit == "mol/L" else _Flags(0)
        if self.context_follows:
            flags |= _Flags.CONTEXT_FOLLOWS
        body = u16(self.sequence) + bytes(self.base_time)
        if self.time_offset_min is not None:
            flags |= _Flags.TIME_OFFSET
            body += s16(self.time_offset_min)
        if self.concentration is not None:
            flags |= _Flags.CONCENTRATION
            body += bytes(self.concentration) + bytes(((self.sample_location or 0) << 4 | (self.sample_type or 0),))
        if self.status is not None:
            flags |= _Flags.STATUS
            body += u16(self.status)
        return bytes((flags,)) + body

    @property
    def meter_time(self) -> str | None:
        """The base time as sent, ISO 8601 without a zone: it never changes, even when the user sets the clock."""
        return self.base_time.iso

    @property
    def user_facing_time(self) -> datetime | None:
        """What the meter's display showed: base time plus offset; a wall clock without a zone. None without a base that a
        calendar has, or where the offset is said to be beyond what it can say."""
        base = self.base_time.naive
        if base is None or self.time_offset_min in _NO_OFFSET:
            return None
        return base + timedelta(minutes=self.time_offset_min or 0)

    @staticmethod
    def lasting(data: bytes) -> bytes:
        """A whole frame without what a meter may mark on a record later: a context, and a battery that is low by now."""
        marked = bytearray(data)
        marked[0] &= ~_Flags.CONTEXT_FOLLOWS
        if marked[0] & _Flags.STATUS:
            marked[-2] &= ~SensorStatus.BATTERY_LOW
        return bytes(marked)

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the status word says, by name; None without one."""
        return None if self.status is None else flag_words(SensorStatus, self.status)

    @property
    def censored(self) -> Literal["HI", "LO"] | None:
        """What the meter shows instead of a number when the result lies beyond its range."""
        match self._beyond_range:
            case SensorStatus.RESULT_ABOVE_RANGE:
                return "HI"
            case SensorStatus.RESULT_BELOW_RANGE:
                return "LO"
        return None

    @property
    def _beyond_range(self) -> int:
        return (self.status or 0) & (SensorStatus.RESULT_ABOVE_RANGE | SensorStatus.RESULT_BELOW_RANGE)

    def to_measurement(self, context: GlucoseContext | None = None) -> reading.Glucose:
        """The same in mmol/L and mg/dL, with what was sent beside it.

        A result above or below the meter's range has no canonical value, whatever number came with it; one that is said to
        be both has neither value nor HI nor LO. `context` must be that of the same sequence number.
        """
        assert context is None or context.sequence == self.sequence, "a context of another record"
        sent = None if self.concentration is None else self.concentration.value
        known = None if self._beyond_range or sent is None else units.glucose(sent, self.unit)
        return reading.Glucose(
            sequence=self.sequence,
            glucose_mmol_l=None if known is None else float(known[0]),
            glucose_mg_dl=None if known is None else float(known[1]),
            unit_sent=None if self.concentration is None else self.unit,
            glucose_sent=_float(sent),
            censored=self.censored,
            sample_type=word_of(self.sample_type),
            sample_location=word_of(self.sample_location),
            status=self.status,
            meal=None if context is None else cast("reading.Meal | None", word_of(context.meal)),
        )


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
