"""Pulse Oximeter Service (0x1822): PLX Spot-Check 0x2A5E, PLX Continuous 0x2A5F, PLX Features 0x2A60.

Layouts: Bluetooth SIG, PLXS 1.0. Stored spot checks are asked for through the Record Access Control Point (`record_access`), by
all of them: a frame has no sequence number to ask by.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Self

from vitals import reading
from vitals.gatt.date_time import DateTime
from vitals.gatt.frame import Cursor, check_length, check_minimum, flag_words, u16, u24
from vitals.gatt.sfloat import Sfloat

RECORD_ACCESS_S: Final = 5.0
"""The Record Access procedure's timeout for this service, six times shorter than that of glucose (the constant of Cypress's and
Infineon's stacks, `PLXS_RACP_PROCEDURE_TIMEOUT`; the profile's own text has not been read)."""


class Status(IntFlag):
    """Measurement Status. Bits 0-4 are reserved."""

    MEASUREMENT_ONGOING = 0x0020
    EARLY_ESTIMATE = 0x0040
    VALIDATED = 0x0080
    FULLY_QUALIFIED = 0x0100
    FROM_STORAGE = 0x0200
    DEMONSTRATION = 0x0400
    TESTING = 0x0800
    CALIBRATION_ONGOING = 0x1000
    UNAVAILABLE = 0x2000
    QUESTIONABLE = 0x4000
    INVALID = 0x8000


class SensorStatus(IntFlag):
    """Device and Sensor Status, 24 bits. Bits 16-23 are reserved. Bit 10 is "interface" in one of the SIG's files, and
    "interference" in another and in IEEE 11073-10404."""

    EXTENDED_DISPLAY_UPDATE = 0x000001
    EQUIPMENT_MALFUNCTION = 0x000002
    SIGNAL_PROCESSING_IRREGULARITY = 0x000004
    INADEQUATE_SIGNAL = 0x000008
    POOR_SIGNAL = 0x000010
    LOW_PERFUSION = 0x000020
    ERRATIC_SIGNAL = 0x000040
    NONPULSATILE_SIGNAL = 0x000080
    QUESTIONABLE_PULSE = 0x000100
    SIGNAL_ANALYSIS_ONGOING = 0x000200
    INTERFERENCE = 0x000400
    SENSOR_OFF_USER = 0x000800
    UNKNOWN_SENSOR = 0x001000
    SENSOR_DISPLACED = 0x002000
    SENSOR_MALFUNCTION = 0x004000
    SENSOR_DISCONNECTED = 0x008000


class _SpotFlags(IntFlag):
    TIME_STAMP = 0x01
    STATUS = 0x02
    SENSOR_STATUS = 0x04
    AMPLITUDE = 0x08
    CLOCK_NOT_SET = 0x10


_ALWAYS: Final = 5
"""Flags and two SFLOATs."""
_SPOT: Final = {
    _SpotFlags.TIME_STAMP: DateTime.LENGTH,
    _SpotFlags.STATUS: 2,
    _SpotFlags.SENSOR_STATUS: 3,
    _SpotFlags.AMPLITUDE: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotCheck:
    """One finger held still (0x2A5E): percent, beats a minute, pulse amplitude index in percent.

    A field is None where its flag is clear. `is_clock_set` is False where the meter itself says that nobody has set its clock.
    """

    Flags = _SpotFlags

    spo2: Sfloat
    pulse: Sfloat
    date_time: DateTime | None = None
    status: int | None = None
    sensor_status: int | None = None
    amplitude: Sfloat | None = None
    is_clock_set: bool = True

    def __post_init__(self) -> None:
        _check_words(self.status, self.sensor_status)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown flags may explain the length."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _SPOT.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & 0xE0))
        at = Cursor(data, 1)
        return cls(
            spo2=at.sfloat(),
            pulse=at.sfloat(),
            date_time=at.date_time() if flags & _SpotFlags.TIME_STAMP else None,
            status=at.u16() if flags & _SpotFlags.STATUS else None,
            sensor_status=at.u24() if flags & _SpotFlags.SENSOR_STATUS else None,
            amplitude=at.sfloat() if flags & _SpotFlags.AMPLITUDE else None,
            is_clock_set=not flags & _SpotFlags.CLOCK_NOT_SET,
        )

    def __bytes__(self) -> bytes:
        flags = _SpotFlags(0) if self.is_clock_set else _SpotFlags.CLOCK_NOT_SET
        body = bytes(self.spo2) + bytes(self.pulse)
        for flag, field in (
            (_SpotFlags.TIME_STAMP, None if self.date_time is None else bytes(self.date_time)),
            (_SpotFlags.STATUS, None if self.status is None else u16(self.status)),
            (_SpotFlags.SENSOR_STATUS, None if self.sensor_status is None else u24(self.sensor_status)),
            (_SpotFlags.AMPLITUDE, None if self.amplitude is None else bytes(self.amplitude)),
        ):
            if field is not None:
                flags |= flag
                body += field
        return bytes((flags,)) + body

    @property
    def meter_time(self) -> str | None:
        """The meter's clock as it said it, set or not; ISO 8601 without a zone, None if there is none that a calendar knows."""
        return None if self.date_time is None else self.date_time.iso

    @property
    def is_from_storage(self) -> bool:
        """Whether the meter says that this was measured before, and kept."""
        return bool((self.status or 0) & Status.FROM_STORAGE)

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the Measurement Status says, by name; None without one."""
        return None if self.status is None else flag_words(Status, self.status)

    @property
    def sensor_status_flags(self) -> tuple[str, ...] | None:
        """What the Device and Sensor Status says, by name; None without one."""
        return None if self.sensor_status is None else flag_words(SensorStatus, self.sensor_status)

    def to_measurement(self) -> reading.OxygenSaturation:
        """The same with what the meter says it lacks as None. The amplitude index stays in the raw bytes."""
        return reading.OxygenSaturation(
            spo2_percent=self.spo2.number,
            pulse_bpm=self.pulse.number,
            status=self.status,
            sensor_status=self.sensor_status,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpO2PR:
    """A saturation in percent and the pulse rate with it, four bytes."""

    spo2: Sfloat
    pulse: Sfloat

    def __bytes__(self) -> bytes:
        return bytes(self.spo2) + bytes(self.pulse)

    @classmethod
    def at(cls, cursor: Cursor) -> Self:
        return cls(spo2=cursor.sfloat(), pulse=cursor.sfloat())


class _ContinuousFlags(IntFlag):
    FAST = 0x01
    SLOW = 0x02
    STATUS = 0x04
    SENSOR_STATUS = 0x08
    AMPLITUDE = 0x10


_CONTINUOUS: Final = {
    _ContinuousFlags.FAST: 4,
    _ContinuousFlags.SLOW: 4,
    _ContinuousFlags.STATUS: 2,
    _ContinuousFlags.SENSOR_STATUS: 3,
    _ContinuousFlags.AMPLITUDE: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuous:
    """What the meter shows at this second (0x2A5F), without a time; a finger just put in and one about to be taken out are in the
    stream, too. `fast` and `slow` are averages over less and more time. The status words are those of a spot check."""

    Flags = _ContinuousFlags

    normal: SpO2PR
    fast: SpO2PR | None = None
    slow: SpO2PR | None = None
    status: int | None = None
    sensor_status: int | None = None
    amplitude: Sfloat | None = None

    def __post_init__(self) -> None:
        _check_words(self.status, self.sensor_status)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` as `SpotCheck.from_bytes` does."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _CONTINUOUS.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & 0xE0))
        at = Cursor(data, 1)
        return cls(
            normal=SpO2PR.at(at),
            fast=SpO2PR.at(at) if flags & _ContinuousFlags.FAST else None,
            slow=SpO2PR.at(at) if flags & _ContinuousFlags.SLOW else None,
            status=at.u16() if flags & _ContinuousFlags.STATUS else None,
            sensor_status=at.u24() if flags & _ContinuousFlags.SENSOR_STATUS else None,
            amplitude=at.sfloat() if flags & _ContinuousFlags.AMPLITUDE else None,
        )

    def __bytes__(self) -> bytes:
        flags, body = _ContinuousFlags(0), bytes(self.normal)
        for flag, field in (
            (_ContinuousFlags.FAST, None if self.fast is None else bytes(self.fast)),
            (_ContinuousFlags.SLOW, None if self.slow is None else bytes(self.slow)),
            (_ContinuousFlags.STATUS, None if self.status is None else u16(self.status)),
            (_ContinuousFlags.SENSOR_STATUS, None if self.sensor_status is None else u24(self.sensor_status)),
            (_ContinuousFlags.AMPLITUDE, None if self.amplitude is None else bytes(self.amplitude)),
        ):
            if field is not None:
                flags |= flag
                body += field
        return bytes((flags,)) + body

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the Measurement Status says, by name; None without one."""
        return None if self.status is None else flag_words(Status, self.status)

    @property
    def sensor_status_flags(self) -> tuple[str, ...] | None:
        """What the Device and Sensor Status says, by name; None without one."""
        return None if self.sensor_status is None else flag_words(SensorStatus, self.sensor_status)

    def to_measurement(self) -> reading.OxygenSaturation:
        """The `normal` pair, with what the meter says it lacks as None. The other averages stay in the raw bytes."""
        return reading.OxygenSaturation(
            spo2_percent=self.normal.spo2.number,
            pulse_bpm=self.normal.pulse.number,
            status=self.status,
            sensor_status=self.sensor_status,
        )


class Supported(IntFlag):
    """PLX Features, first word. The two lowest bits tell that a word of supported bits follows."""

    STATUS = 0x0001
    SENSOR_STATUS = 0x0002
    SPOT_CHECK_STORAGE = 0x0004
    SPOT_CHECK_TIME_STAMP = 0x0008
    FAST = 0x0010
    SLOW = 0x0020
    AMPLITUDE = 0x0040
    MULTIPLE_BONDS = 0x0080


_FOLLOWED: Final = {Supported.STATUS: 2, Supported.SENSOR_STATUS: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """PLX Features (0x2A60), what the meter can do, and which bits of the status words it ever sets (None: it does not say)."""

    supported: int
    status: int | None = None
    sensor_status: int | None = None

    def __post_init__(self) -> None:
        _check_words(self.status, self.sensor_status)
        assert 0 <= self.supported <= 0xFFFF, self.supported
        assert bool(self.supported & Supported.STATUS) == (self.status is not None)
        assert bool(self.supported & Supported.SENSOR_STATUS) == (self.sensor_status is not None)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown bits may explain the length."""
        check_minimum(data, 2)
        at = Cursor(data)
        supported = at.u16()
        expected = 2 + sum(length for flag, length in _FOLLOWED.items() if supported & flag)
        check_length(data, expected=expected, reserved=bool(supported & 0xFF00))
        return cls(
            supported=supported,
            status=at.u16() if supported & Supported.STATUS else None,
            sensor_status=at.u24() if supported & Supported.SENSOR_STATUS else None,
        )

    def __bytes__(self) -> bytes:
        status = b"" if self.status is None else u16(self.status)
        return u16(self.supported) + status + (b"" if self.sensor_status is None else u24(self.sensor_status))

    @property
    def stores_spot_checks(self) -> bool:
        """Whether there may be records to ask for."""
        return bool(self.supported & Supported.SPOT_CHECK_STORAGE)


def _check_words(status: int | None, sensor_status: int | None) -> None:
    assert status is None or 0 <= status <= 0xFFFF, status
    assert sensor_status is None or 0 <= sensor_status <= 0xFFFFFF, sensor_status
