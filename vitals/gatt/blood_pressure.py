"""Blood Pressure Service (0x1810): Measurement 0x2A35, Intermediate Cuff Pressure 0x2A36, Feature 0x2A49.

Layouts: Bluetooth SIG, BLS 1.1.1. Says what the meter said; whether to believe it is `vitals.quality`'s question.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Literal, Self

from vitals import reading
from vitals.gatt.date_time import DateTime
from vitals.gatt.frame import Cursor, FlagWord, check_length, check_minimum, flag_words, u16
from vitals.gatt.sfloat import NAN, Sfloat
from vitals.units import pressure_mmhg

Unit = Literal["mmHg", "kPa"]


class Status(IntFlag):
    """Measurement Status. The pulse range is a field of two bits: 1 above the meter's upper limit, 2 below its lower."""

    BODY_MOVEMENT = 0x0001
    CUFF_TOO_LOOSE = 0x0002
    IRREGULAR_PULSE = 0x0004
    PULSE_ABOVE_RANGE = 0x0008
    PULSE_BELOW_RANGE = 0x0010
    IMPROPER_POSITION = 0x0020


class Feature(FlagWord):
    """Blood Pressure Feature (0x2A49), what the cuff can notice."""

    BODY_MOVEMENT = 0x0001
    CUFF_FIT = 0x0002
    IRREGULAR_PULSE = 0x0004
    PULSE_RANGE = 0x0008
    POSITION = 0x0010
    MULTIPLE_BONDS = 0x0020
    E2E_CRC = 0x0040
    USER_DATA_SERVICE = 0x0080
    USER_FACING_TIME = 0x0100


class _Flags(IntFlag):
    KPA = 0x01
    TIME_STAMP = 0x02
    PULSE_RATE = 0x04
    USER_ID = 0x08
    STATUS = 0x10


_ALWAYS: Final = 7
"""Flags and three SFLOATs."""
_OPTIONAL: Final = {_Flags.TIME_STAMP: DateTime.LENGTH, _Flags.PULSE_RATE: 2, _Flags.USER_ID: 1, _Flags.STATUS: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class BloodPressureMeasurement:
    """One inflation (0x2A35), in the unit in which the meter sent it. A field is None where its flag is clear."""

    Flags = _Flags

    systolic: Sfloat
    diastolic: Sfloat
    mean: Sfloat = NAN
    unit: Unit = "mmHg"
    date_time: DateTime | None = None
    pulse: Sfloat | None = None
    user_id: int | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        assert self.unit in ("mmHg", "kPa"), self.unit
        assert self.user_id is None or 0 <= self.user_id <= 0xFF, self.user_id
        assert self.status is None or 0 <= self.status <= 0xFFFF, self.status

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown flags may explain the length."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _OPTIONAL.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & 0xE0))
        at = Cursor(data, 1)
        return cls(
            systolic=at.sfloat(),
            diastolic=at.sfloat(),
            mean=at.sfloat(),
            unit="kPa" if flags & _Flags.KPA else "mmHg",
            date_time=at.date_time() if flags & _Flags.TIME_STAMP else None,
            pulse=at.sfloat() if flags & _Flags.PULSE_RATE else None,
            user_id=at.u8() if flags & _Flags.USER_ID else None,
            status=at.u16() if flags & _Flags.STATUS else None,
        )

    def __bytes__(self) -> bytes:
        flags = _Flags.KPA if self.unit == "kPa" else _Flags(0)
        body = bytes(self.systolic) + bytes(self.diastolic) + bytes(self.mean)
        for flag, field in (
            (_Flags.TIME_STAMP, None if self.date_time is None else bytes(self.date_time)),
            (_Flags.PULSE_RATE, None if self.pulse is None else bytes(self.pulse)),
            (_Flags.USER_ID, None if self.user_id is None else bytes((self.user_id,))),
            (_Flags.STATUS, None if self.status is None else u16(self.status)),
        ):
            if field is not None:
                flags |= flag
                body += field
        return bytes((flags,)) + body

    @property
    def user_slot(self) -> int | None:
        """The meter's user number, `vitals.reading.GUEST` for one whom it does not know; None if it names no users."""
        return self.user_id

    @property
    def meter_time(self) -> str | None:
        """The meter's clock as it said it, ISO 8601 without a zone; None if there is none that a calendar knows."""
        return None if self.date_time is None else self.date_time.iso

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the status word says, by name; None without one."""
        return status_words(self.status)

    def to_measurement(self) -> reading.BloodPressure:
        """The same in mmHg, with what was sent beside it; what the meter says it lacks is None. A mean that does not lie between
        two pressures that can be is none: cuffs that do not work it out send 0."""
        systolic, diastolic, mean = (sent_mmhg(each, self.unit) for each in (self.systolic, self.diastolic, self.mean))
        is_none = (
            mean is not None and (diastolic or 0) < (systolic or 0) and not (diastolic or 0) <= mean <= (systolic or 0)
        )
        return reading.BloodPressure(
            systolic_mmhg=systolic,
            diastolic_mmhg=diastolic,
            mean_mmhg=None if is_none else mean,
            pulse_bpm=None if self.pulse is None else self.pulse.number,
            unit_sent=self.unit,
            systolic_sent=self.systolic.number,
            diastolic_sent=self.diastolic.number,
            mean_sent=self.mean.number,
            status=self.status,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IntermediateCuffPressure:
    """The cuff's pressure while it still inflates (0x2A36). It is never a reading: nothing has been measured yet.

    The layout is 0x2A35's with diastolic and mean unused; what a meter writes there is not kept.
    """

    pressure: Sfloat
    unit: Unit = "mmHg"
    date_time: DateTime | None = None
    pulse: Sfloat | None = None
    user_id: int | None = None
    status: int | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` as `BloodPressureMeasurement.from_bytes` does."""
        frame = BloodPressureMeasurement.from_bytes(data)
        return cls(
            pressure=frame.systolic,
            unit=frame.unit,
            date_time=frame.date_time,
            pulse=frame.pulse,
            user_id=frame.user_id,
            status=frame.status,
        )

    def __bytes__(self) -> bytes:
        return bytes(
            BloodPressureMeasurement(
                systolic=self.pressure,
                diastolic=NAN,
                mean=NAN,
                unit=self.unit,
                date_time=self.date_time,
                pulse=self.pulse,
                user_id=self.user_id,
                status=self.status,
            )
        )

    @property
    def pressure_mmhg(self) -> float | None:
        return sent_mmhg(self.pressure, self.unit)

    @property
    def user_slot(self) -> int | None:
        """The meter's user number, `vitals.reading.GUEST` for one whom it does not know; None if it names no users."""
        return self.user_id

    @property
    def meter_time(self) -> str | None:
        """The meter's clock as it said it, ISO 8601 without a zone."""
        return None if self.date_time is None else self.date_time.iso

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the status word says, by name; None without one."""
        return status_words(self.status)


def status_words(status: int | None) -> tuple[str, ...] | None:
    """What a Measurement Status word says, by name; None without one."""
    if status is None:
        return None
    pulse_range = Status.PULSE_ABOVE_RANGE | Status.PULSE_BELOW_RANGE
    is_reserved = status & pulse_range == pulse_range  # 3 has no meaning; it is not "above and below"
    return flag_words(Status, status & ~pulse_range if is_reserved else status)


def sent_mmhg(sent: Sfloat, unit: Unit) -> float | None:
    """A pressure as sent, in mmHg; None where the meter says that it has none."""
    return None if sent.value is None else float(pressure_mmhg(sent.value, unit))
