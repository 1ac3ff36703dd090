"""Enhanced Blood Pressure Measurement 0x2B34 and Enhanced Intermediate Cuff Pressure 0x2B35 (service 0x1810, BLS 1.1).

What 0x2A35 and 0x2A36 say, with time stamps in seconds instead of dates. Layouts: Bluetooth SIG, GATT Specification
Supplement (2025-12-23) sections 3.97 and 3.98; two public codecs (RonanB96/bluetooth-sig-python, im97mori/JavaBLEUtil) have
the same. The cuff pressure is one SFLOAT, where 0x2A36 has three.

The two times. `user_facing_time` is what the display showed. `base_time` runs under it and does not follow time zone,
daylight saving or the user's corrections; it is "possibly UTC aligned", so it is kept as a wall clock of nobody's zone and
no instant is made of it. As with glucose, the base time is the `meter_time` of a reading, because it never changes;
`Evidence.meter_wall` gets the user-facing time, together with a clock that shows the same (0x2A2B). With a base time alone
`Evidence` may be given that only beside the base clock of the same meter: without one it is a wall clock eight hours off in
Shanghai, and `gateway.timing` can but call it suspect.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntFlag
from typing import Final, Literal, Self, TypedDict

from vitals import reading
from vitals.gatt.blood_pressure import BloodPressureMeasurement, Unit, sent_mmhg, status_words
from vitals.gatt.frame import Cursor, check_length, check_minimum, u16, u32
from vitals.gatt.sfloat import NAN, Sfloat

EpochYear = Literal[1900, 2000]


class _Flags(IntFlag):
    KPA = 0x01
    TIME_STAMP = 0x02
    PULSE_RATE = 0x04
    USER_ID = 0x08
    STATUS = 0x10
    USER_FACING_TIME = 0x20
    EPOCH_2000 = 0x40


_OPTIONAL: Final = {
    _Flags.TIME_STAMP: 4,
    _Flags.PULSE_RATE: 2,
    _Flags.USER_ID: 1,
    _Flags.STATUS: 2,
    _Flags.USER_FACING_TIME: 4,
}


class _Tail(TypedDict):
    unit: Unit
    epoch_year: EpochYear
    time_stamp_s: int | None
    pulse: Sfloat | None
    user_id: int | None
    status: int | None
    user_facing_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enhanced:
    """What follows the pressures in both. A field is None where its flag is clear; seconds since 1 January of `epoch_year`."""

    Flags = _Flags

    unit: Unit = "mmHg"
    epoch_year: EpochYear = 2000
    time_stamp_s: int | None = None
    pulse: Sfloat | None = None
    user_id: int | None = None
    status: int | None = None
    user_facing_s: int | None = None

    def __post_init__(self) -> None:
        assert self.unit in ("mmHg", "kPa"), self.unit
        assert self.epoch_year in (1900, 2000), self.epoch_year
        assert self.user_id is None or 0 <= self.user_id <= 0xFF, self.user_id
        assert self.status is None or 0 <= self.status <= 0xFFFF, self.status
        for seconds in (self.time_stamp_s, self.user_facing_s):
            assert seconds is None or 0 <= seconds <= 0xFFFFFFFF, seconds

    def _framed(self, pressures: bytes) -> bytes:
        flags = _Flags.KPA if self.unit == "kPa" else _Flags(0)
        if self.epoch_year == 2000:
            flags |= _Flags.EPOCH_2000
        for flag, field in (
            (_Flags.TIME_STAMP, None if self.time_stamp_s is None else u32(self.time_stamp_s)),
            (_Flags.PULSE_RATE, None if self.pulse is None else bytes(self.pulse)),
            (_Flags.USER_ID, None if self.user_id is None else bytes((self.user_id,))),
            (_Flags.STATUS, None if self.status is None else u16(self.status)),
            (_Flags.USER_FACING_TIME, None if self.user_facing_s is None else u32(self.user_facing_s)),
        ):
            if field is not None:
                flags |= flag
                pressures += field
        return bytes((flags,)) + pressures

    @property
    def base_time(self) -> datetime | None:
        """The meter's own running time, a wall clock without a zone; None if it sent none."""
        return _since(self.epoch_year, self.time_stamp_s)

    @property
    def user_facing_time(self) -> datetime | None:
        """What the meter's display showed; a wall clock without a zone; None if it sent none."""
        return _since(self.epoch_year, self.user_facing_s)

    @property
    def meter_time(self) -> str | None:
        """The base time as sent, ISO 8601 without a zone; the user-facing one of a meter that sends only that."""
        told = self.base_time or self.user_facing_time
        return None if told is None else told.isoformat()

    @property
    def user_slot(self) -> int | None:
        """The meter's user number, `vitals.reading.GUEST` for one whom it does not know; None if it names no users."""
        return self.user_id

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the status word says, by name (the bits of 0x2A35); None without one."""
        return status_words(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhancedBloodPressureMeasurement(_Enhanced):
    """One inflation (0x2B34), in the unit in which the meter sent it."""

    systolic: Sfloat
    diastolic: Sfloat
    mean: Sfloat = NAN

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown flags may explain the length."""
        at = _opened(data, pressures=3)
        return cls(systolic=at.sfloat(), diastolic=at.sfloat(), mean=at.sfloat(), **_tail(at))

    def __bytes__(self) -> bytes:
        return self._framed(bytes(self.systolic) + bytes(self.diastolic) + bytes(self.mean))

    def to_measurement(self) -> reading.BloodPressure:
        """The same in mmHg, with what was sent beside it; what the meter says it lacks is None."""
        plain = BloodPressureMeasurement(
            systolic=self.systolic,
            diastolic=self.diastolic,
            mean=self.mean,
            unit=self.unit,
            pulse=self.pulse,
            status=self.status,
        )
        return plain.to_measurement()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhancedIntermediateCuffPressure(_Enhanced):
    """The cuff's pressure while it still inflates (0x2B35). It is never a reading: nothing has been measured yet."""

    pressure: Sfloat

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` as `EnhancedBloodPressureMeasurement.from_bytes` does."""
        at = _opened(data, pressures=1)
        return cls(pressure=at.sfloat(), **_tail(at))

    def __bytes__(self) -> bytes:
        return self._framed(bytes(self.pressure))

    @property
    def pressure_mmhg(self) -> float | None:
        return sent_mmhg(self.pressure, self.unit)


def _opened(data: bytes, *, pressures: int) -> Cursor:
    """Past the flags of a frame whose length is what they say."""
    always = 1 + 2 * pressures
    check_minimum(data, always)
    expected = always + sum(length for flag, length in _OPTIONAL.items() if data[0] & flag)
    check_length(data, expected=expected, reserved=bool(data[0] & 0x80))
    return Cursor(data, 1)


def _tail(at: Cursor) -> _Tail:
    """What follows the pressures; `at` stands behind them."""
    flags = at.data[0]
    return _Tail(
        unit="kPa" if flags & _Flags.KPA else "mmHg",
        epoch_year=2000 if flags & _Flags.EPOCH_2000 else 1900,
        time_stamp_s=at.u32() if flags & _Flags.TIME_STAMP else None,
        pulse=at.sfloat() if flags & _Flags.PULSE_RATE else None,
        user_id=at.u8() if flags & _Flags.USER_ID else None,
        status=at.u16() if flags & _Flags.STATUS else None,
        user_facing_s=at.u32() if flags & _Flags.USER_FACING_TIME else None,
    )


def _since(epoch_year: EpochYear, seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime(epoch_year, 1, 1) + timedelta(seconds=seconds)  # noqa: DTZ001
